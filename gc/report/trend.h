// Does a series grow? Robust against single outliers and noise; the rules are in lull/leak_watch.h. Pure: no clock, no threads.
//
// Kendall, "A new measure of rank correlation", 1938; Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::gc {

struct Growth {
  bool grows = false;
  double per_second = 0, per_sample = 0;
  unsigned samples = 0;
};

class Trend {
 public:
  static constexpr unsigned kWindow = 10;  // larger: slower to see a leak and surer; pairs cost the square
  static constexpr unsigned kFewest = 8;

  void add(double seconds, std::uint64_t value);
  Growth look(double least_per_second) const;
  std::uint64_t newest() const { return count_ == 0 ? 0 : at(count_ - 1).value; }

 private:
  struct Sample {
    double seconds;
    std::uint64_t value;
  };
  const Sample& at(unsigned i) const { return samples_[(first_ + i) % kWindow]; }  // 0: oldest

  Sample samples_[kWindow] = {};
  unsigned first_ = 0, count_ = 0;
  std::uint64_t highest_before_ = 0;  // of all samples that have left the window
};

}  // namespace lull::gc

#include "gc/report/trend.h"

#include <algorithm>
#include <cmath>

namespace lull::gc {
namespace {

constexpr double kRisingShare = 0.93;  // of all pairs; lower: noise rises by chance, higher: noise hides leaks
constexpr double kNoises = 10;  // smaller: noise alone looks like growth; larger: leaks in noise are found later
constexpr unsigned kMostPairs = Trend::kWindow * (Trend::kWindow - 1) / 2;

double median(double* values, unsigned count) {
  double* middle = values + count / 2;
  std::nth_element(values, middle, values + count);
  return *middle;
}

}  // namespace

void Trend::add(double seconds, std::uint64_t value) {
  if (count_ == kWindow) {
    highest_before_ = std::max(highest_before_, samples_[first_].value);
    first_ = (first_ + 1) % kWindow;
    --count_;
  }
  samples_[(first_ + count_++) % kWindow] = {seconds, value};
}

Growth Trend::look(double least_per_second) const {
  Growth growth;
  growth.samples = count_;
  if (count_ < kFewest) return growth;
  double slopes[kMostPairs], steps[kMostPairs], scatter[kWindow];
  unsigned pairs = 0, rising = 0;
  for (unsigned i = 0; i < count_; ++i)
    for (unsigned j = i + 1; j < count_; ++j, ++pairs) {
      const double rise = static_cast<double>(at(j).value) - static_cast<double>(at(i).value);
      rising += rise > 0;
      steps[pairs] = rise / (j - i);
      slopes[pairs] = rise / std::max(at(j).seconds - at(i).seconds, 1e-6);
    }
  growth.per_second = median(slopes, pairs);
  growth.per_sample = median(steps, pairs);
  if (growth.per_second < least_per_second || rising < kRisingShare * pairs) return growth;
  // Around the line through the middle with that slope a sample.
  for (unsigned i = 0; i < count_; ++i) scatter[i] = static_cast<double>(at(i).value) - growth.per_sample * i;
  const double middle = median(scatter, count_);
  for (unsigned i = 0; i < count_; ++i) scatter[i] = std::abs(scatter[i] - middle);
  const double noise = median(scatter, count_);
  bool highest = newest() > highest_before_;
  for (unsigned i = 0; i + 1 < count_; ++i) highest &= newest() >= at(i).value;
  const bool still = newest() > at(count_ - 3).value;  // a start that is over is no leak
  growth.grows = highest && still && growth.per_sample * (count_ - 1) > kNoises * noise;
  return growth;
}

}  // namespace lull::gc

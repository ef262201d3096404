// What an exporter writes: all metrics with their values, and the types with the most bytes.
#pragma once

#include <array>
#include <span>

#include "lull/metrics.h"

namespace lull::gc {

class MetricsSnapshot {
 public:
  explicit MetricsSnapshot(std::size_t most_types);

  // visit(description, sample)
  template <class Visit>
  void for_each(Visit&& visit) const {
    const auto all = metrics::all();
    for (std::size_t i = 0; i < all.size(); ++i) visit(all[i], samples_[i]);
  }
  std::span<const type_stats> types() const { return std::span(types_).first(type_count_); }

  // Upper ends, inclusive, of the buckets in which exporters tell durations: 2^k - 1 ns from 255 ns to 17 s.
  static constexpr unsigned kFirstBound = 8, kLastBound = 34;
  static constexpr std::uint64_t bound_ns(unsigned k) { return (std::uint64_t{1} << k) - 1; }

 private:
  static constexpr std::size_t kMostMetrics = 64, kMostTypes = 256, kHistograms = 5;
  std::array<metrics::sample, kMostMetrics> samples_{};
  std::array<histogram, kHistograms> durations_{};
  std::array<type_stats, kMostTypes> types_{};
  std::size_t type_count_ = 0;
};

// Values up to `bound`, which is the last one of a bucket.
inline std::uint64_t count_up_to(const histogram& h, std::uint64_t bound) {
  std::uint64_t count = 0;
  for (std::size_t b = 0; b <= histogram::bucket_of(bound); ++b) count += h.buckets[b];
  return count;
}

// No goal, no limit, no percentage.
constexpr bool has_value(const metrics::sample& s) { return s.kind != metrics::value_kind::uint64 || s.u <= ~std::uint64_t{0} >> 1; }

}  // namespace lull::gc

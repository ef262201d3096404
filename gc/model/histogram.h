// Records durations into the buckets of lull::histogram, from any thread and from signal handlers.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lull/histogram.h"

namespace lull::gc {

// A snapshot taken beside recorders may miss the newest records, but has the sum and maximum of each record
// it counts; one taken after they were joined is exact.
class HistogramRecorder {
 public:
  constexpr HistogramRecorder() = default;
  HistogramRecorder(const HistogramRecorder&) = delete;
  HistogramRecorder& operator=(const HistogramRecorder&) = delete;

  // Two read-modify-writes; a third only while the maximum rises. Async-signal-safe.
  void record(std::uint64_t ns) {
    std::uint64_t seen = max_ns_.load(std::memory_order_relaxed);
    while (ns > seen && !max_ns_.compare_exchange_weak(seen, ns, std::memory_order_relaxed)) {
    }
    sum_ns_.fetch_add(ns, std::memory_order_relaxed);
    // release: publishes sum and maximum; pairs with the acquire in snapshot()
    buckets_[histogram::bucket_of(ns)].fetch_add(1, std::memory_order_release);
  }

  // count is the sum of the buckets, so that quantiles of a snapshot are consistent. About 8 KiB.
  histogram snapshot() const {
    histogram out;
    for (std::size_t i = 0; i < buckets_.size(); i++) {
      out.buckets[i] = buckets_[i].load(std::memory_order_acquire);  // pairs with the release in record()
      out.count += out.buckets[i];
    }
    out.sum_ns = sum();
    out.max_ns = max();
    return out;
  }

  std::uint64_t count() const { return snapshot().count; }
  std::uint64_t sum() const { return sum_ns_.load(std::memory_order_relaxed); }
  std::uint64_t max() const { return max_ns_.load(std::memory_order_relaxed); }
  std::uint64_t quantile(double q) const { return snapshot().quantile_ns(q); }

 private:
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "recorders run in signal handlers");

  std::atomic<std::uint64_t> sum_ns_{0};
  std::atomic<std::uint64_t> max_ns_{0};
  std::array<std::atomic<std::uint64_t>, histogram::bucket_count> buckets_{};
};

}  // namespace lull::gc

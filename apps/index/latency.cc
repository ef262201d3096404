#include "apps/index/latency.h"

namespace index_service {
namespace {

/// Relaxed load and store instead of an increment: there is one writer.
void add(std::atomic<std::uint64_t>& value, std::uint64_t more) {
  value.store(value.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

}  // namespace

void LatencyRecorder::record(std::uint64_t ns) {
  add(buckets_[lull::histogram::bucket_of(ns)], 1);
  add(sum_ns_, ns);
  if (ns > max_ns_.load(std::memory_order_relaxed)) max_ns_.store(ns, std::memory_order_relaxed);
}

lull::histogram LatencyRecorder::read() const {
  lull::histogram h;
  for (std::size_t i = 0; i < h.buckets.size(); ++i) {
    h.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
    h.count += h.buckets[i];
  }
  h.sum_ns = sum_ns_.load(std::memory_order_relaxed);
  h.max_ns = max_ns_.load(std::memory_order_relaxed);
  return h;
}

lull::histogram since(const lull::histogram& now, const lull::histogram& earlier) {
  lull::histogram h = now;
  h.count -= earlier.count;
  h.sum_ns -= earlier.sum_ns;
  for (std::size_t i = 0; i < h.buckets.size(); ++i) h.buckets[i] -= earlier.buckets[i];
  return h;
}

}  // namespace index_service

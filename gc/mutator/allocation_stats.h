// What allocation counts.
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/model/histogram.h"
#include "gc/mutator/mutator.h"

namespace lull::gc {

extern HistogramRecorder slow_allocations;  // duration of allocation slow paths, assists included

// Allocations that were held because the heap had passed its goal (gc/pace/brake.h), since the start.
struct HoldCounters {
  std::atomic<std::uint64_t> count{0}, longest_ns{0};
  std::atomic<std::uint64_t> napped_ns{0};  // by the clock; what they scanned meanwhile is in the counts of assists
};
extern HoldCounters holds;

struct HeapCounters {
  std::atomic<std::uint64_t> live{0};    // survivors of the last cycle and everything handed out since, bytes
  std::atomic<std::uint64_t> handed{0};  // handed out to threads since the start, bytes
};
extern HeapCounters heap_counters;

// Once a span, when it has been taken, and at handshakes rather than once a hole: all threads share the counters. Async-signal-safe.
inline void publish_handed(Mutator& m) {
  if (m.unpublished_bytes == 0) return;
  heap_counters.live.fetch_add(m.unpublished_bytes, std::memory_order_relaxed);
  heap_counters.handed.fetch_add(m.unpublished_bytes, std::memory_order_relaxed);
  m.unpublished_bytes = 0;
}

}  // namespace lull::gc

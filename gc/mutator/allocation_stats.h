// What allocation counts.
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/model/histogram.h"
#include "gc/mutator/mutator.h"

namespace lull::gc {

extern HistogramRecorder slow_allocations;  // duration of allocation slow paths, assists included

struct HeapCounters {
  std::atomic<std::uint64_t> live{0};    // survivors of the last cycle and everything handed out since, bytes
  std::atomic<std::uint64_t> handed{0};  // handed out to threads since the start, bytes
};
extern HeapCounters heap_counters;

// Once a span and at handshakes rather than once a hole: all threads share the counters. Async-signal-safe.
inline void publish_handed(Mutator& m) {
  if (m.unpublished_bytes == 0) return;
  heap_counters.live.fetch_add(m.unpublished_bytes, std::memory_order_relaxed);
  heap_counters.handed.fetch_add(m.unpublished_bytes, std::memory_order_relaxed);
  m.unpublished_bytes = 0;
}

}  // namespace lull::gc

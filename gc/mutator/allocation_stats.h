// What allocation counts.
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/model/histogram.h"

namespace lull::gc {

extern HistogramRecorder slow_allocations;  // duration of allocation slow paths, assists included

struct HeapCounters {
  std::atomic<std::uint64_t> live{0};    // survivors of the last cycle and everything handed out since, bytes
  std::atomic<std::uint64_t> handed{0};  // handed out to threads since the start, bytes
};
extern HeapCounters heap_counters;

}  // namespace lull::gc

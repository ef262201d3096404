// The memory behind mem_stats and metrics, read at one moment together with the counters of objects.
#pragma once

#include <cstdint>

#include "alloc/pages/page_heap.h"

namespace lull::gc {

struct MemoryFigures {  // bytes; names as in mem_stats
  std::uint64_t heap_sys = 0, heap_inuse = 0, heap_released = 0, heap_huge = 0;
  std::uint64_t mspan_inuse = 0, mspan_sys = 0, mcache_sys = 0, gc_sys = 0, other_sys = 0;
  std::uint64_t purged_total = 0;  // given back to the system since the start

  std::uint64_t heap_idle() const { return heap_sys - heap_inuse; }
  std::uint64_t sys() const { return heap_sys + mspan_sys + mcache_sys + gc_sys + other_sys; }
};
MemoryFigures memory_figures(const pages::PageStats& pages);

// Calls look() at a moment at which no page changes hands: the objects it counts lie in pages that heap_inuse counts.
template <class Look>
MemoryFigures memory_figures_with(Look&& look) {
  return memory_figures(pages::page_heap.stats_with(look));
}

}  // namespace lull::gc

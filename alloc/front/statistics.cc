#include "alloc/front/statistics.h"

#include "alloc/front/central.h"
#include "alloc/front/sampling.h"
#include "alloc/front/secure.h"
#include "alloc/front/thread_bins.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"

namespace lull::front {

HeapFigures read_figures() {
  const pages::PageStats pages = pages::page_heap.stats();
  std::size_t free_bytes = spare_bytes();
  for (const ThreadBins* t = first_bins(); t != nullptr; t = t->next) free_bytes += t->large.bytes();
  const PageIndex end = pages::heap_end();
  for (PageIndex at{0}; at < end; at = at + PageCount{1}) {
    // From the page's entry, not from the descriptor, which may be another span's meanwhile.
    const auto entry = static_cast<std::uint32_t>(pages::reservation.classes[at.value].load(std::memory_order_relaxed));
    Span* span = pages::place_of(entry) == 0 ? small_span_of(pages::address_of(at)) : nullptr;
    if (span != nullptr && (entry & 0xff) >= kFirstBin)
      free_bytes += (span->free_state().load(std::memory_order_relaxed) & kCountMask) * bytes_of_bin(entry & 0xff);
  }
  const std::size_t unusable = (pages::span_stats().guard_pages << kPageShift) + quarantined_large_bytes();
  const std::size_t in_spans = pages.used > unusable ? pages.used - unusable : 0;
  return {in_spans + pages.free_dirty, in_spans > free_bytes ? in_spans - free_bytes : 0, pages.free_dirty};
}

}  // namespace lull::front

#include "gc/report/memory_figures.h"

#include "alloc/os/meta_arena.h"
#include "alloc/pages/span_table.h"
#include "gc/mutator/handshake.h"

namespace lull::gc {

MemoryFigures memory_figures(const pages::PageStats& pages) {
  constexpr std::uint64_t kTableBytesPerPage = sizeof(pages::PageClass) + sizeof(std::uint32_t);
  const pages::SpanStats spans = pages::span_stats();
  MemoryFigures out;
  out.heap_sys = pages.committed;
  out.heap_inuse = pages.used;
  out.heap_released = pages.free_clean;
  out.heap_huge = pages.huge;
  out.mspan_inuse = spans.descriptor_bytes_used;
  out.mspan_sys = spans.descriptor_bytes_reserved;
  out.mcache_sys = std::uint64_t{mutators.count_now()} * sizeof(Mutator);
  const std::uint64_t page_tables = (pages.committed >> kPageShift) * kTableBytesPerPage;
  out.gc_sys = page_tables + (pages.committed >> detail::kCardShift);
  out.other_sys = os::meta_bytes() - out.mcache_sys;  // the records of mutators come from there
  out.purged_total = pages.purged_total;
  return out;
}

}  // namespace lull::gc

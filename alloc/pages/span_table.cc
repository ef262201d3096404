#include "alloc/pages/span_table.h"

#include <new>

#include "alloc/base/check.h"
#include "alloc/os/lock.h"
#include "alloc/pages/page_heap.h"

namespace lull::pages {
namespace {

constexpr std::uint32_t kMostCells = 128;  // larger than any geometry needs

// Descriptors by size; a freed one waits for the next span of its size, so that a number keeps its size for ever.
struct DescriptorTable {
  os::Lock lock{os::LockRank::metadata};
  std::uint32_t next_cell = 1;  // 0 is SpanId::none
  std::uint32_t free[kMostCells + 1] = {};
  std::uint64_t spans = 0, used_cells = 0;

  Span* take(std::uint32_t cells) {
    os::Locked locked(lock);
    Span* span;
    if (free[cells] != 0) {
      span = span_with(static_cast<SpanId>(free[cells]));
      free[cells] = span->next.load(std::memory_order_relaxed);
    } else {
      if ((std::size_t{next_cell} + cells) * kCellBytes > reservation.span_cells_bytes) return nullptr;
      span = new (span_with(static_cast<SpanId>(next_cell))) Span;
      next_cell += cells;
    }
    ++spans;
    used_cells += cells;
    return span;
  }

  void give(Span* span) {
    os::Locked locked(lock);
    span->next.store(free[span->cells], std::memory_order_relaxed);
    free[span->cells] = static_cast<std::uint32_t>(span->id());
    --spans;
    used_cells -= span->cells;
  }
};

constinit DescriptorTable descriptors;

void describe(Span& span, const SpanGeometry& g, PageIndex first, std::uint32_t cells) {
  span.base = address_of(first);
  span.slot_bytes = g.slot_bytes;
  span.slots = g.slots;
  span.reciprocal = g.reciprocal;
  span.page_count = g.pages.value;
  span.words = static_cast<std::uint16_t>(words_for(g.slots));
  span.cells = static_cast<std::uint8_t>(cells);
  span.allocated = 0;
  span.next.store(0, std::memory_order_relaxed);
  span.snapshot_cycle.store(0, std::memory_order_relaxed);
  span.mark_cycle.store(0, std::memory_order_relaxed);
  for (std::size_t w = 0; w < (cells - 1) * kCellBytes / sizeof(BitWord); ++w)
    span.alloc_bits()[w].store(0, std::memory_order_relaxed);
}

void publish(const Span& span, PageIndex first, PageClass page_class) {
  const auto id = static_cast<std::uint32_t>(span.id());
  for (std::uint32_t p = first.value; p < first.value + span.page_count; ++p) {
    reservation.owners[p].store(id, std::memory_order_relaxed);
    // release: pairs with managed_span_of and for_each_span
    reservation.classes[p].store(page_class, std::memory_order_release);
  }
}

}  // namespace

Span* create_span(const SpanGeometry& g, const SpanOwner& owner) {
  const PageRun run = page_heap.allocate(g.pages);
  if (!run.found) return nullptr;
  const std::uint32_t cells = cells_for(g.slots, owner.with_destroy_bits);
  LULL_CHECK(cells <= kMostCells, "span with too many slots");
  Span* span = descriptors.take(cells);
  if (span == nullptr) {
    page_heap.release(run.first, g.pages);
    return nullptr;
  }
  describe(*span, g, run.first, cells);
  span->owner_class = owner.span_class;
  span->kind = owner.kind;
  span->needs_zero = !run.zero;
  publish(*span, run.first, owner.page_class);
  return span;
}

void destroy_span(Span* span) {
  const PageIndex first = span->first_page();
  const PageCount pages{span->page_count};
  for (std::uint32_t p = first.value; p < first.value + pages.value; ++p)
    reservation.classes[p].store(PageClass::none, std::memory_order_relaxed);
  span->owner_class = nullptr;
  descriptors.give(span);
  page_heap.release(first, pages);
}

SpanStats span_stats() {
  os::Locked locked(descriptors.lock);
  return {descriptors.spans, descriptors.used_cells * kCellBytes, std::uint64_t{descriptors.next_cell} * kCellBytes};
}

os::Lock& span_table_lock_for_fork() { return descriptors.lock; }
PageIndex heap_end() { return page_heap.end(); }

}  // namespace lull::pages

#include "alloc/pages/span_table.h"

#include <new>

#include "alloc/base/check.h"
#include "alloc/os/checker.h"
#include "alloc/os/guard_pages.h"
#include "alloc/os/lock.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_geometry.h"
#include "alloc/trace/probes.h"

namespace lull::pages {
namespace {

constexpr std::uint32_t kMostCells = 128;  // larger than any geometry needs

// Descriptors by size; a freed one waits for the next span of its size, so that a number keeps its size for ever. Those of
// malloc (one bitmap), of its secure mode, of heap objects (two) and managed ones never turn into each other: a late reader of malloc's state
// word, which may write to it, finds a state word.
struct DescriptorTable {
  os::Lock lock{os::LockRank::metadata};
  std::uint32_t next_cell = 1;  // 0 is SpanId::none
  std::uint32_t free_lists[4][kMostCells + 1] = {};
  std::uint64_t spans = 0, used_cells = 0;

  template <class SpanOrOwner>
  static constexpr std::uint32_t group_of(const SpanOrOwner& of) {
    return of.secure ? 3 : of.bitmaps <= 2 ? of.bitmaps : 0;
  }

  Span* take(std::uint32_t cells, const SpanOwner& owner) {
    os::Locked locked(lock);
    Span* span;
    std::uint32_t& free = free_lists[group_of(owner)][cells];
    if (free != 0) {
      span = span_with(static_cast<SpanId>(free));
      free = span->next.load(std::memory_order_relaxed);
    } else {
      if (!commit_span_cells((std::size_t{next_cell} + cells) * kCellBytes)) return nullptr;
      span = new (span_with(static_cast<SpanId>(next_cell))) Span;
      next_cell += cells;
    }
    ++spans;
    used_cells += cells;
    return span;
  }

  void give(Span* span) {
    os::Locked locked(lock);
    std::uint32_t& free = free_lists[group_of(*span)][span->cells];
    span->next.store(free, std::memory_order_relaxed);
    free = static_cast<std::uint32_t>(span->id());
    --spans;
    used_cells -= span->cells;
  }
};

constinit DescriptorTable descriptors;
constinit std::atomic<std::uint64_t> guards{0};  // pages

void describe(Span& span, const SpanGeometry& g, PageIndex first, std::uint32_t cells) {
  // Relaxed atomics, no partner: the purger looks at `base`, `slot_bytes` and `allocated` of spans that nobody holds for it
  // (alloc/front/span_purge.cc).
  __atomic_store_n(&span.base, address_of(first), __ATOMIC_RELAXED);
  __atomic_store_n(&span.slot_bytes, g.slot_bytes, __ATOMIC_RELAXED);
  span.slots = g.slots;
  span.reciprocal = g.reciprocal;
  span.page_count = g.pages.value;
  span.words = static_cast<std::uint16_t>(words_for(g.slots));
  span.cells = static_cast<std::uint8_t>(cells);
  __atomic_store_n(&span.allocated, 0u, __ATOMIC_RELAXED);
  span.next.store(0, std::memory_order_relaxed);
  span.snapshot_cycle.store(0, std::memory_order_relaxed);
  span.mark_cycle.store(0, std::memory_order_relaxed);
  for (std::size_t w = 0; w < (cells - 1) * kCellBytes / sizeof(BitWord); ++w)
    span.alloc_bits()[w].store(0, std::memory_order_relaxed);
}

static_assert(kLargestSpanPages <= 16);
PageClass class_of_page(PageClass of_span, std::uint32_t place) {
  if (of_span < PageClass::first_small) return of_span;
  return static_cast<PageClass>(static_cast<std::uint32_t>(of_span) | place << 8);
}

void publish(const Span& span, PageIndex first, const SpanOwner& owner) {
  const auto id = static_cast<std::uint32_t>(span.id());
  const std::uint32_t published = owner.publish_all ? span.page_count : 1;
  for (std::uint32_t p = 0; p < published; ++p) {
    reservation.owners[first.value + p].store(id, std::memory_order_relaxed);
    // release: pairs with managed_span_of and for_each_span
    reservation.classes[first.value + p].store(class_of_page(owner.page_class, p), std::memory_order_release);
  }
}

// A guard page that the system does not grant goes back.
void guard_or_release(PageIndex at) {
  if (os::install_guard(reinterpret_cast<void*>(address_of(at)), kPageSize)) {
    reservation.classes[at.value].store(PageClass::guard, std::memory_order_relaxed);
    guards.fetch_add(1, std::memory_order_relaxed);
  } else {
    page_heap.release(at, {1});
  }
}
bool has_guard(PageIndex at) {
  return at < page_heap.end() && reservation.classes[at.value].load(std::memory_order_relaxed) == PageClass::guard;
}
// False: it stays for ever.
bool remove_guard(PageIndex at) {
  if (!os::remove_guard(reinterpret_cast<void*>(address_of(at)), kPageSize)) return false;
  guards.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

constinit os::InjectedFault fault;

PageRun find_run(PageCount pages, const SpanOwner& owner) {
  if (fault.hits()) return {};
  const bool is_of_malloc = owner.bitmaps == 1;
  if (!owner.secure) return page_heap.allocate(pages, owner.alignment, is_of_malloc ? Placement::parked : Placement::first_fit);
  const PageRun run = page_heap.allocate({pages.value + 1}, owner.alignment, Placement::random);
  if (run.found) guard_or_release(run.first + pages);
  return run;
}

PageRun allocate_run(PageCount pages, const SpanOwner& owner) {
  const PageRun run = find_run(pages, owner);
  if (run.found) os::allow(address_of(run.first), pages.bytes());
  return run;
}

}  // namespace

Span* create_span(const SpanGeometry& g, const SpanOwner& owner) {
  const PageRun run = allocate_run(g.pages, owner);
  if (!run.found) return nullptr;
  const std::uint32_t cells = cells_for(g.slots, owner.bitmaps);
  LULL_CHECK(cells <= kMostCells, "span with too many slots");
  Span* span = fault.hits() ? nullptr : descriptors.take(cells, owner);
  if (span == nullptr) {
    release_pages(run.first, g.pages);
    return nullptr;
  }
  describe(*span, g, run.first, cells);
  span->owner_class = owner.span_class;
  span->kind = owner.kind;
  span->needs_zero = !run.zero;
  span->bitmaps = owner.bitmaps & 7;
  span->secure = owner.secure;
  publish(*span, run.first, owner);
  LULL_PROBE2(span_create, span->base, g.pages.value);
  return span;
}

void release_pages(PageIndex first, PageCount pages, Reuse reuse) {
  os::forbid(address_of(first), pages.bytes());
  if (has_guard(first + pages) && remove_guard(first + pages)) ++pages.value;
  for (std::uint32_t p = first.value; p < first.value + pages.value; ++p)
    reservation.classes[p].store(PageClass::none, std::memory_order_relaxed);
  if (reuse == Reuse::soon) page_heap.park(first, pages);
  else page_heap.release(first, pages);
}

void release_descriptor(Span* span) {
  span->owner_class = nullptr;
  descriptors.give(span);
}

void destroy_span(Span* span) {
  const PageIndex first = span->first_page();
  const PageCount pages{span->page_count};
  LULL_PROBE2(span_destroy, span->base, pages.value);
  // The descriptor first: the pages' next user may need one.
  release_descriptor(span);
  release_pages(first, pages);
}

void shrink_span(Span* span, PageCount keep) {
  const PageIndex tail = span->first_page() + keep;
  const PageCount rest{span->page_count - keep.value};
  span->page_count = keep.value;
  __atomic_store_n(&span->slot_bytes, keep.bytes(), __ATOMIC_RELAXED);  // as in describe()
  os::forbid(address_of(tail), rest.bytes());
  page_heap.release(tail, rest);
}

bool extend_span(Span* span, PageCount more) {
  if (!page_heap.take(span->first_page() + PageCount{span->page_count}, more)) return false;
  os::allow(span->end(), more.bytes());
  span->page_count += more.value;
  __atomic_store_n(&span->slot_bytes, PageCount{span->page_count}.bytes(), __ATOMIC_RELAXED);  // as in describe()
  return true;
}

SpanStats span_stats() {
  os::Locked locked(descriptors.lock);
  return {descriptors.spans, descriptors.used_cells * kCellBytes, std::uint64_t{descriptors.next_cell} * kCellBytes,
          guards.load(std::memory_order_relaxed)};
}

os::InjectedFault& span_fault_for_testing() { return fault; }
os::Lock& span_table_lock_for_fork() { return descriptors.lock; }
PageIndex heap_end() { return page_heap.end(); }

}  // namespace lull::pages

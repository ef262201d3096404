// Makes and retires spans: pages from the page heap, a descriptor from the descriptor table, and the page tables.
#pragma once

#include "alloc/os/injected_fault.h"
#include "alloc/os/lock.h"
#include "alloc/pages/span.h"

namespace lull::pages {

struct SpanOwner {
  void* span_class = nullptr;
  const void* kind = nullptr;
  PageClass page_class = PageClass::managed;
  std::uint32_t bitmaps = 3;    // alloc, snapshot, mark; 4: destroy too; malloc: 1, in secure mode 2; heap objects: 2
  bool publish_all = true;      // every page tells its span; false: the first one alone
  PageCount alignment{1};       // of the first page, a power of two
  bool secure = false;          // at a random place, with a page behind it that nobody can touch, if the system has one
};

// A span with all slots free, not in any set; nullptr when memory runs out. Its bitmaps are zero. Thread-safe.
[[nodiscard]] Span* create_span(const SpanGeometry& geometry, const SpanOwner& owner);

// The caller owns the span; no slot of it is in use any more. Thread-safe.
void destroy_span(Span* span);
// The two halves of it, for spans whose descriptor is still linked somewhere when their pages go.
enum class Reuse : bool { any, soon };  // soon: by a span as long (PageHeap::park)
void release_pages(PageIndex first, PageCount pages, Reuse reuse = Reuse::any);
void release_descriptor(Span* span);

// Gives up the pages behind the first `keep`, or takes `more` pages behind the end when they are free. For spans with one
// slot, published by their first page alone. Thread-safe, caller owns the span.
void shrink_span(Span* span, PageCount keep);
[[nodiscard]] bool extend_span(Span* span, PageCount more);

// Calls visit(span) for every managed span there is, in address order. Spans may come and go meanwhile unless the caller
// prevents it; what is visited was a span at that moment.
template <class Visit>
void for_each_span(Visit&& visit);

struct SpanStats {
  std::uint64_t spans = 0, descriptor_bytes_used = 0, descriptor_bytes_reserved = 0, guard_pages = 0;
};
SpanStats span_stats();
os::Lock& span_table_lock_for_fork();
os::InjectedFault& span_fault_for_testing();  // of the pages of a span, then of its descriptor

PageIndex heap_end();  // one past the last committed page

template <class Visit>
void for_each_span(Visit&& visit) {
  const PageIndex end = heap_end();
  for (PageIndex at{0}; at < end;) {
    // acquire: pairs with the release in publish()
    if (reservation.classes[at.value].load(std::memory_order_acquire) != PageClass::managed) {
      at = at + PageCount{1};
      continue;
    }
    Span* span = span_with(static_cast<SpanId>(reservation.owners[at.value].load(std::memory_order_relaxed)));
    // The end is not counted from `at`: a span that was being published may have shown a later page first.
    const PageIndex span_end = span->first_page() + PageCount{span->page_count};
    visit(span);
    at = span_end > at ? span_end : at + PageCount{1};
  }
}

}  // namespace lull::pages

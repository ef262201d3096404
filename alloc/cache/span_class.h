// A span class: all spans of one kind of object and one slot size, and the central sets they wait in (mcentral).
//
// A span is in exactly one place: in the cache of one thread, in one of the sets, or claimed by a sweeper. Sets come in
// two generations, as in Go: those of the current sweep generation hold swept spans, those of the other generation hold
// spans that still have to be swept. Opening a sweep flips the generation, which turns every set into an unswept one
// at once; the sweep must have drained the old ones by then.
#pragma once

#include <atomic>

#include "alloc/cache/span_set.h"
#include "alloc/pages/span.h"

namespace lull::cache {

inline constexpr std::size_t kCacheLineBytes = 64;

struct SpanClass {
  pages::SpanGeometry geometry;
  std::uint32_t index = 0;  // of the allocation slot in thread caches
  pages::PageClass page_class = pages::PageClass::managed;
  bool with_destroy_bits = false;
  bool zero_slots = true;   // free slots must be zero before they are handed out
  bool large = false;       // one object a span, geometry by object
  const void* kind = nullptr;

  // What follows changes with each span that some thread takes; what is above it, every thread reads for each piece of a hole.
  alignas(kCacheLineBytes) SpanSet partial[2];  // by parity of the generation
  SpanSet full[2];
  // Swept spans that hold nothing young: all their objects are marked, and nobody has had them in a cache since. By parity
  // of a generation of their own, because young cycles have nothing to sweep in them.
  SpanSet tenured_partial[2], tenured_full[2];
  std::atomic<std::uint64_t> allocated_objects{0}, freed_objects{0};  // relaxed statistics
  std::atomic<std::uint64_t> allocated_bytes{0}, freed_bytes{0};
  SpanClass* next = nullptr;    // list of all classes; constant once published

  void count_allocated(std::uint64_t objects, std::size_t bytes_each) {
    allocated_objects.fetch_add(objects, std::memory_order_relaxed);
    allocated_bytes.fetch_add(objects * bytes_each, std::memory_order_relaxed);
  }
  // release: pairs with the acquire in gc/report/object_counts.cc. What was freed was counted before as allocated.
  void count_freed(std::uint64_t objects, std::uint64_t bytes) {
    freed_objects.fetch_add(objects, std::memory_order_release);
    freed_bytes.fetch_add(bytes, std::memory_order_release);
  }
  // The caller owns the span and gives it to the sets of `generation`.
  void put(pages::Span* span, std::uint32_t generation) {
    (has_room(*span) ? partial : full)[generation & 1].push(span);
  }
  void put_tenured(pages::Span* span, std::uint32_t full_generation) {
    (has_room(*span) ? tenured_partial : tenured_full)[full_generation & 1].push(span);
  }
  pages::Span* take_partial(std::uint32_t generation) { return partial[generation & 1].pop(); }
  pages::Span* take_full(std::uint32_t generation) { return full[generation & 1].pop(); }
  pages::Span* take_tenured_partial(std::uint32_t full_generation) { return tenured_partial[full_generation & 1].pop(); }
  pages::Span* take_tenured_full(std::uint32_t full_generation) { return tenured_full[full_generation & 1].pop(); }

  static bool has_room(pages::Span& span) { return next_clear(span.alloc_bits(), 0, span.slots) < span.slots; }
};

}  // namespace lull::cache

#include "alloc/front/large_block.h"

#include "alloc/front/misuse.h"
#include "alloc/front/sampling.h"
#include "alloc/front/secure.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_geometry.h"
#include "alloc/pages/span_table.h"
#include "alloc/sample/history.h"

namespace lull::front {
namespace {

using pages::PageClass;
using pages::Span;

Span* large_span_at(std::uintptr_t address) {
  if (!pages::in_heap(address)) return nullptr;
  const PageIndex page = pages::page_of(address);
  // acquire: pairs with the release in publish() of span_table.cc
  const PageClass page_class = pages::reservation.classes[page.value].load(std::memory_order_acquire);
  if (page_class != PageClass::large && page_class != PageClass::heap_large) return nullptr;
  return pages::span_with(static_cast<SpanId>(pages::reservation.owners[page.value].load(std::memory_order_relaxed)));
}

}  // namespace

Span* create_large_span(std::size_t bytes, std::size_t alignment, pages::SpanOwner owner) {
  owner.publish_all = false;
  owner.alignment = PageCount{alignment <= kPageSize ? 1 : pages_for(alignment).value};
  return pages::create_span(pages::large_geometry(bytes), owner);
}

void* allocate_large(std::size_t bytes, std::size_t alignment, bool& zero) {
  const pages::SpanOwner owner{.page_class = PageClass::large, .bitmaps = 1, .secure = is_secure()};
  Span* span = create_large_span(bytes, alignment, owner);
  if (span == nullptr && owner.secure && trim_secure()) span = create_large_span(bytes, alignment, owner);
  if (span == nullptr) return nullptr;
  zero = span->needs_zero == 0;
  if (sample::is_sampling()) [[unlikely]] sample_large(span, bytes);
  return reinterpret_cast<void*>(span->base);
}

void free_large(void* address) {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  Span* span = large_span_at(start);
  if (span == nullptr || span->base != start) report_bad_free(address);
  // One of two threads that free the block at once wins here. relaxed: the page heap's lock orders the pages' next use
  PageClass expected = PageClass::large;
  if (!pages::reservation.classes[pages::page_of(start).value].compare_exchange_strong(expected, PageClass::none,
                                                                                      std::memory_order_relaxed))
    report_double_free(address);
  if (sample::Sample& sample = sample::sample_of(span); sample.stack != nullptr) {
    sample::note_life(sample, start, span->slot_bytes);
    sample::note_freed(sample);
    if (keep_spare(span)) return;
  }
  if (is_secure()) retire_large_secure(span);
  else pages::destroy_span(span);
  pages::nudge_purger_from_free();
}

bool resize_large(void* address, std::size_t bytes) {
  Span* span = large_span_at(reinterpret_cast<std::uintptr_t>(address));
  const PageCount wanted = pages_for(bytes);
  if (wanted.value == span->page_count) return true;
  if (span->secure) return false;  // its guard stays where it is
  if (wanted.value > span->page_count) {
    if (!pages::extend_span(span, {wanted.value - span->page_count})) return false;
  } else {
    pages::shrink_span(span, wanted);
    pages::nudge_purger_from_free();
  }
  if (span->bitmaps == 1 && (sample::is_sampling() || sample::sample_of(span).stack != nullptr)) sample_large(span, bytes);
  return true;
}

std::size_t large_bytes(std::uintptr_t start) {
  const Span* span = large_span_at(start);
  return span != nullptr && span->base == start ? span->slot_bytes : 0;
}

LargeBlock large_block_of(std::uintptr_t address) {
  for (std::uintptr_t page = address & ~(kPageSize - 1); pages::in_heap(page); page -= kPageSize) {
    const Span* span = large_span_at(page);
    if (span == nullptr) {
      if (pages::reservation.classes[pages::page_of(page).value].load(std::memory_order_relaxed) != PageClass::none) return {};
      continue;
    }
    if (address < span->end()) return {span->base, span->slot_bytes};
    return {};
  }
  return {};
}

}  // namespace lull::front

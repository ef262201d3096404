#include "alloc/front/large_block.h"

#include <utility>

#include "alloc/front/background.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/misuse.h"
#include "alloc/front/sampling.h"
#include "alloc/front/secure.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/checker.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
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

void destroy_all(Span* first) {
  while (first != nullptr) pages::destroy_span(std::exchange(first, LargeCache::next_of(first)));
}

Span* take_cached(PageCount pages) {
  ThreadBins* t = bins_at_hand();
  if (t == nullptr && (t = own_bins()) == nullptr) return nullptr;
  const Visiting visiting(t);
  return t->large.take(pages);
}

bool may_be_kept(const ThreadBins* t, const Span& span) {
  const bool is_sample = span.slot_bytes <= kSmallMost;  // a small block
  return t != nullptr && !is_sample && span.page_count <= LargeCache::kLongest.value && !pages::memory_is_short();
}

// In a visit. False: the span is still the caller's.
bool keep_cached(ThreadBins* t, Span* span) {
  if (!may_be_kept(t, *span)) return false;
  span->needs_zero = 1;
  os::forbid(span->base, span->end() - span->base);
  return t->large.keep(span);
}

}  // namespace

void give_large_back(ThreadBins& t) { destroy_all(t.large.remove_all()); }

namespace {

constexpr std::uint64_t kLongestWaitNs = 10'000'000;  // for visitors: a collector may have parked one, and wait for this thread

bool has_large(const ThreadBins& t) { return t.large.bytes() != 0; }

bool give_own_large_back() {
  ThreadBins* t = own_bins_or_null();
  if (t == nullptr || !has_large(*t)) return false;
  const Visiting visiting(t);
  give_large_back(*t);
  return true;
}

}  // namespace

// Behind the gate of forks, so nobody changes his meanwhile. The lock is the gate's, too.
bool give_all_large_back() {
  ThreadBins* t = first_bins();
  const ThreadBins* const own = own_bins_or_null();
  while (t != nullptr && (t == own || !has_large(*t))) t = t->next;
  if (t != nullptr) {
    const os::Locked locked(bins_lock());
    if (Visiting::try_close_gate(kLongestWaitNs)) {
      for (; t != nullptr; t = t->next) give_large_back(*t);
      Visiting::open_gate();
      static_cast<void>(give_own_large_back());
      return true;
    }
  }
  return give_own_large_back();
}

Span* create_large_span(std::size_t bytes, std::size_t alignment, pages::SpanOwner owner) {
  owner.publish_all = false;
  owner.alignment = PageCount{alignment <= kPageSize ? 1 : pages_for(alignment).value};
  Span* span = pages::create_span(pages::large_geometry(bytes), owner);
  return span == nullptr && give_all_large_back() ? pages::create_span(pages::large_geometry(bytes), owner) : span;
}

namespace {

Span* create_malloc_span(std::size_t bytes, std::size_t alignment) {
  const pages::SpanOwner owner{.page_class = PageClass::large, .bitmaps = 1, .secure = is_secure()};
  Span* span = create_large_span(bytes, alignment, owner);
  return span == nullptr && owner.secure && trim_secure() ? create_large_span(bytes, alignment, owner) : span;
}

}  // namespace

void* allocate_large(std::size_t bytes, std::size_t alignment, bool& zero) {
  const PageCount pages = pages_for(bytes);
  Span* span = pages.value <= LargeCache::kLongest.value && alignment <= kPageSize ? take_cached(pages) : nullptr;
  if (span != nullptr) {
    os::allow(span->base, span->end() - span->base);
    // release: as publish() of span_table.cc
    pages::reservation.classes[span->first_page().value].store(PageClass::large, std::memory_order_release);
  } else if ((span = create_malloc_span(bytes, alignment)) == nullptr) {
    return nullptr;
  }
  zero = span->needs_zero == 0;
  if (sample::is_sampling()) [[unlikely]] sample_large(span, bytes);
  return reinterpret_cast<void*>(span->base);
}

namespace {

enum class Went : std::uint8_t { nowhere, into_cache, to_page_heap, as_sample };

// The span is the caller's, and was not kept: there is no room, or it may not be.
[[gnu::noinline]] void make_room_or_destroy(ThreadBins* t, Span* span) {
  if (t != nullptr && pages::memory_is_short()) give_large_back(*t);
  Span* evicted = nullptr;
  const bool has_room = may_be_kept(t, *span) && t->large.make_room(*span, evicted);
  destroy_all(evicted);
  if (has_room && t->large.keep(span)) return;
  if (is_secure()) retire_large_secure(span);
  else pages::destroy_span(span);
}

Went put_away(ThreadBins* t, Span* span) {
  if (keep_cached(t, span)) [[likely]] return Went::into_cache;
  make_room_or_destroy(t, span);
  return Went::to_page_heap;
}

// In a visit: a forked child finds the block in use, or its pages where somebody finds them. But samples, whose stacks are walked out of visits.
Went free_in_visit(ThreadBins* t, Span* span, std::uintptr_t start) {
  const Visiting visiting(t);
  // One of two threads that free the block at once wins here. relaxed: the page heap's lock orders the pages' next use
  PageClass expected = PageClass::large;
  if (!pages::reservation.classes[pages::page_of(start).value].compare_exchange_strong(expected, PageClass::none, std::memory_order_relaxed))
    return Went::nowhere;
  if (sample::sample_of(span).stack != nullptr) [[unlikely]] return Went::as_sample;
  return put_away(t, span);
}

Went put_sample_away(ThreadBins* t, Span* span, std::uintptr_t start) {
  sample::Sample& sample = sample::sample_of(span);
  sample::note_life(sample, start, span->slot_bytes);
  sample::note_freed(sample);
  if (keep_spare(span)) return Went::as_sample;
  const Visiting visiting(t);
  return put_away(t, span);
}

}  // namespace

void free_large(void* address) {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  Span* span = large_span_at(start);
  if (span == nullptr || span->base != start) report_bad_free(address);
  ThreadBins* t = bins_at_hand();
  if (t == nullptr) t = own_bins_or_null();
  Went went = free_in_visit(t, span, start);
  if (went == Went::nowhere) report_double_free(address);
  if (went == Went::as_sample) [[unlikely]] went = put_sample_away(t, span, start);
  if (went == Went::into_cache && may_become_sleeper(*t)) note_blocks_taken();
  if (went == Went::to_page_heap) [[unlikely]] pages::nudge_purger_from_free();
}

bool resize_large(void* address, std::size_t bytes) {
  Span* span = large_span_at(reinterpret_cast<std::uintptr_t>(address));
  const PageCount wanted = pages_for(bytes);
  if (wanted.bytes() == span->slot_bytes) return true;
  if (span->secure) return false;  // its guard stays where it is
  if (wanted.value > span->page_count) {
    if (!pages::extend_span(span, {wanted.value - span->page_count})) return false;
  } else if (wanted.bytes() > span->slot_bytes) {  // of a span that waited, and is longer than its block
    __atomic_store_n(&span->slot_bytes, wanted.bytes(), __ATOMIC_RELAXED);  // as in describe() of span_table.cc
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

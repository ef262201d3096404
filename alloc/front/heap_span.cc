#include "alloc/front/heap_span.h"

#include "alloc/front/misuse.h"

namespace lull::front {
namespace {

void* block_of(const Span& span, std::uint32_t word, std::uint64_t bits) {
  return reinterpret_cast<void*>(span.slot_address(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits))));
}

}  // namespace

void SpanList::push(Span& span) {
  span.list() = this;
  span.list_previous().store(0, std::memory_order_relaxed);
  span.list_next() = first_;
  if (Span* next = first()) next->list_previous().store(static_cast<std::uint32_t>(span.id()), std::memory_order_relaxed);
  first_ = static_cast<std::uint32_t>(span.id());
}

void SpanList::remove(Span& span) {
  const std::uint32_t previous = span.list_previous().load(std::memory_order_relaxed);
  (previous == 0 ? first_ : at(previous)->list_next()) = span.list_next();
  if (Span* next = after(span)) next->list_previous().store(previous, std::memory_order_relaxed);
  span.list() = nullptr;
}

void give_to_heap(Span& span, Place place, cache::SpanSet& given) {
  // Whoever made the block known to this thread had cleared its bit before.
  if (span.free_bits()[place.word].load(std::memory_order_relaxed) & place.bit)
    report_double_free(block_of(span, place.word, place.bit));
  // release: pairs with collect_given(), so that what this thread did to the block comes before its next user
  const std::uint64_t before = span.given_bits()[place.word].fetch_or(place.bit, std::memory_order_release);
  if (before & place.bit) report_double_free(block_of(span, place.word, place.bit));
  std::uint32_t state = span.given_state().load(std::memory_order_relaxed);
  // release: pairs with the exchange in collect_given(): who sees the count finds the bit
  while (!span.given_state().compare_exchange_weak(state, (state + 1) | kLinked, std::memory_order_release,
                                                   std::memory_order_relaxed)) {
  }
  if (!(state & kLinked)) given.push(&span);
}

void collect_given(Span& span) {
  // acquire: pairs with the compare-and-swap in give_to_heap()
  std::uint32_t n = span.given_state().exchange(0, std::memory_order_acquire) & kCountMask;
  for (std::uint32_t w = 0; n > 0 && w < span.words; ++w) {
    const std::uint64_t given = span.given_bits()[w].load(std::memory_order_relaxed);
    if (given == 0) continue;
    const std::uint64_t chosen = lowest_bits(given, n);
    // acquire: pairs with the release in give_to_heap(); the count may have been another giver's
    span.given_bits()[w].fetch_and(~chosen, std::memory_order_acquire);
    const std::uint64_t free = span.free_bits()[w].load(std::memory_order_relaxed);
    if (free & chosen) report_double_free(block_of(span, w, free & chosen));
    span.free_bits()[w].store(free | chosen, std::memory_order_relaxed);
    n -= static_cast<std::uint32_t>(std::popcount(chosen));
  }
}

void free_all(Span& span) {
  for (std::uint32_t w = 0; w < span.words; ++w) {
    span.free_bits()[w].store(mask_of_word(span, w), std::memory_order_relaxed);
    span.given_bits()[w].store(0, std::memory_order_relaxed);
  }
}

bool is_all_free(Span& span) {
  for (std::uint32_t w = 0; w < span.words; ++w)
    if (span.free_bits()[w].load(std::memory_order_relaxed) != mask_of_word(span, w)) return false;
  return true;
}

}  // namespace lull::front

#include "alloc/front/large_cache.h"

namespace lull::front {

using pages::Span;

Span* LargeCache::next_of(const Span* span) {
  const std::uint32_t next = span->next.load(std::memory_order_relaxed);
  return next == 0 ? nullptr : pages::span_with(static_cast<SpanId>(next));
}

bool LargeCache::make_room(std::uint32_t index, std::size_t more, Span*& evicted) {
  if (more > allowance_) return false;
  while (bytes() + more > allowance_) {
    const std::uint64_t others = present_ & ~(std::uint64_t{1} << index);
    if (others == 0) return false;
    const std::uint64_t behind = others & ~std::uint64_t{0} << hand_;
    const auto victim = static_cast<std::uint32_t>(std::countr_zero(behind != 0 ? behind : others));
    hand_ = (victim + 1) % kLongest.value;
    Span* gone = pop(victim);
    gone->next.store(evicted == nullptr ? 0 : static_cast<std::uint32_t>(evicted->id()), std::memory_order_relaxed);
    evicted = gone;
  }
  return true;
}

Span* LargeCache::remove_all() {
  Span* all = nullptr;
  while (present_ != 0) {
    Span* span = pop(static_cast<std::uint32_t>(std::countr_zero(present_)));
    span->next.store(all == nullptr ? 0 : static_cast<std::uint32_t>(all->id()), std::memory_order_relaxed);
    all = span;
  }
  allowance_ = 0;
  return all;
}

}  // namespace lull::front

#include "alloc/front/large_cache.h"

namespace lull::front {

using pages::Span;

namespace {
void push(Span* span, Span*& list) {
  span->next.store(list == nullptr ? 0 : static_cast<std::uint32_t>(list->id()), std::memory_order_relaxed);
  list = span;
}
}  // namespace

Span* LargeCache::next_of(const Span* span) {
  const std::uint32_t next = span->next.load(std::memory_order_relaxed);
  return next == 0 ? nullptr : pages::span_with(static_cast<SpanId>(next));
}

bool LargeCache::make_room(const Span& span, Span*& evicted) {
  const std::uint32_t index = span.page_count - 1;
  const std::size_t more = bytes_of(span);
  if (more > allowance_) return false;
  while (bytes() + more > allowance_) {
    const std::uint64_t others = present_ & ~(std::uint64_t{1} << index);
    if (others == 0) return false;
    const std::uint64_t behind = others & ~std::uint64_t{0} << hand_;
    const auto victim = static_cast<std::uint32_t>(std::countr_zero(behind != 0 ? behind : others));
    hand_ = (victim + 1) % kLongest.value;
    push(pop(victim), evicted);
  }
  return true;
}

Span* LargeCache::remove_all() {
  Span* all = nullptr;
  while (present_ != 0) push(pop(static_cast<std::uint32_t>(std::countr_zero(present_))), all);
  allowance_ = 0;
  return all;
}

}  // namespace lull::front

// A set of spans that any thread adds to and takes from without a lock: Treiber's stack (1986), linked through
// Span::next by span number, with a 32-bit tag beside the head that changes on every push, so that a head that went away
// and came back in between (ABA) fails the compare-and-swap. Descriptors are never unmapped, so reading the link of a
// span that somebody else has just taken is harmless. Async-signal-safe.
#pragma once

#include <atomic>

#include "alloc/pages/span.h"

namespace lull::cache {

class SpanSet {
 public:
  void push(pages::Span* span) {
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    std::uint64_t desired;
    do {
      span->next.store(static_cast<std::uint32_t>(head), std::memory_order_relaxed);
      desired = ((head >> 32) + 1) << 32 | static_cast<std::uint32_t>(span->id());
      // release: pairs with the acquire in pop(), hands over what the pusher wrote to span and bitmaps
    } while (!head_.compare_exchange_weak(head, desired, std::memory_order_release, std::memory_order_relaxed));
  }

  pages::Span* pop() {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const auto id = static_cast<std::uint32_t>(head);
      if (id == 0) return nullptr;
      pages::Span* span = pages::span_with(static_cast<SpanId>(id));
      const std::uint32_t next = span->next.load(std::memory_order_relaxed);
      prefetch(next);
      const std::uint64_t desired = (head >> 32) << 32 | next;
      // acquire: pairs with the release in push()
      if (head_.compare_exchange_weak(head, desired, std::memory_order_acquire, std::memory_order_acquire)) return span;
    }
  }

  bool empty() const { return static_cast<std::uint32_t>(head_.load(std::memory_order_relaxed)) == 0; }

 private:
  // Whoever takes a span is soon back for the next: the sweeper at once, a thread cache when it has used up the slots. Header and first bitmaps.
  static void prefetch(std::uint32_t id) {
    const pages::Span* span = pages::span_with(static_cast<SpanId>(id));
    __builtin_prefetch(span);
    __builtin_prefetch(span + 1);
  }

  std::atomic<std::uint64_t> head_{0};  // tag << 32 | span number
};

}  // namespace lull::cache

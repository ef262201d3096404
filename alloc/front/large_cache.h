// Large blocks that a thread freed, for its next ones: a trip to the page heap and back costs a lock twice and 75 to 150 ns, to this list and back 25.
//
// A span that waits here has its descriptor and its pages, and its first page looks free to everybody: it is the thread's alone. It serves a
// block of its own length or one an eighth shorter; the block's size is what a span of the right length would have. A thread keeps no more than it has allocated of such
// blocks, so one that only frees keeps nothing, and at most kMostBytes; what is full lets go of another length in turn.
// Changed in visits only (fork_gate.h), so a forked child finds all of them whole and gives back what other threads had, and so does a thread that gets no memory,
// behind the same gate. Sleepers are emptied like bins.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "alloc/base/units.h"
#include "alloc/pages/span.h"

namespace lull::front {

class LargeCache {
 public:
  static constexpr PageCount kLongest = pages_for(std::size_t{256} << 10);  // of a span: to touch a longer one costs far more than the trip
  static constexpr std::size_t kMostBytes = std::size_t{512} << 10;  // what lies here keeps its neighbours from growing together: 1 MiB took 4 MiB in a heap of 70

  // Spans of at most kLongest, all of them. One of `pages` or a few more; nullptr: there is none. Counts what the thread allocates.
  pages::Span* take(PageCount pages) {
    allowance_ = allowance_ + pages.bytes() < kMostBytes ? allowance_ + pages.bytes() : kMostBytes;
    const std::uint64_t long_enough = present_ >> (pages.value - 1);
    if (long_enough == 0) return nullptr;
    const auto longer = static_cast<std::uint32_t>(std::countr_zero(long_enough));
    if (longer > pages.value / 8) return nullptr;
    pages::Span* span = pop(pages.value - 1 + longer);
    __atomic_store_n(&span->slot_bytes, pages.bytes(), __ATOMIC_RELAXED);  // as in describe() of span_table.cc
    return span;
  }
  // False: there is no room.
  bool keep(pages::Span* span) {
    const std::size_t more = bytes_of(*span);
    if (bytes() + more > allowance_) return false;
    const std::uint32_t index = span->page_count - 1;
    span->next.store(first_[index], std::memory_order_relaxed);
    first_[index] = static_cast<std::uint32_t>(span->id());
    present_ |= std::uint64_t{1} << index;
    add_bytes(more);
    return true;
  }
  // For this span. False: not enough can be made. `evicted`: what has gone for it, to be destroyed; as remove_all().
  bool make_room(const pages::Span& span, pages::Span*& evicted);
  // All of them, linked by next_of().
  pages::Span* remove_all();
  static pages::Span* next_of(const pages::Span* span);

  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // any thread

 private:
  static_assert(kLongest.value <= 64, "a bit of `present_` each");

  static std::size_t bytes_of(const pages::Span& span) { return PageCount{span.page_count}.bytes(); }
  pages::Span* pop(std::uint32_t index) {
    pages::Span* span = pages::span_with(static_cast<SpanId>(first_[index]));
    first_[index] = span->next.load(std::memory_order_relaxed);
    if (first_[index] == 0) present_ &= ~(std::uint64_t{1} << index);
    add_bytes(-bytes_of(*span));
    return span;
  }
  void add_bytes(std::size_t bytes) { bytes_.store(bytes_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed); }  // mod 2^64

  std::uint64_t present_ = 0;                   // bit n: there are spans of n + 1 pages
  std::uint32_t first_[kLongest.value] = {};    // SpanId, linked by Span::next
  std::uint32_t hand_ = 0;                      // whose turn it is to let go of one
  std::size_t allowance_ = 0;                   // bytes that it may keep
  std::atomic<std::size_t> bytes_{0};           // that it keeps; statistics read it
};

}  // namespace lull::front

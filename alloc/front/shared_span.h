// The state of a span of small blocks, which belongs to no thread: any thread takes free blocks from it and gives blocks
// back, many at a time.
//
//   free bits   a bit a block, set: free. Set before the count says so, cleared after the count is taken.
//   state       kLinked | kHeld | kDead | home | number of free blocks (free_state())
//
// Protocol:
//   take   reserve k <= count by compare-and-swap on the state, then clear k set bits: k bits that nobody else reserved
//          exist, because bits are set before they are counted
//   give   set the bits (one that is set already was freed twice), then add their number to the count
//   linked exactly one party is responsible for finding the span again: it is in the central set of its class, or held by
//          one thread. Whoever makes the count positive on a span that is not linked links it (one winner, by
//          compare-and-swap) and puts it there; whoever holds it unlinks it by compare-and-swap from count 0.
//   dead   all blocks free, not held: whoever swaps this state to kDead gives the pages back. The descriptor stays
//          in the set until it is popped, since a stack has no removal from its middle. Nobody can have reserved from it:
//          the count was full. A dead span's descriptor is read by its popper only. One that was not linked, since all of its
//          blocks came back at once, is put into the set dead: who frees such a block a second time finds its bit, not another span's.
// home   whose the span is: a number that the threads that took from it last have. A linked span that is not held lies in the set of
//        the home that it had when it was linked or released; who pops it, also from another home's set, makes it its own. So what a thread frees of its own
//        spans comes back to it, or to the thread that follows it, and blocks of two threads mix only where one runs out of spans.
// Who pops a span may hold it, reserve from it and, when that is all it has, unlink it in one swap of the state: steps of the above
// that nobody came between.
// The bits and the count are never locked, so any thread, also the purger, may take and give at any time.
// The protocol is explored exhaustively by tests/model/spans.h: a change starts there.
#pragma once

#include "alloc/base/bitmap.h"
#include "alloc/pages/span.h"

namespace lull::front {

using pages::Span;

inline constexpr std::uint32_t kLinked = 1u << 31, kHeld = 1u << 30, kDead = 1u << 29, kHomeMask = 3u << 27, kCountMask = (1u << 27) - 1;

using Home = std::uint32_t;  // bits of the state
inline constexpr std::uint32_t kHomes = 4, kHomeShift = std::countr_zero(kHomeMask);  // more: more sets to look into before a span is made
constexpr Home home_number(std::uint32_t thread) { return thread % kHomes << kHomeShift; }
static_assert(home_number(kHomes - 1) == kHomeMask);

// Reserves at most `most` blocks; returns their number and the state before.
struct Reserved { std::uint32_t count, before; };
inline Reserved reserve_blocks(Span& span, std::uint32_t most) {
  // acquire: pairs with the release in give_bits(), so that what the freeing thread did to the block came first
  std::uint32_t state = span.free_state().load(std::memory_order_acquire);
  for (;;) {
    const std::uint32_t free = state & kCountMask;
    if (free == 0 || (state & kDead)) return {0, state};
    const std::uint32_t n = free < most ? free : most;
    if (span.free_state().compare_exchange_weak(state, state - n, std::memory_order_acquire, std::memory_order_acquire))
      return {n, state};
  }
}

// The `n` lowest bits that are set in `bits`, or all of them.
constexpr std::uint64_t lowest_bits(std::uint64_t bits, std::uint32_t n) {
  if (count_bits(bits) <= n) return bits;
  std::uint32_t end = 0;  // all of `n` lie in [end, 64), those below are taken
  for (std::uint32_t width = 32; width > 0; width /= 2) {
    const std::uint64_t part = (bits >> end) & ((std::uint64_t{1} << width) - 1);
    const std::uint32_t in_part = count_bits(part);
    if (in_part <= n) {
      n -= in_part;
      end += width;
    }
  }
  return bits & ((std::uint64_t{1} << end) - 1);
}
static_assert(lowest_bits(0xf0f0, 5) == 0x10f0 && lowest_bits(~std::uint64_t{0}, 63) == ~std::uint64_t{0} >> 1);
static_assert(lowest_bits(std::uint64_t{1} << 63, 1) == std::uint64_t{1} << 63 && lowest_bits(3, 1) == 1);

// Clears `n` reserved bits and calls visit(word, bits) for each word, in address order unless others take and give meanwhile.
template <class Visit>
void collect_blocks(Span& span, std::uint32_t n, Visit&& visit) {
  for (std::uint32_t w = 0; n > 0; w = w + 1 == span.words ? 0 : w + 1) {
    BitWord& word = span.free_bits()[w];
    std::uint64_t bits = word.load(std::memory_order_relaxed);
    std::uint64_t chosen = 0;
    do {
      if (bits == 0) break;
      chosen = lowest_bits(bits, n);
      // acquire: pairs with the release in give_bits(); the count may have been added by another giver
    } while (!word.compare_exchange_weak(bits, bits & ~chosen, std::memory_order_acquire, std::memory_order_relaxed));
    if (bits == 0) continue;
    n -= count_bits(chosen);
    visit(w, chosen);
  }
}

}  // namespace lull::front

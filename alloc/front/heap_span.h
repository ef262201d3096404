// A span of small blocks that belongs to a heap object. Its blocks are handed out by the heap, by one thread at a time; any
// thread may free them, so it has two bitmaps:
//
//   free    bit set: the heap may hand the block out. Written by the heap alone; others read it to find double frees.
//   given   bit set: somebody freed the block otherwise than through the heap, which has not noticed yet.
//   state   kLinked | number of given blocks that are counted
//
// free and given are disjoint; a block is in use while both its bits are clear.
//   give     set the bit, then count it; whoever makes the count positive puts the span into the heap's set of given spans
//   collect  take the span out of the set, the count with kLinked by one exchange, and that many given bits; which of them
//            does not matter
// So a block becomes free for the heap only when everybody who gave one of the span has counted his, or will count another
// one that is still given. When all are free nobody else has business with the span, and the heap may let it go.
// The protocol is explored exhaustively by tests/model/heap_spans.h: a change starts there. (Malloc's spans,
// alloc/front/shared_span.h, give in the same way but have many takers.)
#pragma once

#include "alloc/cache/span_set.h"
#include "alloc/front/shared_span.h"

namespace lull::front {

inline std::uint64_t mask_of_word(const Span& span, std::uint32_t word) {
  const std::uint32_t slots = span.slots - word * 64;
  return mask_between(0, slots < 64 ? slots : 64);
}

// Spans in a doubly linked list; each is in at most one, which its list() tells.
class SpanList {
 public:
  void push(Span& span);
  void remove(Span& span);
  Span* first() const { return at(first_); }
  static Span* after(Span& span) { return at(span.list_next()); }
  bool is_only(Span& span) const { return first() == &span && span.list_next() == 0; }
  bool has(Span& span) const { return span.list() == this; }

 private:
  static Span* at(std::uint32_t id) { return id == 0 ? nullptr : pages::span_with(static_cast<SpanId>(id)); }
  std::uint32_t first_ = 0;
};

// A block by its place in its span.
struct Place {
  std::uint32_t word;
  std::uint64_t bit;
};

// Any thread. Stops the program if the block is free already.
void give_to_heap(Span& span, Place place, cache::SpanSet& given);

// The rest: the heap only.

// The span has just been popped from the set of given spans.
void collect_given(Span& span);
void free_all(Span& span);
bool is_all_free(Span& span);
inline std::uint64_t used_bits(Span& span, std::uint32_t word) {
  return mask_of_word(span, word) & ~span.free_bits()[word].load(std::memory_order_relaxed) &
         ~span.given_bits()[word].load(std::memory_order_relaxed);
}

}  // namespace lull::front

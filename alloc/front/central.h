// The central store of small blocks (mcentral of malloc): for each size class the spans with free blocks, in a lock-free
// set. Threads take and give blocks by the batch, so one pair of locked instructions serves up to 64 blocks.
// Thread-safe; never blocks except for the page heap's lock when a span is made or given up.
#pragma once

#include "alloc/cache/span_set.h"
#include "alloc/front/block_sizes.h"
#include "alloc/front/neighbours.h"
#include "alloc/front/shared_span.h"

namespace lull::front {

// A free block. The key tells free() that a block is free already; malloc() wipes it.
struct Block {
  std::uintptr_t unused;  // by the allocator: what a program wrote there last
  std::uintptr_t key;
};

struct alignas(64) CentralBin {
  cache::SpanSet homes[kHomes];          // spans that are linked and not held
  cache::SpanSet& set_of(std::uint32_t state) { return homes[(state & kHomeMask) >> kHomeShift]; }
  std::atomic<std::int32_t> empties{0};  // spans all of whose blocks are free; statistics, may lag
};
extern CentralBin central[kBins];

// A span with free blocks, linked and held by the caller from now on; nullptr when memory runs out.
[[nodiscard]] Span* hold_span(BinIndex bin);
// The caller holds it no longer.
void release_held_span(BinIndex bin, Span* span);
// The same if it has no free block left. False: it has, the caller still holds it.
[[nodiscard]] bool drop_if_exhausted(Span* span);

// reserve_blocks() for everybody but tests: keeps the class's figures.
Reserved reserve(Span& span, std::uint32_t most);
// At most `most` blocks of the span, the lowest address last; returns their number. Touches none of them.
std::uint32_t take_blocks(Span& span, std::uint32_t most, Block** into);
// Who takes: the mark of neighbours.h that the span's pages get, 0: none, and its home.
struct Taker { EntryMark mark; Home home; };
// hold_span(), take_blocks(), and drop_if_exhausted() with two locked instructions less: at most `most` > 0 blocks, if there are spans of the
// taker's home from one of these. `held` is the span, nullptr when it has no more. 0: memory ran out.
std::uint32_t take_first_blocks(BinIndex bin, std::uint32_t most, Block** into, Taker taker, Span*& held);
// One block without a cache; nullptr when memory runs out.
void* take_one(BinIndex bin);

// Gives back the blocks of one word of the span's bitmap, which the caller has taken.
void give_bits(Span& span, std::uint32_t word, std::uint64_t bits);
// Gives back `n` blocks. Stops the program at one that is free already. Touches none of them.
void give_blocks(Block* const* blocks, std::uint32_t n);
// To be called after giving, when everything of the caller is in order: it may start the purger, and starting a thread may
// come back for blocks, or with some.
void after_giving();

// Gives back the pages of spans that are wholly free; bytes.
std::size_t trim_central();
// The span of small blocks that covers `address`, which is in the heap; nullptr when there is none.
Span* small_span_of(std::uintptr_t address);

}  // namespace lull::front

// Blocks on their way back: of spans that other threads took from last, or of sparse ones (neighbours.h).
//
// A block that goes back to its span costs two locked instructions on lines that the other thread uses. So those of another
// thread's mark travel by the parcel: a thread collects kManyStrangers of them, and puts the parcel into the mark's inbox by one locked instruction. A
// thread with that mark, when it fetches a magazine or sends a parcel itself, takes all that is there by another one and puts the blocks into its
// bins. An inbox has room for a few parcels; who finds it full gives the blocks to their spans. So what lies in inboxes is bounded, whatever the
// receivers do, and the purger gives it back after about a second.
//
// Whose blocks are nearly all strangers would do more of this than of freeing: a thread that fills a parcel in less than hurried_ns
// looks away until it has fetched kLookAway magazines.
//
// A parcel has one owner: the thread that has its address, or the inbox that has it. Parcels change hands inside visits, so a fork finds
// each in one place; blocks are added to one outside, as to a bin.
#pragma once

#include <cstdint>

#include "alloc/front/neighbours.h"

namespace lull::front {

struct Block;
struct ThreadBins;

struct alignas(64) Parcel {
  Parcel* next;  // in an inbox, or of those that nobody uses
  std::uint32_t count;
  Block* blocks[kManyStrangers];
};

struct Strangers {
  Parcel* parcels[kMarks + 1] = {};  // by mark, the last for blocks of sparse spans; null: none yet
  Parcel* spare = nullptr;           // empty
  std::uint64_t sent_ns = 0;         // when the last parcel was full
  std::uint32_t magazines = 0;       // fetched, to know when to look again
};

// The calling thread frees a block of `mark`, bits of its `foreign`.
void keep_stranger(ThreadBins& own, Block* block, EntryMark mark);
// What was sent to the calling thread's mark comes into its bins. Inside a visit.
void receive_strangers(ThreadBins& own);
// To their spans: the blocks in the thread's parcels; the calling thread's, or a sleeper's that the caller has busy. Inside a visit.
void give_strangers_back(ThreadBins& t);
// To their spans: what lies in inboxes. For the purger and malloc_trim().
void give_unfetched_back();
// In a forked child, of a thread that is gone: what it did outside of visits cannot be known.
void forget_strangers(ThreadBins& t);

extern std::uint64_t hurried_ns;  // constant but in tests

}  // namespace lull::front

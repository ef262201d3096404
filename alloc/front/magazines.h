// How long a bin's array is and what it exchanges with the central store: two magazines, which start small and grow while they
// are used (docs/design/malloc.md, section 2). The calling thread's bins; it visits the central store.
#pragma once

#include "alloc/front/thread_bins.h"

namespace lull::front {

inline std::uint32_t count_of(const ThreadBins& t, std::uint32_t b) {
  return static_cast<std::uint32_t>(t.bins[b].top - t.reserve[b].blocks);
}
inline void set_count(ThreadBins& t, std::uint32_t b, std::uint32_t count) { t.bins[b].top = t.reserve[b].blocks + count; }

inline bool is_empty(const Bin& bin) { return bin.top[-1] == nullptr; }
inline bool has_room(const Bin& bin) { return bin.inverse != 0 && !bin.is_full(); }

// Notes how long the bin's array is, 0: it has none.
void count_capacity(ThreadBins& t, std::uint32_t b, std::uint32_t capacity);

// Fills the empty bin from the central store. False: no memory.
bool refill(ThreadBins& t, BinIndex b);
// The older half of a full bin goes back, unless it may grow, and all of the bin that ran full before it, if the thread has not taken of that
// size since. True: blocks were given.
bool make_room(ThreadBins& t, BinIndex b);

}  // namespace lull::front

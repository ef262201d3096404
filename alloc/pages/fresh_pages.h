// Memory of a heap that grows is asked for in pieces. A system page that is touched first costs a page fault, 1.45 us in the virtual
// machine of the benchmarks; of pages that are asked for 32 KiB or more at a time each costs 1.04 us. First fit fills a growing heap
// from end to end, so what lies right behind a new span will be touched soon.
//
// The frontier is the end of what was asked for. It never moves back, so at most one piece is in memory without being used;
// below it, pages that were purged come back one by one, as they are touched. Only spans of small blocks ask: of a large block a program
// may want a corner.
#pragma once

#include "alloc/base/units.h"

namespace lull::pages {

// Smaller: more system calls, larger: memory that is there in vain, and a longer stop (17 us).
inline constexpr PageCount kFreshPiece = pages_for(std::size_t{64} << 10);
// Up to here the heap is small, and pages that a size of blocks never needs would be much of it.
inline constexpr PageCount kHeapWorthPieces = pages_for(std::size_t{32} << 20);

// The calling thread has taken these pages, which are clean, for small blocks.
void ask_for_fresh(PageIndex first, PageCount n);

void forget_frontier_for_testing();

}  // namespace lull::pages

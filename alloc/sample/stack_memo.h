// The calling thread's stack, interned; where a sample came before, without walking it again.
//
// Few calls make most samples, and a walk with the search of its stack costs several hundred instructions. A walk depends on nothing but
// the registers that it begins with, the words that it reads, and the code (WalkRecord). So these are kept of the last walks, by stack pointer, and
// compared: some instructions a frame, and the answer is exact, never "probably the same". Async-signal-safe; a set of records
// that somebody else uses at the moment counts as one without a match.
#pragma once

#include "alloc/sample/stack_table.h"

namespace lull::sample {

// From the caller of this function on, as capture_stack().
[[gnu::noinline]] Stack* intern_own_stack();
// What was walked before is walked again: code was unloaded.
void forget_walks();
void forget_walks_after_fork();  // in a child with one thread: it may have records half written, and sets that are busy for ever
std::uint64_t recorded_walks_for_testing();  // how often no record fitted; roughly

}  // namespace lull::sample

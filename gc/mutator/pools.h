// The collector's part of lull::pool: objects that lay unused through a whole cycle go. As Go's poolCleanup, without a stop:
// what is everybody's is aged by the driver before handshake 1 of a full cycle, what is a thread's by its answer to it, before
// its barrier goes on. Both are then ordinary stores of a time in which nobody shades, and before any stack is scanned.
#pragma once

#include "alloc/os/lock.h"
#include "gc/mutator/mutator.h"

namespace lull::gc {

// Driver, all barriers off, a full cycle begins: lists.
void age_pool_lists();
// At handshake 1 of a full cycle, for a thread: its own objects. Async-signal-safe.
void age_own_pools(Mutator& m);
// Driver: is the cycle that now begins full?
void set_pools_age(bool full);

// The thread ends: others take its part over. In a runtime section.
void leave_pools(Mutator& m);

os::Lock& pool_lock_for_fork();
// In a forked child, `own`: the thread that is there, or null. The parts of the others are anybody's, as those of threads that ended.
void forget_pool_owners_after_fork(const Mutator* own);

}  // namespace lull::gc

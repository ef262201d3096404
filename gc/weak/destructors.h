// Destructors of managed objects.
//
// A bit per object says that it was constructed and still has to be destroyed. In state done, after the weak cells were
// emptied, the driver takes every white object with the bit set, clears the bit, queues the object, and marks its
// closure, so that the destructor may look at what it refers to. Only then is it anybody's to take: in state done barriers
// shade nothing, so what a destructor reads must be marked before it runs. Queued objects are roots until their destructor has
// run; the memory goes with a later cycle, as an ordinary dead object without the bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/mark/marker.h"

namespace lull::gc {

void queue_unreachable(Marker& marker);  // driver, state done
void mark_queue(Marker& marker);         // driver: what earlier cycles have found, as roots
// Driver, state done: a callback (gc/weak/cleanups.h) that is marked or born during the cycle. False when memory runs out.
[[nodiscard]] bool queue_callback(std::uintptr_t callback);
// Driver, state done, when all that destructors and callbacks can reach is marked: they may run from now on.
void hand_found_over();
// What is queued. Under the lock, or while the world is stopped.
void for_each_queued(void (*visit)(void* context, std::uintptr_t word), void* context);
void start_finalizer_if_needed();        // driver, outside of a cycle

os::Lock& destructor_lock_for_fork();
void forget_finalizer_after_fork();
// Driver, with its gate, so that no fork finds the C library's list locked: exit() calls handlers in reverse, so one has to be registered when the program's
// static variables are there. Those that come later, in functions and libraries, are behind one of its successors: at the 2nd, 4th, 8th ... batch of destructors.
void stop_finalizer_at_exit();
void resume_waiting_for_finalizers_after_fork();  // the same; when all locks are free again

struct DestructorCounts {
  std::uint64_t queued = 0, run = 0;
};
DestructorCounts destructor_counts();

}  // namespace lull::gc

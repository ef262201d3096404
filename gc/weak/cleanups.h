// Callbacks of unreachable objects (lull/on_unreachable.h).
//
// A record is a weak reference to the object and a strong one to the callback, outside of the heap. Threads append to the
// intake; the driver takes the intake over, and keeps two lists, both in order of registration:
//
//   intake --(roots; state done)--> young --(object and callback are old, and all before it went)--> old
//
// Every record of `old` is older than every one of `young`, and those than the intake's, so walking them in this order finds
// the callbacks of an object in order. A young cycle looks at `young` alone: old objects do not die in it.
#pragma once

#include "gc/mark/marker.h"
#include "gc/model/phase.h"

namespace lull::gc {

// Driver: callbacks as roots. A young cycle needs those of records that are not old.
void mark_callbacks(Marker& marker, CycleKind kind);
// Driver, state done, when the closures of destructors are marked: queues the callbacks of white objects. Without memory for the
// queue it marks them instead, so there may be something to scan afterwards.
void queue_callbacks(Marker& marker, CycleKind kind);
// While the world is stopped between two cycles: the callbacks of all records.
void for_each_callback(void (*visit)(void* context, std::uintptr_t callback), void* context);

os::Lock& cleanup_lock_for_fork();

}  // namespace lull::gc

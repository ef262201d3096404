// fork() in a program that uses managed objects.
//
// The forking thread waits for the running cycle, then until nobody visits the heap's spans (gc/mutator/heap_gate.h), and holds every lock
// of the library and the C library's of its streams (alloc/os/stream_list.h) over the fork, so that the child finds all shared structures whole: tests/model/forks.h.
//
// The child can do all that the parent could. Other threads were lost in the middle of what they did, and of what they
// stored since the fork began it may see any part, a page new and the next one old:
//   spans they had      a hole is opened, an object's destructor registered and taken in visits, so bits and holes are whole. The rest of the
//                       current hole counts as allocated: an object in there may be known to the child though the cursor that it sees is older
//   cards, remembered   some may be missing: the first cycle is a full one
//   stacks, registers   are no roots any more: what only lost threads referred to is garbage, and its destructors run
//   grey objects        there are none: no cycle is under way
// Destructors that were queued run; one that a lost thread was running does not run again. exec needs none of this.
#pragma once

namespace lull::gc {

void install_fork_handlers();  // when the program starts, or by who attaches before that
bool fork_handlers_are_installed();
// With the cycle gate, before a cycle or a look at all objects: in a forked child the spans of threads that are gone go back to their sets.
void adopt_lost_caches();

}  // namespace lull::gc

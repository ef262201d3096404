// fork() in a program that uses managed objects.
//
// The forking thread waits for the running cycle, then until nobody visits the heap's spans (gc/mutator/heap_gate.h), and holds every lock
// of the library and the C library's of its streams (alloc/os/stream_list.h) over the fork, so that the child finds all shared structures whole: tests/model/forks.h. The child can read, store and
// allocate, and destructors that were queued run when it waits for them. It can also collect if the forking
// thread was the only one attached (that of the destructors counts); otherwise the other threads may have been lost in the middle of an allocation, and
// the child runs no cycles: its heap only grows (docs/design/decisions.md). exec needs none of this.
#pragma once

namespace lull::gc {

void install_fork_handlers();  // once

}  // namespace lull::gc

// The driver: the thread that runs cycles, one after another, when somebody asks.
#pragma once

#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/pace/pacer.h"

namespace lull::gc {

// Asks for a cycle unless one runs; does not wait. Any thread, also in runtime sections.
void request_cycle();
// Waits, blocked, until a cycle that starts after the call has ended.
void collect_and_wait();
// Waits, blocked, until no cycle runs.
void wait_until_idle();

// Fork (gc/cycle/fork.cc). Held by the driver while a cycle runs.
os::Lock& cycle_gate();
// In a forked child: the driver's thread is gone. `usable`: cycles can run there.
void forget_driver_after_fork(bool usable);

struct CycleCounts {
  std::uint32_t completed = 0, aborted = 0;
};
CycleCounts cycle_counts();

}  // namespace lull::gc

// The driver: the thread that runs cycles, one after another, when somebody asks.
#pragma once

#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/pace/pacer.h"

namespace lull::gc {

// Asks for a cycle unless one runs, of the kind that the pacer finds right; does not wait. Any thread, also in runtime
// sections.
void request_cycle();
// Asks for a full cycle that starts after the call; does not wait. Any thread.
void request_full_cycle();
// Waits, blocked, until a cycle that starts after the call has ended: a full one, or at least a young one.
void collect_and_wait(CycleKind kind);
// The same with a full one, which gives the memory of holes back, too (gc/sweep/hole_purge.h).
void collect_and_return_memory();
// Waits as well; run(data) is called on the driver when all threads stand still, before the call returns.
void collect_and_run_stopped(void (*run)(void* data), void* data);
// Test hook: the kind of all cycles that nobody waits for, until called again. `pacer_decides` is what programs run with.
enum class ForcedKind : std::uint32_t { pacer_decides, full, young };
void force_kind(ForcedKind kind);
// Waits, blocked, until no cycle runs.
void wait_until_idle();

// Fork (gc/cycle/fork.cc). Held by the driver while a cycle runs.
os::Lock& cycle_gate();
// In a forked child: the driver's thread is gone. `others_are_lost`: other mutators, too.
void forget_driver_after_fork(bool others_are_lost);
// ... and the thread that is there forked in a handler, while it waited for a cycle: one comes. When all locks are free again.
void resume_waiting_after_fork();
bool is_driver();  // the calling thread

struct CycleCounts {
  std::uint32_t completed = 0, aborted = 0;
};
CycleCounts cycle_counts();

}  // namespace lull::gc

// The driver: the thread that runs cycles, one after another, when somebody asks.
#pragma once

#include <cstdint>

#include "gc/pace/pacer.h"

namespace lull::gc {

// Asks for a cycle unless one runs; does not wait. Any thread, also in runtime sections.
void request_cycle();
// Waits, blocked, until a cycle that starts after the call has ended.
void collect_and_wait();
// Waits, blocked, until no cycle runs.
void wait_until_idle();

struct CycleCounts {
  std::uint32_t completed = 0, forced = 0, aborted = 0;
};
CycleCounts cycle_counts();

}  // namespace lull::gc

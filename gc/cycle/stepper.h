// Named steps of a cycle, and a stepper that holds the driver at any of them, so that tests make races deterministic.
#pragma once

#include <cstdint>

#include "gc/model/phase.h"

namespace lull::gc {

enum class Step : std::uint32_t {
  cycle_begins,      // nothing has happened yet
  sweep_closed,
  barriers_on,       // handshake 1 answered by all
  stacks_scanned,    // handshake 2 answered by all; nothing resolved yet
  roots_marked,
  marked,            // worklists empty, termination not begun
  terminating,       // state set, flush not asked for
  flushed,           // flush answered by all, not decided yet
  done,              // nothing reachable is white
  weak_cleared,
  destructors_queued,
  barriers_off,      // handshake 3 answered by all
  sweep_opened,
  swept,
  cycle_ends,
};
inline constexpr std::uint32_t kSteps = static_cast<std::uint32_t>(Step::cycle_ends) + 1;
const char* name_of(Step step);

// Called by the driver when a step is reached. Costs a load when nobody steps.
void reach(Step step);

// In a forked child: who held the driver is gone, or has no driver any more.
void forget_stepper_after_fork();

// Test hook. While a Stepper exists the driver stops at the step asked for, until released.
class Stepper {
 public:
  Stepper();
  ~Stepper();  // releases the driver for good
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  // The kind of the cycles that run_to starts; full unless told.
  void use(CycleKind kind);
  // Starts a cycle unless one is running and returns when the driver is held at `step`. The caller is blocked
  // meanwhile: the collector answers handshakes for it, and its stack above the call stays scanned.
  void run_to(Step step);
  // Lets the cycle run to its end and waits for it.
  void finish();
};

}  // namespace lull::gc

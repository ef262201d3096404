// The one pacer of the heap, behind a lock, and what it publishes for allocating threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/pace/pacer.h"

namespace lull::gc {

struct PacingReport {
  PacerObservation seen;  // of the last cycle
  std::uint64_t trigger = 0, goal = 0;
  NextCycle next;
};

class Pacing {
 public:
  int set_gc_percent(int percent);  // previous value
  int gc_percent();
  void memory_limit_changed();  // pages::memory_limit() has another value; each cycle looks at it anyway
  std::uint64_t goal();
  // Bytes of live heap at which the next cycle starts. One relaxed load.
  std::uint64_t trigger() const { return trigger_.load(std::memory_order_relaxed); }

  CycleKind next_kind();
  PacingReport report();
  // Driver.
  void begin(const CycleStart& start);
  void revise();  // during marking: publishes the assist ratio
  void end(const CycleEnd& end);
  void abort();

 private:
  void publish_trigger_locked();
  void watch_cpu_locked();
  std::atomic<std::uint64_t> trigger_{0};  // 0: before the first use, replaced at start-up
};

extern Pacing pacing;
os::Lock& pacing_lock_for_fork();

}  // namespace lull::gc

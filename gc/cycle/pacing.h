// The one pacer of the heap, behind a lock, and what it publishes for allocating threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/model/phase.h"
#include "gc/pace/pacer.h"
#include "lull/tune.h"

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
  std::uint64_t set_min_heap(std::uint64_t bytes);  // previous value
  void memory_limit_changed();  // pages::memory_limit() has another value; each cycle looks at it anyway
  std::uint64_t goal();
  // Bytes of live heap at which the next cycle starts. One relaxed load.
  std::uint64_t trigger() const { return trigger_.load(std::memory_order_relaxed); }

  PacingReport report();
  // How long an allocation is held at this size of the heap, gc/pace/brake.h; 0 while the collector has had its share of the
  // processors. Two relaxed loads that may belong to two cycles: the next look sees both.
  std::uint64_t hold_ns(std::uint64_t heap_live) const {
    return Brake{brake_from_.load(std::memory_order_relaxed), brake_full_.load(std::memory_order_relaxed)}.hold_ns(heap_live);
  }
  // A held thread waits for a change of this word: a cycle has ended. Futex word.
  const std::atomic<std::uint32_t>& relief() const { return relief_; }

  NextCycle next_cycle();

  // lull::auto_tune, lull::read_tune_log. False: nonsense, and nothing has changed.
  bool tune(const tune_targets& targets);
  std::size_t tune_log(tune_action* out, std::size_t most);

  // Driver.
  void begin(const CycleStart& start);
  void revise();  // during marking: publishes the assist ratio
  void end(const CycleEnd& end);
  void abort();

 private:
  void publish_locked();
  void publish_brake_locked();
  void relieve();
  void watch_cpu_locked();
  void tune_locked(std::uint64_t gc_ns);
  std::uint64_t lost_in_naps_locked();
  std::atomic<std::uint64_t> trigger_{0};  // 0: before the first use, replaced at start-up
  std::atomic<std::uint64_t> brake_from_{~0ull}, brake_full_{~0ull};
  std::atomic<std::uint32_t> relief_{0};
};

extern Pacing pacing;
os::Lock& pacing_lock_for_fork();

}  // namespace lull::gc

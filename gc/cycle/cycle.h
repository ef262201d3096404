// A cycle, full or young, as a list of named steps. Runs on the driver; no normal cycle stops the world.
#pragma once

#include <cstdint>

#include "gc/mark/marker.h"
#include "gc/model/phase.h"
#include "gc/pace/generations.h"
#include "gc/sweep/hole_purge.h"

namespace lull::gc {

enum class CycleResult { completed, aborted };

struct CycleTimes {  // nanoseconds, monotonic
  std::uint64_t begin = 0, barriers_on = 0, marking = 0, terminating = 0, done = 0, end = 0;
};

class Cycle {
 public:
  Cycle(NextCycle what, const HolePurgePlan& holes) : kind_(what.kind), reason_(what.reason), holes_(holes) {}
  CycleResult run();

  CycleKind kind() const { return kind_; }
  CycleReason reason() const { return reason_; }
  const CycleTimes& times() const { return times_; }
  std::uint64_t heap_at_start() const { return heap_at_start_; }
  std::uint64_t heap_at_end() const { return heap_at_end_; }
  std::uint64_t stack_bytes() const { return stack_bytes_; }
  std::uint64_t root_bytes() const { return root_bytes_; }
  std::uint64_t heap_peak() const { return heap_peak_; }
  std::uint64_t goal() const { return goal_; }
  std::uint64_t marked_objects() const { return marked_objects_; }
  std::uint64_t marked_bytes() const { return marked_bytes_; }
  std::uint32_t flush_rounds() const { return flush_rounds_; }
  bool purged_all_holes() const { return purged_all_holes_; }

 private:
  void mark_everything(Marker& marker);
  void begin();
  void turn_barriers_on();
  void scan_stacks(Marker& marker);
  void mark_roots(Marker& marker);
  void read_parked_stacks(Marker& marker);
  void mark_concurrently(Marker& marker);
  void report_progress(Marker& marker);
  bool terminate(Marker& marker);
  void handle_unreachable(Marker& marker);
  void mark_closures(Marker& marker);
  void turn_barriers_off();
  void sweep();
  void abort(Marker& marker);
  bool take_answers(Marker& marker);
  void report_to_pacer();

  CycleKind kind_;
  CycleReason reason_;
  HolePurgePlan holes_;
  CycleTimes times_;
  std::uint64_t heap_at_start_ = 0, heap_at_end_ = 0, heap_peak_ = 0, goal_ = 0, marked_objects_ = 0, marked_bytes_ = 0, handed_at_start_ = 0, handed_at_snapshot_ = 0;
  std::uint64_t stack_bytes_ = 0, stack_words_ = 0, root_bytes_ = 0, background_ns_ = 0;
  std::uint32_t flush_rounds_ = 0;
  bool purged_all_holes_ = false;
};

}  // namespace lull::gc

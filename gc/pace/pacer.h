// When to collect, and how much an allocating thread must help: arithmetic only. No clock, no threads, no
// atomics; whoever drives cycles tells the pacer what happened and publishes its answers. The rules are Go's
// since 1.18: https://github.com/golang/proposal/blob/master/design/44167-gc-pacer-redesign.md and
// https://github.com/golang/proposal/blob/master/design/48409-soft-memory-limit.md
//
//   heap_live                               marked   bytes that survived the last cycle
//   ^            goal ....... /|            goal     where the cycle should end: percent_goal()
//   |                 /runway/ |            trigger  where it starts, goal - runway: place_trigger()
//   |     trigger .. / <-mark-> \           runway   what mutators allocate while the background workers
//   |         /                  \                   alone do the expected scan work: runway_bytes()
//   |_marked /                    \_marked  assist   makes the cycle end at the goal when the runway was
//   +--------------------------------> time           too short: assist_ratio()
//
// How we differ from Go, each stated again at its rule in pacer.cc:
//   1. The trigger never lies later than 95 % of the way, also in large heaps (Go: goal - 4 MiB).
//   2. Without history the trigger is the earliest allowed, not the latest.
//   3. A cycle that finds more live data than expected may move its goal by 10 %, not to the double.
//   4. The assist ratio is bounded.
//   5. Allocations that pass the goal all the same are held, each for a bounded time: brake().
// Young cycles end at the same goal or before, by the young budget, and have a history of their own; gc/pace/generations.h says which kind is next.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/pace/brake.h"
#include "gc/pace/generations.h"

namespace lull::gc {

struct PacerConfig {
  int gc_percent = 100;                     // heap growth between cycles, per cent of what survived; < 0: off
  std::uint64_t min_heap_bytes = 4u << 20;  // smallest goal at 100 percent; scaled by percent / 100
  std::uint64_t memory_limit = ~0ull;       // soft limit of heap and non-heap bytes; the lower goal wins
  double background_utilisation = 0.25;     // share of the processors that workers get while marking
  bool generational = false;                // true: next_cycle() may be a young one
};

struct CycleStart {
  std::uint64_t heap_live;    // now; usually a little above trigger()
  std::uint64_t stack_bytes;  // scannable bytes of all stacks
  std::uint64_t root_bytes;   // scannable bytes of globals and other roots
  CycleKind kind = CycleKind::full;
};

struct CycleEnd {
  std::uint64_t heap_live_at_end;       // the peak: when marking ended, before anything was swept
  std::uint64_t heap_marked;            // bytes that survive: old, found live, or born while marking
  std::uint64_t scan_work;              // bytes scanned by everybody: heap, stacks, roots
  std::uint64_t assist_work;            // the part of scan_work that mutators did
  std::uint64_t allocated_during_mark;  // by all mutators, from begin_cycle to the end of marking
  double mark_seconds;                  // wall clock
  double assist_seconds;                // CPU of mutators in assists
  double background_seconds;            // CPU of workers, idle-priority ones included
};

// What the pacer thought of the last completed cycle; for traces and tests.
struct PacerObservation {
  CycleKind kind = CycleKind::full;
  std::uint64_t goal = 0;
  std::uint64_t trigger = 0;  // heap_live at begin_cycle
  std::uint64_t heap_live_at_end = 0;
  std::uint64_t expected_scan_work = 0;
  std::uint64_t scan_work = 0;
  double utilisation = 0;         // background and assists, share of the processors
  double cons_mark = 0;           // this cycle's sample
  double background_workers = 0;  // background_seconds / mark_seconds
};

// What past cycles teach about the next one. One per kind of cycle, because young and full cycles scan at
// different speeds.
class CycleHistory {
 public:
  // cons_mark <= 0: the cycle gives no sample (nothing was allocated or nothing scanned while it ran).
  void add(std::uint64_t scan_work, double cons_mark);
  double cons_mark() const;  // the estimate for the next cycle
  std::uint64_t last_scan_work() const { return last_scan_work_; }
  bool is_empty() const { return !completed_a_cycle_; }

 private:
  // Larger: a pause in allocation is seen through for longer, cycles after a burst start too early for
  // longer.
  static constexpr std::size_t kSamples = 5;
  double samples_[kSamples] = {};  // ring; 0: none yet
  std::size_t next_ = 0;
  std::uint64_t last_scan_work_ = 0;
  bool completed_a_cycle_ = false;
};

// Not synchronised: one owner calls it, or callers hold a lock. assist_ratio() and trigger() are meant to be
// computed now and then and published, not to be called for each allocation.
class Pacer {
 public:
  explicit Pacer(PacerConfig config);

  void set_gc_percent(int percent);  // any time; a running cycle is paced anew
  int gc_percent() const { return config_.gc_percent; }
  void set_min_heap_bytes(std::uint64_t bytes);  // likewise
  std::uint64_t min_heap_bytes() const { return config_.min_heap_bytes; }
  void set_memory_limit(std::uint64_t bytes);
  // Bytes that count against the limit but cannot hold objects: metadata, stacks, malloc, what exceeds the
  // limit.
  void set_non_heap_bytes(std::uint64_t bytes);

  // What the next cycle should be, and why.
  NextCycle next_cycle() const;

  // Heap size at which the cycle should end. UINT64_MAX: collection is off and no limit set.
  std::uint64_t goal() const;
  bool is_limited() const;  // the goal is that of the memory limit
  // heap_live at which the next cycle starts; marked <= trigger <= goal whenever marked <= goal, UINT64_MAX:
  // never. Equal to marked when the limit leaves no room: whoever drives the cycles must then bound their
  // CPU.
  std::uint64_t trigger() const;

  // From where on allocations are held, in a cycle or before one: gc/pace/brake.h.
  Brake brake() const;

  void begin_cycle(const CycleStart& start);
  // Scan work owed per byte allocated, given progress now; in [0, kMaxAssistRatio], 0 outside a cycle.
  double assist_ratio(std::uint64_t heap_live_now, std::uint64_t scan_work_done) const;
  void end_cycle(const CycleEnd& end);
  // Nothing is learnt from an aborted cycle: marked stays, and so does the trigger, which heap_live has
  // passed already.
  void abort_cycle();

  std::uint64_t heap_marked() const { return marked_; }
  const PacerObservation& last_cycle() const { return last_; }

  // Larger: the heap stays nearer to the goal after it was passed, and one allocation may have to scan more
  // (a 64-byte object at most 64 KiB, Go's smallest assist). Smaller: softer, with more overshoot.
  static constexpr double kMaxAssistRatio = 1024;

 private:
  const CycleHistory& history_of(CycleKind kind) const { return kind == CycleKind::young ? young_ : full_; }
  CycleKind kind() const { return in_cycle_ ? kind_ : next_cycle().kind; }
  std::uint64_t wanted_goal() const;  // that of the percentage
  std::uint64_t expected_scan_work() const;
  std::uint64_t worst_case_scan_work() const;

  PacerConfig config_;
  std::uint64_t non_heap_bytes_ = 0;
  std::uint64_t marked_ = 0;       // CycleEnd::heap_marked of the last completed cycle
  std::uint64_t stack_bytes_ = 0;  // as of the last begin_cycle
  std::uint64_t root_bytes_ = 0;
  bool in_cycle_ = false;
  std::uint64_t started_at_ = 0;          // heap_live at begin_cycle
  std::uint64_t expected_scan_work_ = 0;  // of the running cycle
  CycleKind kind_ = CycleKind::full;      // of the running cycle
  Generations generations_;
  CycleHistory full_, young_;
  PacerObservation last_;
};

}  // namespace lull::gc

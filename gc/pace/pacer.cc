#include "gc/pace/pacer.h"

#include <algorithm>
#include <cmath>

#include "alloc/base/check.h"

namespace lull::gc {
namespace {

using Bytes = std::uint64_t;

constexpr Bytes kNever = ~Bytes{0};

// Larger: the cycle has room even if it started late or the percentage is tiny. Go: minRunway in
// heapGoalInternal.
constexpr Bytes kMinRunway = 64u << 10;
// Scan work is an estimate; aiming a little high misses by a little. Go: revise(), which lets the heap
// distance fall to 1 byte, so that the ratio shoots up where both reach zero together.
constexpr Bytes kMinScanWork = 1000;
constexpr Bytes kMinHeapLeft = 1000;
// Where the trigger may lie, per cent of the way from marked to the goal. Lower than 70: an allocation-heavy
// program marks nearly always and everything it allocates meanwhile floats. Higher than 95: nothing left for
// a surprise. Go: 45/64 and 61/64.
constexpr int kEarliestTriggerPercent = 70;
constexpr int kLatestTriggerPercent = 95;
constexpr int kMaxOvershootPercent = 10;
constexpr int kLimitHeadroomPercent = 3;
constexpr Bytes kMinLimitHeadroom = 1u << 20;
// Keeps 1 - utilisation away from 0 when mutators did nothing but assist.
constexpr double kMaxUtilisation = 0.95;
constexpr double kMinBackgroundUtilisation = 0.01;

Bytes saturating_add(Bytes a, Bytes b) { return a > kNever - b ? kNever : a + b; }
Bytes saturating_sub(Bytes a, Bytes b) { return a > b ? a - b : 0; }

Bytes saturating_mul(Bytes a, Bytes b) {
  Bytes product;
  return __builtin_mul_overflow(a, b, &product) ? kNever : product;
}

// floor(bytes * percent / 100) without overflow on the way; negative percentages count as 0.
Bytes percent_of(Bytes bytes, int percent) {
  const Bytes p = percent < 0 ? 0 : static_cast<Bytes>(percent);
  return saturating_add(saturating_mul(bytes / 100, p), bytes % 100 * p / 100);
}

Bytes to_bytes(double x) {
  if (!(x > 0)) return 0;
  return x >= 0x1p64 ? kNever : static_cast<Bytes>(x);
}

bool is_time(double seconds) { return seconds >= 0 && std::isfinite(seconds); }

double ratio_of(Bytes a, Bytes b) { return static_cast<double>(a) / static_cast<double>(b); }

// goal = marked + (marked + stacks + roots) * percent / 100, at least min_heap * percent / 100.
// Go: commit() and setGCPercent(). The minimum runway also keeps 0 percent from collecting when nothing is
// allocated.
Bytes percent_goal(const PacerConfig& config, Bytes marked, Bytes stacks, Bytes roots) {
  if (config.gc_percent < 0) return kNever;
  const Bytes scannable = saturating_add(marked, saturating_add(stacks, roots));
  const Bytes goal = saturating_add(marked, percent_of(scannable, config.gc_percent));
  const Bytes smallest = percent_of(config.min_heap_bytes, config.gc_percent);
  return std::max({goal, smallest, saturating_add(marked, kMinRunway)});
}

// goal = (limit - non_heap) - max(1 MiB, 3 %), at least marked, because a lower one cannot be met.
// Go: memoryLimitHeapGoal(), whose correction for an exceeded limit is the caller's here
// (set_non_heap_bytes).
Bytes memory_limit_goal(Bytes limit, Bytes non_heap, Bytes marked) {
  if (limit == kNever) return kNever;
  const Bytes room = saturating_sub(limit, non_heap);
  const Bytes headroom = std::max(kMinLimitHeadroom, percent_of(room, kLimitHeadroomPercent));
  return std::max(saturating_sub(room, headroom), marked);
}

// trigger = goal - runway, clamped to [70 %, 95 %] of the way from marked to the goal. Go: trigger(), but
// there a heap with more than 80 MiB to grow may wait until goal - 4 MiB: if its allocation rate then jumps,
// the whole mark has 4 MiB to happen in, and every allocation pays for it.
Bytes place_trigger(Bytes marked, Bytes goal, Bytes runway, int earliest_percent) {
  if (marked >= goal) return goal;  // only under a memory limit: collect without end
  const Bytes way = goal - marked;
  const Bytes earliest = marked + percent_of(way, earliest_percent);
  const Bytes latest = marked + percent_of(way, kLatestTriggerPercent);
  return std::clamp(saturating_sub(goal, runway), earliest, latest);
}

// runway = cons_mark * (1 - background) / background * scan_work: the bytes allocated per byte scanned if
// background workers get their share and mutators all the rest, times the bytes to scan. Go: commit().
Bytes runway_bytes(double cons_mark, double background, Bytes scan_work) {
  return to_bytes(cons_mark * (1 - background) / background * static_cast<double>(scan_work));
}

// utilisation = background * (1 + assists / background workers): the share of the processors that went into
// the cycle, taking it, as Go does in endCycle(), that the workers got the share they were meant to get. So
// the number of processors cancels out, and a wrong configured share shifts cons_mark but not the runway made
// from it.
double utilisation(const CycleEnd& end, double background) {
  double assists = end.assist_seconds;
  double workers = end.background_seconds;
  if (!is_time(assists) || !is_time(workers) || workers == 0) {  // not measured: judge by the work
    assists = static_cast<double>(end.assist_work);
    workers = static_cast<double>(saturating_sub(end.scan_work, end.assist_work));
  }
  if (workers == 0) return kMaxUtilisation;
  return std::min(background * (1 + assists / workers), kMaxUtilisation);
}

// cons_mark = (allocated / (1 - utilisation)) / (scan_work / utilisation): bytes allocated per mutator CPU
// second over bytes scanned per collector CPU second; the seconds cancel out. 0: no sample. Go: endCycle().
double cons_mark_sample(const CycleEnd& end, double used) {
  if (end.scan_work == 0) return 0;
  return ratio_of(end.allocated_during_mark, end.scan_work) * used / (1 - used);
}

// The goal moved so that the runway per byte of scan work stays what it was: trigger + (goal - trigger) /
// expected * worst_case. Keeps the assist ratio flat while a growing heap is found out. Go: revise().
Bytes extended_goal(Bytes goal, Bytes trigger, Bytes expected, Bytes worst_case) {
  const double stretch = ratio_of(worst_case, std::max<Bytes>(expected, 1));
  const Bytes runway = to_bytes(static_cast<double>(saturating_sub(goal, trigger)) * stretch);
  return std::max(goal, saturating_add(trigger, runway));
}

// No cycle is paced to end later than here: 10 % past its goal, but within the memory limit if the goal was.
// Go lets a heap that turns out larger than expected move to (1 + percent / 100) * goal, since the next goal
// will be there anyway; we promise 10 % and pay with steeper assists when a heap grows by more than that in
// one cycle.
Bytes hard_goal(Bytes goal, Bytes limit, Bytes non_heap) {
  const Bytes farthest = saturating_add(goal, percent_of(goal, kMaxOvershootPercent));
  return std::max(goal, std::min(farthest, saturating_sub(limit, non_heap)));
}

struct AssistTarget {
  Bytes scan_work;  // in all
  Bytes goal;       // by when
};

// The three regimes of revise() in Go: on schedule; more work than expected (extend); past the goal (worst
// case by the hard goal).
AssistTarget assist_target(Bytes live, Bytes done, Bytes expected, Bytes worst_case, Bytes trigger,
                           Bytes goal, Bytes hard) {
  AssistTarget target{expected, goal};
  if (done > expected)
    target = {worst_case, std::min(extended_goal(goal, trigger, expected, worst_case), hard)};
  if (live > target.goal) target = {worst_case, hard};
  return target;
}

}  // namespace

void CycleHistory::add(std::uint64_t scan_work, double cons_mark) {
  last_scan_work_ = scan_work;
  completed_a_cycle_ = true;
  if (!(cons_mark > 0) || !std::isfinite(cons_mark)) return;
  samples_[next_] = cons_mark;
  next_ = (next_ + 1) % kSamples;
}

// The largest of the last five samples. Starting early costs a little memory not used, starting late costs
// latency; so the estimate rises at once and falls after five cycles. Go since 1.20 (endCycle); 1.18's PI
// controller flailed, https://go.dev/issue/53738.
double CycleHistory::cons_mark() const { return *std::max_element(samples_, samples_ + kSamples); }

Pacer::Pacer(PacerConfig config) : config_(config) {
  const double share = config.background_utilisation;
  config_.background_utilisation =
      share > kMinBackgroundUtilisation ? std::min(share, kMaxUtilisation) : kMinBackgroundUtilisation;
}

void Pacer::set_gc_percent(int percent) { config_.gc_percent = percent < 0 ? -1 : percent; }
void Pacer::set_min_heap_bytes(std::uint64_t bytes) { config_.min_heap_bytes = bytes; }
void Pacer::set_memory_limit(std::uint64_t bytes) { config_.memory_limit = bytes; }
void Pacer::set_non_heap_bytes(std::uint64_t bytes) { non_heap_bytes_ = bytes; }

// By what the last full cycle left: what young cycles promote since then may be garbage, and makes no room.
std::uint64_t Pacer::wanted_goal() const {
  if (config_.gc_percent < 0) return kNever;
  return std::max(percent_goal(config_, generations_.old_at_full(), stack_bytes_, root_bytes_), saturating_add(marked_, kMinRunway));
}

bool Pacer::is_limited() const { return memory_limit_goal(config_.memory_limit, non_heap_bytes_, marked_) < wanted_goal(); }

// The lower of the two goals. If it is that of the percentage, a cycle that started late still gets a minimum
// runway; under the limit we rather assist hard than go past it. Go: heapGoalInternal().
std::uint64_t Pacer::goal() const {
  const Bytes limited = memory_limit_goal(config_.memory_limit, non_heap_bytes_, marked_);
  const Bytes wanted = wanted_goal();
  if (limited < wanted || !in_cycle_) return std::min(limited, wanted);
  return std::max(wanted, std::min(saturating_add(started_at_, kMinRunway), limited));
}

Brake Pacer::brake() const {
  const Bytes end = goal();
  return end == kNever ? Brake{} : brake_for(end, hard_goal(end, config_.memory_limit, non_heap_bytes_));
}

// Without history the next cycle is taken to need all the runway there is (Go: none).
std::uint64_t Pacer::trigger() const {
  const Bytes end = goal();
  if (end == kNever) return kNever;
  const CycleHistory& history = history_of(kind());
  const Bytes runway = history.is_empty() ? kNever
                                          : runway_bytes(history.cons_mark(), config_.background_utilisation,
                                                         history.last_scan_work());
  const Bytes latest = kind() == CycleKind::young ? saturating_add(marked_, generations_.young_budget()) : kNever;
  // What has been promoted has taken most of the room: what is left of it is all the runway that the full cycle gets.
  const int earliest = next_cycle().reason == CycleReason::old_has_grown ? 0 : kEarliestTriggerPercent;
  const Bytes start = std::min(place_trigger(marked_, end, runway, earliest), latest);
  LULL_DCHECK(start <= end, "pacer: trigger past the goal");
  return start;
}

// worst case = everything that may be scanned is live: heap_live, in a young cycle what came since the last one, + stacks +
// roots. What is allocated
// later is never scanned.
std::uint64_t Pacer::worst_case_scan_work() const {
  const Bytes heap = kind_ == CycleKind::young ? saturating_sub(started_at_, marked_) : started_at_;
  return saturating_add(heap, saturating_add(stack_bytes_, root_bytes_));
}

// expected = what the last cycle scanned; without history, the worst case. Go: revise().
std::uint64_t Pacer::expected_scan_work() const {
  const Bytes worst_case = worst_case_scan_work();
  const CycleHistory& history = history_of(kind_);
  return history.is_empty() ? worst_case : std::min(history.last_scan_work(), worst_case);
}

void Pacer::begin_cycle(const CycleStart& start) {
  LULL_DCHECK(!in_cycle_, "pacer: a cycle is running");
  started_at_ = start.heap_live;
  stack_bytes_ = start.stack_bytes;
  root_bytes_ = start.root_bytes;
  in_cycle_ = true;
  kind_ = start.kind;
  expected_scan_work_ = expected_scan_work();
}

// ratio = scan work left / heap bytes left until the goal of the present regime; so the two reach zero
// together. Go: revise().
double Pacer::assist_ratio(std::uint64_t heap_live_now, std::uint64_t scan_work_done) const {
  if (!in_cycle_) return 0;
  const Bytes end = goal();
  const Bytes hard = hard_goal(end, config_.memory_limit, non_heap_bytes_);
  const AssistTarget target = assist_target(heap_live_now, scan_work_done, expected_scan_work_,
                                            worst_case_scan_work(), started_at_, end, hard);
  const Bytes work_left = std::max(saturating_sub(target.scan_work, scan_work_done), kMinScanWork);
  const Bytes heap_left = std::max(saturating_sub(target.goal, heap_live_now), kMinHeapLeft);
  return std::min(ratio_of(work_left, heap_left), kMaxAssistRatio);
}

void Pacer::end_cycle(const CycleEnd& end) {
  LULL_DCHECK(in_cycle_, "pacer: no cycle is running");
  const double used = utilisation(end, config_.background_utilisation);
  last_ = {.kind = kind_,
           .goal = goal(),
           .trigger = started_at_,
           .heap_live_at_end = end.heap_live_at_end,
           .expected_scan_work = expected_scan_work_,
           .scan_work = end.scan_work,
           .utilisation = used,
           .cons_mark = cons_mark_sample(end, used),
           .background_workers = end.mark_seconds > 0 ? end.background_seconds / end.mark_seconds : 0};
  (kind_ == CycleKind::young ? young_ : full_).add(end.scan_work, last_.cons_mark);
  generations_.end_cycle({.kind = kind_,
                          .allocated = saturating_sub(end.heap_live_at_end, marked_),
                          .freed = saturating_sub(end.heap_live_at_end, end.heap_marked),
                          .survived = end.heap_marked,
                          .scanned = end.scan_work});
  marked_ = end.heap_marked;
  in_cycle_ = false;
}

void Pacer::abort_cycle() {
  LULL_DCHECK(in_cycle_, "pacer: no cycle is running");
  generations_.abort_cycle();
  in_cycle_ = false;
}

NextCycle Pacer::next_cycle() const {
  const Bytes old = generations_.old_at_full();
  return generations_.next(config_.generational, std::min(percent_goal(config_, old, stack_bytes_, root_bytes_),
                                                          memory_limit_goal(config_.memory_limit, non_heap_bytes_, old)));
}

}  // namespace lull::gc

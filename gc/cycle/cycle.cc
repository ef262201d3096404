#include "gc/cycle/cycle.h"

#include <algorithm>
#include <optional>

#include "alloc/os/clock.h"
#include "alloc/trace/probes.h"
#include "gc/cycle/crew.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/events.h"
#include "gc/cycle/pacing.h"
#include "gc/cycle/stepper.h"
#include "gc/cycle/verifier.h"
#include "gc/mark/assist.h"
#include "gc/mark/parked_stacks.h"
#include "gc/model/ephemerons.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/roots.h"
#include "gc/mutator/shade.h"
#include "gc/mutator/pools.h"
#include "gc/remember/cards.h"
#include "gc/sweep/sweeper.h"
#include "gc/weak/cleanups.h"
#include "gc/weak/destructors.h"
#include "gc/weak/weak_cells.h"

namespace lull::gc {
namespace {
constexpr std::uint64_t kSliceBytes = 256 * 1024;  // scanned between two updates of credit and assist ratio

constinit std::uint64_t last_stack_bytes = 0;  // driver: what the last cycle found on stacks
constinit std::uint64_t old_bytes = 0;         // driver: all that is marked

// Memory for the markers ran out.
bool must_abort() { return cycle_must_abort.load(std::memory_order_relaxed); }
}

CycleResult Cycle::run() {
  std::optional<WorldStopped> stopped;
  begin();
  if (options.stops_world()) stopped.emplace();
  Marker marker;  // knows the cycle's number from now on
  turn_barriers_on();
  scan_stacks(marker);
  mark_everything(marker);
  if (options.verify != 0 && !must_abort()) verify_marks();
  if (!must_abort()) handle_unreachable(marker);
  if (must_abort()) {
    abort(marker);
    return CycleResult::aborted;
  }
  turn_barriers_off();
  report_to_pacer();
  if (options.noconcurrent == 0) stopped.reset();
  sweep();
  return CycleResult::completed;
}

// Rule 1: version of the marks first, while all flags are off; the previous sweep is complete by then. A young cycle keeps
// the marks: they say what is old.
void Cycle::begin() {
  times_.begin = os::monotonic_ns();
  reach(Step::cycle_begins);
  tell(Event::cycle_begins, kind_);
  LULL_PROBE1(cycle_begin, kind_ == CycleKind::young);
  close_sweep();
  retire_unloaded_kinds();
  reach(Step::sweep_closed);
  goal_ = pacing.goal();
  heap_at_start_ = heap_counters.live.load(std::memory_order_relaxed);
  handed_at_start_ = heap_counters.handed.load(std::memory_order_relaxed);
  background_ns_ = os::thread_cpu_ns() + crew.helper_ns();
  root_bytes_ = root_cells_in_use() * sizeof(std::uintptr_t);
  pacing.begin({heap_at_start_, last_stack_bytes, root_bytes_, kind_});
  mark_totals.reset();
  shade_totals.objects.store(0, std::memory_order_relaxed);
  shade_totals.bytes.store(0, std::memory_order_relaxed);
  assists.credit.store(0, std::memory_order_relaxed);
  assists.work.store(0, std::memory_order_relaxed);
  assists.time_ns.store(0, std::memory_order_relaxed);
  handshake_stats.longest_this_cycle.store(0, std::memory_order_relaxed);
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed) + 1;
  current_cycle.store(cycle, std::memory_order_release);
  if (kind_ == CycleKind::full) mark_epoch.store(cycle, std::memory_order_release);
}

void Cycle::turn_barriers_on() {
  set_pools_age(kind_ == CycleKind::full);
  age_pool_lists();
  set_mark_state(MarkState::snapshot);
  handshake(HandshakeOp::barriers_on);
  dirty_cards.take(kind_);  // rule 13: here and nowhere else
  list_dirty_stacks();      // rule 19: likewise
  times_.barriers_on = os::monotonic_ns();
  reach(Step::barriers_on);
  tell(Event::mark_begins, kind_);
}

// Handshake 2, apart from handshake 1: merged they lose objects (docs/design/protocol_model.md).
void Cycle::scan_stacks(Marker& marker) {
  stack_scan_asked.store(true, std::memory_order_seq_cst);  // before anybody can be black
  // Before the first answer: what a thread that has answered makes while others have not yet is born during the cycle, and would be
  // counted neither as marked nor as handed out since. What is counted twice instead, report_to_pacer caps.
  handed_at_snapshot_ = heap_counters.handed.load(std::memory_order_relaxed);
  handshake(HandshakeOp::scan_stack);
  set_mark_state(MarkState::marking);
  times_.marking = os::monotonic_ns();
  reach(Step::stacks_scanned);
  pacing.revise();
  take_answers(marker);
  last_stack_bytes = stack_bytes_ = stack_words_ * sizeof(std::uintptr_t);
}

static void mark_root_cells(Marker& marker) {
  for (RootChunk* chunk = first_root_chunk(); chunk != nullptr; chunk = chunk->next)
    for (std::uintptr_t& cell : chunk->cells)
      // acquire: pairs with the release in detail::store_word
      marker.mark_word(__atomic_load_n(&cell, __ATOMIC_ACQUIRE));
}

void Cycle::mark_roots(Marker& marker) {
  if (kind_ == CycleKind::full) mark_root_cells(marker);  // a young cycle reads those on dirty cards
  marker.mark_traced(call_root_functions);
  mark_queue(marker);
  mark_callbacks(marker, kind_);
  if (kind_ == CycleKind::young) dirty_cards.scan(marker);
  read_parked_stacks(marker);
  reach(Step::roots_marked);
}

// Rule 18: after all answers to handshake 2, once. With the helpers, since it may be more than the heap.
void Cycle::read_parked_stacks(Marker& marker) {
  parked_stacks.begin();
  if (!parked_stacks.has_more()) return;
  crew.begin();
  while (parked_stacks.read_some(marker, kSliceBytes)) report_progress(marker);
  crew.end();  // helpers have read what they took
  stack_bytes_ += parked_stacks.bytes();
  last_stack_bytes = stack_bytes_;
}

void Cycle::report_progress(Marker& marker) {
  assists.credit.fetch_add(static_cast<std::int64_t>(marker.scanned_bytes()), std::memory_order_relaxed);
  publish_counts(marker);
  pacing.revise();
}

void Cycle::mark_everything(Marker& marker) {
  mark_roots(marker);
  do {
    mark_concurrently(marker);
    if (must_abort()) return;
  } while (!terminate(marker));
}

void Cycle::mark_concurrently(Marker& marker) {
  crew.begin();
  bool empty = false;
  while (!empty && !must_abort()) {
    empty = marker.drain(kSliceBytes);
    report_progress(marker);
    if (empty) empty = crew.is_idle() && grey_pool.empty() && !marker.settle_ephemerons();
  }
  crew.end();
  reach(Step::marked);
}

// Rule 9: one quiet round and the compare-and-swap.
bool Cycle::terminate(Marker& marker) {
  times_.terminating = os::monotonic_ns();
  ++flush_rounds_;
  set_mark_state(MarkState::terminating);
  reach(Step::terminating);
  handshake(HandshakeOp::flush);
  reach(Step::flushed);
  const bool work = take_answers(marker) || !grey_pool.empty() || !deferred_ephemerons.empty();
  if (!work && finish_if_quiet()) {
    times_.done = os::monotonic_ns();
    reach(Step::done);
    tell(Event::mark_ends, kind_);
    return true;
  }
  if (mark_state.load(std::memory_order_relaxed) == MarkState::terminating) cancel_termination();
  return false;
}

// The buffers and words that a scan_stack or flush brought. True: there is something to scan.
bool Cycle::take_answers(Marker& marker) {
  const std::uint64_t marked_before = marker.marked_objects();
  bool work = false;
  std::uint64_t words = 0;
  for_each_mutator([&](Mutator& m) {
    if (Segment* segment = m.handed_over) {
      m.handed_over = nullptr;
      work |= segment->count != 0;
      grey_pool.put(segment);
    }
    if (!m.has_words) return;
    for (std::uintptr_t word : m.words) marker.mark_word(word);
    words += m.words.size();
    m.words.clear();
    m.words.shrink();
    m.has_words = false;
  });
  stack_words_ = words;
  const bool newly_marked = marker.marked_objects() != marked_before;
  return work || newly_marked;
}

void Cycle::mark_closures(Marker& marker) {
  do marker.drain(~std::uint64_t{0} / 2);
  while (marker.settle_ephemerons());
}

// State done. Weak cells first: lock() must not find what destructors' closures keep (gc/weak/weak_cells.cc).
void Cycle::handle_unreachable(Marker& marker) {
  clear_weak_cells(kind_);
  waiting_ephemerons.empty_all();
  reach(Step::weak_cleared);
  queue_unreachable(marker);
  mark_closures(marker);
  if (must_abort()) return;  // what has not been found may be theirs: callbacks wait, and ephemerons stay as they are
  queue_callbacks(marker, kind_);
  mark_closures(marker);
  if (must_abort()) return;
  waiting_ephemerons.empty_all();  // of maps that only destructors can still look at
  hand_found_over();
  publish_counts(marker);
  note_sampled_deaths(kind_, handed_at_snapshot_);
  reach(Step::destructors_queued);
}

void Cycle::turn_barriers_off() {
  handshake(HandshakeOp::barriers_off);
  set_mark_state(MarkState::off);
  reach(Step::barriers_off);
}

void Cycle::report_to_pacer() {
  const std::uint64_t now = os::monotonic_ns();
  const std::uint64_t handed = heap_counters.handed.load(std::memory_order_relaxed);
  const std::uint64_t peak = heap_peak_ = heap_counters.live.load(std::memory_order_relaxed);
  marked_objects_ = mark_totals.objects.load(std::memory_order_relaxed) + shade_totals.objects.load(std::memory_order_relaxed);
  const std::uint64_t marked_bytes = marked_bytes_ = mark_totals.bytes.load(std::memory_order_relaxed) + shade_totals.bytes.load(std::memory_order_relaxed);
  // Survivors: what is marked, and what was handed out since the stacks were scanned.
  old_bytes = (kind_ == CycleKind::young ? old_bytes : 0) + marked_bytes;
  heap_at_end_ = std::min(old_bytes + handed - handed_at_snapshot_, peak);
  heap_counters.live.fetch_sub(peak - heap_at_end_, std::memory_order_relaxed);  // others add meanwhile; may wrap, mod 2^64
  times_.end = now;
  pacing.end({.heap_live_at_end = peak,
              .heap_marked = heap_at_end_,
              .scan_work = mark_totals.scanned_bytes.load(std::memory_order_relaxed),
              .assist_work = assists.work.load(std::memory_order_relaxed),
              .allocated_during_mark = handed - handed_at_start_,
              .mark_seconds = static_cast<double>(now - times_.begin) * 1e-9,
              .assist_seconds = static_cast<double>(assists.time_ns.load(std::memory_order_relaxed)) * 1e-9,
              .background_seconds = static_cast<double>(os::thread_cpu_ns() + crew.helper_ns() - background_ns_) * 1e-9});
}

void Cycle::sweep() {
  open_sweep(kind_);
  reach(Step::sweep_opened);
  tell(Event::sweep_begins, kind_);
  HolePurge purge(holes_);
  sweep_everything(purge);
  purged_all_holes_ = purge.has_done_all();
  reach(Step::swept);
}

// Rule 16: flags off, buffers dropped, nothing swept; the next cycle is full anyway. So destructors that were found have all they
// refer to, marked or not.
void Cycle::abort(Marker& marker) {
  marker.hand_over_rest();
  handshake(HandshakeOp::flush);
  take_answers(marker);
  marker.hand_over_rest();
  grey_pool.drop_all();
  set_mark_state(MarkState::off);
  handshake(HandshakeOp::barriers_off);
  deferred_ephemerons.drop_all();
  waiting_ephemerons.forget_all();
  cycle_must_abort.store(false, std::memory_order_relaxed);
  pacing.abort();
  reopen_without_sweeping();
  hand_found_over();
}

}  // namespace lull::gc

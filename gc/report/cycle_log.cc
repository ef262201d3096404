// Remembers what cycles did (gc/cycle/cycle_events.h), for mem_stats and gctrace.
#include "gc/report/cycle_log.h"

#include <algorithm>
#include <atomic>
#include <unistd.h>

#include "alloc/os/clock.h"
#include "alloc/os/lock.h"
#include "alloc/os/thread.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"
#include "gc/cycle/crew.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/pacing.h"
#include "gc/mark/assist.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/report/debug_traces.h"
#include "gc/report/gctrace.h"
#include "gc/remember/cards.h"
#include "gc/report/leak_watch.h"
#include "gc/report/live_by_type.h"
#include "gc/report/watch_thread.h"

namespace lull::gc {
namespace {

constinit os::Lock lock{os::LockRank::reports};
constinit CycleTotals totals;  // lock
// Written once, before the first cycle; who asks for totals may come earlier, or at that moment. Relaxed: a number, no more.
constinit std::atomic<std::uint64_t> started_ns{0};

double ms(std::uint64_t ns) { return static_cast<double>(ns) * 1e-6; }

double cpu_percent_locked(std::uint64_t now) {
  const double available = static_cast<double>(now - started_ns.load(std::memory_order_relaxed)) * os::processors();
  return available <= 0 ? 0 : static_cast<double>(totals.gc_cpu_ns + totals.assist_cpu_ns) / available * 100;
}

void trace_locked(const Cycle& cycle, const CycleRun& run, std::uint64_t assist_ns) {
  const CycleTimes& t = cycle.times();
  const histogram pauses = handshake_stats.pause.snapshot();
  CycleReport report{.number = totals.cycles,
                     .start_seconds = static_cast<double>(t.begin - started_ns.load(std::memory_order_relaxed)) * 1e-9,
                     .gc_cpu_percent = cpu_percent_locked(os::monotonic_ns()),
                     .handshake_on_ms = ms(t.marking - t.begin),
                     .mark_clock_ms = ms(t.terminating - t.marking),
                     .terminate_ms = ms(t.end - t.terminating),
                     .assist_cpu_ms = ms(assist_ns),
                     .background_cpu_ms = ms(run.driver_ns),
                     .heap_start = cycle.heap_at_start(),
                     .heap_end = cycle.heap_peak(),
                     .heap_marked = cycle.heap_at_end(),
                     .goal = cycle.goal(),
                     .stack_bytes = cycle.stack_bytes(),
                     .root_bytes = cycle.root_bytes(),
                     .workers = os::processors(),
                     .forced = run.forced,
                     .handshake_p999_ns = pauses.quantile_ns(0.999),
                     .handshake_max_ns = handshake_stats.longest_this_cycle.load(std::memory_order_relaxed),
                     .flush_rounds = cycle.flush_rounds(),
                     .global_stops = handshake_stats.global_stops.load(std::memory_order_relaxed),
                     .young = cycle.kind() == CycleKind::young,
                     .reason = name_of(cycle.reason())};
  char line[kGctraceLineSize];
  const std::size_t length = format_gctrace(report, line, sizeof line);
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line, length);
}

void note_on_timeline(const Cycle& cycle) {
  const CycleTimes& t = cycle.times();
  LULL_PROBE3(cycle_end, cycle.kind() == CycleKind::young, cycle.heap_at_end(), t.end - t.begin);
  if (!trace::is_on()) return;
  trace::record(trace::What::cycle, t.begin, os::monotonic_ns(), cycle.kind() == CycleKind::young);
  trace::record(trace::What::heap, t.begin, t.begin, cycle.heap_at_start());
  trace::record(trace::What::heap, t.terminating, t.terminating, cycle.heap_peak());
  trace::record(trace::What::heap, t.end, t.end, cycle.heap_at_end());
  trace::record(trace::What::goal, t.begin, t.begin, cycle.goal());
  trace::record(trace::What::goal, t.end, t.end, pacing.goal());
}

void add_to_totals(const Cycle& cycle, const CycleRun& run) {
  const std::uint64_t assist_ns = assists.time_ns.load(std::memory_order_relaxed);
  os::Locked locked(lock);
  const std::size_t index = totals.cycles % totals.pause_ns.size();
  ++totals.cycles;
  totals.forced += run.forced ? 1 : 0;
  totals.young += cycle.kind() == CycleKind::young ? 1 : 0;
  if (cycle.kind() == CycleKind::young) {
    totals.promoted_bytes += cycle.marked_bytes();
    totals.dirty_cards += dirty_cards.listed_cards();
  }
  totals.last_end_wall_ns = os::wall_ns();
  totals.flush_rounds += cycle.flush_rounds();
  totals.heap_live = cycle.heap_at_end();
  totals.marked_objects = cycle.marked_objects();
  if (cycle.goal() != ~std::uint64_t{0})
    totals.over_goal_max = std::max(totals.over_goal_max, static_cast<double>(cycle.heap_peak()) / static_cast<double>(cycle.goal()));
  totals.gc_cpu_ns += run.driver_ns;
  totals.assist_cpu_ns += assist_ns;
  totals.pause_ns[index] = handshake_stats.longest_this_cycle.load(std::memory_order_relaxed);
  totals.pause_end[index] = totals.last_end_wall_ns;
  if (options.gctrace != 0) trace_locked(cycle, run, assist_ns);
}

}  // namespace

os::Lock& cycle_log_lock_for_fork() { return lock; }
void note_program_start() { started_ns.store(os::monotonic_ns(), std::memory_order_relaxed); }

void log_cycle(const Cycle& cycle, const CycleRun& run) {
  if (options.pacertrace != 0) trace_pacer(cycle_totals().cycles + 1, cycle.kind());
  note_on_timeline(cycle);
  if (cycle.kind() == CycleKind::full) {
    note_live_by_type();
    note_for_leak_watch();
  }
  add_to_totals(cycle, run);
  wake_watchers();
}

CycleTotals cycle_totals() {
  os::Locked locked(lock);
  CycleTotals copy = totals;
  const std::uint64_t started = started_ns.load(std::memory_order_relaxed);
  copy.uptime_ns = started == 0 ? 0 : os::monotonic_ns() - started;
  return copy;
}

}  // namespace lull::gc

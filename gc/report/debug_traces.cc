// Who writes the lines of gc/report/debug_lines.h, and when.
#include <unistd.h>

#include <atomic>

#include "alloc/os/clock.h"
#include "alloc/os/no_cancellation.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
#include "alloc/sample/stack_walk.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/services.h"
#include "gc/report/debug_lines.h"
#include "gc/report/debug_traces.h"
#include "lull/collect.h"
#include "lull/thread.h"

namespace lull::gc {
namespace {

constinit std::uint64_t started_ns = 0;
constinit std::atomic<std::uint64_t> allocations{0};

void write_line(const char* line, std::size_t length) {
  const os::NoCancellation none;  // the calling thread may hold locks
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, length);
}

void trace_purge(std::size_t given_back) {
  const pages::PageStats pages = pages::page_heap.stats();
  char line[kDebugLineSize];
  write_line(line, format_scavtrace({.seconds = static_cast<double>(os::monotonic_ns() - started_ns) * 1e-9,
                                     .given_back = given_back,
                                     .given_back_total = pages.purged_total,
                                     .idle = pages.free_dirty,
                                     .inuse = pages.used,
                                     .committed = pages.committed},
                                    line, sizeof line));
}

}  // namespace

void start_debug_traces() {
  started_ns = os::monotonic_ns();
  if (options.scavtrace != 0) pages::set_purge_report(trace_purge);
  if (options.alloctrace != 0) sample::prepare_captures();
}

void trace_pacer(std::uint64_t cycle, CycleKind kind) {
  const PacingReport pacing_now = pacing.report();
  char line[kDebugLineSize];
  write_line(line, format_pacertrace({.cycle = cycle,
                                      .young = kind == CycleKind::young,
                                      .seen = pacing_now.seen,
                                      .trigger = pacing_now.trigger,
                                      .goal = pacing_now.goal,
                                      .next = pacing_now.next.kind,
                                      .reason = name_of(pacing_now.next.reason)},
                                     line, sizeof line));
}

void trace_allocation(const Mutator& m, const SpanClass& c, std::size_t bytes, const void* object) {
  const std::uint64_t number = allocations.fetch_add(1, std::memory_order_relaxed) + 1;
  if (number % static_cast<std::uint64_t>(options.alloctrace) != 0) return;
  sample::StackTrace stack;
  sample::capture_stack(stack);
  char line[kDebugLineSize];
  write_line(line, format_alloctrace({.number = number,
                                      .thread = m.tid,
                                      .type = static_cast<const Kind*>(c.kind)->name,
                                      .bytes = c.large ? bytes : c.geometry.slot_bytes,
                                      .address = reinterpret_cast<std::uintptr_t>(object),
                                      .stack = {stack.frames, stack.depth}},
                                     line, sizeof line));
}

}  // namespace lull::gc

namespace lull {

bool set_debug(const char* text) {
  gc::start_runtime();
  blocking_region waiting;  // for the cycle, which may wait for this thread
  const os::Locked between_cycles(gc::cycle_gate());
  gc::Options changed = gc::options;
  if (!gc::parse_debug_options(text, changed, gc::When::running)) return false;
  __atomic_store_n(&gc::options.gctrace, changed.gctrace, __ATOMIC_RELAXED);  // mem_stats looks at any time
  gc::options.pacertrace = changed.pacertrace;
  gc::options.scavtrace = changed.scavtrace;
  gc::options.late = changed.late;
  pages::set_purge_report(changed.scavtrace != 0 ? gc::trace_purge : nullptr);
  return true;
}

}  // namespace lull

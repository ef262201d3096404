#include "gc/report/gctrace.h"

#include "gc/report/trace_line.h"

namespace lull::gc {
namespace {

// Whole milliseconds from 10 ms on; below, two digits but at most three decimals. Go: fmtNSAsMS().
void add_ms(TraceLine& line, double ms) {
  std::uint64_t us = to_integer(ms * 1e3 + kRounding);
  if (us == 0) {
    line.add("0");
    return;
  }
  if (us >= 10000) {
    line.add_decimal(us / 1000, 0);
    return;
  }
  int decimals = 3;
  for (; us >= 100; us /= 10) decimals--;
  line.add_decimal(us, decimals);
}

void add_clock(TraceLine& line, const CycleReport& r) {
  add_ms(line, r.handshake_on_ms);
  line.add("+");
  add_ms(line, r.mark_clock_ms);
  line.add("+");
  add_ms(line, r.terminate_ms);
  line.add(" ms clock, ");
}

void add_cpu(TraceLine& line, const CycleReport& r) {
  add_ms(line, r.handshake_on_cpu_ms);
  line.add("+");
  add_ms(line, r.assist_cpu_ms);
  line.add("/");
  add_ms(line, r.background_cpu_ms);
  line.add("/");
  add_ms(line, r.idle_cpu_ms);
  line.add("+");
  add_ms(line, r.terminate_cpu_ms);
  line.add(" ms cpu, ");
}

void add_heap(TraceLine& line, const CycleReport& r) {
  line.add("%" PRIu64 "->%" PRIu64 "->%" PRIu64 " MB, ", r.heap_start >> 20, r.heap_end >> 20,
           r.heap_marked >> 20);
  line.add("%" PRIu64 " MB goal, ", r.goal >> 20);
  line.add("%" PRIu64 " MB stacks, %" PRIu64 " MB globals, ", r.stack_bytes >> 20, r.root_bytes >> 20);
}

// Microseconds rounded up: a pause is never shown shorter than it was.
std::uint64_t us_up(std::uint64_t ns) { return ns / 1000 + (ns % 1000 != 0); }

void add_own_fields(TraceLine& line, const CycleReport& r) {
  line.add(" | %s (%s), hs p99.9 %" PRIu64 "us max %" PRIu64 "us, ", r.young ? "young" : "full", r.reason,
           us_up(r.handshake_p999_ns), us_up(r.handshake_max_ns));
  line.add("%" PRIu64 " %s, ", r.flush_rounds, r.flush_rounds == 1 ? "flush" : "flushes");
  line.add("%" PRIu64 " %s", r.global_stops, r.global_stops == 1 ? "stop" : "stops");
}

}  // namespace

std::size_t format_gctrace(const CycleReport& report, char* out, std::size_t size) {
  if (size == 0) return 0;
  TraceLine line(out, size);
  line.add("gc %" PRIu64 " @", report.number);
  line.add_decimal(to_integer(report.start_seconds * 1e3 + kRounding), 3);
  line.add("s %" PRIu64 "%%: ", to_integer(report.gc_cpu_percent));
  add_clock(line, report);
  add_cpu(line, report);
  add_heap(line, report);
  line.add("%u P%s", report.workers, report.forced ? " (forced)" : "");
  add_own_fields(line, report);
  return line.finish();
}

}  // namespace lull::gc

#include "gc/report/gctrace.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

namespace lull::gc {
namespace {

// Added before rounding down: 7000 ns * 1e-6 * 1e3 is a little less than 7.
constexpr double kRounding = 1e-6;

// Appends to a fixed buffer; what does not fit is dropped.
class Line {
 public:
  Line(char* out, std::size_t size) : out_(out), size_(size) {}

  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = std::vsnprintf(out_ + used_, size_ - used_, format, arguments);
    va_end(arguments);
    if (n > 0) used_ += static_cast<std::size_t>(n);
    if (used_ >= size_) used_ = size_ - 1;
  }

  // The newline replaces the last character if there is no room behind it.
  std::size_t finish() {
    if (size_ < 2) return used_;
    if (used_ > size_ - 2) used_ = size_ - 2;
    out_[used_++] = '\n';
    out_[used_] = '\0';
    return used_;
  }

 private:
  char* out_;
  std::size_t size_;      // at least 1
  std::size_t used_ = 0;  // < size_
};

// Rounds down; nonsense counts as 0, what is too large as the largest.
std::uint64_t to_integer(double x) {
  if (!(x > 0)) return 0;
  return x >= 0x1p64 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(x);
}

// value / 10^decimals with exactly that many decimals; "%.3f" would use the locale's decimal point.
void add_decimal(Line& line, std::uint64_t value, int decimals) {
  std::uint64_t unit = 1;
  for (int i = 0; i < decimals; i++) unit *= 10;
  line.add("%" PRIu64, value / unit);
  if (decimals > 0) line.add(".%0*" PRIu64, decimals, value % unit);
}

// Whole milliseconds from 10 ms on; below, two digits but at most three decimals. Go: fmtNSAsMS().
void add_ms(Line& line, double ms) {
  std::uint64_t us = to_integer(ms * 1e3 + kRounding);
  if (us == 0) {
    line.add("0");
    return;
  }
  if (us >= 10000) {
    add_decimal(line, us / 1000, 0);
    return;
  }
  int decimals = 3;
  for (; us >= 100; us /= 10) decimals--;
  add_decimal(line, us, decimals);
}

void add_clock(Line& line, const CycleReport& r) {
  add_ms(line, r.handshake_on_ms);
  line.add("+");
  add_ms(line, r.mark_clock_ms);
  line.add("+");
  add_ms(line, r.terminate_ms);
  line.add(" ms clock, ");
}

void add_cpu(Line& line, const CycleReport& r) {
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

void add_heap(Line& line, const CycleReport& r) {
  line.add("%" PRIu64 "->%" PRIu64 "->%" PRIu64 " MB, ", r.heap_start >> 20, r.heap_end >> 20,
           r.heap_marked >> 20);
  line.add("%" PRIu64 " MB goal, ", r.goal >> 20);
  line.add("%" PRIu64 " MB stacks, %" PRIu64 " MB globals, ", r.stack_bytes >> 20, r.root_bytes >> 20);
}

// Microseconds rounded up: a pause is never shown shorter than it was.
std::uint64_t us_up(std::uint64_t ns) { return ns / 1000 + (ns % 1000 != 0); }

void add_own_fields(Line& line, const CycleReport& r) {
  line.add(" |%s hs p99.9 %" PRIu64 "us max %" PRIu64 "us, ", r.young ? " young," : "", us_up(r.handshake_p999_ns),
           us_up(r.handshake_max_ns));
  line.add("%" PRIu64 " %s, ", r.flush_rounds, r.flush_rounds == 1 ? "flush" : "flushes");
  line.add("%" PRIu64 " %s", r.global_stops, r.global_stops == 1 ? "stop" : "stops");
}

}  // namespace

std::size_t format_gctrace(const CycleReport& report, char* out, std::size_t size) {
  if (size == 0) return 0;
  Line line(out, size);
  line.add("gc %" PRIu64 " @", report.number);
  add_decimal(line, to_integer(report.start_seconds * 1e3 + kRounding), 3);
  line.add("s %" PRIu64 "%%: ", to_integer(report.gc_cpu_percent));
  add_clock(line, report);
  add_cpu(line, report);
  add_heap(line, report);
  line.add("%u P%s", report.workers, report.forced ? " (forced)" : "");
  add_own_fields(line, report);
  return line.finish();
}

}  // namespace lull::gc

#include "gc/report/debug_lines.h"

#include <algorithm>

#include "gc/report/text_writer.h"
#include "gc/report/trace_line.h"

namespace lull::gc {
namespace {

// With three decimals, rounded down; nonsense counts as 0.
void put_thousandths(TextWriter& out, double value) {
  const std::uint64_t n = value > 0 && value < 1e15 ? static_cast<std::uint64_t>(value * 1e3 + 1e-6) : 0;
  const std::uint64_t fraction = n % 1000;
  out << n / 1000 << '.' << (fraction < 100 ? "0" : "") << (fraction < 10 ? "0" : "") << fraction;
}
void put_bytes(TextWriter& out, std::uint64_t bytes) {
  if (bytes == ~std::uint64_t{0}) out << "none";
  else out << bytes << " B";
}
void put_hex(TextWriter& out, std::uint64_t value) {
  char digits[16];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, value, 16);
  out << "0x" << std::string_view(digits, static_cast<std::size_t>(end.ptr - digits));
}
const char* name_of(bool young) { return young ? "young" : "full"; }

// A line that is cut off still ends with '\n' and 0.
template <class Write>
std::size_t line_of(char* out, std::size_t size, Write&& write) {
  const std::size_t length = write_to_buffer(out, size, [&](const text_sink& to) {
    TextWriter text(to);
    write(text);
    text << '\n';
  });
  if (length < size || size < 2) return std::min(length, size == 0 ? 0 : size - 1);
  out[size - 2] = '\n';
  return size - 1;
}

}  // namespace

std::size_t format_pacertrace(const PacerReport& r, char* buffer, std::size_t size) {
  return line_of(buffer, size, [&](TextWriter& out) {
    out << "pacer " << r.cycle << (r.young ? " young: " : ": ") << to_integer(r.seen.utilisation * 100 + kRounding)
        << "% CPU for " << r.seen.scan_work << " B work (" << r.seen.expected_scan_work << " B expected) in " << r.seen.trigger << " B -> "
        << r.seen.heap_live_at_end << " B (goal ";
    put_bytes(out, r.seen.goal);
    if (r.seen.goal != ~std::uint64_t{0})
      out << ", " << (r.seen.heap_live_at_end >= r.seen.goal ? "+" : "")
          << static_cast<std::int64_t>(r.seen.heap_live_at_end - r.seen.goal) << " B";
    out << "), cons/mark ";
    put_thousandths(out, r.seen.cons_mark);
    out << "; next: " << name_of(r.next == CycleKind::young) << " at ";
    put_bytes(out, r.trigger);
    out << ", goal ";
    put_bytes(out, r.goal);
    out << " (" << r.reason << ')';
  });
}

std::size_t format_scavtrace(const PurgeReport& r, char* buffer, std::size_t size) {
  return line_of(buffer, size, [&](TextWriter& out) {
    out << "scav @";
    put_thousandths(out, r.seconds);
    out << "s: " << r.given_back / 1024 << " KiB given back, " << r.given_back_total / 1024 << " KiB since the start, " << r.idle / 1024
        << " KiB idle, " << r.inuse / 1024 << " KiB of " << r.committed / 1024 << " KiB in use";
  });
}

std::size_t format_alloctrace(const AllocationReport& r, char* buffer, std::size_t size) {
  return line_of(buffer, size, [&](TextWriter& out) {
    out << "alloc " << r.number << ": thread " << r.thread << ", " << r.bytes << " B at ";
    put_hex(out, r.address);
    constexpr std::size_t kMostName = 300, kMostFrames = 16;
    out << ", " << r.type.substr(0, kMostName) << "; from";
    for (std::uintptr_t frame : r.stack.first(std::min(r.stack.size(), kMostFrames))) {
      out << ' ';
      put_hex(out, frame);
    }
  });
}

}  // namespace lull::gc

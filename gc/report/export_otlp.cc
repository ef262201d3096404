// OTLP/JSON: ExportMetricsServiceRequest of opentelemetry-proto, in the JSON of https://opentelemetry.io/docs/specs/otlp/ (64-bit
// integers are strings).
#include <unistd.h>

#include <atomic>

#include "alloc/os/clock.h"
#include "gc/report/cycle_log.h"
#include "gc/report/metrics_snapshot.h"
#include "gc/report/text_writer.h"
#include "lull/metrics_export.h"

namespace lull::metrics {
namespace {

using gc::Comma;
using gc::MetricsSnapshot;
using gc::TextWriter;

constexpr std::string_view kCumulativeTemporality = "\"aggregationTemporality\":2";

struct Times {
  std::uint64_t start, now;
};

void write_times(TextWriter& out, const Times& t) {
  out << "\"startTimeUnixNano\":\"" << t.start << "\",\"timeUnixNano\":\"" << t.now << '"';
}

// Of all exports the same to the nanosecond: another start means a counter that began anew.
std::uint64_t start_of_counting(std::uint64_t now) {
  constinit static std::atomic<std::uint64_t> start{0};
  const std::uint64_t uptime = gc::cycle_totals().uptime_ns, fresh = now - uptime;
  if (uptime == 0) return now;  // nothing was counted yet
  std::uint64_t known = 0;
  return start.compare_exchange_strong(known, fresh, std::memory_order_relaxed) ? fresh : known;
}

std::string_view unit_of(const description& d) {
  const std::string_view unit = d.name.substr(d.name.find(':') + 1);
  if (unit == "bytes") return "By";
  if (unit == "seconds" || unit == "cpu-seconds") return "s";
  if (unit == "percent") return "%";
  return "1";
}

// "/gc/heap/live:bytes" -> "lull.gc.heap.live"
void write_name(TextWriter& out, const description& d) {
  out << "\"lull";
  for (char c : d.name.substr(0, d.name.find(':'))) out << (c == '/' ? '.' : c);
  // Names that differ in their unit only.
  const std::string_view unit = d.name.substr(d.name.find(':') + 1);
  if (unit == "objects" || unit == "cpu-seconds") out << '.' << (unit == "objects" ? "objects" : "time");
  out << '"';
}

void write_histogram(TextWriter& out, const histogram& h, const Times& times) {
  out << "\"histogram\":{" << kCumulativeTemporality << ",\"dataPoints\":[{";
  write_times(out, times);
  out << ",\"count\":\"" << h.count << "\",\"sum\":" << static_cast<double>(h.sum_ns) * 1e-9 << ",\"bucketCounts\":[";
  Comma comma;
  std::uint64_t below = 0;
  for (unsigned k = MetricsSnapshot::kFirstBound; k <= MetricsSnapshot::kLastBound; ++k) {
    const std::uint64_t up_to = gc::count_up_to(h, MetricsSnapshot::bound_ns(k));
    out << comma << '"' << up_to - below << '"';
    below = up_to;
  }
  out << ",\"" << h.count - below << "\"],\"explicitBounds\":[";
  Comma another;
  for (unsigned k = MetricsSnapshot::kFirstBound; k <= MetricsSnapshot::kLastBound; ++k)
    out << another << static_cast<double>(MetricsSnapshot::bound_ns(k)) * 1e-9;
  out << ']';
  if (h.count != 0) out << ",\"max\":" << static_cast<double>(h.max_ns) * 1e-9;
  out << "}]}";
}

void write_number(TextWriter& out, const description& d, const sample& s, const Times& times) {
  if (d.cumulative) out << "\"sum\":{" << kCumulativeTemporality << ",\"isMonotonic\":true,\"dataPoints\":[{";
  else out << "\"gauge\":{\"dataPoints\":[{";
  write_times(out, times);
  if (d.kind == value_kind::uint64) out << ",\"asInt\":\"" << s.u << "\"}]}";
  else out << ",\"asDouble\":" << s.f << "}]}";
}

void write_types(TextWriter& out, Comma& comma, const MetricsSnapshot& snapshot, const Times& times) {
  if (snapshot.types().empty()) return;
  out << comma << "{\"name\":\"lull.type.live\",\"description\":\"Objects of a type after the last full cycle.\",\"unit\":\"By\",\"gauge\":{\"dataPoints\":[";
  Comma points;
  for (const type_stats& t : snapshot.types()) {
    out << points << '{';
    write_times(out, times);
    out << ",\"attributes\":[{\"key\":\"type\",\"value\":{\"stringValue\":";
    out.json(t.name) << "}}],\"asInt\":\"" << t.live_bytes << "\"}";
  }
  out << "]}}";
}

}  // namespace

void write_otlp(const text_sink& to, const export_options& options) {
  const MetricsSnapshot snapshot(options.most_types);
  const std::uint64_t now = os::wall_ns();
  const Times times{start_of_counting(now), now};
  TextWriter out(to);
  out << R"({"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":)";
  out.json(options.service_name) << R"(}},{"key":"process.pid","value":{"intValue":")" << std::uint64_t(::getpid()) << R"("}}]},)"
                                 << R"("scopeMetrics":[{"scope":{"name":"lull"},"metrics":[)";
  Comma comma;
  snapshot.for_each([&](const description& d, const sample& s) {
    if (!gc::has_value(s)) return;
    out << comma << "{\"name\":";
    write_name(out, d);
    out << ",\"description\":";
    out.json(d.help) << ",\"unit\":\"" << unit_of(d) << "\",";
    if (d.kind == value_kind::histogram) write_histogram(out, *s.durations, times);
    else write_number(out, d, s, times);
    out << '}';
  });
  write_types(out, comma, snapshot, times);
  out << "]}]}]}\n";
}

}  // namespace lull::metrics

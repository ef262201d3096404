// Prometheus text exposition, https://prometheus.io/docs/instrumenting/exposition_formats/
#include "gc/report/metrics_snapshot.h"
#include "gc/report/text_writer.h"
#include "lull/metrics_export.h"

namespace lull::metrics {
namespace {

using gc::MetricsSnapshot;
using gc::TextWriter;

void write_name(TextWriter& out, const description& d) {
  out << "lull";
  for (char c : d.name) out << (c == '/' || c == ':' || c == '-' ? '_' : c);
  if (d.cumulative && d.kind != value_kind::histogram) out << "_total";
}

void write_head(TextWriter& out, const description& d, const char* type) {
  out << "# HELP ";
  write_name(out, d);
  out << ' ' << d.help << "\n# TYPE ";
  write_name(out, d);
  out << ' ' << type << '\n';
}

void write_histogram(TextWriter& out, const description& d, const histogram& h) {
  write_head(out, d, "histogram");
  for (unsigned k = MetricsSnapshot::kFirstBound; k <= MetricsSnapshot::kLastBound; ++k) {
    const std::uint64_t bound = MetricsSnapshot::bound_ns(k);
    write_name(out, d);
    out << "_bucket{le=\"" << static_cast<double>(bound) * 1e-9 << "\"} " << gc::count_up_to(h, bound) << '\n';
  }
  write_name(out, d);
  out << "_bucket{le=\"+Inf\"} " << h.count << '\n';
  write_name(out, d);
  out << "_sum " << static_cast<double>(h.sum_ns) * 1e-9 << '\n';
  write_name(out, d);
  out << "_count " << h.count << '\n';
}

void write_label(TextWriter& out, std::string_view text) {
  out.characters(text, [&](char c) {
    if (c == '\\' || c == '"') out << '\\';
    if (c == '\n') out << "\\n";
    else out << c;
  });
}

struct TypeMetric {
  const char* name;
  const char* help;
  const char* type;
  std::uint64_t type_stats::* value;
};
constexpr TypeMetric kTypeMetrics[] = {
    {"lull_type_bytes", "Objects of the type, reachable or not swept yet.", "gauge", &type_stats::bytes},
    {"lull_type_live_bytes", "Objects of the type after the last full cycle.", "gauge", &type_stats::live_bytes},
    {"lull_type_live_objects", "Objects of the type after the last full cycle.", "gauge", &type_stats::live_objects},
    {"lull_type_allocated_bytes_total", "Objects of the type allocated.", "counter", &type_stats::total_bytes},
    {"lull_type_allocated_objects_total", "Objects of the type allocated.", "counter", &type_stats::mallocs},
};

void write_types(TextWriter& out, const MetricsSnapshot& snapshot) {
  for (const TypeMetric& m : kTypeMetrics) {
    if (snapshot.types().empty()) return;
    out << "# HELP " << m.name << ' ' << m.help << "\n# TYPE " << m.name << ' ' << m.type << '\n';
    for (const type_stats& t : snapshot.types()) {
      out << m.name << "{type=\"";
      write_label(out, t.name);
      out << "\"} " << t.*m.value << '\n';
    }
  }
}

}  // namespace

void write_prometheus(const text_sink& to, const export_options& options) {
  const MetricsSnapshot snapshot(options.most_types);
  TextWriter out(to);
  snapshot.for_each([&](const description& d, const sample& s) {
    if (d.kind == value_kind::histogram) return write_histogram(out, d, *s.durations);
    if (!gc::has_value(s)) return;
    write_head(out, d, d.cumulative ? "counter" : "gauge");
    write_name(out, d);
    out << ' ';
    if (d.kind == value_kind::uint64) out << s.u << '\n';
    else out << s.f << '\n';
  });
  write_types(out, snapshot);
}

}  // namespace lull::metrics

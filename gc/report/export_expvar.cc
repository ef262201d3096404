// The JSON of Go's expvar: cmdline, memstats, and what lull adds.
#include <fcntl.h>
#include <unistd.h>

#include "gc/report/mem_stats.h"
#include "gc/report/metrics_snapshot.h"
#include "gc/report/text_writer.h"
#include "lull/metrics_export.h"

namespace lull::metrics {
namespace {

using gc::Comma;
using gc::MetricsSnapshot;
using gc::TextWriter;

void write_command_line(TextWriter& out) {
  char text[4096];  // the beginning of a longer one
  const int fd = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? 0 : ::read(fd, text, sizeof text);
  if (fd >= 0) ::close(fd);
  out << "\"cmdline\":[";
  Comma comma;
  for (std::string_view rest(text, n > 0 ? static_cast<std::size_t>(n) : 0); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    out << comma;
    out.json(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  out << ']';
}

struct Field {
  const char* name;
  std::uint64_t mem_stats::* value;
};
constexpr Field kFields[] = {{"Alloc", &mem_stats::alloc},
                             {"TotalAlloc", &mem_stats::total_alloc},
                             {"Sys", &mem_stats::sys},
                             {"Lookups", &mem_stats::lookups},
                             {"Mallocs", &mem_stats::mallocs},
                             {"Frees", &mem_stats::frees},
                             {"HeapAlloc", &mem_stats::heap_alloc},
                             {"HeapSys", &mem_stats::heap_sys},
                             {"HeapIdle", &mem_stats::heap_idle},
                             {"HeapInuse", &mem_stats::heap_inuse},
                             {"HeapReleased", &mem_stats::heap_released},
                             {"HeapObjects", &mem_stats::heap_objects},
                             {"StackInuse", &mem_stats::stack_inuse},
                             {"StackSys", &mem_stats::stack_sys},
                             {"MSpanInuse", &mem_stats::mspan_inuse},
                             {"MSpanSys", &mem_stats::mspan_sys},
                             {"MCacheInuse", &mem_stats::mcache_inuse},
                             {"MCacheSys", &mem_stats::mcache_sys},
                             {"BuckHashSys", &mem_stats::buck_hash_sys},
                             {"GCSys", &mem_stats::gc_sys},
                             {"OtherSys", &mem_stats::other_sys},
                             {"NextGC", &mem_stats::next_gc},
                             {"LastGC", &mem_stats::last_gc},
                             {"PauseTotalNs", &mem_stats::pause_total_ns}};

void write_array(TextWriter& out, const char* name, const std::array<std::uint64_t, 256>& values) {
  out << '"' << name << "\":[";
  Comma comma;
  for (std::uint64_t v : values) out << comma << v;
  out << "],";
}

void write_mem_stats(TextWriter& out, const mem_stats& s) {
  out << "\"memstats\":{";
  for (const Field& f : kFields) out << '"' << f.name << "\":" << s.*f.value << ',';
  write_array(out, "PauseNs", s.pause_ns);
  write_array(out, "PauseEnd", s.pause_end);
  out << "\"NumGC\":" << s.num_gc << ",\"NumForcedGC\":" << s.num_forced_gc << ",\"GCCPUFraction\":" << s.gc_cpu_fraction
      << ",\"EnableGC\":" << (s.enable_gc ? "true" : "false") << ",\"DebugGC\":" << (s.debug_gc ? "true" : "false") << ",\"BySize\":[";
  Comma comma;
  for (std::uint32_t i = 0; i < s.by_size_count; ++i)
    out << comma << "{\"Size\":" << s.by_size[i].size << ",\"Mallocs\":" << s.by_size[i].mallocs << ",\"Frees\":" << s.by_size[i].frees << '}';
  out << "]}";
}

void write_durations(TextWriter& out, const histogram& h) {
  out << "{\"count\":" << h.count << ",\"sum_ns\":" << h.sum_ns << ",\"p50_ns\":" << h.quantile_ns(0.5) << ",\"p99_ns\":" << h.quantile_ns(0.99)
      << ",\"p999_ns\":" << h.quantile_ns(0.999) << ",\"max_ns\":" << h.max_ns << '}';
}

void write_metrics(TextWriter& out, const MetricsSnapshot& snapshot) {
  out << "\"lull\":{";
  Comma comma;
  snapshot.for_each([&](const description& d, const sample& s) {
    out << comma;
    out.json(d.name) << ':';
    if (d.kind == value_kind::histogram) write_durations(out, *s.durations);
    else if (d.kind == value_kind::uint64) out << s.u;
    else out << s.f;
  });
  out << '}';
}

void write_types(TextWriter& out, const MetricsSnapshot& snapshot) {
  out << "\"types\":[";
  Comma comma;
  for (const type_stats& t : snapshot.types()) {
    out << comma << "{\"name\":";
    out.json(t.name) << ",\"mallocs\":" << t.mallocs << ",\"frees\":" << t.frees << ",\"bytes\":" << t.bytes << ",\"total_bytes\":" << t.total_bytes
                     << ",\"live_objects\":" << t.live_objects << ",\"live_bytes\":" << t.live_bytes << '}';
  }
  out << ']';
}

// Apart, so that not both large records are on the stack at once.
[[gnu::noinline]] void write_mem_stats(TextWriter& out) {
  mem_stats s;
  gc::gather_mem_stats(s, {});
  write_mem_stats(out, s);
}
[[gnu::noinline]] void write_snapshot(TextWriter& out, std::size_t most_types) {
  const MetricsSnapshot snapshot(most_types);
  write_metrics(out, snapshot);
  out << ",\n";
  write_types(out, snapshot);
}

}  // namespace

void write_expvar(const text_sink& to, const export_options& options) {
  TextWriter out(to);
  out << "{\n";
  write_command_line(out);
  out << ",\n";
  write_mem_stats(out);
  out << ",\n";
  write_snapshot(out, options.most_types);
  out << "\n}\n";
}

}  // namespace lull::metrics

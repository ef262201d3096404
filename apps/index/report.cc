#include "apps/index/report.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "apps/index/collector_plots.h"
#include "apps/index/comparison.h"
#include "apps/index/flame.h"
#include "apps/index/format.h"
#include "apps/index/glance.h"
#include "apps/index/plot.h"

namespace index_service {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

constexpr const char* kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 900px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.1em; margin: 2em 0 0; }
p.sub { color: #666; margin-top: .2em; } p.legend { margin: .3em 0; font-size: .9em; }
p.legend span { margin-right: 1.4em; white-space: nowrap; } p.legend i { display: inline-block; width: 22px; margin-right: 6px; vertical-align: middle; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: #555; }
.grid { stroke: #eee; } .axis { stroke: #999; }
table { border-collapse: collapse; margin-top: .6em; font-variant-numeric: tabular-nums; }
td, th { padding: .12em 1em .12em 0; text-align: right; white-space: pre; } td:first-child { text-align: left; }
tr.heading td { font-weight: 600; padding-top: .8em; } tr { border-bottom: 1px solid #f3f3f3; }
.scroll { overflow-x: auto; } td:last-child, th:last-child { padding-right: 0; }
svg.flame text { fill: #222; } svg.flame rect:hover { stroke: #222; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 12px; margin: 1.2em 0; }
.tile { background: #f4f6f8; border-radius: 8px; padding: .7em 1em; } .tile b { display: block; font-size: 1.6em; font-weight: 600; }
.tile span { display: block; color: #444; } .tile em { font-style: normal; font-size: .9em; color: #1667b7; }
.narrow { display: none; }
@media (max-width: 600px) {
  body { margin: 1em auto; } .wide { display: none; } .narrow { display: inline; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; } .tile { padding: .5em .7em; } .tile b { font-size: 1.25em; } .tile span, .tile em { font-size: .85em; line-height: 1.3; display: block; }
  .extra { display: none; } table { font-size: .8em; } td, th { padding-right: .6em; } td:first-child, td:last-child { white-space: pre-wrap; overflow-wrap: anywhere; }
}
)";

std::string colour_of(const RunResult& run) { return run.memory == "lull" ? "#1667b7" : "#d1582b"; }

std::string section(const std::string& title, const std::string& what_to_look_for, const std::string& body) {
  return "<h2>" + escape_html(title) + "</h2>\n<p class=\"sub\">" + escape_html(what_to_look_for) + "</p>\n" +
         body;
}

/// 1 us, 10 us, ... 100 s
std::string power_of_ten(double ns) {
  if (ns < 1e6) return format_fixed(ns * 1e-3, 0) + " us";
  return ns < 1e9 ? format_fixed(ns * 1e-6, 0) + " ms" : format_fixed(ns * 1e-9, 0) + " s";
}

/// From 1 us to the slowest query, in powers of ten.
Axis latency_axis(const std::vector<RunResult>& runs) {
  std::uint64_t high = 1000;
  for (const RunResult& run : runs) high = std::max(high, run.latency.max_ns);
  Axis axis{"latency from the scheduled time", Scale::kLog, 1000, static_cast<double>(high), {}};
  for (double value = axis.low; value < 10 * axis.high; value *= 10) {
    axis.ticks.push_back({value, power_of_ten(value)});
  }
  axis.high = axis.ticks.back().value;
  return axis;
}

Axis log_count_axis(const std::string& label, double high) {
  Axis axis{label, Scale::kLog, 0.5, std::max(high * 1.5, 10.0), {}};
  for (double value = 1; value <= axis.high; value *= 10) axis.ticks.push_back({value, format_count(value)});
  return axis;
}

// Eight bars per doubling of the latency. Equally wide in nanoseconds within a doubling, they get narrower on
// the logarithmic axis, so counts are divided by the width drawn.
constexpr std::size_t kBucketsPerBar = lull::histogram::sub_buckets / 8;

std::string latency_histogram(const std::vector<RunResult>& runs) {
  std::vector<Series> series;
  double highest = 1;
  for (const RunResult& run : runs) {
    Series s{run.memory, colour_of(run), {}, LineStyle::kSolid, Fill::kToBottom};
    for (std::size_t i = 0; i < lull::histogram::bucket_count; i += kBucketsPerBar) {
      std::uint64_t count = 0;
      for (std::size_t k = 0; k < kBucketsPerBar; ++k) count += run.latency.buckets[i + k];
      const auto low = static_cast<double>(lull::histogram::bucket_low(i));
      const auto high = static_cast<double>(lull::histogram::bucket_high(i + kBucketsPerBar - 1)) + 1;
      if (high <= 1000 || low > static_cast<double>(run.latency.max_ns)) continue;
      const double density = static_cast<double>(count) / (8 * std::log2(high / low));
      s.points.emplace_back(low, density);
      s.points.emplace_back(high, density);
      highest = std::max(highest, density);
    }
    series.push_back(std::move(s));
  }
  return plot_as_svg(latency_axis(runs), log_count_axis("queries per 1/8 doubling", highest), series);
}

std::string latency_percentiles(const std::vector<RunResult>& runs) {
  std::vector<Series> series;
  double most = 10;
  for (const RunResult& run : runs) {
    Series s{run.memory, colour_of(run), {}, LineStyle::kSolid, Fill::kNone};
    const auto count = static_cast<double>(run.latency.count);
    for (double one_in = 1; one_in < count; one_in *= 1.08) {
      s.points.emplace_back(one_in, static_cast<double>(run.latency.quantile_ns(1 - 1 / one_in)));
    }
    s.points.emplace_back(count, static_cast<double>(run.latency.max_ns));
    most = std::max(most, count);
    series.push_back(std::move(s));
  }
  Axis x{"share of the queries that were answered within the latency", Scale::kLog, 1, most, {}};
  int digits = 0;
  for (double one_in = 10; one_in <= most; one_in *= 10, ++digits) {
    x.ticks.push_back({one_in, format_fixed(100 - 100 / one_in, std::max(0, digits - 1)) + " %"});
  }
  return plot_as_svg(x, latency_axis(runs), series);
}

std::string memory_over_time(const std::vector<RunResult>& runs) {
  std::vector<Series> series;
  std::vector<Marker> markers;
  double seconds = 1, high = 1;
  for (const RunResult& run : runs) {
    Series resident{run.memory + ", resident", colour_of(run), {}, LineStyle::kSolid, Fill::kNone};
    Series heap{run.memory + ", heap", colour_of(run), {}, LineStyle::kDashed, Fill::kNone};
    for (const MemorySample& sample : run.memory_over_time) {
      resident.points.emplace_back(sample.seconds, static_cast<double>(sample.resident_bytes) / kMiB);
      if (sample.heap_bytes != 0)
        heap.points.emplace_back(sample.seconds, static_cast<double>(sample.heap_bytes) / kMiB);
      seconds = std::max(seconds, sample.seconds);
      high = std::max({high, resident.points.back().second, static_cast<double>(sample.heap_bytes) / kMiB});
    }
    markers.push_back({run.load_seconds, run.memory + ": all documents loaded", colour_of(run)});
    series.push_back(std::move(resident));
    if (!heap.points.empty()) series.push_back(std::move(heap));
  }
  const Axis x{"seconds since the start", Scale::kLinear, 0, seconds, round_ticks(seconds, 10)};
  const Axis y{"MiB", Scale::kLinear, 0, high * 1.05, round_ticks(high * 1.05, 6)};
  return plot_as_svg(x, y, series, markers);
}

std::string table(const std::vector<RunResult>& runs) {
  std::string html = "<div class=\"scroll\"><table>\n<tr><th></th>";
  for (const RunResult& run : runs) html += "<th>" + escape_html(run.memory) + "</th>";
  html += "</tr>\n";
  for (const TableRow& row : compare_runs(runs)) {
    html += row.cells.empty() ? "<tr class=\"heading\"><td colspan=\"3\">" : "<tr><td>";
    html += escape_html(row.label) + "</td>";
    for (const std::string& cell : row.cells) html += "<td>" + escape_html(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

/// What only a run with a collector has.
std::string collector_sections(const RunResult& run) {
  return section("How fast memory is allocated",
                 "The height is what the collector has to keep up with; a steady line is easy work, spikes are what it has to plan for.",
                 allocation_rate(run)) +
         section("What is alive, by type",
                 "A band that goes on growing after everything is loaded is a leak or a cache without a bound; level bands are fine.",
                 live_heap_by_type(run)) +
         section("How long the collector held up threads",
                 "Look at the right end: the longest interruptions are what a user could feel, and there should be few beyond 1 ms.",
                 interruption_histogram(run)) +
         section("Time left to the program",
                 "Pick a window, say the time a request takes: the line is the share of it that a thread had for itself at the worst moment, and "
                 "it should rise fast to 100 %. By the clock: a busy machine lowers it too.",
                 utilisation_plot(run)) +
         section("Who allocates",
                 "Width is bytes: follow the widest bars down from the thread's function to the types in blue; shrinking a wide bar is what "
                 "makes collections rarer.",
                 flame_graph(run.stacks) + top_allocations(run.stacks));
}

}  // namespace

bool write_report(const std::string& path, const std::vector<RunResult>& runs, const std::string& subtitle) {
  std::ofstream out(path);
  out << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\"><title>lull: index service</title>\n<style>"
      << kStyle
      << "</style></head><body>\n<h1>Index service: one program, two kinds of memory</h1>\n<p class=\"sub\">"
      << escape_html(subtitle) << "</p>\n"
      << at_a_glance(runs)
      << section("Query latency",
                 "Look at the right end: how far the tail reaches, not how high the hill is (both axes "
                 "are logarithmic).",
                 latency_histogram(runs))
      << section("Latency by share of queries",
                 "Lower is better; where a line bends up, the slow queries begin.", latency_percentiles(runs))
      << section("Memory over time",
                 "After loading, no line should climb for long, since the index is replaced and does not "
                 "grow; the teeth of "
                 "the dashed line are garbage and its collections.",
                 memory_over_time(runs));
  for (const RunResult& run : runs)
    if (!run.collector.pauses.empty()) out << collector_sections(run);
  out << section("Figures",
                 "Latency counts from the time a query was scheduled; pauses are those of single threads, "
                 "since the start of the process.",
                 table(runs))
      << "</body></html>\n";
  out.close();
  return !out.fail();
}

}  // namespace index_service

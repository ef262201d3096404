#include "apps/index/collector_plots.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "apps/index/format.h"
#include "apps/index/plot.h"

namespace index_service {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr const char* kColours[] = {"#1667b7", "#e08a2e", "#3a9a5b", "#b8459b", "#c9b227", "#6d6fc4", "#bbbbbb"};

Axis time_axis(const RunResult& run) {
  const double seconds = run.memory_over_time.empty() ? 1 : std::max(1.0, run.memory_over_time.back().seconds);
  return {"seconds since the start", Scale::kLinear, 0, seconds, round_ticks(seconds, 10)};
}

Marker loaded(const RunResult& run) { return {run.load_seconds, "all documents loaded", "#888888"}; }

/// 1 us, 10 us, ... 10 s
std::string duration_tick(double ns) {
  if (ns < 999.5) return format_fixed(ns, 0) + " ns";
  if (ns < 999.5e3) return format_fixed(ns * 1e-3, 0) + " us";
  return ns < 999.5e6 ? format_fixed(ns * 1e-6, 0) + " ms" : format_fixed(ns * 1e-9, 0) + " s";
}

Axis duration_axis(const std::string& label, double low, double high) {
  Axis axis{label, Scale::kLog, low, low, {}};
  for (double value = low;; value *= 10) {
    axis.ticks.push_back({value, duration_tick(value)});
    axis.high = value;
    if (value >= high) return axis;
  }
}

/// Types that were small all the time are one: a plot with thirty colours tells nothing.
std::vector<TypeOverTime> largest_types(const RunResult& run) {
  std::vector<TypeOverTime> types = run.types;
  const auto peak = [](const TypeOverTime& t) { return t.live_bytes.empty() ? 0 : *std::ranges::max_element(t.live_bytes); };
  std::ranges::stable_sort(types, std::ranges::greater(), peak);
  constexpr std::size_t kShown = std::size(kColours) - 1;
  if (types.size() <= kShown) return types;
  TypeOverTime others{"others", std::vector<std::uint64_t>(run.memory_over_time.size())};
  for (std::size_t t = kShown; t < types.size(); ++t)
    for (std::size_t i = 0; i < others.live_bytes.size(); ++i) others.live_bytes[i] += types[t].live_bytes[i];
  types.resize(kShown);
  types.push_back(others);
  return types;
}

}  // namespace

// Over half a second: shorter stretches show when spans were counted, not when objects were made.
std::string allocation_rate(const RunResult& run) {
  constexpr std::size_t kSamples = 5;
  Series s{"allocated", kColours[0], {}, LineStyle::kSolid, Fill::kToBottom};
  double high = 1;
  for (std::size_t i = kSamples; i < run.memory_over_time.size(); ++i) {
    const MemorySample &from = run.memory_over_time[i - kSamples], &to = run.memory_over_time[i];
    if (to.seconds <= from.seconds) continue;
    const double rate = static_cast<double>(to.allocated_bytes - from.allocated_bytes) / kMiB / (to.seconds - from.seconds);
    s.points.emplace_back((from.seconds + to.seconds) / 2, rate);
    high = std::max(high, rate);
  }
  const Axis y{"MiB per second", Scale::kLinear, 0, high * 1.1, round_ticks(high * 1.1, 6)};
  return plot_as_svg(time_axis(run), y, {s}, {loaded(run)});
}

// Stacked: the sum of all is drawn first, then what is below it.
std::string live_heap_by_type(const RunResult& run) {
  const std::vector<TypeOverTime> types = largest_types(run);
  std::vector<Series> series;
  std::vector<double> below(run.memory_over_time.size());
  double high = 1;
  for (std::size_t t = 0; t < types.size(); ++t) {
    Series s{types[t].type, kColours[t], {}, LineStyle::kSolid, Fill::kSolid};
    for (std::size_t i = 0; i < below.size(); ++i) {
      below[i] += static_cast<double>(types[t].live_bytes[i]) / kMiB;
      high = std::max(high, below[i]);
      s.points.emplace_back(run.memory_over_time[i].seconds, below[i]);
    }
    series.insert(series.begin(), s);
  }
  const Axis y{"MiB, after the newest full collection", Scale::kLinear, 0, high * 1.1, round_ticks(high * 1.1, 6)};
  return plot_as_svg(time_axis(run), y, series, {{run.load_seconds, "", "#ffffff"}});
}

std::string interruption_histogram(const RunResult& run) {
  constexpr std::size_t kPerBar = lull::histogram::sub_buckets / 4;  // four bars a doubling
  std::vector<Series> series;
  double highest = 10;
  std::uint64_t longest = 10'000;
  for (const PauseFigures& p : run.collector.pauses) {
    if (p.kind == "allocation_slow_path" || p.count == 0) continue;
    Series s{p.kind == "handshake" ? "answering the collector" : p.kind == "assist" ? "helping it to mark" : p.kind,
             kColours[series.size()], {}, LineStyle::kSolid, Fill::kToBottom};
    for (std::size_t i = 2 * lull::histogram::sub_buckets; i < lull::histogram::bucket_count; i += kPerBar) {
      const auto from = p.durations.buckets.begin() + static_cast<std::ptrdiff_t>(i);
      const auto low = static_cast<double>(lull::histogram::bucket_low(i)), high = static_cast<double>(lull::histogram::bucket_high(i + kPerBar - 1)) + 1;
      if (low > static_cast<double>(p.max_ns) || low < 100) continue;
      const double density = static_cast<double>(std::accumulate(from, from + kPerBar, std::uint64_t{0})) / (4 * std::log2(high / low));
      s.points.emplace_back(low, density);
      s.points.emplace_back(high, density);
      highest = std::max(highest, density);
    }
    longest = std::max(longest, p.max_ns);
    series.push_back(std::move(s));
  }
  Axis y{"times, per 1/4 doubling", Scale::kLog, 0.5, highest * 1.5, {}};
  for (double value = 1; value <= y.high; value *= 10) y.ticks.push_back({value, format_count(value)});
  return plot_as_svg(duration_axis("how long a thread of the program was held up", 100, static_cast<double>(longest)), y, series);
}

std::string utilisation_plot(const RunResult& run) {
  Series s{"the thread with the least", kColours[0], {}, LineStyle::kSolid, Fill::kToBottom};
  const double seconds = run.memory_over_time.empty() ? 1 : run.memory_over_time.back().seconds;
  for (const Utilisation& u : run.utilisation)
    if (u.window_ns <= seconds * 1e9) s.points.emplace_back(u.window_ns, u.least * 100);
  Axis y{"% of the window left to it", Scale::kLinear, 0, 100, {}};
  for (int percent = 0; percent <= 100; percent += 20) y.ticks.push_back({static_cast<double>(percent), std::to_string(percent) + " %"});
  return plot_as_svg(duration_axis("length of the window", 10e3, std::min(seconds * 1e9, 10e9)), y, {s});
}

}  // namespace index_service

// lull::metrics: a table of names and functions, and what they need, each part read at most once a call.
#include "lull/metrics.h"

#include <algorithm>
#include <optional>

#include "alloc/os/thread.h"
#include "alloc/pages/memory_limit.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/mark/assist.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/report/cycle_log.h"
#include "gc/report/memory_figures.h"
#include "gc/report/object_counts.h"
#include "gc/report/quiet.h"
#include "gc/weak/destructors.h"

namespace lull {
namespace gc {
namespace {

using metrics::description;
using metrics::value_kind;

class Sources {
 public:
  const ObjectCounts& objects() { return heap().objects; }
  const MemoryFigures& memory() { return heap().memory; }
  const CycleTotals& cycles() {
    if (!cycles_) cycles_ = cycle_totals();
    return *cycles_;
  }
  DestructorCounts destructors() {
    if (!destructors_) destructors_ = destructor_counts();
    return *destructors_;
  }

 private:
  struct Heap {
    ObjectCounts objects;
    MemoryFigures memory;
  };
  const Heap& heap() {
    if (heap_) return *heap_;
    heap_.emplace();
    heap_->memory = memory_figures_with([&] {
      for_each_class([&](const SpanClass&, const ObjectCounts& counts) { heap_->objects += counts; });
    });
    return *heap_;
  }
  std::optional<Heap> heap_;
  std::optional<CycleTotals> cycles_;
  std::optional<DestructorCounts> destructors_;
};

struct Metric {
  description told;
  std::uint64_t (*count)(Sources&) = nullptr;
  double (*number)(Sources&) = nullptr;
  const HistogramRecorder* recorder = nullptr;
};

using S = Sources;
constexpr bool kCumulative = true;
constexpr double kNsPerSecond = 1e9;

// Not consteval: clang 14 makes functions without a body of the lambdas then, and every read of a metric jumped into nothing. Found by
// tests/fuzz/reports.cc, the first to run metrics that clang had compiled.
constexpr Metric counter(std::string_view name, std::string_view help, std::uint64_t (*count)(S&)) {
  return {{name, help, value_kind::uint64, kCumulative}, count};
}
constexpr Metric gauge(std::string_view name, std::string_view help, std::uint64_t (*count)(S&)) {
  return {{name, help, value_kind::uint64, !kCumulative}, count};
}
constexpr Metric seconds(std::string_view name, std::string_view help, double (*number)(S&)) {
  return {{name, help, value_kind::float64, kCumulative}, nullptr, number};
}
constexpr Metric durations(std::string_view name, std::string_view help, const HistogramRecorder& recorder) {
  return {{name, help, value_kind::histogram, kCumulative}, nullptr, nullptr, &recorder};
}

std::uint64_t relaxed(const std::atomic<std::uint64_t>& value) { return value.load(std::memory_order_relaxed); }

// Sorted by name.
constexpr Metric kMetrics[] = {
    seconds("/cpu/classes/gc/mark/assist:cpu-seconds", "Processor time of allocating threads in assists.",
            [](S& s) { return static_cast<double>(s.cycles().assist_cpu_ns) / kNsPerSecond; }),
    seconds("/cpu/classes/gc/mark/dedicated:cpu-seconds", "Processor time of the collector's threads, sweeping included.",
            [](S& s) { return static_cast<double>(s.cycles().gc_cpu_ns) / kNsPerSecond; }),
    seconds("/cpu/classes/gc/total:cpu-seconds", "Processor time of collecting: the collector's threads and assists.",
            [](S& s) { return static_cast<double>(s.cycles().gc_cpu_ns + s.cycles().assist_cpu_ns) / kNsPerSecond; }),
    seconds("/cpu/classes/total:cpu-seconds", "Processor time that was there for the process since lull started.",
            [](S& s) { return static_cast<double>(s.cycles().uptime_ns) / kNsPerSecond * os::processors(); }),
    durations("/gc/allocs/slow:seconds", "Allocations that left the span they had, assists included.", slow_allocations),
    durations("/gc/assists:seconds", "Single assists: scan work that an allocation had to do.", assists.duration),
    counter("/gc/cycles/aborted:gc-cycles", "Cycles given up because memory for grey objects ran out.",
            [](S&) { return std::uint64_t{cycle_counts().aborted}; }),
    counter("/gc/cycles/automatic:gc-cycles", "Cycles that the pacer started.",
            [](S& s) { return std::uint64_t{s.cycles().cycles} - s.cycles().forced; }),
    counter("/gc/cycles/forced:gc-cycles", "Cycles that the program asked for.", [](S& s) { return std::uint64_t{s.cycles().forced}; }),
    counter("/gc/cycles/total:gc-cycles", "Completed cycles, young ones included.", [](S& s) { return std::uint64_t{s.cycles().cycles}; }),
    counter("/gc/cycles/young:gc-cycles", "Completed young cycles.", [](S& s) { return std::uint64_t{s.cycles().young}; }),
    gauge("/gc/destructors/pending:objects", "Unreachable objects whose destructor has not run, and callbacks.",
          [](S& s) { return s.destructors().queued - s.destructors().run; }),
    counter("/gc/destructors/run:objects", "Destructors and callbacks that ran.", [](S& s) { return s.destructors().run; }),
    gauge("/gc/gogc:percent", "Heap growth until the next cycle ends, per cent of what survived; 2^64-1: off.",
          [](S&) { return static_cast<std::uint64_t>(std::int64_t{pacing.gc_percent()}); }),
    gauge("/gc/gomemlimit:bytes", "The soft memory limit; 2^64-1: none.", [](S&) { return std::uint64_t{pages::memory_limit()}; }),
    counter("/gc/handshakes/async:answers", "Handshakes that a thread answered in its signal handler.",
            [](S&) { return relaxed(handshake_stats.async_answers); }),
    durations("/gc/handshakes/to-safepoint:seconds", "From a handshake's request until a thread begins to answer it; it goes on with its own work meanwhile.",
              handshake_stats.time_to_safepoint),
    counter("/gc/handshakes/total:handshakes", "Handshakes of the collector with all threads.",
            [](S&) { return relaxed(handshake_stats.rounds); }),
    counter("/gc/heap/allocs:bytes", "Bytes of managed objects allocated.", [](S& s) { return s.objects().allocated_bytes; }),
    counter("/gc/heap/allocs:objects", "Managed objects allocated.", [](S& s) { return s.objects().mallocs; }),
    counter("/gc/heap/frees:bytes", "Bytes of managed objects freed.", [](S& s) { return s.objects().freed_bytes; }),
    counter("/gc/heap/frees:objects", "Managed objects freed.", [](S& s) { return s.objects().frees; }),
    gauge("/gc/heap/goal:bytes", "Heap size at which the current or next cycle should end; 2^64-1: none.",
          [](S&) { return pacing.goal(); }),
    gauge("/gc/heap/live:bytes", "Bytes that survived the last cycle.", [](S& s) { return s.cycles().heap_live; }),
    gauge("/gc/heap/objects:objects", "Managed objects, reachable or not swept yet.", [](S& s) { return s.objects().objects(); }),
    durations("/gc/pauses/cpu:seconds", "Processor time of single threads in single handshake operations.", handshake_stats.pause_cpu),
    durations("/gc/pauses:seconds", "Single threads held up by single handshake operations, by the clock.", handshake_stats.pause),
    counter("/gc/stops:stops", "Times all threads were stopped: heap dumps, checking modes.",
            [](S&) { return relaxed(handshake_stats.global_stops); }),
    counter("/gc/young/dirty:cards", "Cards that young cycles found stored into.", [](S& s) { return s.cycles().dirty_cards; }),
    counter("/gc/young/promoted:bytes", "Bytes that survived young cycles and are old since.", [](S& s) { return s.cycles().promoted_bytes; }),
    gauge("/memory/classes/heap/free:bytes", "Free pages that were not given back to the system.",
          [](S& s) { return s.memory().heap_idle() - s.memory().heap_released; }),
    gauge("/memory/classes/heap/objects:bytes", "Managed objects, reachable or not swept yet.", [](S& s) { return s.objects().bytes(); }),
    gauge("/memory/classes/heap/released:bytes", "Free pages given back to the system, or never touched.",
          [](S& s) { return s.memory().heap_released; }),
    gauge("/memory/classes/heap/unused:bytes", "Pages in use but for managed objects: free slots, and blocks of malloc.",
          [](S& s) { return s.memory().heap_inuse - s.objects().bytes(); }),
    gauge("/memory/classes/metadata/mcache/inuse:bytes", "Records of threads.", [](S& s) { return s.memory().mcache_sys; }),
    gauge("/memory/classes/metadata/mspan/free:bytes", "Descriptors of spans that are not in use.",
          [](S& s) { return s.memory().mspan_sys - s.memory().mspan_inuse; }),
    gauge("/memory/classes/metadata/mspan/inuse:bytes", "Descriptors of spans with their bitmaps.",
          [](S& s) { return s.memory().mspan_inuse; }),
    gauge("/memory/classes/metadata/other:bytes", "Page tables and cards.", [](S& s) { return s.memory().gc_sys; }),
    gauge("/memory/classes/other:bytes", "Other records of the library.", [](S& s) { return s.memory().other_sys; }),
    gauge("/memory/classes/total:bytes", "Address space that lull has committed.", [](S& s) { return s.memory().sys(); }),
    gauge("/memory/held:bytes", "All that lull has committed and not given back to the system.",
          [](S& s) { return s.memory().sys() - s.memory().heap_released; }),
    gauge("/memory/inuse:bytes", "What the memory limit counts: pages in use, descriptors, tables and records.",
          [](S& s) { return s.memory().heap_inuse + s.memory().mspan_inuse + s.memory().gc_sys + s.memory().other_sys; }),
    counter("/memory/purged:bytes", "Pages given back to the system since the start.", [](S& s) { return s.memory().purged_total; }),
    gauge("/sched/gomaxprocs:threads", "Processors that the process may use.", [](S&) { return std::uint64_t{os::processors()}; }),
    gauge("/sched/threads:threads", "Threads that use managed objects now.", [](S&) { return std::uint64_t{mutators.count_now()}; }),
};
constexpr std::size_t kCount = std::size(kMetrics);
static_assert(std::is_sorted(std::begin(kMetrics), std::end(kMetrics),
                             [](const Metric& a, const Metric& b) { return a.told.name < b.told.name; }));

constexpr auto kDescriptions = [] {
  std::array<description, kCount> out{};
  for (std::size_t i = 0; i < kCount; ++i) out[i] = kMetrics[i].told;
  return out;
}();

const Metric* metric_named(std::string_view name) {
  const auto* at = std::lower_bound(std::begin(kMetrics), std::end(kMetrics), name,
                                    [](const Metric& m, std::string_view n) { return m.told.name < n; });
  return at != std::end(kMetrics) && at->told.name == name ? at : nullptr;
}

void read_one(metrics::sample& out, Sources& sources) {
  const Metric* metric = metric_named(out.name);
  out.kind = metric == nullptr ? value_kind::bad : metric->told.kind;
  out.u = 0;
  out.f = 0;
  if (metric == nullptr) return;
  if (metric->number != nullptr) {
    out.f = metric->number(sources);
    return;
  }
  if (metric->recorder != nullptr && out.durations != nullptr) *out.durations = metric->recorder->snapshot();
  out.u = metric->count != nullptr ? metric->count(sources) : out.durations != nullptr ? out.durations->count : metric->recorder->count();
  out.f = static_cast<double>(out.u);
}

}  // namespace
}  // namespace gc

namespace metrics {

std::span<const description> all() { return gc::kDescriptions; }

const description* find(std::string_view name) {
  const gc::Metric* metric = gc::metric_named(name);
  return metric == nullptr ? nullptr : &gc::kDescriptions[static_cast<std::size_t>(metric - gc::kMetrics)];
}

void read(std::span<sample> samples) {
  const gc::Quiet quiet;  // locks are taken below
  gc::Sources sources;
  for (sample& s : samples) gc::read_one(s, sources);
}

}  // namespace metrics
}  // namespace lull

// lull::metrics: what is worth watching while a program runs, by name, named like Go's runtime/metrics.
//
//   lull::metrics::sample samples[] = {{"/gc/heap/live:bytes"}, {"/gc/cycles/total:gc-cycles"}};
//   lull::metrics::read(samples);
//
// A name is a path and a unit. all() lists the metrics there are with their meaning; a name that is not there yields
// value_kind::bad, so a program may ask for metrics of a later version. Reading stops nobody and costs microseconds, whatever the
// heap's size and the number of threads; it does not attach the thread. Values that are read in one call and belong
// together fit together: the /memory/classes/ metrics add up to /memory/classes/total:bytes.
// As in mem_stats, objects in the spans that running threads are filling now are not counted yet.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "lull/mem_stats.h"

namespace lull::metrics {

enum class value_kind : std::uint8_t { bad, uint64, float64, histogram };

struct description {
  std::string_view name;
  std::string_view help;
  value_kind kind;
  bool cumulative;  // only grows
};

struct sample {
  std::string_view name;
  lull::histogram* durations = nullptr;  // where the value of a histogram goes; null: only its count, into `u`
  value_kind kind = value_kind::bad;     // set by read(), as are the values:
  std::uint64_t u = 0;                   // uint64; histogram: count
  double f = 0;                          // float64, and the same as `u` otherwise
};

// Sorted by name.
std::span<const description> all();
// nullptr: no such metric.
const description* find(std::string_view name);

void read(std::span<sample> samples);

// A row for each type that was ever allocated, as read_mem_stats() fills them, likewise without attaching the thread.
std::size_t read_types(std::span<type_stats> types);

}  // namespace lull::metrics

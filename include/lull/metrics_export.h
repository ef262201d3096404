// lull::metrics in the formats that monitoring reads. Each function writes one snapshot of everything that metrics::all() lists,
// and of the types with the most bytes. They stop nobody, allocate nothing, need 60 KiB of stack, and do not attach the thread.
//
//   prometheus   text exposition 0.0.4. /gc/heap/live:bytes becomes lull_gc_heap_live_bytes; what only grows ends in _total;
//                durations are histograms in seconds with a bucket for each power of two; types are labels
//   expvar       the JSON that Go's expvar serves: cmdline, and memstats with Go's field names, so what reads those reads these;
//                under "lull" the metrics by name, and under "types" a list
//   otlp         the body of an OTLP/HTTP request in JSON (opentelemetry.proto.collector.metrics.v1), to be sent with POST to
//                .../v1/metrics as application/json
//
// A metric that has no value (no goal, no limit) is left out, but for expvar.
#pragma once

#include <cstddef>
#include <string_view>

#include "lull/text_sink.h"

namespace lull::metrics {

struct export_options {
  std::size_t most_types = 20;                  // those with the most bytes; at most 256
  std::string_view service_name = "lull";       // otlp: the resource's service.name
};

void write_prometheus(const text_sink& to, const export_options& options = {});
void write_expvar(const text_sink& to, const export_options& options = {});
void write_otlp(const text_sink& to, const export_options& options = {});

}  // namespace lull::metrics

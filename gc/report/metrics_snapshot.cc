#include "gc/report/metrics_snapshot.h"

#include <algorithm>

#include "alloc/base/check.h"
#include "gc/report/same_names.h"

namespace lull::gc {

MetricsSnapshot::MetricsSnapshot(std::size_t most_types) {
  const auto all = metrics::all();
  LULL_CHECK(all.size() <= kMostMetrics, "more metrics than exporters have room for");
  std::size_t histograms = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    samples_[i].name = all[i].name;
    if (all[i].kind != metrics::value_kind::histogram) continue;
    LULL_CHECK(histograms < kHistograms, "more histograms than exporters have room for");
    samples_[i].durations = &durations_[histograms++];
  }
  metrics::read(std::span(samples_).first(all.size()));
  const std::size_t rows = merge_same_names(std::span(types_).first(metrics::read_types(types_)));
  const auto more_bytes = [](const type_stats& a, const type_stats& b) { return a.bytes > b.bytes; };
  std::sort(types_.begin(), types_.begin() + static_cast<std::ptrdiff_t>(rows), more_bytes);
  type_count_ = std::min(rows, most_types);
}

}  // namespace lull::gc

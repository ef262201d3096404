// The types of managed objects with the most bytes.
#pragma once

#include <algorithm>
#include <vector>

#include "gc/report/same_names.h"
#include "lull/metrics.h"

namespace lull::debug {

inline constexpr std::size_t kMostTypes = 1000;  // what read_types() cannot tell apart it adds up as "(others)"

inline std::vector<type_stats> largest_types(std::size_t most) {
  std::vector<type_stats> types(kMostTypes);
  types.resize(metrics::read_types(types));
  types.resize(gc::merge_same_names(types));
  std::sort(types.begin(), types.end(), [](const type_stats& a, const type_stats& b) { return a.bytes > b.bytes; });
  if (types.size() > most) types.resize(most);
  return types;
}

}  // namespace lull::debug

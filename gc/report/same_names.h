// Types of one name are one type to whoever reads a report, and a metric with the same labels twice is an error: two files may each
// have a type in a namespace without a name, and programs name C's kinds as they like.
#pragma once

#include <algorithm>
#include <span>

#include "lull/mem_stats.h"

namespace lull::gc {

// Adds them up; returns how many rows there are then, by name.
inline std::size_t merge_same_names(std::span<type_stats> types) {
  std::sort(types.begin(), types.end(), [](const type_stats& a, const type_stats& b) { return a.name < b.name; });
  std::size_t merged = 0;
  for (const type_stats& t : types) {
    if (merged == 0 || types[merged - 1].name != t.name) {
      types[merged++] = t;
      continue;
    }
    type_stats& into = types[merged - 1];
    into.mallocs += t.mallocs;
    into.frees += t.frees;
    into.bytes += t.bytes;
    into.total_bytes += t.total_bytes;
    into.live_objects += t.live_objects;
    into.live_bytes += t.live_bytes;
  }
  return merged;
}

}  // namespace lull::gc

// What holds what: the dominator tree of a dump, retained sizes, and shortest paths from the roots.
//
// An object dominates another if every path from the roots to that one leads through it; its retained size is its own and that of
// all it dominates: what would become garbage with it.
#pragma once

#include "apps/heap/dump.h"

namespace lull::heap_report {

struct Retained {
  std::vector<Object> dominator;        // by object; of kRoots: kRoots
  std::vector<std::uint64_t> bytes;     // retained
  std::vector<Object> order;            // all objects, each after its dominator
};
Retained retained_sizes(const Dump& dump);

// For each object the one before it on a shortest path from the roots.
std::vector<Object> shortest_paths(const Dump& dump);
// From a root's object to `to`.
std::vector<Object> path_to(const std::vector<Object>& before, Object to);

// By type: bytes retained by all objects of the type together (each counted once).
std::vector<std::uint64_t> retained_by_type(const Dump& dump, const Retained& retained);

}  // namespace lull::heap_report

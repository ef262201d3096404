// The dominator tree by type: who holds the bytes, for flame graphs and pprof. Objects whose dominators have the same types, one
// after the other, are one node; chains of one type count as one.
#pragma once

#include <ostream>

#include "apps/heap/reports.h"

namespace lull::heap_report {

struct TypeNode {
  std::uint32_t parent = 0;  // 0: the roots, which are node 0
  std::uint32_t type = 0;
  std::uint64_t objects = 0, bytes = 0;  // themselves
};
std::vector<TypeNode> type_tree(Heap& heap);

// A line a node: types from the roots on, separated by semicolons, and the bytes.
void print_folded(Heap& heap, std::ostream& out);
// profile.proto, not compressed: `go tool pprof` reads it. A node is a sample, its types are the stack; values are objects and bytes, so
// that "cum" is the retained size.
void print_pprof(Heap& heap, std::ostream& out);

}  // namespace lull::heap_report

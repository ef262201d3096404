// The answers of lull-heap, as text.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "apps/heap/dump.h"
#include "apps/heap/retained.h"

namespace lull::heap_report {

// A dump with what the reports ask for, made at first use.
class Heap {
 public:
  explicit Heap(Dump dump) : dump_(std::move(dump)) {}
  const Dump& dump() const { return dump_; }
  const Retained& retained();
  const std::vector<Object>& before();     // on shortest paths
  const References& backwards();
  // "0x...", a type's name, or the start of some: the object that retains most among them; kRoots: none.
  Object find(const std::string& what);

 private:
  Dump dump_;
  Retained retained_;
  std::vector<Object> before_;
  References backwards_;
};

// By type: a whole name means just that type, Session and not SessionCache.
std::vector<bool> types_called(const Dump& dump, std::string_view what);

struct Suspect {
  std::uint64_t bytes;         // retained
  std::uint64_t instances;     // of the holder's type that are held by one dominator; 1: a single object
  Object holder;               // the object, or the dominator of the instances
  std::uint32_t type;
  Object accumulation;         // where the retained size falls apart into many small parts
};
// What alone holds at least `share` of the heap: single objects, and objects of one type below one dominator.
std::vector<Suspect> leak_suspects(Heap& heap, double share);

void print_summary(Heap& heap, std::size_t rows, std::ostream& out);
void print_top(Heap& heap, std::size_t rows, std::ostream& out);
void print_retainers(Heap& heap, const std::string& what, std::size_t rows, std::ostream& out);
void print_dominators(Heap& heap, std::size_t rows, std::ostream& out);
void print_suspects(Heap& heap, double share, std::ostream& out);
void print_difference(Heap& older, Heap& newer, std::size_t rows, std::ostream& out);

}  // namespace lull::heap_report

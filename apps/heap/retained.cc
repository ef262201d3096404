#include "apps/heap/retained.h"

#include <algorithm>

namespace lull::heap_report {
namespace {

// Semi-NCA: Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005, chapter 2. Vertices are the
// numbers of a depth-first search, so that a vertex is larger than all its ancestors.
class Dominators {
 public:
  explicit Dominators(const Dump& dump) : dump_(dump), objects_(dump.objects()), backwards_(dump.references, objects_) {}

  Retained run() {
    search();
    const auto n = static_cast<std::uint32_t>(object_of_.size());
    semi_.resize(n);
    label_.resize(n);
    for (std::uint32_t v = 0; v < n; ++v) semi_[v] = label_[v] = v;
    ancestor_ = parent_;
    idom_ = parent_;
    for (std::uint32_t v = n - 1; v > 0 && n > 0; --v) find_semidominator(v);
    for (std::uint32_t v = 1; v < n; ++v)
      while (idom_[v] > semi_[v]) idom_[v] = idom_[idom_[v]];
    return result();
  }

 private:
  void search() {
    number_.assign(objects_, kUnseen);
    std::vector<std::pair<Object, std::uint32_t>> stack;  // and how many of its references were followed
    visit(kRoots, 0);
    stack.emplace_back(kRoots, 0);
    while (!stack.empty()) {
      auto& [object, followed] = stack.back();
      const auto to = dump_.references.of(object);
      if (followed == to.size()) {
        stack.pop_back();
        continue;
      }
      const Object next = to[followed++];
      if (number_[next] != kUnseen) continue;
      visit(next, number_[object]);
      stack.emplace_back(next, 0);
    }
  }
  void visit(Object o, std::uint32_t parent) {
    number_[o] = static_cast<std::uint32_t>(object_of_.size());
    object_of_.push_back(o);
    parent_.push_back(parent);
  }

  void find_semidominator(std::uint32_t v) {
    std::uint32_t semi = parent_[v];
    for (Object from : backwards_.of(object_of_[v])) {
      const std::uint32_t u = number_[from];
      if (u == kUnseen) continue;
      semi = std::min(semi, u <= v ? u : semi_of_best(u, v));
    }
    semi_[v] = semi;
    label_[v] = v;
  }

  // The least semidominator on the way from u up to, not including, the ancestors of `limit`; shortens the way.
  std::uint32_t semi_of_best(std::uint32_t u, std::uint32_t limit) {
    way_.clear();
    while (ancestor_[u] > limit) {
      way_.push_back(u);
      u = ancestor_[u];
    }
    std::uint32_t best = label_[u], top = ancestor_[u];
    for (auto at = way_.rbegin(); at != way_.rend(); ++at) {
      if (semi_[label_[*at]] > semi_[best]) label_[*at] = best;
      best = label_[*at];
      ancestor_[*at] = top;
    }
    return semi_[best];
  }

  Retained result() const {
    Retained out;
    out.dominator.assign(objects_, kRoots);
    out.bytes = dump_.sizes;
    out.order.reserve(object_of_.size());
    for (std::size_t v = 0; v < object_of_.size(); ++v) {
      out.order.push_back(object_of_[v]);
      out.dominator[object_of_[v]] = object_of_[idom_[v]];
    }
    for (std::size_t v = object_of_.size(); v-- > 1;) out.bytes[out.dominator[object_of_[v]]] += out.bytes[object_of_[v]];
    return out;
  }

  static constexpr std::uint32_t kUnseen = ~0u;
  const Dump& dump_;
  const std::size_t objects_;
  const References backwards_;
  std::vector<std::uint32_t> number_;   // by object
  std::vector<Object> object_of_;       // by vertex, as all below
  std::vector<std::uint32_t> parent_, semi_, label_, ancestor_, idom_, way_;
};

}  // namespace

Retained retained_sizes(const Dump& dump) { return Dominators(dump).run(); }

std::vector<Object> shortest_paths(const Dump& dump) {
  std::vector<Object> before(dump.objects(), kRoots), queue{kRoots};
  std::vector<bool> seen(dump.objects());
  queue.reserve(dump.objects());
  seen[kRoots] = true;
  for (std::size_t i = 0; i < queue.size(); ++i)
    for (Object to : dump.references.of(queue[i])) {
      if (seen[to]) continue;
      seen[to] = true;
      before[to] = queue[i];
      queue.push_back(to);
    }
  return before;
}

std::vector<Object> path_to(const std::vector<Object>& before, Object to) {
  std::vector<Object> path;
  for (; to != kRoots; to = before[to]) path.push_back(to);
  std::reverse(path.begin(), path.end());
  return path;
}

// An object counts unless one of its type dominates it. Walked in the order of the tree with, for each object, whether its
// type is among its dominators: a count by type of the objects on the way.
std::vector<std::uint64_t> retained_by_type(const Dump& dump, const Retained& retained) {
  std::vector<std::uint64_t> bytes(dump.types.size());
  std::vector<std::uint32_t> first_child(dump.objects()), sibling(dump.objects());
  for (auto at = retained.order.rbegin(); at != retained.order.rend(); ++at) {
    if (*at == kRoots) continue;
    sibling[*at] = first_child[retained.dominator[*at]];
    first_child[retained.dominator[*at]] = *at;
  }
  std::vector<std::uint32_t> above(dump.types.size());
  Object o = kRoots;
  for (;;) {
    if (o != kRoots && above[dump.types_of[o]]++ == 0) bytes[dump.types_of[o]] += retained.bytes[o];
    if (first_child[o] != 0) {
      o = first_child[o];
      continue;
    }
    while (o != kRoots) {
      --above[dump.types_of[o]];
      if (sibling[o] != 0) break;
      o = retained.dominator[o];
    }
    if (o == kRoots) return bytes;
    o = sibling[o];
  }
}

}  // namespace lull::heap_report

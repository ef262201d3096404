// A random graph of managed objects of many kinds and sizes beside a model of it in std:: containers: the oracle of what
// is reachable and what every object holds.
//
// batch() changes the graph as a program would: it reaches objects by walking from roots, makes new ones, rewires and
// drops. forget_unreachable() and check() run while nobody changes the graph. All of them belong on threads that end
// afterwards, so that no stack holds what the model thinks is dead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "lull/lull.h"
#include "tests/support/hidden.h"

namespace lull::testing {

// Fixed sizes, with and without trace(). Four edges, then a payload that depends on the object's number.
template <std::size_t kWords>
struct TracedNode {
  ptr<char> edges[4];
  std::uint64_t payload[kWords];
  void trace(tracer& t) const { t(edges); }
};
template <std::size_t kWords>
struct UntracedNode {
  ptr<char> edges[4];
  std::uint64_t payload[kWords];
};
struct ArrayElement {
  std::uint64_t payload;
  ptr<char> edge;
  void trace(tracer& t) const { t(edge); }
};

class RandomGraph {
 public:
  RandomGraph(std::uint64_t seed, std::size_t roots) : random_(seed), roots_(roots), root_edges_(roots) {}

  void batch(int operations) {
    for (int i = 0; i < operations; ++i) change();
  }

  // Of the model: drops what no root reaches. Returns how many objects are left.
  std::size_t forget_unreachable() {
    newest_ = nullptr;
    std::vector<bool> seen(nodes_.size());
    std::vector<std::size_t> todo;
    const auto meet = [&](const Edge& e) {
      if (e.target == kNone || seen[e.target]) return;
      seen[e.target] = true;
      todo.push_back(e.target);
    };
    for (const Edge& e : root_edges_) meet(e);
    while (!todo.empty()) {
      const std::size_t n = todo.back();
      todo.pop_back();
      for (const Edge& e : nodes_[n].edges) meet(e);
    }
    std::size_t left = 0;
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      if (seen[n]) ++left;
      else if (nodes_[n].alive) forget(n);
    }
    return left;
  }

  // How many words of the live objects differ from the model; 0 is right.
  std::size_t check() const {
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < roots_.size(); ++r) wrong += roots_[r].get() != address(root_edges_[r]);
    for (const Node& n : nodes_)
      if (n.alive) wrong += check_node(n);
    return wrong;
  }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  struct Edge {
    std::size_t target = kNone;
    std::size_t offset = 0;  // interior pointers
  };
  struct Node {
    bool alive = false;
    std::uint64_t number = 0;        // of the payload; never used again
    Hidden base;
    std::size_t bytes = 0;           // interior pointers reach [0, bytes), in arrays [0, bytes]
    std::size_t payload_words = 0, payload_at = 0, payload_stride = 8;
    std::size_t edges_at = 0, edge_stride = 8;
    std::vector<Edge> edges;

    ptr<char>& edge(std::size_t i) const { return *reinterpret_cast<ptr<char>*>(base.as<char>() + edges_at + i * edge_stride); }
    std::uint64_t& word(std::size_t i) const {
      return *reinterpret_cast<std::uint64_t*>(base.as<char>() + payload_at + i * payload_stride);
    }
    // Never a pointer into the heap: no address has its highest bits set.
    std::uint64_t pattern(std::size_t i) const { return 0xf000'0000'0000'0000 | (number * 1'000'003 + i) >> 4; }
  };

  std::size_t pick(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  char* address(const Edge& e) const { return e.target == kNone ? nullptr : nodes_[e.target].base.as<char>() + e.offset; }

  std::size_t check_node(const Node& n) const {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n.payload_words; ++i) wrong += n.word(i) != n.pattern(i);
    for (std::size_t i = 0; i < n.edges.size(); ++i) wrong += n.edge(i).get() != address(n.edges[i]);
    return wrong;
  }

  void forget(std::size_t n) {
    nodes_[n] = {};
    free_.push_back(n);
  }

  // A reachable object by a random walk from a random root, or kNone.
  std::size_t walk() {
    std::size_t at = root_edges_[pick(root_edges_.size())].target;
    for (std::size_t steps = pick(8); at != kNone && steps > 0; --steps) {
      if (nodes_[at].edges.empty()) break;
      const Edge& e = nodes_[at].edges[pick(nodes_[at].edges.size())];
      if (e.target == kNone) break;
      at = e.target;
    }
    return at;
  }

  Edge edge_to(std::size_t target) {
    if (target == kNone) return {};
    return {target, pick(2) == 0 ? 0 : pick(nodes_[target].bytes)};
  }

  void set_root(std::size_t r, Edge e) {
    roots_[r] = ptr<char>(address(e));
    root_edges_[r] = e;
  }
  void set_edge(std::size_t node, std::size_t i, Edge e) {
    nodes_[node].edge(i) = ptr<char>(address(e));
    nodes_[node].edges[i] = e;
  }

  // Any place of any object on a walk, or any root.
  void set_anything(Edge e) {
    const std::size_t holder = walk();
    if (holder == kNone || nodes_[holder].edges.empty()) set_root(pick(roots_.size()), e);
    else set_edge(holder, pick(nodes_[holder].edges.size()), e);
  }

  // Puts a new object into some place. Mostly it takes over what was there, so that the graph grows.
  void insert() {
    const std::size_t holder = walk(), fresh = make_node();
    const bool in_root = holder == kNone || nodes_[holder].edges.empty();
    const std::size_t place = pick(in_root ? roots_.size() : nodes_[holder].edges.size());
    const Edge old = in_root ? root_edges_[place] : nodes_[holder].edges[place];
    if (!nodes_[fresh].edges.empty() && pick(20) != 0) set_edge(fresh, pick(nodes_[fresh].edges.size()), old);
    in_root ? set_root(place, edge_to(fresh)) : set_edge(holder, place, edge_to(fresh));
  }

  void change() {
    switch (pick(32)) {
      case 0: return set_anything({});
      case 1: return set_root(pick(roots_.size()), edge_to(walk()));
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
      case 7: return set_anything(edge_to(walk()));
      default: return insert();
    }
  }

  std::size_t make_node() {
    switch (pick(32)) {
      case 0: return make_array_of_pointers(pick(3) == 0 ? 4500 : pick(300));  // 36 KB: a span of its own
      case 1:
      case 2: return make_array_of_structs(pick(60));
      case 3:
      case 4:
      case 5: return make_bytes(pick(10) == 0 ? 40'000 : pick(2000));
      case 6: return make_fixed<TracedNode<200>>();
      case 7: return make_fixed<UntracedNode<150>>();
      case 8: return make_fixed<TracedNode<5000>>();
      case 9:
      case 10:
      case 11: return make_fixed<UntracedNode<3>>();
      case 12:
      case 13:
      case 14: return make_fixed<TracedNode<30>>();
      default: return make_fixed<TracedNode<2>>();
    }
  }

  std::size_t add(Node n) {
    n.alive = true;
    n.number = ++numbers_;
    // Atomic: conservative scans and check_trace read every word of a new object meanwhile.
    for (std::size_t i = 0; i < n.payload_words; ++i) __atomic_store_n(&n.word(i), n.pattern(i), __ATOMIC_RELAXED);
    if (free_.empty()) {
      nodes_.push_back(std::move(n));
      return nodes_.size() - 1;
    }
    const std::size_t at = free_.back();
    free_.pop_back();
    nodes_[at] = std::move(n);
    return at;
  }

  template <class T>
  std::size_t make_fixed() {
    ptr<T> p = make<T>();
    Node n;
    n.base = Hidden(p.get());
    n.bytes = sizeof(T);
    n.payload_at = offsetof(T, payload);
    n.payload_words = sizeof(p->payload) / 8;
    n.edges.resize(4);
    return keep(std::move(n), p.get());
  }
  std::size_t make_array_of_pointers(std::size_t length) {
    ptr<ptr<char>[]> p = make_array<ptr<char>>(length);
    Node n;
    n.base = Hidden(p.get());
    n.bytes = length * sizeof(ptr<char>) + 1;
    n.edges.resize(length);
    return keep(std::move(n), p.get());
  }
  std::size_t make_array_of_structs(std::size_t length) {
    ptr<ArrayElement[]> p = make_array<ArrayElement>(length);
    Node n;
    n.base = Hidden(p.get());
    n.bytes = length * sizeof(ArrayElement) + 1;
    n.payload_words = length;
    n.payload_stride = n.edge_stride = sizeof(ArrayElement);
    n.edges_at = offsetof(ArrayElement, edge);
    n.edges.resize(length);
    return keep(std::move(n), p.get());
  }
  std::size_t make_bytes(std::size_t words) {
    ptr<std::uint64_t[]> p = make_array<std::uint64_t>(words);
    Node n;
    n.base = Hidden(p.get());
    n.bytes = words * 8 + 1;
    n.payload_words = words;
    return keep(std::move(n), p.get());
  }

  std::size_t keep(Node n, void* object) {
    newest_ = ptr<char>(static_cast<char*>(object));
    return add(std::move(n));
  }

  std::mt19937_64 random_;
  std::vector<root<char>> roots_;
  root<char> newest_;  // holds an object between its making and its first edge
  std::vector<Edge> root_edges_;
  std::vector<Node> nodes_;
  std::vector<std::size_t> free_;
  std::uint64_t numbers_ = 0;
};

}  // namespace lull::testing

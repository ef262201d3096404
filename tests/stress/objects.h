// The managed types of the oracle stress: every object carries a number that is never used again, and words that follow
// from it, so that whoever meets an object can tell whether it is whole.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/containers.h"
#include "lull/lull.h"

namespace lull::stress {

using Id = std::uint64_t;  // 0: none
inline constexpr Id kNone = 0;
inline constexpr std::uint64_t kCheck = 0xf5ee'd0b1'ec70'0000;  // no address has its highest bits set
inline constexpr std::size_t kOwnEdges = 3;

constexpr std::uint64_t pattern(Id id, std::size_t i) { return 0xf000'0000'0000'0000 | ((id * 1'000'003 + i) >> 4); }

// What kind of object it is; the number of words behind the edges and how it is traced differ.
enum class Shape : std::uint8_t { plain, opaque, big, table, bytes, doomed, watcher, keeper, shelf };
inline constexpr std::size_t kShapes = 9;

struct Node {
  explicit Node(Id number) {
    // Atomic: conservative scans read every word of a new object meanwhile.
    __atomic_store_n(&id, number, __ATOMIC_RELAXED);
    __atomic_store_n(&check, number ^ kCheck, __ATOMIC_RELAXED);
  }
  Id id;
  std::uint64_t check;
  ptr<char> edges[kOwnEdges];  // interior pointers too
  void trace(tracer& t) const { t(edges); }

  bool is_whole() const { return (id ^ kCheck) == check && id != kNone; }
};

template <std::size_t kWords>
void fill(std::uint64_t (&words)[kWords], Id id) {
  for (std::size_t i = 0; i < kWords; ++i) __atomic_store_n(&words[i], pattern(id, i), __ATOMIC_RELAXED);
}

struct Plain : Node {
  using Node::Node;
};
struct Opaque : private Node {  // private: no trace() to be seen, so it is scanned conservatively
  explicit Opaque(Id number) : Node(number) { fill(payload, number); }
  std::uint64_t payload[20];
};
struct Big : Node {
  explicit Big(Id number) : Node(number) { fill(payload, number); }
  std::uint64_t payload[4500];  // a span of its own
};
struct Table : Node {  // further edges in an array
  using Node::Node;
  ptr<ptr<char>[]> more;
  void trace(tracer& t) const { t(edges, more); }
};
struct Shelf : Node {  // further edges in a container
  using Node::Node;
  vector<ptr<char>> more;
  void trace(tracer& t) const { t(edges, more); }
};
struct Bytes : Node {  // an array without pointers
  using Node::Node;
  ptr<std::uint64_t[]> words;
  void trace(tracer& t) const { t(edges, words); }
};
struct Doomed : Node {
  using Node::Node;
  Doomed(const Doomed&) = delete;
  Doomed& operator=(const Doomed&) = delete;
  ~Doomed();  // world.cc
};
struct Watcher : Node {
  using Node::Node;
  weak_ptr<Node> watched[2];
  void trace(tracer& t) const { t(edges, watched); }
};
struct Keeper : Node {
  using Node::Node;
  ephemeron_map<Node, Node> map;
  void trace(tracer& t) const { t(edges, map); }
};

}  // namespace lull::stress

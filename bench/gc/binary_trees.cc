// Binary trees (the program of the benchmarks game): one long-lived tree of the given depth, and beside it a great
// number of short-lived trees of every second depth, 67 M nodes for each depth at depth 21. A node is two pointers.
//
//   binary_trees_MEMORY [depth = 21] [threads = 1]
//
// Threads share the short-lived trees of every depth evenly.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include BENCH_MEMORY

namespace {

constexpr int kMinDepth = 4;

template <class Memory>
struct Node {
  using Local = typename Memory::template Local<Node>;

  Node() noexcept : left(nullptr), right(nullptr) {}
  Node(Local l, Local r) noexcept : left(std::move(l)), right(std::move(r)) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(left, right); }

  typename Memory::template Field<Node> left, right;
};

template <class Memory>
typename Node<Memory>::Local build(int depth) {
  if (depth == 0) return Memory::template make<Node<Memory>>();
  auto left = build<Memory>(depth - 1);
  auto right = build<Memory>(depth - 1);
  return Memory::template make<Node<Memory>>(std::move(left), std::move(right));
}

template <class Memory>
long count(const Node<Memory>& tree) {
  if (tree.left == nullptr) return 1;
  return 1 + count<Memory>(*tree.left) + count<Memory>(*tree.right);
}

template <class Memory>
void release(Node<Memory>* tree) {
  if (tree == nullptr) return;
  release<Memory>(tree->left);
  release<Memory>(tree->right);
  Memory::free(tree);
}

template <class Memory>
long build_count_and_drop(int depth) {
  const auto tree = build<Memory>(depth);
  const long nodes = count<Memory>(*tree);
  if constexpr (Memory::explicit_free) release<Memory>(tree);
  return nodes;
}

// The share of one thread of `threads`: trees number `first`, `first + threads`, ...
template <class Memory>
long build_short_lived(int max_depth, int first, int threads) {
  long nodes = 0;
  for (int depth = kMinDepth; depth <= max_depth; depth += 2) {
    const int trees = 1 << (max_depth - depth + kMinDepth);
    for (int i = first; i < trees; i += threads) nodes += build_count_and_drop<Memory>(depth);
  }
  return nodes;
}

template <class Memory>
long build_short_lived_on_all(int max_depth, int threads) {
  std::atomic<long> nodes{0};
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) {
    others.emplace_back([=, &nodes] {
      typename Memory::ThreadScope scope;
      nodes += build_short_lived<Memory>(max_depth, t, threads);
    });
  }
  nodes += build_short_lived<Memory>(max_depth, 0, threads);
  for (auto& thread : others) thread.join();
  return nodes;
}

constexpr long nodes_of(int depth) { return (2L << depth) - 1; }

long short_lived_nodes(int max_depth) {
  long nodes = 0;
  for (int depth = kMinDepth; depth <= max_depth; depth += 2) nodes += (1L << (max_depth - depth + kMinDepth)) * nodes_of(depth);
  return nodes;
}

void check(const char* what, long nodes, long expected) {
  if (nodes == expected) return;
  std::fprintf(stderr, "binary_trees: %s: %ld nodes, but %ld were made\n", what, nodes, expected);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  using bench::Memory;
  const int depth = argc > 1 ? std::stoi(argv[1]) : 21;
  const int threads = argc > 2 ? std::stoi(argv[2]) : 1;
  Memory::begin();
  bench::Report report("binary_trees", Memory::name);
  check("stretch tree", build_count_and_drop<Memory>(depth + 1), nodes_of(depth + 1));
  const auto long_lived = build<Memory>(depth);
  check("short-lived trees", build_short_lived_on_all<Memory>(depth, threads), short_lived_nodes(depth));
  check("long-lived tree", count<Memory>(*long_lived), nodes_of(depth));
  report.add("depth", depth);
  report.add("threads", threads);
  Memory::add_statistics(report);
  report.print();
}

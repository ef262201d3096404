// GCBench (Ellis, Kovac, Boehm): a long-lived tree and a long-lived array of numbers, beside binary trees of growing depth
// that die at once, half of them built from the root down (every node is stored into), half from the leaves up.
//
//   gcbench_MEMORY [depth = 18]

#include "bench/gc/program.h"

namespace {

using bench::Local;
using bench::Memory;

constexpr int kMinDepth = 4;

struct Node {
  Node() noexcept : left(nullptr), right(nullptr) {}
  Node(Local<Node> l, Local<Node> r) noexcept : left(std::move(l)), right(std::move(r)) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(left, right); }

  bench::Field<Node> left, right;
  int numbers[2] = {};
};

constexpr long size_of_tree(int depth) { return (2L << depth) - 1; }

void populate(Node& node, int depth) {
  if (depth == 0) return;
  node.left = Memory::field(Memory::make<Node>());
  node.right = Memory::field(Memory::make<Node>());
  populate(*node.left, depth - 1);
  populate(*node.right, depth - 1);
}

Local<Node> top_down(int depth) {
  auto root = Memory::make<Node>();
  populate(*root, depth);
  return root;
}

Local<Node> bottom_up(int depth) {
  if (depth == 0) return Memory::make<Node>();
  auto left = bottom_up(depth - 1), right = bottom_up(depth - 1);
  return Memory::make<Node>(std::move(left), std::move(right));
}

long count(const Node& tree) { return tree.left == nullptr ? 1 : 1 + count(*tree.left) + count(*tree.right); }

[[maybe_unused]] void release(Node* tree) {
  if (tree == nullptr) return;
  release(&*tree->left);
  release(&*tree->right);
  Memory::free(tree);
}

void drop(const Local<Node>& tree) {
  asm volatile("" ::"r"(&*tree) : "memory");
  if constexpr (Memory::explicit_free) release(&*tree);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("gcbench", argc, argv);
  const int depth = program.next("depth", 18);
  drop(bottom_up(depth + 2));
  const auto long_lived = top_down(depth);
  const std::size_t length = std::size_t{8} << depth;
  auto numbers = Memory::make_array<double>(length);
  for (std::size_t i = 1; i < length / 2; ++i) numbers[i] = 1 / static_cast<double>(i);
  for (int d = kMinDepth; d <= depth; d += 2) {
    const long trees = 2 * size_of_tree(depth + 2) / size_of_tree(d);
    for (long i = 0; i < trees; ++i) drop(top_down(d));
    for (long i = 0; i < trees; ++i) drop(bottom_up(d));
  }
  program.check(count(*long_lived) == size_of_tree(depth), "the long-lived tree lost nodes");
  program.check(numbers[16] == 1.0 / 16, "the long-lived array is damaged");
  return program.end();
}

// Splay tree (as in the Octane benchmarks): a tree whose nodes rotate at every access, each with a payload tree of 31 nodes. A step
// removes the node that was reached last and inserts one with a random key. Old objects are stored into all the time, and
// objects die in another order than they were made.
//
//   splay_MEMORY [nodes = 40000] [steps = 400000]

#include <tuple>

#include "bench/gc/program.h"

namespace {

using bench::Field;
using bench::Local;
using bench::Memory;

constexpr int kPayloadDepth = 4;

struct Payload {
  Payload(Local<Payload> l, Local<Payload> r, std::uint64_t k) noexcept : left(std::move(l)), right(std::move(r)), numbers{k, k} {}
  template <class Tracer>
  void trace(Tracer& t) const { t(left, right); }

  Field<Payload> left, right;
  std::uint64_t numbers[4];
};

struct Node {
  Node(std::uint64_t k, Local<Payload> p) noexcept : left(nullptr), right(nullptr), payload(std::move(p)), key(k) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(left, right, payload); }

  Field<Node> left, right;
  Field<Payload> payload;
  std::uint64_t key;
};

Local<Payload> make_payload(int depth, std::uint64_t key) {
  if (depth == 0) return Memory::make<Payload>(nullptr, nullptr, key);
  auto left = make_payload(depth - 1, key), right = make_payload(depth - 1, key);
  return Memory::make<Payload>(std::move(left), std::move(right), key);
}

[[maybe_unused]] void release(Payload* payload) {
  if (payload == nullptr) return;
  release(&*payload->left);
  release(&*payload->right);
  Memory::free(payload);
}

void drop([[maybe_unused]] const Local<Node>& node) {
  if constexpr (Memory::explicit_free) {
    release(&*node->payload);
    Memory::free(&*node);
  }
}

// Lives on the stack.
class Tree {
 public:
  // Brings the node with the key, or a neighbour of where it would be, to the root (top down, Sleator and Tarjan).
  void splay(std::uint64_t key) {
    if (root_ == nullptr) return;
    auto header = Memory::make<Node>(0, nullptr);
    auto left = header, right = header, current = root_;
    for (;;) {
      if (key < current->key) {
        if (current->left == nullptr) break;
        if (key < current->left->key) {
          auto child = Memory::load(current->left);
          current->left = child->right;
          child->right = Memory::field(current);
          current = child;
          if (current->left == nullptr) break;
        }
        right->left = Memory::field(current);
        right = current;
        current = Memory::load(current->left);
      } else if (key > current->key) {
        if (current->right == nullptr) break;
        if (key > current->right->key) {
          auto child = Memory::load(current->right);
          current->right = child->left;
          child->left = Memory::field(current);
          current = child;
          if (current->right == nullptr) break;
        }
        left->right = Memory::field(current);
        left = current;
        current = Memory::load(current->right);
      } else {
        break;
      }
    }
    left->right = current->left;
    right->left = current->right;
    current->left = header->right;
    current->right = header->left;
    root_ = current;
    Memory::free(&*header);
  }

  // False: the key was there already.
  bool insert(std::uint64_t key) {
    splay(key);
    if (root_ != nullptr && root_->key == key) return false;
    auto node = Memory::make<Node>(key, make_payload(kPayloadDepth, key));
    if (root_ != nullptr) {
      auto [near, far] = key > root_->key ? std::tie(node->left, root_->right) : std::tie(node->right, root_->left);
      (key > root_->key ? node->right : node->left) = far;
      near = Memory::field(root_);
      far = nullptr;
    }
    root_ = node;
    ++size_;
    return true;
  }

  // Removes the node nearest to the key.
  void remove_near(std::uint64_t key) {
    splay(key);
    auto removed = root_;
    if (removed->left == nullptr) {
      root_ = Memory::load(removed->right);
    } else {
      auto right = Memory::load(removed->right);
      root_ = Memory::load(removed->left);
      splay(removed->key);  // now the greatest of the left part is its root, without a right child
      root_->right = Memory::field(right);
    }
    --size_;
    drop(removed);
  }

  std::size_t size() const { return size_; }
  std::size_t count() const { return root_ == nullptr ? 0 : count(*root_); }

 private:
  static std::size_t count(const Node& node) {
    const bool whole = node.payload->numbers[1] == node.key;
    return whole + (node.left == nullptr ? 0 : count(*node.left)) + (node.right == nullptr ? 0 : count(*node.right));
  }

  Local<Node> root_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("splay", argc, argv);
  const auto nodes = program.next<std::size_t>("nodes", 40'000), steps = program.next<std::size_t>("steps", 400'000);
  bench::Random random(1);
  Tree tree;
  while (tree.size() < nodes) tree.insert(random.next());
  for (std::size_t i = 0; i < steps; ++i) {
    while (!tree.insert(random.next())) {
    }
    tree.remove_near(random.next());
  }
  program.check(tree.count() == nodes, "the tree lost nodes");
  return program.end();
}

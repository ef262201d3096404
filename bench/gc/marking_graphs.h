// The heaps that the marking benchmark marks. Each is built on the calling thread and held by one root.
//
//   tree     a binary tree of 48-byte nodes, built bottom up: neighbours in the tree are neighbours in memory
//   grid     32-byte nodes, node i refers to nodes i + 1 and i + 1000: dense, most references find a marked object
//   list     one list of 32-byte nodes: no parallelism at all
//   lists    1000 lists of 32-byte nodes, built one node each in turn
//   wide     one array of references to 32-byte leaves, in order
//   random   32-byte nodes with two references each to random nodes: every reference a cache miss
//   opaque   as random, of a type without trace(): every word is looked at
//   index    the index of apps/index over real text files
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "apps/index/corpus.h"
#include "apps/index/document_words.h"
#include "apps/index/indexer.h"
#include "apps/index/memory_lull.h"
#include "lull/lull.h"

namespace bench {

struct Leaf {
  void trace(lull::tracer& t) const { t(next); }
  lull::ptr<Leaf> next;
  std::uint64_t payload[3] = {};
};

struct TreeNode {
  void trace(lull::tracer& t) const { t(left, right); }
  lull::ptr<TreeNode> left, right;
  std::uint64_t payload[4] = {};
};

struct Pair {
  void trace(lull::tracer& t) const { t(a, b); }
  lull::ptr<Pair> a, b;
  std::uint64_t payload[2] = {};
};

struct OpaquePair {
  lull::ptr<OpaquePair> a, b;
  std::uint64_t payload[2] = {};
};

using Index = index_service::Index<index_service::LullMemory>;

class Graph {
 public:
  static constexpr std::string_view kNames[] = {"tree", "grid", "list", "lists", "wide", "random", "opaque", "index"};

  // About `objects` objects (the index: files below `paths`, as many as there are).
  Graph(std::string_view name, std::size_t objects, const std::vector<std::string>& paths) {
    if (name == "tree") tree_ = make_tree(objects);
    else if (name == "grid") pair_ = make_grid(objects);
    else if (name == "list") leaves_ = make_lists(objects, 1);
    else if (name == "lists") leaves_ = make_lists(objects, 1000);
    else if (name == "wide") leaves_ = make_wide(objects);
    else if (name == "random") pairs_ = make_random<Pair>(objects);
    else if (name == "opaque") opaque_ = make_random<OpaquePair>(objects);
    else if (name == "index") index_ = make_index(objects, paths);
  }

 private:
  static lull::ptr<TreeNode> make_tree(std::size_t objects) {
    if (objects < 3) return lull::make<TreeNode>();
    lull::ptr<TreeNode> left = make_tree(objects / 2), right = make_tree(objects / 2);
    lull::ptr<TreeNode> node = lull::make<TreeNode>();
    node->left = left;
    node->right = right;
    return node;
  }

  static lull::ptr<Pair> make_grid(std::size_t objects) {
    std::vector<lull::root<Pair>> row(1000);
    lull::ptr<Pair> next;
    for (std::size_t i = 0; i < objects; ++i) {
      lull::ptr<Pair> node = lull::make<Pair>();
      node->a = next;
      node->b = row[i % row.size()];
      row[i % row.size()] = node;
      next = node;
    }
    return next;
  }

  static lull::ptr<lull::ptr<Leaf>[]> make_lists(std::size_t objects, std::size_t lists) {
    auto heads = lull::make_array<lull::ptr<Leaf>>(lists);
    for (std::size_t i = 0; i < objects; ++i) {
      lull::ptr<Leaf> node = lull::make<Leaf>();
      node->next = heads[i % lists];
      heads[i % lists] = node;
    }
    return heads;
  }

  static lull::ptr<lull::ptr<Leaf>[]> make_wide(std::size_t objects) {
    auto leaves = lull::make_array<lull::ptr<Leaf>>(objects);
    for (lull::ptr<Leaf>& leaf : leaves) leaf = lull::make<Leaf>();
    return leaves;
  }

  // The root holds one node: the rest is reached by references alone (80 % of the nodes are).
  template <class Node>
  static lull::ptr<Node> make_random(std::size_t objects) {
    auto nodes = lull::make_array<lull::ptr<Node>>(objects);
    for (lull::ptr<Node>& node : nodes) node = lull::make<Node>();
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < objects; ++i) {
      nodes[i]->a = nodes[random() % objects];
      nodes[i]->b = nodes[random() % objects];
    }
    return nodes[0];
  }

  static lull::ptr<Index> make_index(std::size_t files, const std::vector<std::string>& paths) {
    const index_service::Corpus corpus = index_service::find_corpus(paths, files);
    lull::ptr<Index> index = lull::make<Index>(corpus.files.size());
    index_service::DocumentWords words;
    std::string text;
    for (std::size_t i = 0; i < corpus.files.size(); ++i) {
      if (!index_service::read_file(corpus.files[i].path, text)) continue;
      words.assign(text);
      index_service::Indexer<index_service::LullMemory>::replace_document(*index, static_cast<std::uint32_t>(i), words);
    }
    return index;
  }

  lull::root<TreeNode> tree_;
  lull::root<Pair> pair_, pairs_;
  lull::root<lull::ptr<Leaf>[]> leaves_;
  lull::root<OpaquePair> opaque_;
  lull::root<Index> index_;
};

}  // namespace bench

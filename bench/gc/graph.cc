// Graph mutation: nodes with four edges each to any other node, cycles and all. A step sends an edge elsewhere (a store into
// an old object, of a pointer to an old object); every eighth step replaces the list of attributes that a node owns. Nodes live
// for ever, so that explicit free can do it too; with shared_ptr edges count, as they must where nodes are owned by edges.
//
//   graph_MEMORY [nodes = 1000000] [million steps = 20]

#include <array>

#include "bench/gc/program.h"

namespace {

using bench::Field;
using bench::Local;
using bench::Memory;

struct Attribute {
  Attribute(Local<Attribute> n, std::uint64_t v) noexcept : next(std::move(n)), value(v) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(next); }

  Field<Attribute> next;
  std::uint64_t value;
};

struct Node {
  explicit Node(std::uint64_t n) noexcept : attributes(nullptr), number(n) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(edges[0], edges[1], edges[2], edges[3], attributes); }

  std::array<Field<Node>, 4> edges{};
  Field<Attribute> attributes;
  std::uint64_t number;
};

[[maybe_unused]] void release(Attribute* list) {
  while (list != nullptr) Memory::free(std::exchange(list, &*list->next));
}

void replace_attributes(Node& node) {
  [[maybe_unused]] Attribute* old = &*node.attributes;
  Local<Attribute> list = nullptr;
  for (int i = 0; i < 6; ++i) list = Memory::make<Attribute>(std::move(list), node.number);
  node.attributes = Memory::field(std::move(list));
  if constexpr (Memory::explicit_free) release(old);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("graph", argc, argv);
  const auto nodes = program.next<std::size_t>("nodes", 1'000'000), steps = program.next<std::size_t>("millions", 20) * 1'000'000;
  auto table = Memory::make_table<Node>(nodes);
  for (std::size_t i = 0; i < nodes; ++i) {
    table[i] = Memory::field(Memory::make<Node>(i));
    replace_attributes(*table[i]);
  }
  bench::Random random(1);
  for (std::size_t i = 0; i < steps; ++i) {
    const std::uint64_t dice = random.next();
    Node& node = *table[(dice >> 32) % nodes];
    node.edges[dice % 4] = table[(dice >> 8) % nodes];
    if (i % 8 == 0) replace_attributes(node);
  }
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < nodes; ++i) {
    const Node& node = *table[i];
    for (const auto& edge : node.edges) sum += edge == nullptr ? 0 : edge->number;
    program.check(node.attributes->value == i && node.attributes->next->value == i, "an attribute is damaged");
  }
  program.add("sum", sum);
  return program.end();
}

// Large arrays of pointers: shelves of 100,000 cells each. A step replaces the object in a random cell of a random shelf (a
// store into a large old object); every 20,000 steps a shelf is copied into a fresh array, 800 KB at once, and the old one
// dropped.
//
//   arrays_MEMORY [shelves = 20] [million steps = 10]

#include "bench/gc/program.h"

namespace {

using bench::Memory;

constexpr std::size_t kCells = 100'000, kStepsPerCopy = 20'000;

struct Object {
  explicit Object(std::uint64_t n) noexcept : number(n) {}
  template <class Tracer>
  void trace(Tracer&) const {}

  std::uint64_t number, payload[3] = {};
};

struct Shelf {
  Shelf() : cells(Memory::make_table<Object>(kCells)) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(cells); }

  bench::Table<Object> cells;
};

void replace(bench::Field<Object>& cell, std::size_t number) {
  [[maybe_unused]] Object* old = &*cell;
  cell = Memory::field(Memory::make<Object>(number));
  if constexpr (Memory::explicit_free) Memory::free(old);
}

bench::Local<Shelf> copy(Shelf& shelf) {
  auto fresh = Memory::make<Shelf>();
  for (std::size_t i = 0; i < kCells; ++i) fresh->cells[i] = shelf.cells[i];
  return fresh;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("arrays", argc, argv);
  const auto shelves = program.next<std::size_t>("shelves", 20), steps = program.next<std::size_t>("millions", 10) * 1'000'000;
  auto table = Memory::make_table<Shelf>(shelves);
  for (std::size_t s = 0; s < shelves; ++s) {
    table[s] = Memory::field(Memory::make<Shelf>());
    for (std::size_t i = 0; i < kCells; ++i) table[s]->cells[i] = Memory::field(Memory::make<Object>(i));
  }
  bench::Random random(1);
  for (std::size_t step = 0; step < steps; ++step) {
    const std::uint64_t dice = random.next();
    const std::size_t cell = (dice >> 32) % kCells;
    auto& shelf = table[dice % shelves];
    replace(shelf->cells[cell], cell);
    if (step % kStepsPerCopy != 0) continue;
    [[maybe_unused]] Shelf* old = &*shelf;
    shelf = Memory::field(copy(*shelf));
    if constexpr (Memory::explicit_free) Memory::free(old);
  }
  for (std::size_t s = 0; s < shelves; ++s)
    for (std::size_t i = 0; i < kCells; ++i) program.check(table[s]->cells[i]->number == i, "a cell is damaged");
  return program.end();
}

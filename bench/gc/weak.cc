// Weak storm: a table of objects under replacement, and twice as many weak references to them, replaced as well. Each step
// locks one, which must yield an object that is whole, or none; in the end what lives must be found by all its references.
// Explicit free has no weak references: shared_ptr on mimalloc stands in for it.
//
//   weak_MEMORY [thousand objects = 500] [million steps = 5]

#include "bench/gc/program.h"

namespace {

using bench::Local;
using bench::Memory;

struct Object {
  explicit Object(std::uint64_t n) noexcept : number(n), twice(2 * n) {}
  template <class Tracer>
  void trace(Tracer&) const {}

  std::uint64_t number, twice, payload[2] = {};
};

struct Observer {
  explicit Observer(const Local<Object>& object) : weak(Memory::weak_of(object)) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(weak); }

  Memory::Weak<Object> weak;
};

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("weak", argc, argv);
  const auto objects = program.next<std::size_t>("thousands", 500) * 1000, steps = program.next<std::size_t>("millions", 5) * 1'000'000;
  auto table = Memory::make_table<Object>(objects);
  auto observers = Memory::make_table<Observer>(2 * objects);
  for (std::size_t i = 0; i < 2 * objects; ++i) {
    if (i < objects) table[i] = Memory::field(Memory::make<Object>(i));
    observers[i] = Memory::field(Memory::make<Observer>(Memory::load(table[i % objects])));
  }
  bench::Random random(1);
  std::size_t found = 0;
  for (std::size_t step = 0; step < steps; ++step) {
    const std::uint64_t dice = random.next();
    const std::size_t which = (dice >> 32) % objects, observer = dice % (2 * objects);
    if (auto object = Memory::lock(observers[observer]->weak)) {
      ++found;
      program.check(object->twice == 2 * object->number, "lock() yielded a dead object");
    }
    if (step % 2 == 0) table[which] = Memory::field(Memory::make<Object>(which));
    else observers[observer] = Memory::field(Memory::make<Observer>(Memory::load(table[which])));
  }
  program.add("found_percent", static_cast<double>(100 * found) / static_cast<double>(steps));
  for (std::size_t i = 0; i < objects; ++i) {
    const Observer observer(Memory::load(table[i]));
    program.check(&*Memory::lock(observer.weak) == &*table[i], "a living object was not found");
  }
  return program.end();
}

// One thread, a live set of some thousand objects, each replaced at a random time by one of another size:
// sizes skewed small up to 1 KiB, lifetimes geometric. What a program with many kinds of objects does.
//
//   random_lifetimes [slots = 20000] [millions of replacements = 50]

#include <vector>

#include "bench/malloc/object.h"

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  std::vector<bench::Object*> slots(arguments.number(1, 20'000));
  const std::uint64_t replacements = 1'000'000 * arguments.number(2, 50);
  bench::Random random(1);
  std::uint64_t dropped = 0;
  for (std::uint64_t i = 0; i < replacements; ++i) {
    auto& slot = slots[random.below(slots.size())];
    dropped += bench::drop_object(slot);
    slot = bench::make_object(bench::skewed_size(random, 1024));
  }
  for (auto* object : slots) dropped += bench::drop_object(object);
  bench::print_check(replacements, dropped);
}

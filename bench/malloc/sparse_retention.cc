// Much is allocated, all but every 50th object freed, and the program goes on with other sizes: the holes
// between the survivors are the memory that an allocator reuses or loses.
//
//   sparse_retention [rounds = 8] [thousands of objects a round = 1000] [one survivor in = 50]

#include <vector>

#include "bench/malloc/object.h"

namespace {

// Each round's sizes are its own: 16 to 48 bytes, then 32 to 96, ... up to 8 times as much, then again.
std::size_t choose_size(bench::Random& random, std::size_t round) {
  const std::size_t least = std::size_t{16} << (round % 4);
  return least + random.below(2 * least);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t rounds = arguments.number(1, 8);
  const std::size_t objects = 1'000 * arguments.number(2, 1000);
  const std::size_t survivor_every = arguments.number(3, 50);
  bench::Random random(9);
  std::uint64_t dropped = 0;
  std::vector<bench::Object*> survivors;
  std::vector<bench::Object*> round_objects(objects);
  for (std::size_t round = 0; round < rounds; ++round) {
    for (auto& object : round_objects) object = bench::make_object(choose_size(random, round));
    for (std::size_t i = 0; i < objects; ++i) {
      if (i % survivor_every == 0) {
        survivors.push_back(round_objects[i]);
      } else {
        dropped += bench::drop_object(round_objects[i]);
      }
    }
  }
  for (auto* object : survivors) dropped += bench::drop_object(object);
  bench::print_check(rounds * objects, dropped);
}

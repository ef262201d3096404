// Blocks of 64 KiB to 8 MiB come and go at random; half are touched on every page, the others only at their
// ends. The allocator trades faults (memory given back too early) against memory (kept too long).
//
//   large_blocks [slots = 20] [replacements = 24000]

#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kPage = 4096;

bench::Object* make_block(bench::Random& random) {
  auto* block = bench::make_object(bench::log_uniform_size(random, 16, 23));
  if (random.below(2) == 0) return block;
  for (std::size_t at = kPage; at + 1 < block->bytes; at += kPage) {
    reinterpret_cast<volatile char*>(block)[at] = 1;
  }
  return block;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  std::vector<bench::Object*> slots(arguments.number(1, 20));
  const std::size_t replacements = arguments.number(2, 24'000);
  bench::Random random(5);
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < replacements; ++i) {
    auto& slot = slots[random.below(slots.size())];
    dropped += bench::drop_object(slot);
    slot = make_block(random);
  }
  for (auto* block : slots) dropped += bench::drop_object(block);
  bench::print_check(replacements, dropped);
}

// The fast path alone: one thread, one small size at a time.
//
//   fixed_small once | batch [bytes = 16, 32, 64, 128 and 256 in turn] [millions = 150]
//
// once: each object is freed before the next is made. batch: 1,000 are made, then freed, oldest first.

#include <array>
#include <initializer_list>

#include "bench/malloc/object.h"

namespace {

void make_and_drop(std::size_t bytes, std::uint64_t objects) {
  for (std::uint64_t i = 0; i < objects; ++i) bench::drop_object(bench::make_object(bytes));
}

void make_and_drop_batches(std::size_t bytes, std::uint64_t objects) {
  std::array<bench::Object*, 1000> batch;
  for (std::uint64_t done = 0; done < objects; done += batch.size()) {
    for (auto& object : batch) object = bench::make_object(bytes);
    for (auto* object : batch) bench::drop_object(object);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const auto run = arguments.word(1, "once") == "batch" ? make_and_drop_batches : make_and_drop;
  const std::uint64_t objects = 1'000'000 * arguments.number(3, 150);
  if (const std::size_t bytes = arguments.number(2, 0); bytes != 0) {
    run(bytes, objects);
  } else {
    for (const std::size_t size : {16u, 32u, 64u, 128u, 256u}) run(size, objects / 5);
  }
  bench::print_check(objects, objects);
}

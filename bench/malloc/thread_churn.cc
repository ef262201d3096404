// Threads that come and go: each lives for some hundred allocations, frees what its predecessor left, and
// leaves half of its own to its successor. Dear when a thread's first allocation or its exit is dear, or when
// memory stays with the dead.
//
//   thread_churn [lines of succession = 2] [threads a line = 20000] [objects a thread = 400]

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "bench/malloc/object.h"

namespace {

using Legacy = std::vector<bench::Object*>;

std::uint64_t live(Legacy& legacy, std::size_t objects, std::uint64_t seed) {
  bench::Random random(seed);
  std::uint64_t dropped = 0;
  for (auto*& object : legacy) dropped += bench::drop_object(std::exchange(object, nullptr));
  for (std::size_t i = 0; i < objects; ++i) {
    auto* object = bench::make_object(bench::skewed_size(random, 1024));
    if (i % 2 == 0) {
      legacy[i / 2] = object;
    } else {
      dropped += bench::drop_object(object);
    }
  }
  return dropped;
}

std::uint64_t run_line(std::size_t threads, std::size_t objects, std::uint64_t seed) {
  Legacy legacy((objects + 1) / 2);
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    std::thread([&] { dropped += live(legacy, objects, seed + i); }).join();
  }
  for (auto* object : legacy) dropped += bench::drop_object(object);
  return dropped;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t lines = arguments.number(1, 2);
  const std::size_t threads = arguments.number(2, 20'000);
  const std::size_t objects = arguments.number(3, 400);
  std::atomic<std::uint64_t> dropped = 0;
  std::vector<std::thread> starters;
  for (std::size_t i = 0; i < lines; ++i) {
    starters.emplace_back(
        [&, i] { dropped.fetch_add(run_line(threads, objects, i << 32), std::memory_order_relaxed); });
  }
  for (auto& starter : starters) starter.join();
  bench::print_check(lines * threads * objects, dropped.load(std::memory_order_relaxed));
}

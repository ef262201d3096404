// Rounds of threads that each build up and tear down a heap of their own, swapping objects with whoever else
// runs; what is left in the exchange outlives the round. Sizes are mostly small; one in 100 is up to 64 KiB,
// one in 5000 up to 1 MiB.
//
//   rounds [threads = 4] [rounds = 80] [thousands of objects a thread and round = 60]

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kExchange = 1000;

using Exchange = std::vector<std::atomic<bench::Object*>>;

std::size_t choose_size(bench::Random& random) {
  const std::size_t dice = random.below(5000);
  if (dice == 0) return bench::log_uniform_size(random, 16, 20);
  if (dice <= 50) return bench::log_uniform_size(random, 10, 16);
  return bench::skewed_size(random, 512);
}

bench::Object* swap_one(Exchange& exchange, bench::Random& random, bench::Object* object) {
  return exchange[random.below(exchange.size())].exchange(
      object, std::memory_order_acq_rel);  // with the object's bytes
}

std::uint64_t build_up_and_tear_down(Exchange& exchange, std::uint64_t seed, std::size_t objects) {
  bench::Random random(seed);
  std::vector<bench::Object*> heap;  // grows by doubling: itself a part of the load
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < objects; ++i) {
    heap.push_back(bench::make_object(choose_size(random)));
    if (i % 4 == 0) heap.back() = swap_one(exchange, random, heap.back());
    if (i % 2 == 0) dropped += bench::drop_object(std::exchange(heap[random.below(heap.size())], nullptr));
  }
  for (auto* object : heap) dropped += bench::drop_object(object);
  return dropped;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t threads = arguments.number(1, 4);
  const std::size_t rounds = arguments.number(2, 80);
  const std::size_t objects = 1'000 * arguments.number(3, 60);
  Exchange exchange(kExchange);
  std::atomic<std::uint64_t> dropped = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<std::thread> running;
    for (std::size_t i = 0; i < threads; ++i) {
      running.emplace_back([&, seed = round * 100 + i] {
        dropped.fetch_add(build_up_and_tear_down(exchange, seed, objects), std::memory_order_relaxed);
      });
    }
    for (auto& thread : running) thread.join();
  }
  for (auto& object : exchange) dropped += bench::drop_object(object.load(std::memory_order_relaxed));
  bench::print_check(threads * rounds * objects, dropped.load(std::memory_order_relaxed));
}

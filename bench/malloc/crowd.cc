// Many more threads than processors: each replaces random objects of its own, swaps some with whoever left one in the exchange, and gives up its
// processor after each hundred, as threads do that answer requests. Who is preempted holds a lock, or the only memory of a size; what a
// thread costs in memory counts 64 times.
//
//   crowd [threads = 64] [thousands of replacements a thread = 300]

#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kObjects = 1'000;  // of a thread
constexpr std::size_t kExchange = 256;
constexpr std::size_t kSwapEvery = 8;  // smaller: more frees by another thread

using Exchange = std::vector<std::atomic<bench::Object*>>;

std::uint64_t work(Exchange& exchange, std::uint64_t seed, std::size_t replacements) {
  bench::Random random(seed);
  std::vector<bench::Object*> own(kObjects);
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < replacements; ++i) {
    if (i % 100 == 0) sched_yield();
    auto& slot = own[random.below(kObjects)];
    if (i % kSwapEvery == 0) slot = exchange[random.below(kExchange)].exchange(slot, std::memory_order_acq_rel);  // with the object's bytes
    dropped += bench::drop_object(slot);
    slot = bench::make_object(bench::skewed_size(random, 2048));
  }
  for (auto* object : own) dropped += bench::drop_object(object);
  return dropped;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t threads = arguments.number(1, 64);
  const std::size_t replacements = 1'000 * arguments.number(2, 300);
  Exchange exchange(kExchange);
  std::atomic<std::uint64_t> dropped = 0;
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < threads; ++i)
    running.emplace_back([&, i] { dropped.fetch_add(work(exchange, i, replacements), std::memory_order_relaxed); });
  for (auto& thread : running) thread.join();
  for (auto& object : exchange) dropped += bench::drop_object(object.load(std::memory_order_relaxed));
  bench::print_check(threads * replacements, dropped.load(std::memory_order_relaxed));
}

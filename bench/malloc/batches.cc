// Batches of equal objects, freed in different orders: oldest first, newest first, every other one first.
//
//   batches [threads = 1] [own | cross] [rounds = 6000]
//
// Batch sizes fall as object sizes rise. cross: each thread frees the batches of its neighbour.

#include <algorithm>
#include <barrier>
#include <thread>
#include <vector>

#include "bench/malloc/object.h"

namespace {

using Batch = std::vector<bench::Object*>;

void fill(Batch& batch, std::size_t bytes) {
  batch.resize(std::clamp<std::size_t>(200'000 / bytes, 100, 5000));
  for (auto& object : batch) object = bench::make_object(bytes);
}

std::uint64_t drop_every_other(Batch& batch, std::size_t from) {
  std::uint64_t dropped = 0;
  for (std::size_t i = from; i < batch.size(); i += 2) dropped += bench::drop_object(batch[i]);
  return dropped;
}

std::uint64_t drop_all(Batch& batch, std::size_t order) {
  if (order % 3 == 0) return drop_every_other(batch, 0) + drop_every_other(batch, 1);
  if (order % 3 == 1) std::reverse(batch.begin(), batch.end());
  std::uint64_t dropped = 0;
  for (auto* object : batch) dropped += bench::drop_object(object);
  return dropped;
}

struct Worker {
  std::vector<Batch> batches = std::vector<Batch>(8);
  std::uint64_t made = 0;
  std::uint64_t dropped = 0;

  void make(std::size_t round) {
    for (std::size_t i = 0; i < batches.size(); ++i) {
      fill(batches[i], std::size_t{16} + 24 * ((round * 7 + i * 11) % 42));
      made += batches[i].size();
    }
  }
  void drop(std::vector<Batch>& others, std::size_t round) {
    for (std::size_t i = 0; i < others.size(); ++i) dropped += drop_all(others[i], round + i);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  std::vector<Worker> workers(arguments.number(1, 1));
  const std::size_t step = arguments.word(2, "own") == "cross" ? 1 : 0;
  const std::size_t rounds = arguments.number(3, 6000);
  std::barrier all_done(static_cast<std::ptrdiff_t>(workers.size()));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    threads.emplace_back([&, i] {
      for (std::size_t round = 0; round < rounds; ++round) {
        workers[i].make(round);
        if (step != 0) all_done.arrive_and_wait();
        workers[i].drop(workers[(i + step) % workers.size()].batches, round);
        if (step != 0) all_done.arrive_and_wait();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t made = 0, dropped = 0;
  for (const auto& worker : workers) made += worker.made, dropped += worker.dropped;
  bench::print_check(made, dropped);
}

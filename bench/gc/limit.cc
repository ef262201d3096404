// A program near its memory limit: a table of objects that takes most of the limit, replaced without pause by several threads.
//
//   limit [live MiB = 50] [limit MiB = 64] [seconds = 60] [threads = 1]
//
// gc_share is the collector's part of the processors that the program may use; over_goal_max is the largest
// heap at the end of a cycle by its goal; served is how many objects were replaced.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "bench/report.h"
#include "lull/lull.h"

namespace {

struct Entry {
  lull::ptr<Entry> neighbour;
  std::uint64_t payload[15] = {};
  void trace(lull::tracer& t) const { t(neighbour); }
};
static_assert(sizeof(Entry) == 128);

lull::root<lull::atomic_ptr<Entry>[]> table;
std::size_t entries = 0;
std::atomic<bool> stop{false};
std::atomic<std::uint64_t> served{0};

[[gnu::noinline]] void fill() {
  table = lull::make_array<lull::atomic_ptr<Entry>>(entries);
  for (std::size_t i = 0; i < entries; ++i) table[i].store(lull::make<Entry>());
}

void replace(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uint64_t n = 0;
  for (; !stop; ++n) {
    auto fresh = lull::make<Entry>();
    fresh->neighbour = table[random() % entries].load();
    fresh->neighbour->neighbour = nullptr;  // no chains
    table[random() % entries].store(fresh);
  }
  served += n;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, double otherwise) { return i < argc ? std::strtod(argv[i], nullptr) : otherwise; };
  const double live = argument(1, 50), limit = argument(2, 64), seconds = argument(3, 60);
  const auto threads = static_cast<unsigned>(argument(4, 1));
  entries = static_cast<std::size_t>(live * 1048576) / (sizeof(Entry) + sizeof(void*));
  bench::Report report("limit", "lull");
  lull::set_memory_limit(static_cast<std::uint64_t>(limit * 1048576));
  fill();
  const lull::mem_stats before = lull::read_mem_stats();
  const bench::Stopwatch watch;
  std::vector<std::thread> workers;
  for (unsigned t = 0; t < threads; ++t) workers.emplace_back(replace, t);
  double over_goal = 0;
  {
    lull::blocking_region waiting;
    while (watch.seconds() < seconds) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const lull::mem_stats now = lull::read_mem_stats();
      over_goal = std::max(over_goal, static_cast<double>(now.heap_alloc) / static_cast<double>(now.next_gc));
    }
    stop = true;
    for (std::thread& worker : workers) worker.join();
  }
  const double elapsed = watch.seconds();
  const lull::mem_stats after = lull::read_mem_stats();
  const double gc = after.gc_cpu_seconds + after.assist_cpu_seconds - before.gc_cpu_seconds - before.assist_cpu_seconds;
  report.add("gc_share", gc / (elapsed * std::thread::hardware_concurrency()));
  report.add("cycles", after.num_gc - before.num_gc);
  report.add("young_cycles", after.num_young_gc - before.num_young_gc);
  report.add("served", served.load());
  report.add("heap_over_goal_max", over_goal);
  report.add("heap_sys_mib", static_cast<double>(after.heap_sys) / 1048576);
  report.print();
}

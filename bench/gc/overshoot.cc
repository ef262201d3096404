// A storm of allocations: threads that do nothing but allocate, on a machine that may have less processors than that. How far
// does the heap pass its goal?
//
//   overshoot [live MiB = 50] [seconds = 10] [threads = 4] [spinners = 0] [survivors per cent = 10]
//
// Every thread replaces the oldest objects of its part of a live queue by some of those it makes; the others die at once.
// Spinners are threads that know nothing of lull and want a processor all the time, so that handshakes have to wait for threads
// that have none. over_goal_max is the largest heap at the end of a cycle by the cycle's goal, since the start; held is
// how many allocations had to wait for it (gc/pace/brake.h).

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#include "bench/report.h"
#include "lull/lull.h"

namespace {

struct Node {
  lull::ptr<Node> next;
  std::uint64_t payload[7] = {};
  void trace(lull::tracer& t) const { t(next); }
};
static_assert(sizeof(Node) == 64);

std::atomic<bool> stop{false};
std::atomic<std::uint64_t> made{0};

// A queue in arrays of one span: the oldest object is replaced.
[[gnu::noinline]] void storm(std::size_t live, std::uint64_t survivors_of_4096) {
  constexpr std::size_t kPart = 512;
  using Part = lull::ptr<lull::ptr<Node>[]>;
  auto queue = lull::make_array<Part>(live / kPart + 1);
  for (Part& part : queue) {
    part = lull::make_array<lull::ptr<Node>>(kPart);
    for (auto& slot : part) slot = lull::make<Node>();
  }
  std::size_t oldest = 0;
  std::uint64_t n = 0;
  for (std::uint32_t dice = 1; !stop.load(std::memory_order_relaxed); ++n) {
    auto node = lull::make<Node>();
    asm volatile("" ::"r"(node.get()));
    dice = dice * 1664525 + 1013904223;
    if (dice >> 20 >= survivors_of_4096) continue;
    queue[oldest / kPart][oldest % kPart] = node;
    oldest = oldest + 1 < live ? oldest + 1 : 0;
  }
  made += n;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, double otherwise) { return i < argc ? std::strtod(argv[i], nullptr) : otherwise; };
  const double live = argument(1, 50), seconds = argument(2, 10), survivors = argument(5, 10);
  const auto threads = static_cast<unsigned>(argument(3, 4)), spinners = static_cast<unsigned>(argument(4, 0));
  const auto nodes = static_cast<std::size_t>(live * 1048576 / threads / (sizeof(Node) + sizeof(void*)));
  bench::Report report("overshoot", "lull");
  const bench::Stopwatch watch;
  std::vector<std::thread> all;
  for (unsigned t = 0; t < threads; ++t) all.emplace_back(storm, nodes, static_cast<std::uint64_t>(survivors * 40.96));
  for (unsigned t = 0; t < spinners; ++t)
    all.emplace_back([] {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
  {
    lull::blocking_region waiting;
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
    for (std::thread& thread : all) thread.join();
  }
  const double elapsed = watch.seconds();
  const lull::mem_stats s = lull::read_mem_stats();
  report.add("over_goal_max", s.heap_over_goal_max);
  report.add("cycles", s.num_gc);
  report.add("young_cycles", s.num_young_gc);
  report.add("alloc_mib_s", static_cast<double>(made.load()) * sizeof(Node) / 1048576 / elapsed);
  report.add("held", s.held_allocations);
  report.add("hold_max_ms", static_cast<double>(s.hold_max_ns) * 1e-6);
  report.add("alloc_slow_p999_us", static_cast<double>(s.alloc_slow.quantile_ns(0.999)) * 1e-3);
  report.add("gc_cpu_s", s.gc_cpu_seconds);
  report.add("assist_cpu_s", s.assist_cpu_seconds);
  report.print();
}

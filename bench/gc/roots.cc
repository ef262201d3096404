// Roots at scale: cells, threads, stacks.
//
//   roots cells [roots = 1000000] [changed per cent = 1] [cycles = 20]
//       So many lull::root, each to an object of its own; between two young cycles the given part of them is assigned anew, evenly
//       spread. Processor time of the collector in a young and in a full cycle.
//   roots threads [threads = 10000] [at once = 64]
//       Threads that attach, make an object, assign a root and leave, while cycles run back to back. How long that takes a thread
//       by its own clock, and the longest handshake.
//   roots stack [MiB = 8] [cycles = 20]
//       A thread with so much live stack, every other word of it a reference. Its handshakes: median and longest.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <pthread.h>

#include "bench/report.h"
#include "lull/lull.h"

namespace {

struct Node {
  lull::ptr<Node> next;
  std::uint64_t payload[7] = {};
  void trace(lull::tracer& t) const { t(next); }
};

double gc_cpu_ms() {
  const lull::mem_stats s = lull::read_mem_stats();
  return (s.gc_cpu_seconds + s.assist_cpu_seconds) * 1000;
}

double cost_of(void (*cycle)()) {
  const double before = gc_cpu_ms();
  cycle();
  return gc_cpu_ms() - before;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void add_handshakes(bench::Report& report) {
  const lull::histogram pauses = lull::read_mem_stats().handshake;
  report.add("handshake_p50_us", static_cast<double>(pauses.quantile_ns(0.5)) / 1000);
  report.add("handshake_p999_us", static_cast<double>(pauses.quantile_ns(0.999)) / 1000);
  report.add("handshake_max_us", static_cast<double>(pauses.max_ns) / 1000);
}

void cells(bench::Report& report, std::size_t count, double changed, int cycles) {
  lull::set_gc_percent(-1);
  std::vector<lull::root<Node>> roots(count);
  for (auto& root : roots) root = lull::make<Node>();
  lull::collect();
  std::mt19937_64 random(1);
  std::vector<double> young, full;
  for (int i = 0; i < cycles; ++i) {
    const auto part = static_cast<std::size_t>(static_cast<double>(count) * changed / 100);
    for (std::size_t n = 0; n < part; ++n) roots[random() % count] = lull::make<Node>();
    young.push_back(cost_of(lull::collect_young));
  }
  for (int i = 0; i < std::min(cycles, 5); ++i) full.push_back(cost_of(lull::collect));
  report.add("young_cpu_ms", median(young));
  report.add("full_cpu_ms", median(full));
  add_handshakes(report);
}

void come_and_go(std::atomic<std::uint64_t>& next, std::uint64_t threads, std::vector<double>& us, std::atomic<std::size_t>& slot) {
  while (next.fetch_add(1) < threads)
    std::thread([&] {
      const bench::Stopwatch watch;
      lull::root<Node> root = lull::make<Node>();
      root = nullptr;
      us[slot.fetch_add(1)] = watch.seconds() * 1e6;
    }).join();
}

void threads(bench::Report& report, std::uint64_t count, unsigned at_once) {
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::size_t> slot{0};
  std::vector<double> us(count);
  std::vector<std::thread> starters;
  for (unsigned i = 0; i < at_once; ++i) starters.emplace_back([&] { come_and_go(next, count, us, slot); });
  while (slot.load() < count) lull::collect();
  for (std::thread& t : starters) t.join();
  std::sort(us.begin(), us.end());
  report.add("thread_p50_us", us[us.size() / 2]);
  report.add("thread_p99_us", us[us.size() * 99 / 100]);
  report.add("thread_max_us", us.back());
  report.add("cycles", lull::read_mem_stats().num_gc);
  add_handshakes(report);
}

constexpr std::size_t kFrameWords = 512;

// A frame of 4 KiB, every other word a reference; at the bottom the thread polls until it is told to stop.
[[gnu::noinline]] void descend(std::size_t frames, Node* node, const std::atomic<bool>& stop) {
  Node* volatile words[kFrameWords];
  for (std::size_t i = 0; i < kFrameWords; i += 2) {
    words[i] = node;
    words[i + 1] = nullptr;
  }
  if (frames > 1) descend(frames - 1, node, stop);
  else
    while (!stop.load(std::memory_order_relaxed)) lull::safepoint();
  asm volatile("" ::"r"(words) : "memory");
}

struct DeepThread {
  std::size_t frames;
  std::atomic<bool> ready{false}, stop{false};
};

void* deep_main(void* argument) {
  auto& deep = *static_cast<DeepThread*>(argument);
  lull::ptr<Node> node = lull::make<Node>();
  deep.ready = true;
  descend(deep.frames, node.get(), deep.stop);
  return nullptr;
}

void stack(bench::Report& report, std::size_t mib, int cycles) {
  DeepThread deep{.frames = mib * 1048576 / (kFrameWords * sizeof(void*))};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (mib + 4) << 20);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, deep_main, &deep) != 0) std::abort();
  {
    lull::blocking_region waiting;
    while (!deep.ready) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  for (int i = 0; i < cycles; ++i) lull::collect();
  deep.stop = true;
  {
    lull::blocking_region waiting;
    pthread_join(thread, nullptr);
  }
  add_handshakes(report);
  report.add("cycle_cpu_ms", gc_cpu_ms() / cycles);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "cells";
  const auto argument = [&](int i, double otherwise) { return i < argc ? std::strtod(argv[i], nullptr) : otherwise; };
  bench::Report report("roots", "lull");
  report.add("mode", std::string(mode));
  if (mode == "cells") cells(report, static_cast<std::size_t>(argument(2, 1e6)), argument(3, 1), static_cast<int>(argument(4, 20)));
  else if (mode == "threads") threads(report, static_cast<std::uint64_t>(argument(2, 10000)), static_cast<unsigned>(argument(3, 64)));
  else if (mode == "stack") stack(report, static_cast<std::size_t>(argument(2, 8)), static_cast<int>(argument(3, 20)));
  else return 2;
  report.print();
}

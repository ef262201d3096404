// Marking alone: how fast the collector's marker goes through a heap, with one worker and with two.
//
//   marking [graph = all] [objects = 4000000] [workers = 1] [rounds = 5] [seconds before them = 0] [text paths...]
//
// Each round is the mark phase of a full cycle, without the rest: a new cycle number, which makes every mark stale, the
// root cells, and the worklists until they are empty. The program's thread waits meanwhile. The line shows the median round, and how
// much of the heap lay in huge pages afterwards: they come about a second after the graph was built (alloc/pages/huge_pages.h).

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "alloc/pages/page_heap.h"
#include "bench/gc/marking_graphs.h"
#include "bench/report.h"
#include "gc/mark/marker.h"
#include "gc/model/phase.h"
#include "gc/mutator/roots.h"

namespace {

using namespace lull;

struct Round {
  double seconds = 0, cpu_seconds = 0;  // on the clock, and of the first worker's processor
  std::uint64_t objects = 0, bytes = 0;
};

// One worker's life: takes from the pool until all workers find it dry.
void work(gc::Marker& marker, std::atomic<unsigned>& busy) {
  for (;;) {
    while (!marker.drain(256 * 1024)) {
    }
    busy.fetch_sub(1);
    while (gc::grey_pool.empty()) {
      if (busy.load() == 0) return;
      __builtin_ia32_pause();
    }
    busy.fetch_add(1);
  }
}

void mark_roots(gc::Marker& marker) {
  for (gc::RootChunk* chunk = gc::first_root_chunk(); chunk != nullptr; chunk = chunk->next)
    for (std::uintptr_t cell : chunk->cells) marker.mark_word(cell);
}

// No cycle runs, and the program's thread has no cached span (a collection gave them back), so alloc bits are complete.
Round mark_once(unsigned workers) {
  const std::uint32_t cycle = gc::current_cycle.load() + 1;
  gc::current_cycle.store(cycle);
  gc::mark_epoch.store(cycle);
  gc::set_mark_state(gc::MarkState::snapshot);
  gc::set_mark_state(gc::MarkState::marking);
  gc::mark_totals.reset();
  std::atomic<unsigned> busy{workers}, ready{0};
  std::vector<std::thread> others;
  std::atomic<bool> go{false};
  for (unsigned i = 1; i < workers; ++i)
    others.emplace_back([&] {
      gc::Marker marker;
      ready.fetch_add(1);
      while (!go.load()) __builtin_ia32_pause();
      work(marker, busy);
      gc::publish_counts(marker);
    });
  while (ready.load() + 1 < workers) std::this_thread::yield();
  bench::Stopwatch watch;
  const double cpu = bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID);
  go.store(true);
  {
    gc::Marker marker;
    mark_roots(marker);
    work(marker, busy);
    gc::publish_counts(marker);
  }
  const double cpu_seconds = bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
  for (std::thread& t : others) t.join();
  const Round round{watch.seconds(), cpu_seconds, gc::mark_totals.objects.load(), gc::mark_totals.bytes.load()};
  gc::set_mark_state(gc::MarkState::off);
  return round;
}

void run(std::string_view name, std::size_t objects, unsigned workers, int rounds, int wait,
         const std::vector<std::string>& paths) {
  bench::Graph graph(name, objects, paths);
  lull::collect();
  std::this_thread::sleep_for(std::chrono::seconds(wait));
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) all.push_back(mark_once(workers));
  std::sort(all.begin(), all.end(), [](const Round& a, const Round& b) { return a.seconds < b.seconds; });
  const Round& median = all[all.size() / 2];
  const auto rate = [](const Round& r) { return static_cast<double>(r.objects) / r.seconds * 1e-6; };
  std::printf("marking %.*s workers=%u objects=%llu mib=%.0f ns_per_object=%.1f mobjects_per_s=%.1f gbytes_per_s=%.2f best_mobjects_per_s=%.1f cpu_ns_per_object=%.1f huge_mib=%.0f\n",
              static_cast<int>(name.size()), name.data(), workers, static_cast<unsigned long long>(median.objects),
              static_cast<double>(median.bytes) / (1 << 20), 1e3 / rate(median), rate(median),
              static_cast<double>(median.bytes) / median.seconds * 1e-9, rate(all.front()),
              median.cpu_seconds * 1e9 / static_cast<double>(median.objects),
              static_cast<double>(pages::page_heap.stats().huge) / (1 << 20));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view only = argc > 1 ? argv[1] : "all";
  const std::size_t objects = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4'000'000;
  const unsigned workers = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 1;
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 5;
  const int wait = argc > 5 ? std::atoi(argv[5]) : 0;
  std::vector<std::string> paths(argv + std::min(argc, 6), argv + argc);
  if (paths.empty()) paths = {"/usr/include"};
  lull::set_gc_percent(-1);
  for (std::string_view name : bench::Graph::kNames)
    if (only == "all" || only == name) run(name, objects, workers, rounds, wait, paths);
}

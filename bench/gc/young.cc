// Young cycles: what they cost beside a large old heap, and what they save where most objects die early.
//
//   young cycle [old MiB = 1000] [dirty per cent = 1] [cycles = 20]
//       An old heap of 64-byte nodes behind arrays; before each cycle the given part of its cards is dirtied, evenly spread,
//       each by the store of a fresh node. Reports the processor time of the collector in one collect_young(): median, most.
//   young death [live MiB = 100] [survivors per cent = 10] [seconds = 5] [queue | cache]
//       Objects of 64 bytes; of every hundred so many replace an entry of a table of live ones, the oldest (queue) or any
//       (cache: then every card of the table is dirty in every cycle); the others die at once. Run it with
//       LULL_GENERATIONAL=0 too: gc_cpu_s_per_gib is the collector's processor time per GiB allocated.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bench/report.h"
#include "lull/lull.h"

namespace {

struct Node {
  lull::ptr<Node> next, other;
  std::uint64_t payload[6] = {};
  void trace(lull::tracer& t) const { t(next, other); }
};
static_assert(sizeof(Node) == 64);

constexpr std::size_t kMiB = 1 << 20, kCard = 512;

double argument(char** from, char** end, int index, double otherwise) {
  return from + index < end ? std::strtod(from[index], nullptr) : otherwise;
}

double gc_cpu_seconds() {
  const lull::mem_stats s = lull::read_mem_stats();
  return s.gc_cpu_seconds + s.assist_cpu_seconds;
}

lull::root<lull::ptr<Node>[]> table;

[[gnu::noinline]] void fill_table(std::size_t length) {
  table = lull::make_array<lull::ptr<Node>>(length);
  for (std::size_t i = 0; i < length; ++i) table[i] = lull::make<Node>();
}

// Every card of the nodes' spans holds eight nodes; a store into one of them dirties it.
[[gnu::noinline]] void dirty_cards(std::size_t nodes, double per_cent, std::mt19937_64& random) {
  const auto cards = static_cast<std::size_t>(static_cast<double>(nodes * sizeof(Node) / kCard) * per_cent / 100);
  for (std::size_t i = 0; i < cards; ++i) table[random() % nodes]->other = lull::make<Node>();
}

void young_cycle(bench::Report& report, std::size_t mib, double per_cent, int cycles) {
  const std::size_t nodes = mib * kMiB / (sizeof(Node) + sizeof(void*));
  lull::set_gc_percent(-1);
  fill_table(nodes);
  lull::collect();
  std::mt19937_64 random(1);
  std::vector<double> ms;
  for (int i = 0; i < cycles; ++i) {
    dirty_cards(nodes, per_cent, random);
    const double before = gc_cpu_seconds();
    lull::collect_young();
    ms.push_back((gc_cpu_seconds() - before) * 1000);
  }
  std::sort(ms.begin(), ms.end());
  report.add("cpu_ms_median", ms[ms.size() / 2]);
  report.add("cpu_ms_max", ms.back());
  report.add("marked_objects", static_cast<double>(lull::read_mem_stats().marked_objects));
}

void early_death(bench::Report& report, std::size_t mib, double survivors, double seconds, bool queue) {
  const std::size_t nodes = mib * kMiB / (sizeof(Node) + sizeof(void*));
  fill_table(nodes);
  std::mt19937_64 random(1);
  const auto limit = static_cast<std::uint64_t>(survivors / 100 * 4294967296.0);
  const double before = gc_cpu_seconds();
  const std::uint64_t allocated = lull::read_mem_stats().total_alloc;
  const bench::Stopwatch watch;
  std::size_t oldest = 0;
  while (watch.seconds() < seconds)
    for (int i = 0; i < 10'000; ++i) {
      const std::uint64_t dice = random();
      auto node = lull::make<Node>();
      asm volatile("" ::"r"(node.get()));
      if ((dice & 0xffffffff) >= limit) continue;
      table[queue ? oldest : (dice >> 32) % nodes] = node;
      oldest = oldest + 1 < nodes ? oldest + 1 : 0;
    }
  const lull::mem_stats after = lull::read_mem_stats();
  const double gib = static_cast<double>(after.total_alloc - allocated) / 1024 / static_cast<double>(kMiB);
  report.add("gib", gib);
  report.add("gc_cpu_s_per_gib", (gc_cpu_seconds() - before) / gib);
  report.add("cycles", after.num_gc);
  report.add("young_cycles", after.num_young_gc);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "cycle";
  char** const rest = argv + std::min(argc, 2);
  char** const end = argv + argc;
  bench::Report report("young", "lull");
  report.add("mode", std::string(mode));
  if (mode == "cycle")
    young_cycle(report, static_cast<std::size_t>(argument(rest, end, 0, 1000)), argument(rest, end, 1, 1), static_cast<int>(argument(rest, end, 2, 20)));
  else if (mode == "death")
    early_death(report, static_cast<std::size_t>(argument(rest, end, 0, 100)), argument(rest, end, 1, 10), argument(rest, end, 2, 5),
                argc <= 5 || std::string_view(argv[5]) == "queue");
  else
    return 2;
  report.print();
}

// lull/mem_stats.h: its equations hold at any time, and its counts are those of what the program did.
//
// Cases expect a process of their own (ctest).
#include "lull/mem_stats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::blocking_region;
using lull::make;
using lull::make_array;
using lull::mem_stats;
using lull::ptr;
using lull::read_mem_stats;
using lull::root;
using lull::type_stats;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::elsewhere;
using lull::testing::scaled;

struct Node {
  ptr<Node> next;
  std::uint64_t value = 0;
  void trace(lull::tracer& t) const { t(next); }
};
template <std::size_t kBytes>
struct Plain {
  char bytes[kBytes];
};

class MemStats : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count());
}

struct Sums {
  std::uint64_t mallocs = 0, frees = 0, bytes = 0, total_bytes = 0;
};
Sums by_size_sums(const mem_stats& s) {
  Sums sums;
  for (std::uint32_t i = 0; i < s.by_size_count; ++i) {
    sums.mallocs += s.by_size[i].mallocs;
    sums.frees += s.by_size[i].frees;
    sums.bytes += s.by_size[i].size * (s.by_size[i].mallocs - s.by_size[i].frees);
    EXPECT_LE(s.by_size[i].frees, s.by_size[i].mallocs);
  }
  return sums;
}

void expect_types_add_up(const mem_stats& s, std::span<const type_stats> types) {
  Sums sums;
  for (const type_stats& t : types) {
    EXPECT_LE(t.frees, t.mallocs) << t.name;
    EXPECT_LE(t.bytes, t.total_bytes) << t.name;
    EXPECT_FALSE(t.name.empty());
    sums.mallocs += t.mallocs;
    sums.frees += t.frees;
    sums.bytes += t.bytes;
    sums.total_bytes += t.total_bytes;
  }
  EXPECT_EQ(sums.mallocs, s.mallocs);
  EXPECT_EQ(sums.frees, s.frees);
  EXPECT_EQ(sums.bytes, s.heap_alloc);
  EXPECT_EQ(sums.total_bytes, s.total_alloc);
}

// What the header says is always true, and what follows from the fields' meanings.
void expect_equations(const mem_stats& s) {
  EXPECT_EQ(s.heap_sys, s.heap_inuse + s.heap_idle);
  EXPECT_LE(s.heap_released, s.heap_idle);
  EXPECT_LE(s.heap_huge, s.heap_sys);
  EXPECT_EQ(s.mallocs - s.frees, s.heap_objects);
  EXPECT_EQ(s.sys, s.heap_sys + s.mspan_sys + s.mcache_sys + s.gc_sys + s.other_sys);
  EXPECT_LE(s.frees, s.mallocs);
  EXPECT_EQ(s.alloc, s.heap_alloc);
  EXPECT_LE(s.heap_alloc, s.heap_inuse);
  EXPECT_EQ(by_size_sums(s).bytes + s.large_alloc, s.heap_alloc);
  EXPECT_LE(s.heap_alloc, s.total_alloc);
  EXPECT_LE(s.mspan_inuse, s.mspan_sys);
  EXPECT_LE(s.mcache_inuse, s.mcache_sys);
  EXPECT_EQ(by_size_sums(s).mallocs, s.mallocs);
  EXPECT_EQ(by_size_sums(s).frees, s.frees);
  EXPECT_LE(s.num_forced_gc, s.num_gc);
  EXPECT_GE(s.threads, 1u);
  EXPECT_EQ(s.pause_total_ns, s.handshake.sum_ns);
  for (std::uint64_t zero : {s.stack_inuse, s.stack_sys, s.lookups, s.buck_hash_sys, s.global_stops, s.verifier_errors}) EXPECT_EQ(zero, 0u);
}

// What never shrinks.
void expect_grown(const mem_stats& before, const mem_stats& s) {
  EXPECT_GE(s.mallocs, before.mallocs);
  EXPECT_GE(s.frees, before.frees);
  EXPECT_GE(s.total_alloc, before.total_alloc);
  EXPECT_GE(s.num_gc, before.num_gc);
  EXPECT_GE(s.num_forced_gc, before.num_forced_gc);
  EXPECT_GE(s.last_gc, before.last_gc);
  EXPECT_GE(s.handshake.count, before.handshake.count);
  EXPECT_GE(s.handshakes, before.handshakes);
  EXPECT_GE(s.alloc_slow.count, before.alloc_slow.count);
  EXPECT_GE(s.gc_cpu_seconds, before.gc_cpu_seconds);
}

void allocate_all_sizes() {
  ptr<Node> list;
  for (int i = 0; i < 100; ++i) {
    ptr<Node> node = make<Node>();
    node->next = list;
    list = node;
    make_array<char>(static_cast<std::size_t>(i) * 97);
    make<Plain<1000>>();
  }
  make_array<char>(200'000);
}

TEST_F(MemStats, EquationsHoldFromTheStart) {
  expect_equations(read_mem_stats());
  elsewhere(allocate_all_sizes);
  expect_equations(read_mem_stats());
  lull::collect();
  expect_equations(read_mem_stats());
}

TEST_F(MemStats, EquationsHoldAtEveryStepOfACycle) {
  Stepper stepper;
  for (std::uint32_t step = 0; step < lull::gc::kSteps; ++step) {
    elsewhere(allocate_all_sizes);
    stepper.run_to(static_cast<Step>(step));
    expect_equations(read_mem_stats());
    elsewhere(allocate_all_sizes);
    expect_equations(read_mem_stats());
    stepper.finish();
  }
}

// LULL_MEM_STATS_THREADS and _SNAPSHOTS: longer runs by hand.
int number_from(const char* variable, int usual) {
  const char* text = std::getenv(variable);
  return text == nullptr ? usual : std::atoi(text);
}

TEST_F(MemStats, EquationsHoldWhileThreadsAllocateAndCyclesRun) {
  lull::set_gc_percent(20);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < number_from("LULL_MEM_STATS_THREADS", 6); ++t)
    threads.emplace_back([&] {
      while (!over) allocate_all_sizes();
    });
  const std::uint32_t cycles = read_mem_stats().num_gc;
  mem_stats before = read_mem_stats();
  const int snapshots = number_from("LULL_MEM_STATS_SNAPSHOTS", scaled(2000));
  for (int i = 0; i < snapshots || before.num_gc < cycles + 5; ++i) {
    mem_stats s;
    type_stats types[64];
    const std::size_t rows = lull::read_mem_stats(s, types);
    expect_equations(s);
    expect_types_add_up(s, std::span(types).first(rows));
    expect_grown(before, s);
    if (HasFailure()) break;
    before = s;
    lull::safepoint();
  }
  over = true;
  blocking_region joining;
  for (std::thread& t : threads) t.join();
}

// Counts.

TEST_F(MemStats, CountsOfAKnownPatternAreExact) {
  lull::collect();
  const mem_stats before = read_mem_stats();
  static root<Node> kept[10];
  elsewhere([] {
    for (int i = 0; i < 1000; ++i) {
      ptr<Node> node = make<Node>();
      if (i % 100 == 0) kept[i / 100] = node;
    }
  });
  mem_stats s = read_mem_stats();
  EXPECT_EQ(s.mallocs, before.mallocs + 1000);
  EXPECT_EQ(s.frees, before.frees);
  EXPECT_EQ(s.heap_objects, before.heap_objects + 1000);
  EXPECT_EQ(s.heap_alloc, before.heap_alloc + 1000 * sizeof(Node));
  EXPECT_EQ(s.total_alloc, before.total_alloc + 1000 * sizeof(Node));
  lull::collect();
  s = read_mem_stats();
  EXPECT_EQ(s.frees, before.frees + 990);
  EXPECT_EQ(s.heap_objects, before.heap_objects + 10);
  EXPECT_EQ(s.heap_alloc, before.heap_alloc + 10 * sizeof(Node));
  EXPECT_EQ(s.total_alloc, before.total_alloc + 1000 * sizeof(Node));
  EXPECT_EQ(s.marked_objects, 10u);
  EXPECT_EQ(s.heap_live, 10 * sizeof(Node));
}

// The pacer's counts go up a span at a time, and at handshakes: what a thread took of a span that it had already is told when it ends.
TEST_F(MemStats, WhatAThreadTookOfItsSpansCountsWhenItEnds) {
  static root<Node> kept[500];
  elsewhere([] {
    for (root<Node>& one : kept) {
      one = make<Node>();
      make<Node>();  // a hole between any two
    }
  });
  lull::collect();
  const std::uint64_t before = lull::gc::heap_counters.handed.load();
  elsewhere([] {
    for (int i = 0; i < 100; ++i) make<Node>();
  });
  EXPECT_GE(lull::gc::heap_counters.handed.load(), before + 100 * sizeof(Node));
  for (root<Node>& one : kept) one = nullptr;
}

std::uint64_t mallocs_of_size(const mem_stats& s, std::uint32_t size) {
  for (std::uint32_t i = 0; i < s.by_size_count; ++i)
    if (s.by_size[i].size == size) return s.by_size[i].mallocs;
  return 0;
}

TEST_F(MemStats, BySizeCountsSlotsOfAllTypesTogether) {
  elsewhere([] {
    for (int i = 0; i < 70; ++i) make<Plain<64>>();
    for (int i = 0; i < 30; ++i) make<Plain<63>>();  // another type, the same slot
    for (int i = 0; i < 5; ++i) make<Plain<1024>>();
  });
  const mem_stats s = read_mem_stats();
  EXPECT_EQ(mallocs_of_size(s, 64), 100u);
  EXPECT_EQ(mallocs_of_size(s, 1024), 5u);
  for (std::uint32_t i = 0; i < s.by_size_count; ++i)
    for (std::uint32_t j = 0; j < i; ++j) EXPECT_NE(s.by_size[i].size, s.by_size[j].size);
}

template <std::size_t... kSizes>
void make_of_sizes(std::index_sequence<kSizes...>) {
  (make<Plain<16 + 16 * kSizes>>(), ...);
}

TEST_F(MemStats, SizesBeyondTheRowsCountInTheFirst) {
  elsewhere([] { make_of_sizes(std::make_index_sequence<150>()); });
  mem_stats s;
  lull::read_mem_stats(s);
  EXPECT_EQ(s.by_size_count, s.by_size.size());
  EXPECT_EQ(s.by_size[0].size, 0u);
  EXPECT_GE(s.by_size[0].mallocs, 150u - 127);
  expect_equations(s);
  type_stats types[200];
  const std::size_t rows = lull::read_mem_stats(s, types);
  EXPECT_GE(rows, 150u);
  EXPECT_LT(rows, 200u);
  expect_types_add_up(s, std::span(types).first(rows));
  EXPECT_EQ(lull::read_mem_stats(s, std::span(types).first(10)), 10u);
  expect_types_add_up(s, std::span(types).first(10));
  EXPECT_EQ(types[9].name, "(others)");
  EXPECT_EQ(lull::read_mem_stats(s, {}), 0u);
}

TEST_F(MemStats, ByTypeCountsObjectsAndArraysApart) {
  static root<Plain<48>> kept;
  elsewhere([] {
    for (int i = 0; i < 70; ++i) kept = make<Plain<48>>();
    make_array<Plain<48>>(3);
    make_array<Plain<48>>(3000);
  });
  lull::collect();
  mem_stats s;
  type_stats types[64];
  const std::size_t rows = lull::read_mem_stats(s, types);
  int found = 0;
  for (const type_stats& t : std::span(types).first(rows)) {
    if (!t.name.ends_with("Plain<48>") && t.name.find("Plain<48> []") == t.name.npos && t.name.find("Plain<48>[]") == t.name.npos) continue;
    ++found;
    const bool array = t.name.ends_with("]");
    EXPECT_EQ(t.mallocs, array ? 2u : 70u) << t.name;
    EXPECT_EQ(t.frees, array ? 2u : 69u) << t.name;
    EXPECT_EQ(t.bytes, array ? 0u : 48u) << t.name;
    EXPECT_EQ(t.live_objects, array ? 0u : 1u) << t.name;
    EXPECT_EQ(t.live_bytes, array ? 0u : 48u) << t.name;
    if (array) EXPECT_GE(t.total_bytes, 3003u * 48);
    else EXPECT_EQ(t.total_bytes, 70u * 48);
  }
  EXPECT_EQ(found, 2);
}

// Resident bytes of the mappings that hold the heap. One that grows while the kernel lists them may come twice: the last counts.
std::uint64_t resident_heap_bytes() {
  std::ifstream maps("/proc/self/smaps");
  std::map<std::uint64_t, std::uint64_t> resident;  // by where the mapping begins
  bool ours = false;
  std::uint64_t begin = 0;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t low = 0, high = 0, kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &low, &high) == 2)
      begin = low, ours = low < lull::detail::heap_range.base + lull::detail::heap_range.size && high > lull::detail::heap_range.base;
    else if (ours && std::sscanf(line.c_str(), "Rss: %lu kB", &kib) == 1) resident[begin] = kib * 1024;
  }
  std::uint64_t sum = 0;
  for (const auto& [at, bytes] : resident) sum += bytes;
  return sum;
}

TEST_F(MemStats, InuseIsWhatTheKernelSays) {
  static root<ptr<Node>[]> kept;
  elsewhere([] {
    ptr<ptr<Node>[]> nodes = make_array<ptr<Node>>(1'000'000);
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = make<Node>();
    kept = nodes;
  });
  const auto inuse = static_cast<double>(read_mem_stats().heap_inuse);
  EXPECT_NEAR(static_cast<double>(resident_heap_bytes()), inuse, 0.05 * inuse);
}

// The kernel's figure takes time to read, so it is compared with what mem_stats said before and after. Pages that are free and not
// given back yet are resident as well.
TEST_F(MemStats, InuseIsWhatTheKernelSaysWhileThreadsAllocate) {
  const int thread_count = number_from("LULL_MEM_STATS_THREADS", 6);
  static root<ptr<Node>[]> kept;
  elsewhere([&] {  // 6 threads: 50 MB; 64: 220 MB. Each thread has a span of each size that it has not touched as a whole
    ptr<ptr<Node>[]> nodes = make_array<ptr<Node>>(1'250'000 + static_cast<std::size_t>(thread_count) * 125'000);
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = make<Node>();
    kept = nodes;
  });
  lull::set_gc_percent(100);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t)
    threads.emplace_back([&] {
      while (!over) allocate_all_sizes();
    });
  const auto held = [] {
    const mem_stats s = read_mem_stats();
    return static_cast<double>(s.heap_inuse + s.heap_idle - s.heap_released);
  };
  double worst = 0;
  for (int i = 0; i < 10; ++i) {
    const double before = held(), resident = static_cast<double>(resident_heap_bytes()), after = held();
    const double off = std::max({0.0, 1 - resident / std::min(before, after), resident / std::max(before, after) - 1});
    worst = std::max(worst, off);
    EXPECT_LE(off, 0.05) << before << " and " << after << ", resident " << resident;
    lull::safepoint();
  }
  std::printf("in use and not given back against the kernel's figure: off by %.2f %% at most\n", worst * 100);
  over = true;
  blocking_region joining;
  for (std::thread& t : threads) t.join();
}

TEST_F(MemStats, TheCallersOwnObjectsAreCountedAtOnce) {
  for (int i = 0; i < 10; ++i) {
    const std::uint64_t before = read_mem_stats().mallocs;
    make<Node>();
    EXPECT_EQ(read_mem_stats().mallocs, before + 1);
  }
}

TEST_F(MemStats, LargeObjectsCountWithAllTheirPages) {
  const mem_stats before = read_mem_stats();
  elsewhere([] { make_array<char>(10 << 20); });
  const mem_stats s = read_mem_stats();
  EXPECT_EQ(s.mallocs, before.mallocs + 1);
  EXPECT_GE(s.heap_alloc, before.heap_alloc + (10 << 20));
  EXPECT_GE(s.heap_inuse, before.heap_inuse + (10 << 20));
  lull::collect();
  EXPECT_LT(read_mem_stats().heap_inuse, before.heap_inuse + (1 << 20));
  EXPECT_EQ(read_mem_stats().heap_sys, s.heap_sys);  // idle now
}

TEST_F(MemStats, AllocSlowCountsAllocationsThatLeaveTheirSpan) {
  const std::uint64_t before = read_mem_stats().alloc_slow.count;
  elsewhere([] {
    for (int i = 0; i < 20; ++i) make_array<char>(100'000);
  });
  EXPECT_GE(read_mem_stats().alloc_slow.count, before + 20);
}

// Cycles.

TEST_F(MemStats, EachCollectIsAForcedCycle) {
  const mem_stats before = read_mem_stats();
  for (std::uint32_t i = 1; i <= 5; ++i) {
    lull::collect();
    const mem_stats s = read_mem_stats();
    EXPECT_EQ(s.num_gc, before.num_gc + i);
    EXPECT_EQ(s.num_forced_gc, before.num_forced_gc + i);
  }
}

TEST_F(MemStats, AutomaticCyclesAreNotForced) {
  lull::set_gc_percent(100);
  for (int i = 0; read_mem_stats().num_gc == 0 && i < 100'000; ++i) make_array<char>(10'000);
  EXPECT_GT(read_mem_stats().num_gc, 0u);
  EXPECT_EQ(read_mem_stats().num_forced_gc, 0u);
}

// Those who wait for a cycle are blocked, and have asked for it before.
int blocked_threads() {
  lull::os::Locked locked(lull::gc::mutators.lock);
  int found = 0;
  for (lull::gc::Mutator* m = lull::gc::mutators.first; m != nullptr; m = m->next)
    found += m->state.load() != lull::gc::ThreadState::running;
  return found;
}

// While a cycle is held, any number of callers ask for a cycle after it: one serves them all.
TEST_F(MemStats, CollectsAtTheSameTimeShareACycle) {
  lull::collect();
  Stepper stepper;
  stepper.run_to(Step::marked);
  const std::uint32_t before = read_mem_stats().num_gc;  // the held one is not counted yet
  std::atomic<int> returned{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t)
    callers.emplace_back([&] {
      lull::collect();
      ++returned;
    });
  while (blocked_threads() < 8) std::this_thread::yield();
  EXPECT_EQ(returned, 0);
  stepper.finish();
  {
    blocking_region joining;
    for (std::thread& t : callers) t.join();
  }
  EXPECT_EQ(returned, 8);
  EXPECT_EQ(read_mem_stats().num_gc - before, 2u);  // the held one does not serve them: it started earlier
}

// Percentage and goal.

TEST_F(MemStats, SetGcPercentReturnsThePreviousValue) {
  EXPECT_EQ(lull::set_gc_percent(50), -1);
  EXPECT_TRUE(read_mem_stats().enable_gc);
  EXPECT_EQ(lull::set_gc_percent(0), 50);
  EXPECT_EQ(lull::set_gc_percent(-7), 0);
  EXPECT_FALSE(read_mem_stats().enable_gc);
  EXPECT_EQ(lull::set_gc_percent(100), -1);  // any negative value is off
}

TEST_F(MemStats, OffStopsAutomaticCycles) {
  lull::set_gc_percent(100);
  const auto make_garbage = [] {
    for (int i = 0; i < 2000; ++i) make_array<char>(10'000);  // 20 MB
  };
  make_garbage();
  const int previous = lull::set_gc_percent(-1);
  EXPECT_EQ(previous, 100);
  lull::collect();  // whatever was asked for has run
  const std::uint32_t before = read_mem_stats().num_gc;
  EXPECT_GT(before, 1u);
  EXPECT_EQ(read_mem_stats().next_gc, ~std::uint64_t{0});
  make_garbage();
  EXPECT_EQ(read_mem_stats().num_gc, before);
  lull::set_gc_percent(previous);
  make_garbage();
  EXPECT_GT(read_mem_stats().num_gc, before);
}

TEST_F(MemStats, NextGcFollowsThePercentage) {
  static root<char[]> kept;
  constexpr std::size_t kMiB = 1 << 20;
  lull::set_gc_percent(100);
  EXPECT_EQ(read_mem_stats().next_gc, 4 * kMiB);  // the smallest goal
  lull::set_gc_percent(50);
  EXPECT_EQ(read_mem_stats().next_gc, 2 * kMiB);
  elsewhere([] { kept = make_array<char>(20 * kMiB); });
  lull::collect();
  const std::uint64_t live = read_mem_stats().heap_live;
  EXPECT_GE(live, 20 * kMiB);
  EXPECT_LT(live, 21 * kMiB);
  for (int percent : {50, 100, 200, 1000}) {
    lull::set_gc_percent(percent);
    const auto goal = static_cast<double>(read_mem_stats().next_gc);
    const double wanted = static_cast<double>(live) * (1 + percent / 100.0);
    EXPECT_GE(goal, wanted) << percent;
    EXPECT_LT(goal, wanted * 1.05) << percent;  // stacks and roots count too
  }
}

// Times and pauses.

TEST_F(MemStats, TimesAreOfThisRun) {
  const std::uint64_t start = now_ns();
  for (int i = 0; i < 3; ++i) lull::collect();
  const mem_stats s = read_mem_stats();
  const std::uint64_t end = now_ns();
  EXPECT_GE(s.last_gc, start);
  EXPECT_LE(s.last_gc, end);
  for (std::uint32_t n = 1; n <= s.num_gc; ++n) {
    EXPECT_GE(s.pause_end[(n + 255) % 256], start) << n;
    EXPECT_LE(s.pause_end[(n + 255) % 256], s.last_gc) << n;
    if (n == 1) continue;
    EXPECT_GE(s.pause_end[(n + 255) % 256], s.pause_end[(n + 254) % 256]) << n;
  }
  EXPECT_EQ(s.pause_end[(s.num_gc + 255) % 256], s.last_gc);
  EXPECT_EQ(s.pause_end[s.num_gc % 256], 0u);  // not used yet
}

TEST_F(MemStats, PausesOfTheLast256CyclesAreKept) {
  const int cycles = 300;
  for (int i = 0; i < cycles; ++i) lull::collect();
  const mem_stats s = read_mem_stats();
  EXPECT_EQ(s.num_gc, 300u);
  for (std::uint32_t n = s.num_gc - 254; n <= s.num_gc; ++n)
    ASSERT_GE(s.pause_end[(n + 255) % 256], s.pause_end[(n + 254) % 256]) << n;
  EXPECT_EQ(s.pause_end[(s.num_gc + 255) % 256], s.last_gc);
}

TEST_F(MemStats, WhatYoungCyclesPromoteAndWhichCardsTheyFindIsCounted) {
  constexpr std::uint64_t kOld = 1000, kOldBytes = 1024, kYoung = 500, kYoungBytes = 256;  // an old object lies on two cards at least
  struct Old {
    ptr<Plain<kYoungBytes>> young;
    char bytes[kOldBytes - 8] = {};
    void trace(lull::tracer& t) const { t(young); }
  };
  std::vector<lull::root<Old>> old;
  for (std::uint64_t i = 0; i < kOld; ++i) old.push_back(make<Old>());
  lull::collect();
  lull::collect_young();  // what was stored while they were made
  const mem_stats before = read_mem_stats();
  for (std::uint64_t i = 0; i < kYoung; ++i) old[i]->young = make<Plain<kYoungBytes>>();
  lull::collect_young();
  const mem_stats after = read_mem_stats();
  constexpr std::uint64_t kSlack = 64 * 1024;  // roots in the vector are not in the heap; what stacks still show is
  EXPECT_LE(kYoung * kYoungBytes, after.promoted_bytes - before.promoted_bytes);
  EXPECT_GE(kYoung * kYoungBytes + kSlack, after.promoted_bytes - before.promoted_bytes);
  EXPECT_LE(kYoung, after.dirty_cards - before.dirty_cards);
  EXPECT_GE(kYoung + kSlack / 512, after.dirty_cards - before.dirty_cards);
  lull::collect();
  EXPECT_EQ(after.promoted_bytes, read_mem_stats().promoted_bytes) << "full cycles promote nothing";
}

TEST_F(MemStats, TimeToSafepointIsThatOfThreadsThatDoNotPoll) {
  lull::gc::options.noasync = 1;
  std::atomic<int> stage{0};
  std::thread busy([&] {
    make<Node>();
    stage = 1;
    while (stage != 2) {
      lull::safepoint();
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
      while (std::chrono::steady_clock::now() < until) {
      }
    }
  });
  while (stage != 1) std::this_thread::yield();
  const mem_stats before = read_mem_stats();
  lull::collect();  // four requests at least, of which all but the first come just when one was answered
  const mem_stats s = read_mem_stats();
  EXPECT_LE(before.time_to_safepoint.count + 4, s.time_to_safepoint.count);
  EXPECT_LE(before.time_to_safepoint.sum_ns + 3 * 15'000'000, s.time_to_safepoint.sum_ns);
  EXPECT_GT(15'000'000u, s.handshake.quantile_ns(0.5)) << "it is not held up";
  stage = 2;
  blocking_region joining;
  busy.join();
}

// A wake-up often costs the waker its processor (docs/design/pitfalls.md).
TEST_F(MemStats, OneAnswerOfAHandshakeWakesTheDriver) {
  constexpr unsigned kThreads = 4;
  std::atomic<unsigned> running{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      make<Node>();
      running.fetch_add(1);
      while (!stop.load(std::memory_order_relaxed)) lull::safepoint();
    });
  while (running.load() < kThreads) std::this_thread::yield();
  const mem_stats before = read_mem_stats();
  const std::uint64_t wakes = lull::gc::handshake_stats.driver_wakes.load();
  for (int i = 0; i < 10; ++i) lull::collect();
  const mem_stats after = read_mem_stats();
  EXPECT_LE(kThreads * (after.handshakes - before.handshakes), after.handshake.count - before.handshake.count);
  EXPECT_LT(0u, lull::gc::handshake_stats.driver_wakes.load() - wakes);
  EXPECT_GE(after.handshakes - before.handshakes, lull::gc::handshake_stats.driver_wakes.load() - wakes);
  stop = true;
  blocking_region joining;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(MemStats, HandshakesThatThreadsAnswerThemselvesAreRecorded) {
  std::atomic<int> stage{0};
  std::thread running([&] {
    make<Node>();
    stage = 1;
    while (stage != 2) lull::safepoint();
  });
  while (stage != 1) std::this_thread::yield();
  const mem_stats before = read_mem_stats();
  for (int i = 0; i < 10; ++i) lull::collect();
  const mem_stats s = read_mem_stats();
  EXPECT_GE(s.handshake.count, before.handshake.count + 40);  // four operations a cycle at least
  EXPECT_GE(s.handshakes, before.handshakes + 40);
  EXPECT_GE(s.handshake_cpu.count, before.handshake_cpu.count + 40);
  EXPECT_GT(s.pause_total_ns, before.pause_total_ns);
  std::uint64_t longest = 0;
  for (std::uint64_t pause : s.pause_ns) longest = std::max(longest, pause);
  EXPECT_GT(longest, 0u);
  EXPECT_LE(longest, s.handshake.max_ns);
  EXPECT_GT(s.gc_cpu_seconds, before.gc_cpu_seconds);
  EXPECT_GE(s.flush_rounds, before.flush_rounds + 10);
  stage = 2;
  blocking_region joining;
  running.join();
}

TEST_F(MemStats, CpuFractionIsAFraction) {
  for (int i = 0; i < 20; ++i) lull::collect();
  const double fraction = read_mem_stats().gc_cpu_fraction;
  EXPECT_GT(fraction, 0);
  EXPECT_LE(fraction, 1);
}

TEST_F(MemStats, ThreadsAreThoseAttached) {
  const std::uint32_t before = read_mem_stats().threads;
  elsewhere([&] {
    EXPECT_EQ(read_mem_stats().threads, before + 1);  // asking attaches
  });
  EXPECT_EQ(read_mem_stats().threads, before);
}

// The budget: descriptors, three bitmaps, page tables and cards take at most 2 % of a heap of 64-byte objects.
TEST(Metadata, StaysBelowTwoPercentOfObjectsOf64Bytes) {
  struct Object {
    ptr<Node> node;
    std::uint64_t words[7];
  };
  constexpr std::size_t kObjects = 1'000'000;
  root<ptr<Object>[]> all = make_array<ptr<Object>>(kObjects);
  const mem_stats before = read_mem_stats();
  for (ptr<Object>& object : all) object = make<Object>();
  lull::collect();
  const mem_stats after = read_mem_stats();
  const auto metadata = static_cast<double>(after.metadata_bytes - before.metadata_bytes);
  RecordProperty("percent", std::to_string(metadata * 100 / (kObjects * 64.0)));
  EXPECT_LT(metadata, kObjects * 64 * .02);
  EXPECT_GT(metadata, kObjects * 64 * .005);  // three bits each are 0.6 %
}

}  // namespace

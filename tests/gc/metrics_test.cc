// lull/metrics.h: named values that fit together and agree with mem_stats.
#include "lull/metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::metrics::sample;
using lull::metrics::value_kind;
using lull::testing::elsewhere;

struct Node {
  lull::ptr<Node> next;
  std::uint64_t value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

std::uint64_t value_of(std::string_view name) {
  sample s{name};
  lull::metrics::read({&s, 1});
  EXPECT_NE(s.kind, value_kind::bad) << name;
  return s.u;
}

TEST(Metrics, EachIsFoundByItsNameAndHasAMeaning) {
  std::set<std::string_view> names;
  for (const lull::metrics::description& d : lull::metrics::all()) {
    EXPECT_TRUE(names.insert(d.name).second) << d.name;
    EXPECT_EQ(lull::metrics::find(d.name), &d);
    EXPECT_EQ(d.name.front(), '/') << d.name;
    EXPECT_NE(d.name.find(':'), std::string_view::npos) << d.name;
    EXPECT_TRUE(d.help.ends_with('.')) << d.name;
    sample s{d.name};
    lull::metrics::read({&s, 1});
    EXPECT_EQ(s.kind, d.kind) << d.name;
  }
  EXPECT_GE(names.size(), 40u);
  EXPECT_TRUE(names.contains("/gc/heap/allocs:bytes"));  // Go's
}

TEST(Metrics, AnUnknownNameIsBad) {
  sample samples[] = {{"/gc/heap/live:parsecs"}, {""}, {"/gc/heap/live:bytes"}};
  samples[0].u = 7;
  lull::metrics::read(samples);
  EXPECT_EQ(samples[0].kind, value_kind::bad);
  EXPECT_EQ(samples[0].u, 0u);
  EXPECT_EQ(samples[1].kind, value_kind::bad);
  EXPECT_EQ(samples[2].kind, value_kind::uint64);
  EXPECT_EQ(lull::metrics::find("/gc"), nullptr);
}

TEST(Metrics, ReadingDoesNotAttachTheThread) {
  lull::attach_thread();
  std::uint64_t before = 0, inside = 0;
  elsewhere([&] {
    before = value_of("/sched/threads:threads");
    inside = value_of("/sched/threads:threads");
  });
  EXPECT_EQ(before, 1u);
  EXPECT_EQ(inside, 1u);
}

TEST(Metrics, CanBeReadInABlockingRegion) {
  lull::attach_thread();
  std::atomic<bool> over{false};
  std::thread collecting([&] {
    while (!over) lull::collect();
  });
  {
    lull::blocking_region blocked;
    for (int i = 0; i < lull::testing::scaled(2000); ++i) EXPECT_GE(value_of("/sched/threads:threads"), 1u);
  }
  over = true;
  lull::blocking_region joining;
  collecting.join();
}

TEST(Metrics, AgreeWithMemStats) {
  static lull::root<Node> kept;
  elsewhere([] {
    for (int i = 0; i < 1000; ++i) kept = lull::make<Node>();
    lull::make_array<char>(100'000);
  });
  lull::collect();
  const lull::mem_stats s = lull::read_mem_stats();
  EXPECT_EQ(value_of("/gc/heap/allocs:objects"), s.mallocs);
  EXPECT_EQ(value_of("/gc/heap/allocs:bytes"), s.total_alloc);
  EXPECT_EQ(value_of("/gc/heap/frees:objects"), s.frees);
  EXPECT_EQ(value_of("/gc/heap/frees:bytes"), s.total_alloc - s.heap_alloc);
  EXPECT_EQ(value_of("/gc/heap/objects:objects"), s.heap_objects);
  EXPECT_EQ(value_of("/gc/heap/live:bytes"), s.heap_live);
  EXPECT_EQ(value_of("/gc/heap/goal:bytes"), s.next_gc);
  EXPECT_EQ(value_of("/gc/cycles/total:gc-cycles"), s.num_gc);
  EXPECT_EQ(value_of("/gc/cycles/forced:gc-cycles"), s.num_forced_gc);
  EXPECT_EQ(value_of("/memory/classes/total:bytes"), s.sys);
  EXPECT_EQ(value_of("/gc/pauses:seconds"), s.handshake.count);
}

TEST(Metrics, AHistogramIsCopiedWhereTheCallerWants) {
  for (int i = 0; i < 20; ++i) lull::make_array<char>(100'000);
  lull::histogram slow;
  sample s{.name = "/gc/allocs/slow:seconds", .durations = &slow};
  lull::metrics::read({&s, 1});
  EXPECT_EQ(s.kind, value_kind::histogram);
  EXPECT_GE(slow.count, 20u);
  EXPECT_EQ(s.u, slow.count);
  EXPECT_GE(slow.max_ns, slow.quantile_ns(0.5));
}

TEST(Metrics, MemoryClassesAddUpWhileThreadsAllocate) {
  lull::set_gc_percent(20);
  lull::attach_thread();
  std::vector<sample> samples;
  std::size_t total = 0;
  for (const auto& d : lull::metrics::all())
    if (d.name.starts_with("/memory/classes/")) {
      if (d.name == "/memory/classes/total:bytes") total = samples.size();
      samples.push_back({d.name});
    }
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!over)
        for (std::size_t n : {10u, 1000u, 50'000u}) lull::make_array<char>(n);
    });
  for (int i = 0; i < lull::testing::scaled(2000); ++i) {
    lull::metrics::read(samples);
    std::uint64_t sum = 0;
    for (const sample& s : samples) sum += s.u;
    ASSERT_EQ(sum, 2 * samples[total].u);
    for (const sample& s : samples) ASSERT_LE(s.u, samples[total].u) << s.name;  // none is a difference below zero
    lull::safepoint();
  }
  over = true;
  lull::blocking_region joining;
  for (std::thread& t : threads) t.join();
}

}  // namespace

// Memory of holes in partly live spans: gc/sweep/hole_purge.h, through lull::return_memory(), idle programs and full cycles.
#include "gc/sweep/hole_purge.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "alloc/os/huge_pages.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"
#include "gc/cycle/driver.h"
#include "gc/model/options.h"
#include "lull/lull.h"
#include "lull/lull_c.h"
#include "tests/alloc/span_at_base.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace lull::gc {
namespace {

using lull::testing::scaled;

template <std::size_t kBytes>
struct Record {
  ptr<Record> next;
  std::uint64_t number = 0;
  std::uint64_t filler[kBytes / 8 - 3] = {};
  std::uint64_t check = 0;
  explicit Record(std::uint64_t n) : number(n), check(~n) {}
  void trace(tracer& t) const { t(next); }
};
using Small = Record<64>;
constexpr std::uint64_t kOneOf = 256;  // one in each span: a page of four

// In order, every so many of them in a list that is kept.
template <class R>
root<R> make_sparse(std::uint64_t records, std::uint64_t one_of) {
  root<R> kept;
  lull::testing::elsewhere([&] {
    root<R> all;
    for (std::uint64_t n = records; n-- > 0;) {
      ptr<R> record = make<R>(n);
      record->next = all;
      all = record;
    }
    ptr<R> record = all;
    for (std::uint64_t n = 0; record; ++n) {
      const ptr<R> next = record->next;
      if (n % one_of == 0) {
        record->next = kept;
        kept = record;
      }
      record = next;
    }
  });
  return kept;
}

template <class R>
std::uint64_t intact(const root<R>& list) {
  std::uint64_t count = 0;
  for (ptr<R> record = list; record; record = record->next) {
    if (record->check != ~record->number) return 0;
    ++count;
  }
  return count;
}

// Bytes of memory behind managed spans of several slots.
std::size_t resident() {
  std::size_t bytes = 0;
  pages::for_each_span([&](const pages::Span* found) {
    const pages::Span& span = *found;
    const std::size_t size = span.end() - span.base;
    if (span.slots > 1) bytes += size - os::missing_pages(reinterpret_cast<void*>(span.base), size) * std::size_t{4096};
  });
  return bytes;
}

// Threads that have a span each in their caches at the same time, made one record there, and are gone.
void use_spans(unsigned threads) {
  std::atomic<unsigned> holding{0};
  std::vector<std::thread> all;
  for (unsigned t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      asm volatile("" ::"r"(make<Small>(t).get()));
      blocking_region waiting;
      holding.fetch_add(1);
      while (holding.load() < threads) std::this_thread::yield();
    });
  blocking_region joining;
  for (std::thread& thread : all) thread.join();
}

class HolePurgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    attach_thread();
    set_idle_period_ms(0);
    set_gc_percent(-1);  // a cycle in the midst of it would have records fill holes
  }
  const std::uint64_t records_ = scaled(800) * kOneOf;  // 12 MiB
  const std::uint64_t all_pages_ = records_ * sizeof(Small);
};

TEST_F(HolePurgeTest, ReturnMemoryLeavesThePagesOfLivingObjects) {
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  collect();
  EXPECT_LT(all_pages_ * 9 / 10, resident()) << "or the rest shows nothing";
  const std::uint64_t purged = pages::page_heap.stats().purged_total;
  return_memory();
  EXPECT_GT(all_pages_ * 2 / 5, resident());
  EXPECT_LE(all_pages_ / 2, pages::page_heap.stats().purged_total - purged);
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, TheCInterfaceDoesTheSame) {
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  lull_return_memory();
  EXPECT_GT(all_pages_ * 2 / 5, resident());
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, WhatIsMadeInHolesIsZeroAndAsGoodAsElsewhere) {
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  return_memory();
  const std::size_t before = resident();
  root<Small> more;
  for (std::uint64_t n = 0; n < records_; ++n) {
    const ptr<Small> record = make<Small>(n);
    for (const std::uint64_t word : record->filler) ASSERT_EQ(0u, word);
    record->next = more;
    more = record;
  }
  EXPECT_LT(before, resident());
  collect();
  EXPECT_EQ(records_, intact(more));
  EXPECT_LE(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, HolesOfASpanThatWasUsedAgainAreGivenBackAgain) {
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  return_memory();
  lull::testing::elsewhere([&] {
    for (std::uint64_t n = 0; n < records_; ++n) asm volatile("" ::"r"(make<Small>(n).get()));
  });
  return_memory();
  EXPECT_GT(all_pages_ * 2 / 5, resident());
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

constexpr unsigned kSpans = 40, kUsed = 30;

TEST_F(HolePurgeTest, SpansThatSomebodyHasHadSinceAreLeftAlone) {
  const root<Small> kept = make_sparse<Small>(kSpans * kOneOf, kOneOf);
  collect();
  use_spans(kUsed);
  {
    blocking_region waiting;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  collect();
  EXPECT_LE(kUsed * 4u, resident() / 4096);
  EXPECT_EQ(kSpans, intact(kept));
}

TEST_F(HolePurgeTest, ObjectsThatDieInAPurgedSpanMakeItWorthAnotherLook) {
  // Every fourth: 1 KiB between records that are 256 bytes long, so no page is whole; then nearly all die.
  root<Record<256>> kept = make_sparse<Record<256>>(records_ / 4, 4);
  return_memory();
  const std::size_t before = resident();
  EXPECT_LT(all_pages_ / 2, before);
  lull::testing::elsewhere([&] {
    root<Record<256>> fewer;
    std::uint64_t n = 0;
    for (ptr<Record<256>> record = kept; record;) {
      const ptr<Record<256>> next = record->next;
      if (n++ % 64 == 0) {
        record->next = fewer;
        fewer = record;
      }
      record = next;
    }
    kept = fewer;
  });
  return_memory();
  EXPECT_GT(before / 4, resident());
  EXPECT_LT(0u, intact(kept));
}

TEST_F(HolePurgeTest, SpansThatAreLessThanHalfHolesAreLeftAlone) {
  // A span of 16 KiB has eight slots of 2 KiB: of each four neighbours one dies, or three.
  root<Record<2048>> kept;
  lull::testing::elsewhere([&] {
    for (std::uint64_t n = 0; n < records_ / 32; ++n) {
      const ptr<Record<2048>> record = make<Record<2048>>(n);
      if (n % 8 >= 2) {  // one page of four
        record->next = kept;
        kept = record;
      }
    }
  });
  return_memory();
  EXPECT_LT(all_pages_ * 9 / 10, resident());
  EXPECT_LT(0u, intact(kept));
}

TEST_F(HolePurgeTest, AnIdleProgramsHolesAreGivenBack) {
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  collect();
  set_gc_percent(100);
  set_idle_period_ms(5);
  while (resident() > all_pages_ * 2 / 5) {
    blocking_region waiting;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, FullCyclesGiveBackWhatNobodyUsedSinceTheOneBefore) {
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  collect();
  lull::testing::elsewhere([&] {  // all of the holes
    for (std::uint64_t n = 0; n < records_; ++n) asm volatile("" ::"r"(make<Small>(n).get()));
  });
  {
    blocking_region waiting;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // time enough for all of them
  }
  const std::size_t before = resident();
  collect();
  EXPECT_LT(before * 3 / 4, resident()) << "they were used just now";
  for (int i = 0; resident() > all_pages_ * 2 / 5; ++i) {
    blocking_region waiting;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    lull::testing::elsewhere([] { collect(); });
  }
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, WherePurgingIsForbiddenOnlyReturnMemoryGivesThemBack) {
  pages::forbid_purger();
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  collect();
  const std::uint32_t cycles = cycle_counts().completed;
  asm volatile("" ::"r"(make<Small>(0).get()));  // or the program has done nothing since
  read_mem_stats();                                  // gives the span back: it is counted
  set_gc_percent(100);
  set_idle_period_ms(5);
  {
    blocking_region waiting;
    while (cycle_counts().completed < cycles + 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_GE(cycles + 3, cycle_counts().completed) << "there is nothing that another cycle could do";
  EXPECT_LT(all_pages_ * 9 / 10, resident());
  return_memory();
  EXPECT_GT(all_pages_ * 2 / 5, resident());
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, ScribbledHolesKeepTheirPattern) {
  options.scribble = 1;
  const root<Small> kept = make_sparse<Small>(records_, kOneOf);
  return_memory();
  EXPECT_LT(all_pages_ * 9 / 10, resident());
  EXPECT_EQ(records_ / kOneOf, intact(kept));
}

TEST_F(HolePurgeTest, APlanThatHasToStopStops) {
  pages::SpanAtBase looked_at(pages::geometry_for(64));  // without bitmaps: nobody gets to those
  looked_at.allocated = 1;
  HolePurge none, out_of_time({.of = HolePurgePlan::Of::all, .most_ns = 0}), told({.of = HolePurgePlan::Of::all, .has_to_stop = [] { return true; }});
  for (HolePurge* purge : {&none, &out_of_time, &told}) {
    purge->look_at(looked_at, true);
    EXPECT_FALSE(purge->has_done_all());
    EXPECT_EQ(0u, looked_at.holes_purged);
  }
  EXPECT_TRUE(HolePurge({.of = HolePurgePlan::Of::all}).has_done_all());
}

// Threads use the holes while they are given back.
TEST_F(HolePurgeTest, ThreadsGoOnMeanwhile) {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> bad{0}, rounds{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t round = 0; !stop.load(std::memory_order_relaxed); ++round) {
        root<Small> list;
        std::uint64_t kept = 0;
        for (std::uint64_t n = 0; n < 5000; ++n) {
          const ptr<Small> record = make<Small>(n * 4 + t);
          if (record->filler[0] != 0) bad.fetch_add(1);
          record->filler[0] = n;
          if (n % (round % 7 * 40 + 1) != 0) continue;
          record->next = list;
          list = record;
          ++kept;
        }
        if (intact(list) != kept) bad.fetch_add(1);
        rounds.fetch_add(1, std::memory_order_relaxed);
      }
    });
  for (std::uint64_t n = 0; n < scaled(30) || rounds.load(std::memory_order_relaxed) < 10; ++n) return_memory();
  stop.store(true);
  blocking_region joining;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(0u, bad.load());
}

}  // namespace
}  // namespace lull::gc

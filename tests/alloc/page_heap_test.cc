#include "alloc/pages/page_heap.h"

#include "tests/alloc/page_heap_pages.h"

namespace lull::pages {
namespace {

TEST_F(PageHeapTest, NeighboursCoalesceInWhateverOrderTheyAreReleased) {
  int order[] = {0, 1, 2, 3};
  do {
    std::vector<Pages> runs;
    for (const std::uint32_t n : {3u, 1u, 7u, 5u}) runs.push_back(*take(n));
    const auto wall = *take(1);
    for (std::size_t i = 1; i < runs.size(); ++i) ASSERT_EQ(runs[i - 1].first + runs[i - 1].count, runs[i].first);
    for (const int i : order) give(runs[static_cast<std::size_t>(i)]);
    const auto whole = *take(16);
    EXPECT_EQ(runs[0].first, whole.first);
    give(whole);
    give(wall);
  } while (std::next_permutation(std::begin(order), std::end(order)));
}

TEST_F(PageHeapTest, AChunkIsAllocatedWhole) {
  const auto run = *take(kChunkPages);
  EXPECT_EQ(0u, run.first % kChunkPages);
  const auto next = *take(1);
  EXPECT_EQ(run.first + kChunkPages, next.first);
  give(run);
  give(next);
}

// Ten runs of which each may lie at about two thousand places.
TEST_F(PageHeapTest, RandomPlacementUsesAnyFreePlaceAndGivesItBack) {
  std::vector<Pages> runs;
  std::vector<std::uint32_t> distances;
  for (int i = 0; i < 10; ++i) {
    const PageRun run = page_heap.allocate({7}, {1}, Placement::random);
    ASSERT_TRUE(run.found);
    runs.push_back({run.first.value, 7});
    stamp(runs.back(), static_cast<std::uint64_t>(i));
    if (i > 0) distances.push_back(runs.back().first - runs[runs.size() - 2].first);
  }
  std::sort(distances.begin(), distances.end());
  EXPECT_GT(std::unique(distances.begin(), distances.end()) - distances.begin(), 5);
  for (std::size_t i = 0; i < runs.size(); ++i) EXPECT_TRUE(has_stamp(runs[i], i));
  for (const Pages& run : runs) give(run);
  page_heap.check_invariants();
}

TEST_F(PageHeapTest, RandomPlacementFindsTheOnlyPlaceAndGrowsWhenThereIsNone) {
  std::vector<Pages> chunks;
  const PageIndex end = page_heap.end();
  while (page_heap.end() == end) chunks.push_back(*take(kChunkPages));
  while (chunks.back().first + kChunkPages < page_heap.end().value) chunks.push_back(*take(kChunkPages));
  const Pages hole{chunks[3].first + 100, 20};
  page_heap.release(hole.index(), hole.length());
  EXPECT_EQ(hole.first, page_heap.allocate({20}, {1}, Placement::random).first.value);
  const PageIndex full = page_heap.end();
  const PageRun grown = page_heap.allocate({20}, {1}, Placement::random);
  EXPECT_GE(grown.first.value, full.value);
  page_heap.release(grown.first, {20});
  for (const Pages& chunk : chunks) give(chunk);
  page_heap.check_invariants();
}

TEST_F(PageHeapTest, RandomPlacementKeepsTheAlignment) {
  for (int i = 0; i < 100; ++i) {
    const PageRun run = page_heap.allocate({3}, {16}, Placement::random);
    ASSERT_EQ(0u, address_of(run.first) % PageCount{16}.bytes());
    page_heap.release(run.first, {3});
  }
}

TEST_F(PageHeapTest, RunsLongerThanAChunkCoalesceAcrossChunks) {
  std::vector<Pages> chunks;
  for (int i = 0; i < 4; ++i) chunks.push_back(*take(kChunkPages));
  const auto wall = *take(kChunkPages);
  for (const int i : {2, 0, 3, 1}) give(chunks[static_cast<std::size_t>(i)]);
  const auto run = *take(3 * kChunkPages + 100);
  EXPECT_EQ(chunks[0].first, run.first);
  const auto rest = *take(kChunkPages - 100);
  EXPECT_EQ(run.first + run.count, rest.first);
  for (const Pages& pages : {wall, run, rest}) give(pages);
}

TEST_F(PageHeapTest, ALongRunUsesTheEmptyEndOfTheHeapBeforeItGrows) {
  const std::uint32_t committed = page_heap.end().value;
  const auto run = *take(committed + 1);
  EXPECT_EQ(0u, run.first);
  EXPECT_LT(page_heap.end().value, 2 * committed + 9 * kChunkPages);
  give(run);
}

TEST_F(PageHeapTest, ZeroIsClaimedForUntouchedAndForPurgedPagesOnly) {
  bool zero = false;
  const auto untouched = *take(2 * kChunkPages + 5, &zero);
  EXPECT_TRUE(zero);
  EXPECT_TRUE(is_zero(untouched));
  std::memset(untouched.memory(), 0xee, untouched.length().bytes());
  give(untouched);
  const auto dirty = *take(10, &zero);
  ASSERT_EQ(untouched.first, dirty.first);
  EXPECT_FALSE(zero);
  give(dirty);
  EXPECT_EQ(untouched.length().bytes(), page_heap.purge(0, kAll));
  const auto purged = *take(2 * kChunkPages + 5, &zero);
  ASSERT_EQ(untouched.first, purged.first);
  EXPECT_TRUE(zero);
  EXPECT_TRUE(is_zero(purged));
  give(purged);
}

TEST_F(PageHeapTest, OneDirtyPageMakesARunDirty) {
  const auto run = *take(9);
  give(Pages{run.first + 4, 1});
  page_heap.purge(0, kAll);
  bool zero = false;
  const auto again = *take(1, &zero);  // purged, and released again
  ASSERT_EQ(run.first + 4, again.first);
  EXPECT_TRUE(zero);
  give(Pages{run.first, 4});
  give(Pages{run.first + 5, 4});
  page_heap.purge(0, kAll);
  give(again);
  const auto whole = *take(9, &zero);
  ASSERT_EQ(run.first, whole.first);
  EXPECT_FALSE(zero);
  give(whole);
}

TEST_F(PageHeapTest, PagesInUseKeepTheirContentsWhileTheirNeighboursArePurged) {
  std::vector<Pages> runs;
  for (std::uint64_t i = 0; i < 400; ++i) {
    runs.push_back(*take(3));
    std::memset(runs.back().memory(), static_cast<int>(i % 251 + 1), runs.back().length().bytes());
  }
  for (std::size_t i = 0; i < runs.size(); i += 2) give(runs[i]);
  EXPECT_EQ(200u * 3 * kPageSize, page_heap.purge(0, kAll));
  EXPECT_EQ(0u, page_heap.dirty_bytes());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::byte expected{static_cast<unsigned char>(i % 2 == 0 ? 0 : i % 251 + 1)};
    const auto* memory = runs[i].memory();
    ASSERT_TRUE(std::all_of(memory, memory + 3 * kPageSize, [&](std::byte b) { return b == expected; })) << i;
  }
  for (std::size_t i = 1; i < runs.size(); i += 2) give(runs[i]);
}

TEST_F(PageHeapTest, PurgingSparesChunksThatWereReleasedIntoLately) {
  const auto first = *take(kChunkPages), second = *take(kChunkPages);
  give(first);
  give(second);
  page_heap.tick();
  page_heap.tick();
  give(*take(1));  // into the first chunk
  page_heap.tick();
  EXPECT_EQ(0u, page_heap.purge(4, kAll));
  EXPECT_EQ(second.length().bytes(), page_heap.purge(3, kAll));
  EXPECT_EQ(0u, page_heap.purge(2, kAll));
  EXPECT_EQ(first.length().bytes(), page_heap.purge(1, kAll));
}

// A chunk with more dirty pages than were asked for used to be purged whole.
TEST_F(PageHeapTest, PurgingStopsAtTheGivenNumberOfBytes) {
  const auto run = *take(3 * kChunkPages);
  give(run);
  std::size_t left = run.length().bytes();
  const std::size_t several = 7 * kPageSize + 5, more_than_a_chunk = (kChunkPages + 10) * kPageSize;
  for (const std::size_t most : {std::size_t{0}, kPageSize - 1, kPageSize, several, more_than_a_chunk}) {
    const std::size_t purged = page_heap.purge(0, most);
    EXPECT_EQ(most / kPageSize * kPageSize, purged);
    left -= purged;
    EXPECT_EQ(left, page_heap.dirty_bytes());
  }
  EXPECT_EQ(left, page_heap.purge(0, kAll));
}

TEST_F(PageHeapTest, WhatWasPurgedAndHowOftenTheLockWasTakenIsCounted) {
  const PageStats before = page_heap.stats();
  give(*take(5));
  page_heap.purge(0, kAll);
  const PageStats after = page_heap.stats();
  EXPECT_EQ(before.purged_total + 5 * kPageSize, after.purged_total);
  EXPECT_EQ(before.lock_acquisitions + 2, after.lock_acquisitions);
}

TEST_F(PageHeapTest, NoPagesAreNotFound) { EXPECT_FALSE(take(0)); }

// Counts near 2^32 made the arithmetic wrap: 0 chunks looked like enough, and the run was "found".
TEST_F(PageHeapTest, MorePagesThanTheRangeHasAreNotFound) {
  const auto range = static_cast<std::uint32_t>(reservation.size >> kPageShift);
  const PageStats before = page_heap.stats();
  for (const std::uint32_t n : {range + 1, 2 * range, ~0u - 512, ~0u - 255, ~0u - 254, ~0u - 1, ~0u})
    EXPECT_FALSE(take(n)) << n;
  EXPECT_EQ(before.committed, page_heap.stats().committed);
  give(*take(1));
}

TEST_F(PageHeapTest, AFailureToGrowLosesNothing) {
  std::vector<Pages> runs;
  const std::uint32_t committed = page_heap.end().value;
  for (std::uint32_t c = 0; c < committed; c += kChunkPages) runs.push_back(*take(kChunkPages));

  os::fail_mapping_for_testing(0, true);
  for (const std::uint32_t n : {1u, 17u, kChunkPages, kChunkPages + 1, 20 * kChunkPages}) EXPECT_FALSE(take(n)) << n;
  EXPECT_EQ(committed, page_heap.end().value);
  page_heap.check_invariants();
  give(runs.back());
  EXPECT_EQ(runs.back().first, take(kChunkPages)->first) << "what there is can still be had";

  os::fail_mapping_for_testing(0);  // a large step is refused, the one chunk that is needed is not
  runs.push_back(*take(1));
  EXPECT_EQ(committed, runs.back().first);
  EXPECT_EQ(committed + kChunkPages, page_heap.end().value);

  os::fail_mapping_for_testing(0);  // no smaller step would do
  EXPECT_FALSE(take(20 * kChunkPages));
  runs.push_back(*take(20 * kChunkPages));
  EXPECT_EQ(committed + kChunkPages, runs.back().first);
  for (const Pages& run : runs) give(run);
}

class PageHeapDeathTest : public PageHeapTest {};

TEST_F(PageHeapDeathTest, ReleasingTwiceStopsTheProcess) {
  EXPECT_DEATH({
    const auto run = *take(4);
    give(run);
    give({run.first + 3, 1});
  }, "lull: page heap: page released twice");
}
// Every mapping that the making of a heap needs fails once, and then for good, each in a process of its own: 0 the range,
// 1 its tables, 2 the probe for what is left, 3 the chunk table, 4 the first commit, 5 to 7 that of the tables.
void expect_working_heap() {
  os::fail_mapping_for_testing(-1);
  for (const std::uint32_t n : {1u, 300u, 3000u}) {
    page_heap.purge(0, kAll);
    bool zero = false;
    const auto run = take(n, &zero);
    LULL_CHILD_EXPECT(run && zero);
    stamp(*run, n);
    give(*run);
  }
  page_heap.check_invariants();
}

TEST(HeapBirthDeathTest, SurvivesAFaultAtEachMapping) {
  for (int n = 0; n < 9; ++n) {
    testing::expect_success_in_new_process([&] {
      os::fail_mapping_for_testing(n);
      const auto run = take(1);
      const bool has_second_try = n != 3 && (n < 5 || n > 7);  // with less
      LULL_CHILD_EXPECT(run.has_value() == has_second_try);
      if (run) give(*run);
      expect_working_heap();
    });
  }
}

TEST(HeapBirthDeathTest, SurvivesFaultsFromEachMappingOn) {
  for (int n = 0; n < 8; ++n) {
    testing::expect_success_in_new_process([&] {
      os::fail_mapping_for_testing(n, true);
      for (int attempt = 0; attempt < 3; ++attempt) LULL_CHILD_EXPECT(!take(1) && !take(1000));
      expect_working_heap();
    });
  }
}

TEST(HeapBirthDeathTest, FailingBirthsLeaveNoMappingsBehind) {
  if (testing::kSanitized) GTEST_SKIP() << "a sanitizer maps memory of its own";
  testing::expect_success_in_new_process([&] {
    const std::size_t before = testing::mapped_bytes();
    for (int n = 0; n < 2; ++n) {  // for all sizes of the range
      os::fail_mapping_for_testing(n, true);
      LULL_CHILD_EXPECT(!take(1));
      LULL_CHILD_EXPECT(testing::mapped_bytes() == before);
    }
  });
}

TEST(HeapBirthDeathTest, AnExhaustedRangeIsAValueAndAllOfItCanBeHadAgain) {
  if (testing::kSanitized) GTEST_SKIP() << "a sanitizer needs its own address space";
  testing::expect_success_in_new_process([&] {
    const rlimit limit{std::size_t{700} << 20, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
    std::uint32_t totals[3] = {};
    for (std::uint32_t& total : totals) {
      std::vector<Pages> runs;
      while (const auto run = take(1 + total % 100)) {
        total += run->count;
        runs.push_back(*run);
      }
      LULL_CHILD_EXPECT(!take(kChunkPages + 1));
      while (const auto run = take(1)) {
        ++total;
        runs.push_back(*run);
      }
      LULL_CHILD_EXPECT(total == page_heap.end().value && PageCount{total}.bytes() > (std::size_t{700} << 20) * 85 / 100);
      page_heap.check_invariants();
      std::shuffle(runs.begin(), runs.end(), std::mt19937_64(1));
      for (const Pages& run : runs) give(run);
    }
    const auto whole = take(totals[0]);
    LULL_CHILD_EXPECT(whole && whole->first == 0);
  });
}

}  // namespace
}  // namespace lull::pages

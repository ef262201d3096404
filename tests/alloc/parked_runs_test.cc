// Runs of pages that are set aside for the next span as long (PageHeap::park). page_heap_fuzz_test.cc compares with a model.
#include "tests/alloc/page_heap_pages.h"

namespace lull::pages {
namespace {

class ParkedRuns : public PageHeapTest {
 protected:
  static Pages take_parked(std::uint32_t n, bool* zero = nullptr) {
    const PageRun run = page_heap.allocate({n}, {1}, Placement::parked);
    if (zero != nullptr) *zero = run.zero;
    return {run.first.value, n};
  }
  static void park(const Pages& run) { page_heap.park(run.index(), run.length()); }
};

TEST_F(ParkedRuns, ComeBackLastFirstToWhoWantsAsMany) {
  const Pages low = *take(4), guard = *take(1), high = *take(4), other = *take(2);
  park(low);
  park(high);
  park(other);
  const PageStats stats = page_heap.stats();
  EXPECT_EQ(guard.length().bytes(), stats.used);
  EXPECT_EQ(10 * kPageSize, stats.free_dirty);
  EXPECT_EQ(stats.free_dirty, page_heap.dirty_bytes());
  page_heap.check_invariants();
  bool zero = true;
  EXPECT_EQ(high.first, take_parked(4, &zero).first);
  EXPECT_FALSE(zero) << "whoever had it wrote to it";
  EXPECT_EQ(other.first, take_parked(2).first);
  EXPECT_EQ(low.first, take_parked(4).first);
  EXPECT_EQ(0u, page_heap.dirty_bytes());
  for (const Pages& run : {low, guard, high, other}) give(run);
}

// Of each length there is room for so many.
TEST_F(ParkedRuns, OfALengthAreBounded) {
  std::vector<Pages> runs;
  for (std::uint32_t i = 0; i < 2 * PageHeap::kMostParkedRuns + 1; ++i) runs.push_back(*take(1));
  for (std::uint32_t i = 0; i <= PageHeap::kMostParkedRuns; ++i) park(runs[2 * i]);  // no two are neighbours
  page_heap.check_invariants();
  EXPECT_EQ(PageHeap::kMostParkedRuns * kPageSize, page_heap.stats().used);
  for (std::uint32_t i = PageHeap::kMostParkedRuns; i-- > 0;) EXPECT_EQ(runs[2 * i].first, take_parked(1).first);
  EXPECT_EQ(runs.back().first, take_parked(1).first) << "was not aside, but free";
  page_heap.check_invariants();
  for (const Pages& run : runs) give(run);
}

TEST_F(ParkedRuns, AreNotForWhoAsksForAnAlignment) {
  const Pages odd = *take(1), run = *take(4), guard = *take(1);
  park(run);
  const PageRun aligned = page_heap.allocate({4}, {4}, Placement::parked);
  ASSERT_TRUE(aligned.found);
  EXPECT_EQ(0u, address_of(aligned.first) % PageCount{4}.bytes());
  for (const Pages& pages : {odd, guard, Pages{aligned.first.value, 4}}) give(pages);
}

TEST_F(ParkedRuns, GoToAnybodyBeforePagesWithoutMemory) {
  const Pages run = *take(4), beyond = *take(1);
  park(run);
  const Pages anybody = *take(3);
  EXPECT_EQ(run.first, anybody.first);
  page_heap.check_invariants();
  give(anybody);
  park(*take(4));
  const Pages longer = *take(kChunkPages + 1);
  EXPECT_EQ(4 * kPageSize, page_heap.dirty_bytes());
  const Pages lowest = *take(1);
  EXPECT_EQ(run.first, lowest.first) << "no longer aside";
  for (const Pages& pages : {longer, lowest, beyond}) give(pages);
}

TEST_F(ParkedRuns, StayAsideWhileOtherFreePagesHaveMemory) {
  const Pages free = *take(3), run = *take(4), guard = *take(1);
  give(free);
  park(run);
  const Pages first = *take(2);
  EXPECT_EQ(free.first, first.first);
  EXPECT_EQ(run.first, take_parked(4).first);
  for (const Pages& pages : {first, run, guard}) give(pages);
}

TEST_F(ParkedRuns, AreFreeAtTheNextTickAndGoBackToTheSystem) {
  const Pages run = *take(4), guard = *take(1), free = *take(2), beyond = *take(1);
  give(free);
  park(run);
  page_heap.tick();
  const Pages lowest = *take(1);
  EXPECT_EQ(run.first, lowest.first) << "before, it would have been the free one";
  for (const Pages& pages : {lowest, beyond}) give(pages);
  park(take_parked(4));
  EXPECT_EQ(7 * kPageSize, page_heap.purge(0, kAll));
  EXPECT_EQ(0u, page_heap.dirty_bytes());
  give(guard);
}

TEST_F(ParkedRuns, CanBeTakenInPlace) {
  const Pages span = *take(2), next = *take(4), guard = *take(1);
  park(next);
  EXPECT_TRUE(page_heap.take(next.index(), {3}));
  EXPECT_FALSE(page_heap.take(next.index(), {1}));
  give({next.first, 3});
  for (const Pages& pages : {span, guard}) give(pages);
}

TEST_F(ParkedRuns, AreFewAndShort) {
  std::vector<Pages> runs;
  for (std::uint32_t i = 0; i <= PageHeap::kMostParked / 4; ++i) runs.push_back(*take(4));
  for (const Pages& run : runs) park(run);
  EXPECT_EQ(runs.back().first, take(4)->first) << "the last was one too many, so anybody may have it";
  give(runs.back());
  page_heap.tick();
  const Pages longest = *take(PageHeap::kLongestParked), longer = *take(PageHeap::kLongestParked + 1);
  park(longer);
  EXPECT_EQ(longer.first, take(PageHeap::kLongestParked + 1)->first);
  park(longest);
  EXPECT_EQ(longest.first, take_parked(PageHeap::kLongestParked).first);
  for (const Pages& pages : {longest, longer}) give(pages);
}

TEST_F(ParkedRuns, AreFoundWhenTheSystemRefusesMore) {
  std::vector<Pages> all;
  const std::uint32_t end = page_heap.end().value;
  while (page_heap.end().value == end) {
    all.push_back(*take(8));
    stamp(all.back(), 1);
  }
  const std::uint32_t grown = page_heap.end().value;
  while (all.back().first + 8 < grown) all.push_back(*take(8));
  park(all.front());
  os::fail_mapping_for_testing(0, true);
  const auto found = take(5);
  os::fail_mapping_for_testing(-1);
  ASSERT_TRUE(found);
  EXPECT_EQ(all.front().first, found->first);
  give(*found);
  for (std::size_t i = 1; i < all.size(); ++i) give(all[i]);
}

}  // namespace
}  // namespace lull::pages

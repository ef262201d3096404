#include "alloc/pages/purger.h"

#include <chrono>
#include <cstring>

#include "alloc/os/clock.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"
#include "tests/alloc/purger_threads.h"
#include "tests/alloc/support.h"

namespace lull::pages {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::uint64_t kMillisecond = 1'000'000;

// Takes pages, writes to all of them, and releases them.
void make_dirty(std::size_t bytes) {
  const PageRun run = page_heap.allocate(pages_for(bytes));
  ASSERT_TRUE(run.found);
  std::memset(reinterpret_cast<void*>(address_of(run.first)), 1, bytes);
  page_heap.release(run.first, pages_for(bytes));
}

// Waits for the background thread, for a minute at most.
void wait_until_clean() {
  const std::uint64_t start = os::monotonic_ns();
  while (page_heap.dirty_bytes() > 0 && os::monotonic_ns() - start < 60'000 * kMillisecond)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(0u, page_heap.dirty_bytes());
}

void expect_shrunk_by(std::size_t bytes, std::size_t resident_before) {
  if (testing::kThreadSanitizer) return;  // the shadow stays resident
  EXPECT_LE(testing::resident_bytes() + bytes * 9 / 10, resident_before);
}

using lull::testing::purger_threads;

TEST(PurgerDeathTest, NoThreadIsStartedForLessThanAMegabyteAndOneForMore) {
  testing::expect_success_in_new_process([] {
    nudge_purger();  // there is no heap yet
    make_dirty(kMiB / 2);
    for (int i = 0; i < 10; ++i) nudge_purger();
    LULL_CHILD_EXPECT(purger_threads() == 0);
    make_dirty(kMiB);
    testing::run_together(4, [](unsigned) { nudge_purger(); });
    LULL_CHILD_EXPECT(purger_threads() == 1);
  });
}

TEST(Purger, GivesIdlePagesBackAfterAboutASecondAndAgainTheNextTime) {
  purge_now();
  for (int burst = 0; burst < 2; ++burst) {
    const std::uint64_t start = os::monotonic_ns();
    make_dirty(96 * kMiB);  // more than one tick may give back
    const std::size_t resident = testing::resident_bytes();
    nudge_purger();
    wait_until_clean();
    EXPECT_GE(os::monotonic_ns() - start, 850 * kMillisecond) << "ten ticks of 100 ms, of which the first may be under way";
    expect_shrunk_by(96 * kMiB, resident);
  }
}

TEST(Purger, LeavesPagesAloneWhereMemoryComesAndGoes) {
  purge_now();
  make_dirty(8 * kMiB);  // chunks 0 to 3; small runs come from the first one
  nudge_purger();
  const std::uint64_t start = os::monotonic_ns();
  std::uint64_t longest_gap = 0;
  for (std::uint64_t now = start, last = start; now - start < 1'600 * kMillisecond; last = now) {
    make_dirty(kPageSize);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    now = os::monotonic_ns();
    longest_gap = std::max(longest_gap, now - last);
  }
  if (longest_gap > 500 * kMillisecond) GTEST_SKIP() << "the machine is too busy for this test to keep its pace";
  EXPECT_EQ(2 * kMiB, page_heap.dirty_bytes()) << "only the chunk in use is still dirty";
  wait_until_clean();
}

TEST(Purger, OfAForkedChildStartsAnew) {
  if (testing::kSanitized) GTEST_SKIP() << "no threads can be started in the child of a threaded process";
  make_dirty(2 * kMiB);
  nudge_purger();
  EXPECT_EQ(1, purger_threads());
  page_heap.lock_across_fork();
  const auto child = testing::run_in_child([] {
    ::alarm(20);
    page_heap.unlock_across_fork();
    LULL_CHILD_EXPECT(purger_threads() == 0 && page_heap.dirty_bytes() > 0);
    forget_purger_after_fork();
    nudge_purger();
    LULL_CHILD_EXPECT(purger_threads() == 1);
    while (page_heap.dirty_bytes() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  });
  page_heap.unlock_across_fork();
  EXPECT_TRUE(child.exited_well()) << child.errors;
  wait_until_clean();
}

TEST(Purger, PurgeNowGivesBackEverythingIdleAndSaysHowMuch) {
  purge_now();
  make_dirty(32 * kMiB);
  const std::size_t resident = testing::resident_bytes();
  EXPECT_EQ(32 * kMiB, purge_now());
  EXPECT_EQ(0u, page_heap.dirty_bytes());
  expect_shrunk_by(32 * kMiB, resident);
  EXPECT_EQ(0u, purge_now());
  page_heap.check_invariants();
}

}  // namespace
}  // namespace lull::pages

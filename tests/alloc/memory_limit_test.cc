// The soft limit: memory goes back at once near it, and nothing fails.
#include "alloc/pages/memory_limit.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "alloc/front/secure.h"
#include "alloc/front/thread_bins.h"
#include "alloc/pages/page_heap.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace {

using lull::pages::effective_limit;
using lull::pages::kNoMemoryLimit;
constexpr std::size_t kMiB = 1 << 20;

TEST(MemoryLimit, IsTheLeastOfThree) {
  EXPECT_EQ(effective_limit(kNoMemoryLimit, nullptr, kNoMemoryLimit), kNoMemoryLimit);
  EXPECT_EQ(effective_limit(5 * kMiB, nullptr, kNoMemoryLimit), 5 * kMiB);
  EXPECT_EQ(effective_limit(5 * kMiB, "3M", kNoMemoryLimit), 3 * kMiB);
  EXPECT_EQ(effective_limit(5 * kMiB, "7M", kNoMemoryLimit), 5 * kMiB);
  EXPECT_EQ(effective_limit(5 * kMiB, "nonsense", kNoMemoryLimit), 5 * kMiB);
  EXPECT_EQ(effective_limit(kNoMemoryLimit, "", 1000), 900u);
}

TEST(MemoryLimit, IsSetAndRemoved) {
  const std::size_t without = lull_memory_limit();
  EXPECT_EQ(lull_set_memory_limit(kMiB), SIZE_MAX);
  EXPECT_EQ(lull_memory_limit(), kMiB);
  EXPECT_EQ(lull_set_memory_limit(0), kMiB);
  EXPECT_EQ(lull_memory_limit(), without);
}

std::size_t held() {
  const auto stats = lull::pages::page_heap.stats();
  return stats.used + stats.free_dirty;
}

// As a vector grows: each block is somewhat larger than the one that it replaces, so it does not fit where others were.
std::size_t most_held_while_sizes_grow() {
  std::size_t most = 0;
  void* before = nullptr;
  for (std::size_t size = 2 * kMiB; size <= 20 * kMiB; size += kMiB) {
    void* block = std::memset(lull_malloc(size), 1, size);
    most = std::max(most, held());
    lull_free(std::exchange(before, block));
  }
  return most;
}

TEST(MemoryLimit, FreePagesGoBackAtOnceAboveIt) {
  lull::testing::expect_success_in_new_process([] {
    lull_set_memory_limit(40 * kMiB);
    LULL_CHILD_EXPECT(most_held_while_sizes_grow() <= 40 * kMiB);
  });
  lull::testing::expect_success_in_new_process([] { LULL_CHILD_EXPECT(most_held_while_sizes_grow() > 45 * kMiB); });
}

// A block that grew where it was passed the limit until the purger's next tick, if there was a purger.
TEST(MemoryLimit, FreePagesGoBackAlsoWhereABlockGrowsInPlace) {
  if (lull::front::is_secure()) GTEST_SKIP() << "no block grows in place";
  lull::testing::expect_success_in_new_process([] {
    lull_set_memory_limit(40 * kMiB);
    void* first = std::memset(lull_malloc(30 * kMiB), 1, 30 * kMiB);
    void* second = std::memset(lull_malloc(2 * kMiB), 1, 2 * kMiB);
    lull_free(first);
    LULL_CHILD_EXPECT(lull_realloc(second, 20 * kMiB) == second);
    LULL_CHILD_EXPECT(held() <= 40 * kMiB);
  });
}

TEST(MemoryLimit, NothingFailsForItsSake) {
  lull_set_memory_limit(kMiB);
  std::vector<void*> blocks;
  for (int i = 0; i < 2000; ++i) blocks.push_back(lull_malloc(i % 10 == 0 ? 100'000 : 10'000));
  for (void* block : blocks) {
    EXPECT_NE(block, nullptr);
    lull_free(block);
  }
  EXPECT_TRUE(lull::pages::memory_is_short());
  lull_set_memory_limit(0);
}

TEST(MemoryLimit, TheCallerIsToldByHowMuchItIsExceeded) {
  lull_set_memory_limit(80 * kMiB);
  EXPECT_EQ(lull::pages::note_held(69 * kMiB), 0u);
  EXPECT_FALSE(lull::pages::memory_is_short());
  EXPECT_EQ(lull::pages::note_held(71 * kMiB), 0u);
  EXPECT_TRUE(lull::pages::memory_is_short());
  EXPECT_EQ(lull::pages::note_held(83 * kMiB), 3 * kMiB);
  lull_set_memory_limit(0);
  EXPECT_EQ(lull::pages::note_held(83 * kMiB), 0u);
  EXPECT_FALSE(lull::pages::memory_is_short());
}

std::uint32_t room_after_turns() {
  for (int turn = 0; turn < 50; ++turn) {
    std::vector<void*> blocks(200);
    for (void*& block : blocks) block = lull_malloc(1000);
    for (void* block : blocks) lull_free(block);
  }
  return lull::front::current_bins()->reserve[lull::front::bin_of(1000)].capacity;
}

TEST(MemoryLimit, CachesOfThreadsDoNotGrowNearIt) {
  if (lull::front::is_secure()) GTEST_SKIP() << "no thread caches anything";
  lull::testing::expect_success_in_new_process([] {
    void* held = lull_malloc(16 * kMiB);  // below 8 MiB nobody looks at limits
    lull_set_memory_limit(kMiB);
    lull_free(lull_malloc(100'000));
    LULL_CHILD_EXPECT(lull::pages::memory_is_short());
    const std::uint32_t near = room_after_turns();
    lull_set_memory_limit(0);
    lull_free(lull_malloc(100'000));
    LULL_CHILD_EXPECT(!lull::pages::memory_is_short());
    LULL_CHILD_EXPECT(room_after_turns() > 2 * near);
    lull_free(held);
  });
}

TEST(MemoryLimit, SmallHeapsReadNothing) {
  lull::testing::expect_success_in_new_process([] {
    lull_free(lull_malloc(kMiB));
    ::setenv("LULL_MEMORY_LIMIT", "30M", 1);  // what is read from now on is this
    void* small = lull_malloc(4 * kMiB);
    ::setenv("LULL_MEMORY_LIMIT", "20M", 1);
    void* large = lull_malloc(9 * kMiB);
    ::setenv("LULL_MEMORY_LIMIT", "10M", 1);
    LULL_CHILD_EXPECT(lull_memory_limit() == 20 * kMiB);
    lull_free(small);
    lull_free(large);
  });
}

TEST(Trim, KeepsThePad) {
  lull::testing::expect_success_in_new_process([] {
    void* block = std::memset(lull_malloc(8 * kMiB), 1, 8 * kMiB);
    lull_free(block);
    LULL_CHILD_EXPECT(lull_malloc_trim(2 * kMiB) == 1);
    const std::size_t kept = lull::pages::page_heap.dirty_bytes();
    LULL_CHILD_EXPECT(kept >= 2 * kMiB && kept < 3 * kMiB);
    LULL_CHILD_EXPECT(lull_malloc_trim(0) == 1);
    LULL_CHILD_EXPECT(lull::pages::page_heap.dirty_bytes() == 0);
    LULL_CHILD_EXPECT(lull_malloc_trim(0) == 0);
  });
}

}  // namespace

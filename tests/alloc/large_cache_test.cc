// What a thread keeps of the large blocks that it freed, and when it lets go of them.
#include "alloc/front/large_cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "alloc/front/sleepers.h"
#include "alloc/front/statistics.h"
#include "alloc/front/thread_bins.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "lull/heap.h"
#include "lull/malloc.h"
#include "lull/profile.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

constexpr std::size_t kPages = kPageSize;
constexpr std::size_t kMost = LargeCache::kMostBytes;

std::size_t cached() {
  const ThreadBins* t = own_bins_or_null();
  return t == nullptr ? 0 : t->large.bytes();
}
std::size_t pages_used() { return pages::page_heap.stats().used; }

void in_a_thread(const std::function<void()>& body) { std::thread(body).join(); }

std::vector<void*> blocks_of(std::size_t bytes, std::size_t number) {
  std::vector<void*> blocks(number);
  for (void*& block : blocks) block = lull_malloc(bytes);
  return blocks;
}
void free_all(const std::vector<void*>& blocks) {
  for (void* block : blocks) lull_free(block);
}

TEST(LargeCache, ABlockServesTheNextOfItsLength) {
  in_a_thread([] {
    void* block = lull_malloc(40000);
    lull_free(block);
    EXPECT_EQ(5 * kPages, cached());
    void* again = lull_malloc(36000);
    EXPECT_EQ(block, again);
    EXPECT_EQ(0u, cached());
    EXPECT_EQ(5 * kPages, lull_malloc_usable_size(again));
    lull_free(again);
  });
}

TEST(LargeCache, ABlockServesOneAnEighthShorter) {
  in_a_thread([] {
    void* block = lull_malloc(18 * kPages);
    lull_free(block);
    void* shorter = lull_malloc(15 * kPages);
    EXPECT_NE(block, shorter);
    void* as_long = lull_malloc(16 * kPages);
    EXPECT_EQ(block, as_long);
    EXPECT_EQ(lull_good_size(16 * kPages), lull_malloc_usable_size(as_long));  // the rest waits with it
    lull_free_sized(as_long, 16 * kPages);
    EXPECT_EQ(18 * kPages, cached());
    lull_free(shorter);
  });
}

TEST(LargeCache, ABlockGrowsIntoWhatItsSpanHasMore) {
  in_a_thread([] {
    void* block = lull_malloc(18 * kPages);
    lull_free(block);
    ASSERT_EQ(block, lull_malloc(16 * kPages));
    const std::size_t before = pages_used();
    for (const std::size_t pages : {17, 18}) {
      ASSERT_EQ(block, lull_realloc(block, pages * kPages));
      EXPECT_EQ(pages * kPages, lull_malloc_usable_size(block));
      EXPECT_EQ(before, pages_used());
    }
    ASSERT_EQ(block, lull_realloc(block, 16 * kPages));
    EXPECT_EQ(16 * kPages, lull_malloc_usable_size(block));
    EXPECT_EQ(before - 2 * kPages, pages_used());
    lull_free_sized(block, 16 * kPages);
  });
}

TEST(LargeCache, GivesZeroedAndAlignedBlocks) {
  in_a_thread([] {
    void* block = std::memset(lull_malloc(100000), 1, 100000);
    lull_free(block);
    auto* zeroed = static_cast<unsigned char*>(lull_calloc(1, 100000));
    EXPECT_EQ(block, zeroed);
    EXPECT_EQ(zeroed + 100000, std::find_if(zeroed, zeroed + 100000, [](unsigned char c) { return c != 0; }));
    lull_free(zeroed);
    void* aligned = lull_aligned_alloc(4096, 102400);
    EXPECT_EQ(block, aligned);
    lull_free(aligned);
    void* farther = lull_aligned_alloc(std::size_t{1} << 20, 102400);  // no span may be taken for this but by its place
    EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(farther) % (std::size_t{1} << 20));
    lull_free(farther);
  });
}

TEST(LargeCache, KeepsNothingOfThreadsThatOnlyFree) {
  const std::vector<void*> blocks = blocks_of(65536, 8);
  in_a_thread([&] {
    free_all(blocks_of(100, 100));  // it has bins
    free_all(blocks);
    EXPECT_EQ(0u, cached());
  });
}

TEST(LargeCache, KeepsNoMoreThanItsMost) {
  in_a_thread([] {
    free_all(blocks_of(65536, 2 * kMost / 65536));
    EXPECT_EQ(kMost, cached());
    free_all(blocks_of(LargeCache::kLongest.bytes() + 1, 2));  // too long
    EXPECT_EQ(kMost, cached());
  });
}

TEST(LargeCache, FullLetsGoOfOtherLengths) {
  in_a_thread([] {
    free_all(blocks_of(65536, kMost / 65536));
    ASSERT_EQ(kMost, cached());
    const std::size_t before = pages_used();
    void* other = lull_malloc(25 * kPages);
    EXPECT_EQ(before + 25 * kPages, pages_used());
    lull_free(other);
    EXPECT_LT(cached(), kMost);
    EXPECT_GT(cached(), kMost - 8 * kPages);
    EXPECT_EQ(before - kMost + cached(), pages_used()) << "what it let go of is free";
    EXPECT_EQ(other, lull_malloc(25 * kPages));
    lull_free(other);
  });
}

TEST(LargeCache, GoesBackWhenTheThreadEnds) {
  const std::size_t before = pages_used();
  in_a_thread([] {
    free_all(blocks_of(40000, 10));
    EXPECT_EQ(10 * 5 * kPages, cached());
  });
  EXPECT_GE(before, pages_used());
}

TEST(LargeCache, GoesBackByTrim) {
  in_a_thread([] {
    free_all(blocks_of(40000, 10));
    lull_malloc_trim(0);
    EXPECT_EQ(0u, cached());
  });
}

std::size_t data_bytes() {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  char line[200];
  long kib = 0;
  while (std::fgets(line, sizeof line, file) != nullptr && std::sscanf(line, "VmData: %ld", &kib) != 1) {
  }
  std::fclose(file);
  return static_cast<std::size_t>(kib) << 10;
}

// A program that frees its reserve when there is no memory goes on with it.
TEST(LargeCache, GoesBackWhenMemoryRunsOut) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "they need memory, too";
  constexpr std::size_t kFew = 8, kBytes = 65536;
  for (const bool in_heap : {false, true})
    for (const std::size_t wanted : {std::size_t{1000}, kFew * kBytes - kPages}) {
      const auto outcome = lull::testing::run_in_child([&] {
        lull_heap* heap = in_heap ? lull_heap_create(0) : nullptr;
        lull_free(lull_malloc(1000));
        const std::size_t most = data_bytes() + (std::size_t{32} << 20);
        const rlimit limit{most, most};
        LULL_CHILD_EXPECT(::setrlimit(RLIMIT_DATA, &limit) == 0);
        void* reserve[kFew];
        for (void*& block : reserve) block = lull_malloc(kBytes);
        for (const std::size_t bytes : {kBytes, std::size_t{1000}})
          while (lull_malloc(bytes) != nullptr) {
          }
        for (void* block : reserve) lull_free(block);
        LULL_CHILD_EXPECT(cached() == kFew * kBytes);
        LULL_CHILD_EXPECT((in_heap ? lull_heap_malloc(heap, wanted) : lull_malloc(wanted)) != nullptr);
        LULL_CHILD_EXPECT(cached() == 0);
      });
      EXPECT_TRUE(outcome.exited_well()) << wanted << (in_heap ? " in a heap: " : ": ") << outcome.errors;
    }
}

// Also what another thread keeps, which does something else.
TEST(LargeCache, OfAllThreadsGoesBackWhenMemoryRunsOut) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "they need memory, too";
  constexpr unsigned kThreads = 4;
  const auto outcome = lull::testing::run_in_child([&] {
    std::atomic<unsigned> ready{0};
    std::atomic<bool> is_short{false};
    std::vector<std::thread> others;
    for (unsigned t = 0; t < kThreads; ++t)
      others.emplace_back([&] {
        free_all(blocks_of(65536, kMost / 65536));
        LULL_CHILD_EXPECT(cached() == kMost);
        ++ready;
        while (!is_short) {  // awake, and in no slow path
        }
        LULL_CHILD_EXPECT(cached() == 0);
        void* block = lull_malloc(1000);
        lull_free(block);
        ++ready;
      });
    while (ready != kThreads) std::this_thread::yield();
    const std::size_t now = data_bytes();
    const rlimit limit{now, now};
    LULL_CHILD_EXPECT(::setrlimit(RLIMIT_DATA, &limit) == 0);
    std::size_t got = 0;
    while (lull_malloc(65536) != nullptr) ++got;
    LULL_CHILD_EXPECT(got >= kThreads * kMost / 65536);
    is_short = true;
    for (std::thread& thread : others) thread.join();
    LULL_CHILD_EXPECT(ready == 2 * kThreads);
  });
  EXPECT_TRUE(outcome.exited_well()) << outcome.errors;
}

// One thread gets no memory again and again, while others fill and use their caches.
TEST(LargeCache, IsGivenBackWhileItIsInUse) {
  std::atomic<bool> over{false};
  std::thread greedy([&] {
    while (!over) EXPECT_EQ(nullptr, lull_malloc(std::size_t{1} << 46));
  });
  lull::testing::run_together(3, [&](unsigned) {
    for (int i = 0; i < lull::testing::scaled(100'000); ++i) {
      void* blocks[4];
      for (unsigned n = 0; n < 4; ++n) blocks[n] = std::memset(lull_malloc(40000 + 10000 * n), static_cast<int>(n), 100);
      for (unsigned n = 0; n < 4; ++n) {
        ASSERT_EQ(n, *static_cast<unsigned char*>(blocks[n]));
        lull_free(blocks[n]);
      }
    }
  });
  over = true;
  greedy.join();
  pages::page_heap.check_invariants();
}

TEST(LargeCache, GoesBackWhileMemoryIsShort) {
  in_a_thread([] {
    const std::vector<void*> blocks = blocks_of(65536, 4);
    lull_free(blocks[0]);
    lull_free(blocks[1]);
    ASSERT_EQ(2 * 65536u, cached());
    lull_set_memory_limit(8 << 20);
    const std::vector<void*> more = blocks_of(16 << 20, 2);
    ASSERT_TRUE(pages::memory_is_short());
    lull_free(blocks[2]);
    EXPECT_EQ(0u, cached());
    lull_set_memory_limit(0);
    free_all(more);
    lull_free(blocks[3]);
  });
}

TEST(LargeCache, CountsAsFree) {
  in_a_thread([] {
    lull_free(lull_malloc(100));
    const std::vector<void*> blocks = blocks_of(65536, 10);
    const std::size_t before = read_figures().used_bytes;
    free_all(blocks);
    EXPECT_EQ(before - 655360, read_figures().used_bytes);
  });
}

// Its page looks like a large block's, and would serve as one of five pages.
TEST(LargeCache, KeepsNoSmallBlockThatWasASample) {
  in_a_thread([] {
    lull_profile_start(1);
    void* sample = lull_malloc(20000);
    lull_profile_stop();
    lull_free(lull_malloc(40000));
    const std::size_t before = cached();
    lull_free(sample);
    EXPECT_EQ(before, cached());
  });
}

TEST(LargeCache, AForkedChildGivesBackWhatOtherThreadsHad) {
  std::atomic<bool> is_full{false}, over{false};
  std::thread other([&] {
    free_all(blocks_of(65536, kMost / 65536));
    is_full = true;
    while (!over) std::this_thread::yield();
  });
  while (!is_full) std::this_thread::yield();
  const std::size_t before = pages_used();
  const auto outcome = lull::testing::run_in_child([&] { LULL_CHILD_EXPECT(pages_used() + kMost <= before + 8 * kPages); });
  EXPECT_TRUE(outcome.exited_well()) << outcome.errors;
  over = true;
  other.join();
}

TEST(LargeCache, IsEmptiedWhileTheThreadSleeps) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "nothing can be proved there";
  ThreadBins* bins = nullptr;
  int pipe_ends[2];
  ASSERT_EQ(0, ::pipe(pipe_ends));
  std::atomic<bool> is_full{false};
  std::thread other([&] {
    free_all(blocks_of(65536, kMost / 65536));
    bins = own_bins_or_null();
    is_full = true;
    char over;
    EXPECT_EQ(1, ::read(pipe_ends[0], &over, 1));
    void* block = lull_malloc(65536);
    std::memset(block, 1, 65536);
    lull_free(block);
  });
  while (!is_full) std::this_thread::yield();
  for (int i = 0; i < 2000 && bins->large.bytes() != 0; ++i) {
    empty_sleepers(When::when_idle);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(0u, bins->large.bytes());
  EXPECT_EQ(1, ::write(pipe_ends[1], "", 1));
  other.join();
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

// Blocks keep what was written to them, whatever comes and goes between.
TEST(LargeCache, BlocksOfRandomLengthsNeverOverlap) {
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  lull::testing::run_together(3, [&](unsigned thread) {
    std::mt19937_64 random(seed + thread);
    struct Block { std::size_t bytes = 0; unsigned char* at = nullptr; unsigned char tag = 0; };
    std::vector<Block> blocks(20);
    for (int i = 0; i < 20000; ++i) {
      Block& block = blocks[random() % blocks.size()];
      if (block.at != nullptr) {
        ASSERT_EQ(block.tag, block.at[0]);
        ASSERT_EQ(block.tag, block.at[block.bytes / 2]);
        ASSERT_EQ(block.tag, block.at[block.bytes - 1]);
        lull_free(block.at);
      }
      block.bytes = 32769 + random() % (random() % 4 == 0 ? 600000 : 60000);
      block.at = static_cast<unsigned char*>(lull_malloc(block.bytes));
      ASSERT_GE(lull_malloc_usable_size(block.at), block.bytes);
      block.tag = static_cast<unsigned char>(random());
      block.at[0] = block.at[block.bytes / 2] = block.at[block.bytes - 1] = block.tag;
    }
    for (const Block& block : blocks) lull_free(block.at);
  });
}

using LargeCacheDeathTest = ::testing::Test;

TEST(LargeCacheDeathTest, ABlockThatWaitsIsFree) {
  EXPECT_DEATH(in_a_thread([] {
    void* block = lull_malloc(40000);
    lull_free(block);
    lull_free(block);
  }), "lull: ");
  EXPECT_DEATH(in_a_thread([] {
    void* block = lull_malloc(40000);
    lull_free(block);
    lull_malloc_usable_size(block);
  }), "lull: ");
}

TEST(LargeCacheDeathTest, TheSizeOfItsSpanIsAWrongSize) {
  EXPECT_DEATH(in_a_thread([] {
    lull_free(lull_malloc(18 * kPages));
    lull_free_sized(lull_malloc(16 * kPages), 18 * kPages);
  }), "lull: ");
}

}  // namespace
}  // namespace lull::front

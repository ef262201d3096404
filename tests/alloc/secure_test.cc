// LULL_MALLOC=secure: what it finds, where it puts blocks, what is out of reach. tests/alloc/malloc_test.cc runs in this mode, too.
#include "alloc/front/secure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

#include "alloc/front/heap.h"
#include "alloc/os/guard_pages.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::scaled;

// Before the first block, which decides for the process.
[[maybe_unused]] const bool chosen = ::setenv("LULL_MALLOC", "secure", 1) == 0;

bool is_zero(const void* block, std::size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(block);
  return std::all_of(at, at + bytes, [](unsigned char c) { return c == 0; });
}
std::uintptr_t word_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block); }
void touch(const void* address) { static_cast<void>(*static_cast<const volatile char*>(address)); }
std::size_t mappings() {
  std::size_t lines = 0;
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  for (int c; (c = std::fgetc(maps)) != EOF;) lines += c == '\n';
  std::fclose(maps);
  return lines;
}

TEST(Secure, NoThreadHasBins) {
  lull_free(lull_malloc(10));
  EXPECT_TRUE(is_secure());
  EXPECT_FALSE(has_bins());
  EXPECT_EQ(0u, thread_bins_in_use());
}

TEST(Secure, BlocksOfOneSizeLieInAnOrderThatNobodyForesees) {
  std::set<std::ptrdiff_t> distances;
  auto* before = static_cast<char*>(lull_malloc(64));
  for (int i = 0; i < 200; ++i) {
    auto* block = static_cast<char*>(lull_malloc(64));
    distances.insert(block - before);
    before = block;
  }
  EXPECT_GT(distances.size(), 100u);  // in the default mode: fewer than ten
}

TEST(Secure, TwoProcessesPutTheSameBlocksElsewhere) {
  const auto places = [] {
    return lull::testing::run_in_child([] {
      const std::uintptr_t base = pages::reserve_heap() ? pages::reservation.base : 0;
      for (int i = 0; i < 8; ++i) std::fprintf(stderr, "%zx ", static_cast<std::size_t>(word_of(lull_malloc(100)) - base));
    }).errors;
  };
  lull_free(lull_malloc(100));  // children inherit the heap, but not the numbers drawn for it
  EXPECT_NE(places(), places());
}

TEST(Secure, AFreedBlockWaitsUntilOthersAreFreed) {
  lull_malloc_trim(0);  // the quarantine is empty
  void* block = lull_malloc(100);
  lull_free(block);
  for (int i = 0; i < 5000; ++i) ASSERT_NE(block, lull_malloc(100));
}

TEST(Secure, FreedBlocksAreZeroAndSoAreNewOnes) {
  for (const std::size_t bytes : {16u, 100u, 5000u, 32'768u}) {
    auto* block = static_cast<unsigned char*>(lull_malloc(bytes));
    std::memset(block, 0xff, lull_malloc_usable_size(block));
    lull_free(block);
    EXPECT_TRUE(is_zero(block, bytes)) << bytes;
    for (int i = 0; i < 2000; ++i) {
      void* other = lull_malloc(bytes);
      ASSERT_TRUE(is_zero(other, lull_good_size(bytes)));
      std::memset(other, 0xee, lull_good_size(bytes));
      lull_free(other);
    }
  }
}

// What a large block leaves behind is not found in small ones, nor in its successor.
TEST(Secure, FreedLargeBlocksLeaveNothingBehind) {
  for (const std::size_t bytes : {40'000u, 300'000u, 80'000'000u})
    for (int i = 0; i < 100; ++i) {
      void* block = lull_malloc(bytes);
      ASSERT_TRUE(is_zero(block, std::min<std::size_t>(bytes, 300'000)));
      std::memset(block, 0xff, std::min<std::size_t>(bytes, 300'000));
      lull_free(block);
    }
}

// Pages that hold something come from outside of malloc: the collector's.
TEST(Secure, PagesOfOthersAreClearedFirst) {
  lull::testing::expect_success_in_new_process([] {
    LULL_CHILD_EXPECT(lull_malloc(10) != nullptr);
    const PageCount all{pages::page_heap.end().value / 2};
    const pages::PageRun run = pages::page_heap.allocate(all);
    LULL_CHILD_EXPECT(run.found);
    std::memset(reinterpret_cast<void*>(pages::address_of(run.first)), 0xee, all.bytes());
    pages::page_heap.release(run.first, all);
    for (int i = 0; i < 2000; ++i) {
      void* block = lull_malloc(1000);
      LULL_CHILD_EXPECT(is_zero(block, 1000));
    }
  });
}

TEST(Secure, AllIsBackAfterATrim) {
  lull_malloc_trim(0);
  const std::uint64_t used = pages::page_heap.stats().used, spans = pages::span_stats().spans, guards = pages::span_stats().guard_pages;
  std::vector<void*> blocks;
  std::mt19937_64 random(lull::testing::seed_of_this_run());
  for (int i = 0; i < scaled(100'000); ++i) blocks.push_back(lull_malloc(random() % (i % 100 == 0 ? 100'000 : 1000)));
  for (void* block : blocks) lull_free(block);
  EXPECT_LT(used, pages::page_heap.stats().used);
  lull_malloc_trim(0);
  EXPECT_EQ(used, pages::page_heap.stats().used);
  EXPECT_EQ(spans, pages::span_stats().spans);
  EXPECT_EQ(guards, pages::span_stats().guard_pages);
  pages::page_heap.check_invariants();
}

TEST(Secure, GuardsSplitNoMappingsWhereTheSystemHasMarkers) {
  lull::testing::expect_success_in_new_process([] {
    lull_free(lull_malloc(1));
    const std::size_t before = mappings();
    for (int i = 0; i < 20'000; ++i) LULL_CHILD_EXPECT(lull_malloc(9000) != nullptr);
    LULL_CHILD_EXPECT(pages::span_stats().guard_pages > 1000);
    // An old kernel: at most two mappings a guard.
    LULL_CHILD_EXPECT(mappings() < before + 20 || mappings() < before + 2 * os::kMostGuards);
  });
}

TEST(Secure, OnAnOldKernelThereAreOnlySoManyGuards) {
  lull::testing::expect_success_in_new_process([] {
    os::use_mappings_as_guards_for_testing(100);
    lull_free(lull_malloc(1));
    const std::size_t before = mappings();
    std::vector<void*> blocks;
    for (int i = 0; i < 20'000; ++i) {
      blocks.push_back(lull_malloc(i % 10 == 0 ? 40'000 : 9000));
      LULL_CHILD_EXPECT(blocks.back() != nullptr);
    }
    LULL_CHILD_EXPECT(pages::span_stats().guard_pages > 50 && pages::span_stats().guard_pages <= 100);
    LULL_CHILD_EXPECT(mappings() > before + 50 && mappings() <= before + 220);
    for (void* block : blocks) lull_free(block);
    lull_malloc_trim(0);
    LULL_CHILD_EXPECT(pages::span_stats().guard_pages == 0 && pages::page_heap.stats().used == 0);
    for (int i = 0; i < 20'000; ++i) lull_free(lull_malloc(i % 10 == 0 ? 40'000 : 9000));
  });
}

TEST(Secure, WithoutGuardsItGoesOn) {
  lull::testing::expect_success_in_new_process([] {
    os::use_mappings_as_guards_for_testing(0);
    for (int i = 0; i < 20'000; ++i) lull_free(lull_malloc(i % 10 == 0 ? 40'000 : 9000));
    LULL_CHILD_EXPECT(pages::span_stats().guard_pages == 0);
  });
}

TEST(Secure, TheStateLiesBetweenGuardPages) {
  lull::testing::expect_success_in_new_process([] {
    os::use_mappings_as_guards_for_testing(100);  // so that they show in /proc/self/maps
    lull_free(lull_malloc(1));
    const std::size_t with_state = mappings();
    LULL_CHILD_EXPECT(with_state > 0);
    bool found = false;
    char line[512], rights_before[8] = "";
    std::size_t size_before = 0;
    std::FILE* maps = std::fopen("/proc/self/maps", "r");
    while (std::fgets(line, sizeof line, maps) != nullptr) {
      unsigned long low, high;
      char rights[8];
      std::sscanf(line, "%lx-%lx %7s", &low, &high, rights);
      found |= std::strcmp(rights_before, "---p") == 0 && size_before == kPageSize && std::strcmp(rights, "rw-p") == 0 && high - low > 100'000;
      std::strcpy(rights_before, rights);
      size_before = high - low;
    }
    std::fclose(maps);
    LULL_CHILD_EXPECT(found);
  });
}

// Pages, tables, descriptors, the state of bins: data, of this process alone.
TEST(Secure, NothingOfTheHeapIsExecutable) {
  lull::testing::expect_success_in_new_process([] {
    void* block = lull_malloc(100);
    const std::uintptr_t ours[] = {reinterpret_cast<std::uintptr_t>(block), reinterpret_cast<std::uintptr_t>(lull_malloc(1 << 20)),
                                   reinterpret_cast<std::uintptr_t>(pages::reservation.classes), reinterpret_cast<std::uintptr_t>(pages::reservation.owners),
                                   reinterpret_cast<std::uintptr_t>(pages::reservation.span_cells), reinterpret_cast<std::uintptr_t>(&pages::page_heap),
                                   reinterpret_cast<std::uintptr_t>(&pages::reservation)};
    std::size_t found = 0;
    char line[512];
    std::FILE* maps = std::fopen("/proc/self/maps", "r");
    while (std::fgets(line, sizeof line, maps) != nullptr) {
      unsigned long low, high;
      char rights[8];
      std::sscanf(line, "%lx-%lx %7s", &low, &high, rights);
      for (std::uintptr_t at : ours)
        if (at >= low && at < high) {
          ++found;
          LULL_CHILD_EXPECT(rights[2] == '-' && rights[3] == 'p');
        }
    }
    std::fclose(maps);
    LULL_CHILD_EXPECT(found == std::size(ours));
  });
}

// Wrong use.

class SecureDeathTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SecureDeathTest, DoubleFreeThoughTheBlockWasOverwritten) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(40));
    lull_free(p);
    std::memset(p, 1, 40);
    lull_free(p);
  }, "lull: double free of 0x");
}
// A block that has left the quarantine is free in its span, or its span is gone.
TEST_F(SecureDeathTest, DoubleFreeLongAfterTheFirst) {
  EXPECT_DEATH({
    void* kept = lull_malloc(40);
    void* p = lull_malloc(40);
    lull_free(p);
    lull_malloc_trim(0);
    lull_free(kept);
    lull_free(p);
  }, "lull: (double free of|free of) 0x");
}
TEST_F(SecureDeathTest, DoubleFreeByTwoThreadsAtOnce) {
  EXPECT_DEATH({
    for (int i = 0; i < 1000; ++i) {
      void* p = lull_malloc(40);
      lull::testing::run_together(2, [&](unsigned) { lull_free(p); });
    }
  }, "lull: double free of 0x");
}
TEST_F(SecureDeathTest, FreeOfABlockThatWasNeverHandedOut) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(40));
    lull_free(p + (word_of(p) % kPageSize >= 48 ? -48 : 48));
  }, "lull: double free of 0x");
}
TEST_F(SecureDeathTest, FreeOfAGuardPage) {
  EXPECT_DEATH({
    const Span* span = small_span_of(word_of(lull_malloc(100)));
    lull_free(reinterpret_cast<void*>(span->end()));
  }, "lull: free of 0x.*no block");
}
TEST_F(SecureDeathTest, WriteAfterFree) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(3000));
    lull_free(p);
    p[2000] = 1;
    for (int i = 0; i < 1'000'000; ++i) lull_free(lull_malloc(3000));
  }, "lull: write after free: the free block of 3072 bytes at 0x.* was changed at offset 2000");
}
TEST_F(SecureDeathTest, ReallocAndUsableSizeOfAFreedBlock) {
  EXPECT_DEATH({
    void* p = lull_malloc(40);
    lull_free(p);
    p = lull_realloc(p, 400);
  }, "lull: use of 0x.* after it was freed");
  EXPECT_DEATH({
    void* p = lull_malloc(40);
    lull_free(p);
    lull_malloc_usable_size(p);
  }, "lull: use of 0x.* after it was freed");
}
TEST_F(SecureDeathTest, FreeOfALargeBlockInQuarantine) {
  EXPECT_DEATH({ void* p = lull_malloc(50'000); lull_free(p); lull_free(p); }, "lull: free of 0x.*no block");
}

// Out of reach.

#define EXPECT_SEGV(code) EXPECT_EXIT({ std::signal(SIGSEGV, SIG_DFL); code; ::_exit(0); }, ::testing::KilledBySignal(SIGSEGV), "")

TEST_F(SecureDeathTest, ReadingAFreedLargeBlock) {
  EXPECT_SEGV({ void* p = lull_malloc(50'000); lull_free(p); touch(p); });
  EXPECT_SEGV({ auto* p = static_cast<char*>(lull_malloc(5'000'000)); lull_free(p); touch(p + 4'999'999); });
}
TEST_F(SecureDeathTest, ReadingBehindALargeBlock) {
  EXPECT_SEGV({ auto* p = static_cast<char*>(lull_malloc(40'960)); touch(p + 40'960); });
  EXPECT_SEGV({ auto* p = static_cast<char*>(lull_malloc(1 << 24)); touch(p + (1 << 24)); });
}
TEST_F(SecureDeathTest, WritingOnAndOnPastTheEndOfAnySmallBlock) {
  for (const std::size_t bytes : {16u, 100u, 3000u, 32'000u})
    EXPECT_SEGV({
      auto* p = static_cast<volatile char*>(lull_malloc(bytes));
      for (std::size_t i = 0; i <= PageCount{pages::kLargestSpanPages}.bytes(); ++i) p[i] = 1;
    });
}

}  // namespace
}  // namespace lull::front

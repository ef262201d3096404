// The cases of docs/design/misuse.md that no other test has, in the default mode and in secure mode.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>

#include "alloc/front/heap.h"
#include "alloc/front/secure.h"
#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::scaled;

class MisuseDeathTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void* hidden(void* block) {  // from compilers that know what free() does
  asm volatile("" : "+r"(block)::"memory");
  return block;
}
std::uintptr_t word_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block); }

// Free twice.

// Each may pass the look at the key before the other leaves it; then both give the block back when they end.
TEST_F(MisuseDeathTest, DoubleFreeByTwoThreadsAtOnce) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "the misuse is a race";
  EXPECT_DEATH({
    for (int i = 0; i < 200; ++i) {
      void* p = lull_malloc(40);
      lull::testing::run_together(2, [&](unsigned) { lull_free(p); });
    }
  }, "lull: (double free|free) of 0x");
}
TEST_F(MisuseDeathTest, DoubleFreeAfterItsSpanIsGone) {
  EXPECT_DEATH({
    void* p = lull_malloc(40);
    lull_free(p);
    lull_malloc_trim(0);
    lull_free(p);
  }, "lull: free of 0x.*, which is no block");
}
TEST_F(MisuseDeathTest, DoubleFreeAfterItsPagesServeLargerBlocks) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(40));
    lull_free(p);
    lull_malloc_trim(0);
    char* large = nullptr;
    do large = static_cast<char*>(lull_malloc(100'000));
    while (!(large <= p && p < large + 100'000));
    lull_free(p + (p == large ? 16 : 0));
  }, "lull: free of 0x.*, which is inside a block");
}
TEST_F(MisuseDeathTest, OfTwoThreadsThatFreeALargeBlockOneIsStopped) {
  EXPECT_DEATH({
    for (int i = 0; i < 1000; ++i) {
      void* p = lull_malloc(100'000);
      lull::testing::run_together(2, [&](unsigned) { lull_free(p); });
    }
  }, "lull: (double free|free) of 0x");
}

// Addresses that are no block's.

TEST_F(MisuseDeathTest, FreeOfAnotherMallocsBlock) {
  EXPECT_DEATH({ lull_free(lull_malloc(1)); lull_free(hidden(std::malloc(100))); }, "no address of this heap");
}
TEST_F(MisuseDeathTest, FreeOfABlockMadeUpInsideABlock) {
  EXPECT_DEATH({
    auto* p = static_cast<std::uintptr_t*>(lull_malloc(1000));
    std::fill_n(p, 125, 0x41);  // sizes and links as other allocators keep them before a block
    lull_free(p + 16);
  }, "inside a block of 1024 bytes");
}
// 112 bytes do not divide the span: a block of nobody would begin behind the last one.
TEST_F(MisuseDeathTest, FreeOfTheTailBehindTheLastBlock) {
  EXPECT_DEATH({
    const Span* span = small_span_of(word_of(lull_malloc(112)));
    const std::uintptr_t tail = span->slot_address(span->slots);
    LULL_CHILD_EXPECT(tail + 16 <= span->end());
    lull_free(reinterpret_cast<void*>(tail));
    flush_thread_bins();
  }, "lull: free of 0x.*, which is in no block");
}
TEST_F(MisuseDeathTest, FreeOfABlockThatWasNeverHandedOut) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(48));
    lull_free(p + (word_of(p) == small_span_of(word_of(p))->base ? 48 : -48));
    flush_thread_bins();
  }, "lull: double free of 0x");
}
TEST_F(MisuseDeathTest, FreeOfAPageThatTheHeapNeverUsed) {
  EXPECT_DEATH({
    lull_free(lull_malloc(1));
    lull_free(reinterpret_cast<void*>(pages::reservation.base + pages::reservation.size - kPageSize));
  }, "no block");
}
TEST_F(MisuseDeathTest, ReallocAndUsableSizeOfForeignAddresses) {
  static char global[64];
  EXPECT_DEATH({ lull_free(lull_malloc(1)); lull_realloc(hidden(global), 100); }, "no address of this heap");
  EXPECT_DEATH({ lull_free(lull_malloc(1)); lull_malloc_usable_size(global); }, "no address of this heap");
  EXPECT_DEATH(lull_malloc_usable_size(reinterpret_cast<void*>(16)), "no address of this heap");
}

// Sizes that are not the block's.

TEST_F(MisuseDeathTest, AlignedSizedFreeThatDoesNotFit) {
  EXPECT_DEATH({ void* p = lull_aligned_alloc(256, 300); lull_free_aligned_sized(p, 256, 3000); }, "with size");
  EXPECT_DEATH({ void* p = lull_malloc(100); lull_free_aligned_sized(p, 4096, 100); }, "with size");
}
TEST_F(MisuseDeathTest, SizedFreeOfWhatIsNoBlock) {
  EXPECT_DEATH({ lull_free(lull_malloc(1)); char local[64]; lull_free_sized(hidden(local), 64); }, "no address of this heap");
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(100)); lull_free_sized(p + 16, 100); }, "inside a block");
  EXPECT_DEATH({ void* p = lull_malloc(40); lull_free_sized(p, 40); lull_free_sized(p, 40); }, "double free");
}
TEST_F(MisuseDeathTest, SizedFreeWithAnAbsurdSize) {
  EXPECT_DEATH({ void* p = lull_malloc(100); lull_free_sized(p, ~std::size_t{0}); }, "with size");
}

TEST_F(MisuseDeathTest, ReallocAndUsableSizeOfAFreedBlock) {
  EXPECT_DEATH({ void* p = lull_malloc(40); lull_free(p); lull_realloc(hidden(p), 400); }, "use of 0x.* after it was freed");
  EXPECT_DEATH({ void* p = lull_malloc(40); lull_free(p); lull_malloc_usable_size(p); }, "use of 0x.* after it was freed");
}

TEST_F(MisuseDeathTest, IsFatalAlsoWithoutStandardError) {
  EXPECT_EXIT({ void* p = lull_malloc(40); ::close(STDERR_FILENO); lull_free(p); lull_free(hidden(p)); },
              ::testing::KilledBySignal(SIGABRT), "");
}

// Requests that nobody can meet.

TEST(Misuse, AlignmentsLargerThanTheHeapAreRefused) {
  for (unsigned shift = 42; shift < 62; ++shift) {
    errno = 0;
    EXPECT_EQ(nullptr, lull_aligned_alloc(std::size_t{1} << shift, 100)) << shift;
    EXPECT_EQ(ENOMEM, errno);
  }
}
TEST(Misuse, ABlockThatShrinksWithoutMemoryStays) {
  lull::testing::expect_success_in_new_process([] {
    for (const std::size_t size : {std::size_t{30'000}, std::size_t{1} << 20}) {
      auto* block = static_cast<char*>(lull_malloc(size));
      std::memset(block, 7, size);
      os::fail_mapping_for_testing(0, true);
      std::vector<void*> held;
      held.reserve(1'000'000);
      while (void* more = lull_malloc(100)) held.push_back(more);
      auto* shrunk = static_cast<char*>(lull_realloc(block, 100));
      LULL_CHILD_EXPECT(shrunk != nullptr && std::all_of(shrunk, shrunk + 100, [](char c) { return c == 7; }));
      lull_free(shrunk);
      for (void* more : held) lull_free(more);
      os::fail_mapping_for_testing(-1);
    }
  });
}
// Each call that maps, protects or commits, once and from then on, until a run needs fewer than that.
TEST(Misuse, EveryMappingMayFailFromSomeOneOn) {
  for (int n = 0; n < 24; ++n)
    for (const bool sticky : {false, true})
      lull::testing::expect_success_in_new_process([n, sticky] {
        os::fail_mapping_for_testing(n, sticky);
        std::vector<void*> held;
        held.reserve(20'000);
        for (int i = 0; i < 20'000; ++i) {
          void* block = i % 5 == 0 ? lull_aligned_alloc(64, 3000) : i % 97 == 0 ? lull_malloc(300'000) : lull_calloc(1, 500);
          if (block != nullptr) held.push_back(block);
          if (i % 2 == 0 && !held.empty()) {
            lull_free(held.back());
            held.pop_back();
          }
        }
        os::fail_mapping_for_testing(-1);
        for (void* block : held) lull_free(block);
        LULL_CHILD_EXPECT(lull_malloc(1'000'000) != nullptr && lull_malloc(100) != nullptr);
        pages::page_heap.check_invariants();
      });
}

// Writes where nobody should. What is damaged is the program's own; the allocator's state is elsewhere.

bool are_disjoint(const std::vector<char*>& blocks, std::size_t bytes) {
  std::vector<char*> sorted = blocks;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i] < sorted[i - 1] + bytes) return false;
  return true;
}

// A list through the free blocks would lead malloc wherever such a write points.
TEST(Misuse, WritesToFreedBlocksDoNotLeadMallocAstray) {
  if (is_secure()) GTEST_SKIP() << "are found there: SecureDeathTest.WriteAfterFree";
  for (const std::size_t bytes : {16u, 48u, 1000u}) {
    std::vector<char*> blocks;
    for (int i = 0; i < scaled(50'000); ++i) blocks.push_back(static_cast<char*>(lull_malloc(bytes)));
    for (char* block : blocks) {
      lull_free(block);
      std::memset(hidden(block), 0x41, bytes);
    }
    lull_malloc_trim(0);  // pages that are gone are the system's again: only those may be written to that are there
    std::vector<char*> again;
    for (int i = 0; i < scaled(50'000); ++i) again.push_back(static_cast<char*>(lull_malloc(bytes)));
    EXPECT_TRUE(are_disjoint(again, bytes));
    for (char* block : again) {
      ASSERT_TRUE(pages::in_heap(word_of(block)));
      lull_free(block);
    }
  }
  pages::page_heap.check_invariants();
}

TEST(Misuse, OverflowsCannotReachTheState) {
  for (const std::size_t bytes : {16u, 112u, 5000u}) {
    std::vector<char*> blocks;
    for (int i = 0; i < 5000; ++i) blocks.push_back(static_cast<char*>(lull_malloc(bytes)));
    std::map<Span*, std::size_t> in_span;
    for (char* block : blocks) ++in_span[small_span_of(word_of(block))];
    for (const auto& [span, count] : in_span)
      if (count == span->slots) std::memset(reinterpret_cast<void*>(span->base), 0x41, span->end() - span->base);
    for (char* block : blocks) lull_free(block);
    std::vector<char*> again;
    for (int i = 0; i < 5000; ++i) again.push_back(static_cast<char*>(lull_malloc(bytes)));
    EXPECT_TRUE(are_disjoint(again, bytes));
    for (char* block : again) lull_free(block);
  }
}

}  // namespace
}  // namespace lull::front

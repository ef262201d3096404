// lull_malloc and its family: what the standards and glibc say of them, under one thread and many, and what wrong use does.
#include "lull/malloc.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <utility>

#include "alloc/front/heap.h"
#include "alloc/front/magazines.h"
#include "alloc/front/span_purge.h"
#include "alloc/front/statistics.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::run_together;
using lull::testing::scaled;

std::size_t used_pages() { return pages::page_heap.stats().used >> kPageShift; }
void fill(void* block, std::size_t bytes, unsigned value) { std::memset(block, static_cast<int>(value & 0xff), bytes); }
bool is_filled(const void* block, std::size_t bytes, unsigned value) {
  const auto* at = static_cast<const unsigned char*>(block);
  return std::all_of(at, at + bytes, [&](unsigned char c) { return c == (value & 0xff); });
}

// Sizes.

TEST(BlockSizes, EveryOffsetThatIsAStartAndNoOtherPassesTheInverse) {
  for (std::uint32_t bin = kFirstBin; bin < kBins; ++bin) {
    const std::uint32_t inverse = inverse_of_bin(bin), bytes = static_cast<std::uint32_t>(bytes_of_bin(bin));
    for (std::uint32_t offset = 0; offset < PageCount{pages::kLargestSpanPages}.bytes(); ++offset)
      ASSERT_EQ(offset % bytes == 0, offset * inverse < inverse) << bytes << " at " << offset;
  }
}

TEST(BlockSizes, SpansWasteLittleAndFitThePageEntries) {
  for (std::uint32_t bin = kFirstBin; bin < kBins; ++bin) {
    const pages::SpanGeometry g = geometry_of_bin(bin);
    EXPECT_LE(g.pages.value, pages::kLargestSpanPages);
    EXPECT_GE(g.slots, pages::kFewestSlots);
    EXPECT_LE((g.pages.bytes() - g.slots * g.slot_bytes) * 8, g.pages.bytes()) << g.slot_bytes;
  }
}

TEST(Malloc, GivesUsableDisjointAlignedBlocksOfEverySize) {
  for (std::size_t bytes = 0; bytes < 70'000; bytes += bytes < 1200 ? 1 : 97) {
    void* a = lull_malloc(bytes);
    void* b = lull_malloc(bytes);
    ASSERT_NE(a, b);
    for (void* block : {a, b}) {
      ASSERT_NE(nullptr, block);
      ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(block) % 16);
      ASSERT_GE(lull_malloc_usable_size(block), bytes);
      ASSERT_EQ(lull_malloc_usable_size(block), lull_good_size(bytes));
    }
    fill(a, lull_malloc_usable_size(a), 1);
    fill(b, lull_malloc_usable_size(b), 2);
    ASSERT_TRUE(is_filled(a, lull_malloc_usable_size(a), 1));
    lull_free(a);
    ASSERT_TRUE(is_filled(b, lull_malloc_usable_size(b), 2));
    lull_free_sized(b, bytes);
  }
}

TEST(Malloc, RefusesWhatNoAddressSpaceHolds) {
  for (const std::size_t bytes : {std::size_t{PTRDIFF_MAX} + 1, SIZE_MAX, SIZE_MAX - 4096, std::size_t{1} << 50}) {
    errno = 0;
    EXPECT_EQ(nullptr, lull_malloc(bytes)) << bytes;
    EXPECT_EQ(ENOMEM, errno);
    errno = 0;
    EXPECT_EQ(nullptr, lull_realloc(nullptr, bytes));
    EXPECT_EQ(ENOMEM, errno);
  }
  errno = 0;
  EXPECT_EQ(nullptr, lull_calloc(SIZE_MAX / 8, 9));
  EXPECT_EQ(ENOMEM, errno);
  EXPECT_EQ(nullptr, lull_reallocarray(nullptr, SIZE_MAX / 8, 9));
}

TEST(Malloc, KeepsABlockThatCannotGrow) {
  char* block = static_cast<char*>(lull_malloc(100));
  std::strcpy(block, "still here");
  EXPECT_EQ(nullptr, lull_realloc(block, std::size_t{1} << 50));
  EXPECT_STREQ("still here", block);
  lull_free(block);
}

TEST(Malloc, FreeLeavesErrnoAlone) {
  void* large = lull_malloc(10 << 20);
  void* small = lull_malloc(10);
  errno = 4711;
  lull_free(large);
  lull_free(small);
  lull_free(nullptr);
  lull_free_sized(nullptr, 10);
  EXPECT_EQ(4711, errno);
}

TEST(Calloc, IsZeroAlsoWhenTheMemoryWasUsedBefore) {
  for (const std::size_t bytes : {1u, 16u, 100u, 5000u, 32768u, 32769u, 300'000u, 5'000'000u})
    for (int round = 0; round < 5; ++round) {
      void* dirty = lull_malloc(bytes);
      fill(dirty, lull_malloc_usable_size(dirty), 0xff);
      lull_free(dirty);
      void* block = lull_calloc(1, bytes);
      ASSERT_TRUE(is_filled(block, bytes, 0)) << bytes;
      fill(block, bytes, 0xee);
      lull_free(block);
    }
}

TEST(Realloc, KeepsTheContentsWhereverItGoes) {
  std::mt19937_64 random(lull::testing::seed_of_this_run());
  std::size_t size = 1;
  auto* block = static_cast<unsigned char*>(lull_malloc(size));
  fill(block, size, 7);
  for (int i = 0; i < 2000; ++i) {
    const std::size_t wanted = random() % (i % 10 == 0 ? 3'000'000 : 3000) + 1;
    block = static_cast<unsigned char*>(lull_realloc(block, wanted));
    ASSERT_NE(nullptr, block);
    ASSERT_TRUE(is_filled(block, std::min(size, wanted), 7)) << size << " -> " << wanted;
    ASSERT_GE(lull_malloc_usable_size(block), wanted);
    fill(block, wanted, 7);
    size = wanted;
  }
  EXPECT_EQ(nullptr, lull_realloc(block, 0));
}

TEST(Realloc, GrowsALargeBlockInPlaceWhenNobodyIsBehindIt) {
  void* block = lull_malloc(1 << 20);
  int moves = 0;
  for (std::size_t size = 1 << 20; size < (64 << 20); size += 1 << 20) {
    void* grown = lull_realloc(block, size);
    moves += grown != block;
    block = grown;
  }
  EXPECT_LT(moves, 3);
  lull_free(block);
}

TEST(Realloc, GivesTheTailOfAShrunkLargeBlockBack) {
  void* block = lull_malloc(64 << 20);
  const std::size_t before = used_pages();
  EXPECT_EQ(block, lull_realloc(block, 1 << 20));
  EXPECT_EQ(before - used_pages(), (63u << 20) >> kPageShift);
  EXPECT_EQ(std::size_t{1} << 20, lull_malloc_usable_size(block));
  lull_free(block);
}

TEST(AlignedAlloc, GivesWhatIsAskedAtEveryAlignment) {
  for (std::size_t alignment = 1; alignment <= (std::size_t{64} << 20); alignment *= 2)
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{17}, alignment - 1, alignment, alignment + 1, alignment * 3}) {
      void* a = lull_aligned_alloc(alignment, bytes);
      void* b = nullptr;
      ASSERT_NE(nullptr, a) << alignment << ' ' << bytes;
      ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(a) % alignment) << alignment << ' ' << bytes;
      ASSERT_GE(lull_malloc_usable_size(a), bytes);
      fill(a, std::min<std::size_t>(bytes, 4096), 1);
      if (alignment >= sizeof(void*)) {
        ASSERT_EQ(0, lull_posix_memalign(&b, alignment, bytes));
        ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(b) % alignment);
        lull_free(b);
      }
      lull_free_aligned_sized(a, alignment, bytes);
    }
}

TEST(AlignedAlloc, RefusesWhatIsNoPowerOfTwo) {
  void* block = nullptr;
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{24}, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(nullptr, lull_aligned_alloc(alignment, 10));
    EXPECT_EQ(EINVAL, errno);
    EXPECT_EQ(EINVAL, lull_posix_memalign(&block, alignment, 10));
  }
  EXPECT_EQ(EINVAL, lull_posix_memalign(&block, 4, 10));
  EXPECT_EQ(nullptr, block);
  EXPECT_EQ(nullptr, lull_aligned_alloc(std::size_t{1} << 62, 10));
}

// free_sized() took the block's class for the size that was asked for, but realloc() leaves a block of 112 bytes where it is
// when 57 are wanted.
// The fast path compares half of the key, so such a block is one for the slow path, which must see that it is not free.
TEST(Free, TakesABlockThatHoldsHalfOfItsKey) {
  for (const std::size_t changed : {8, 12}) {
    auto* p = static_cast<volatile unsigned char*>(lull_malloc(40));
    lull_free(const_cast<unsigned char*>(p));
    unsigned char key[8];
    for (std::size_t i = 0; i < sizeof key; ++i) key[i] = p[8 + i];
    ASSERT_EQ(lull_malloc(40), const_cast<unsigned char*>(p));
    for (std::size_t i = 0; i < sizeof key; ++i) p[8 + i] = key[i];
    p[changed] = static_cast<unsigned char>(p[changed] + 1);
    lull_free(const_cast<unsigned char*>(p));
    void* again = lull_malloc(40);
    EXPECT_EQ(again, const_cast<unsigned char*>(p)) << "changed at " << changed;
    lull_free(again);
  }
}

TEST(FreeSized, TakesTheSizeOfAReallocThatStayed) {
  for (const std::size_t size : {100u, 1000u, 20'000u, 32'000u, 100'000u})
    for (std::size_t wanted = size; wanted > 0; wanted -= size / 10 < wanted ? size / 10 : wanted)
      lull_free_sized(lull_realloc(lull_malloc(size), wanted), wanted);
}

// What becomes of memory.

TEST(Memory, AllOfItIsBackAfterEverythingWasFreed) {
  std::thread([] {  // with bins of its own, which its end gives back
    std::mt19937_64 random(lull::testing::seed_of_this_run());
    std::vector<void*> blocks;
    for (int i = 0; i < 200'000; ++i) blocks.push_back(lull_malloc(random() % (i % 100 == 0 ? 100'000 : 1000)));
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (void* block : blocks) lull_free(block);
  }).join();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
  EXPECT_EQ(0u, thread_bins_in_use());
  EXPECT_EQ(0u, pages::span_stats().spans);  // descriptors, too
  pages::page_heap.check_invariants();
}

TEST(Memory, OfAThreadThatOnlyFreedIsBackToo) {
  std::vector<void*> blocks;
  for (int i = 0; i < 100'000; ++i) blocks.push_back(lull_malloc(100));
  std::thread([&] {
    for (void* block : blocks) lull_free(block);
  }).join();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

TEST(Memory, ACycleOfThreadsKeepsItsSize) {
  std::size_t early = 0;
  for (int i = 0; i < scaled(2000); ++i) {
    std::thread([] {
      void* blocks[100];
      for (auto& block : blocks) block = lull_malloc(200);
      for (auto& block : blocks) lull_free(block);
    }).join();
    if (i == 10) early = used_pages();
  }
  EXPECT_LE(used_pages(), early);
}

TEST(Memory, EmptySpansGoBackToThePageHeapWithoutBeingAsked) {
  std::vector<void*> blocks;
  for (int i = 0; i < 500'000; ++i) blocks.push_back(lull_malloc(64));
  const std::size_t most = used_pages();
  for (void* block : blocks) lull_free(block);
  EXPECT_LT(used_pages() * 20, most);
}

// A span that dies while it is linked leaves its descriptor on the list, for who comes by.
TEST(Memory, DescriptorsOfDeadSpansServeAgain) {
  std::uint32_t highest[2] = {};  // numbers of descriptors: in the first rounds, later
  for (int round = 0; round < 40; ++round) {
    std::vector<void*> blocks(400);
    for (void*& block : blocks) {
      block = lull_malloc(8000);
      const PageIndex page = pages::page_of(reinterpret_cast<std::uintptr_t>(block));
      std::uint32_t& so_far = highest[round >= 10];
      so_far = std::max(so_far, static_cast<std::uint32_t>(pages::reservation.owners[page.value].load()));
    }
    for (std::size_t first : {0u, 1u}) {  // the second half finds them linked
      for (std::size_t i = first; i < blocks.size(); i += 2) lull_free(blocks[i]);
      flush_thread_bins();
    }
  }
  EXPECT_LE(highest[1], highest[0] + 100);
}

// One block in 50 stays, spread over all spans. `at_most`: what was resident when they were all there.
std::vector<unsigned char*> leave_sparse_blocks(std::size_t total, std::size_t* at_most = nullptr) {
  std::mt19937_64 random(lull::testing::seed_of_this_run());
  std::vector<unsigned char*> all, kept;
  for (std::size_t made = 0; made < total;) {
    const std::size_t bytes = 16 + random() % (random() % 10 == 0 ? 20'000 : 500);
    all.push_back(static_cast<unsigned char*>(lull_malloc(bytes)));
    fill(all.back(), lull_malloc_usable_size(all.back()), 0x5a);
    made += bytes;
  }
  if (at_most != nullptr) *at_most = lull::testing::resident_bytes();
  std::shuffle(all.begin(), all.end(), random);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 50 == 0) kept.push_back(all[i]);
    else lull_free(all[i]);
  }
  return kept;
}
void expect_unharmed(const std::vector<unsigned char*>& blocks) {
  for (unsigned char* block : blocks) ASSERT_TRUE(is_filled(block, lull_malloc_usable_size(block), 0x5a));
}

TEST(Memory, PagesBetweenSparseBlocksGoBackWhenIdle) {
  const std::size_t at_first = lull::testing::resident_bytes(), total = std::size_t{200} << 20;
  std::size_t at_most = 0;
  const auto kept = leave_sparse_blocks(total, &at_most);
  const int tries = lull::testing::kSanitized ? 10 : 600;  // the sanitizers' own memory stays
  for (int i = 0; i < tries && lull::testing::resident_bytes() > at_first + total / 6; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  if (!lull::testing::kSanitized) {
    EXPECT_GT(at_most, at_first + total / 2);
    EXPECT_LE(lull::testing::resident_bytes(), at_first + total / 6);
  }
  expect_unharmed(kept);
}

TEST(Memory, TrimGivesPagesBetweenSparseBlocksBackAtOnceAndTheyServeAgain) {
  const std::size_t at_first = lull::testing::resident_bytes(), total = std::size_t{100} << 20;
  const auto kept = leave_sparse_blocks(total);
  EXPECT_EQ(1, lull_malloc_trim(0));
  EXPECT_TRUE(lull::testing::kSanitized || lull::testing::resident_bytes() <= at_first + total / 6);
  expect_unharmed(kept);
  const auto more = leave_sparse_blocks(total);
  expect_unharmed(kept);
  expect_unharmed(more);
}

// Everybody takes and gives while pages go.
TEST(Memory, IsPurgedUnderThreadsThatUseIt) {
  std::atomic<bool> over{false};
  std::thread purging([&] {
    while (!over) purge_all_spans();
  });
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  run_together(3, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    std::vector<std::pair<unsigned char*, std::size_t>> held(500);
    for (int i = 0; i < scaled(200'000); ++i) {
      auto& [block, bytes] = held[random() % held.size()];
      if (block != nullptr) {
        ASSERT_TRUE(is_filled(block, bytes, t + 1));
        lull_free(block);
      }
      bytes = 16 + random() % 6000;
      block = static_cast<unsigned char*>(lull_malloc(bytes));
      fill(block, bytes, t + 1);
      if (i % 100 == 0) flush_thread_bins();
    }
    for (auto& [block, bytes] : held) lull_free(block);
  });
  over = true;
  purging.join();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
  for (std::uint32_t bin = kFirstBin; bin < kBins; ++bin) EXPECT_EQ(0, central[bin].empties.load()) << bin;
}

TEST(Memory, RunsOutAsNullAndComesBack) {
  lull::testing::expect_success_in_new_process([] {
    LULL_CHILD_EXPECT(lull_malloc(10) != nullptr);
    os::fail_mapping_for_testing(0, true);
    std::vector<void*> held;
    held.reserve(10'000'000);
    void* block;
    while ((block = lull_malloc(3000)) != nullptr) held.push_back(block);
    LULL_CHILD_EXPECT(errno == ENOMEM);
    LULL_CHILD_EXPECT(held.size() > 1000);
    LULL_CHILD_EXPECT(lull_calloc(1, 3000) == nullptr && lull_malloc(100'000) == nullptr);
    LULL_CHILD_EXPECT(lull_aligned_alloc(4096, 100'000) == nullptr);
    lull_free(held.back());
    LULL_CHILD_EXPECT(lull_malloc(3000) != nullptr);
    os::fail_mapping_for_testing(-1);
    LULL_CHILD_EXPECT(lull_malloc(100'000) != nullptr);
  });
}

TEST(Memory, EveryMappingMayFailInTurn) {
  for (int n = 0; n < 8; ++n)
    lull::testing::expect_success_in_new_process([n] {
      os::fail_mapping_for_testing(n);
      int failed = 0;
      for (int i = 0; i < 2000; ++i) {
        void* block = lull_malloc(i % 10 == 0 ? 100'000 : 500);
        failed += block == nullptr;
        if (i % 3 == 0) lull_free(block);
      }
      LULL_CHILD_EXPECT(failed <= 1);
    });
}

// Many threads.

struct Handed {
  void* block;
  std::size_t size;
  unsigned value;
};

TEST(Threads, HandBlocksToEachOtherUnharmed) {
  constexpr unsigned kThreads = 4;
  constexpr std::size_t kPlaces = 1024;
  static std::array<std::atomic<Handed*>, kPlaces> places;
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  run_together(kThreads, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    for (int i = 0; i < scaled(300'000); ++i) {
      auto* fresh = static_cast<Handed*>(lull_malloc(sizeof(Handed)));
      const std::size_t size = random() % (i % 1000 == 0 ? 200'000 : 600) + 1;
      const auto value = static_cast<unsigned>(random());
      *fresh = {lull_malloc(size), size, value};
      fill(fresh->block, std::min<std::size_t>(size, 600), value);
      Handed* old = places[random() % kPlaces].exchange(fresh);
      if (old == nullptr) continue;
      ASSERT_TRUE(is_filled(old->block, std::min<std::size_t>(old->size, 600), old->value));
      lull_free(old->block);
      lull_free(old);
    }
  });
  for (auto& place : places) {
    if (Handed* left = place.exchange(nullptr)) {
      lull_free(left->block);
      lull_free(left);
    }
  }
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

// Spans are taken from, filled, emptied and retired by everybody at once: few blocks a span make every transition frequent.
TEST(Threads, ShareSpansOfFewBlocks) {
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  run_together(4, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    std::vector<unsigned char*> held;
    for (int i = 0; i < scaled(200'000); ++i) {
      if (random() % 100 < (i / 1000 % 2 ? 40u : 60u) && held.size() < 300) {
        held.push_back(static_cast<unsigned char*>(lull_malloc(8000 + random() % 24'000)));
        *held.back() = static_cast<unsigned char>(t);
      } else if (!held.empty()) {
        std::swap(held[random() % held.size()], held.back());
        ASSERT_EQ(t, *held.back());
        lull_free(held.back());
        held.pop_back();
      }
      if (i % 1000 == 0) flush_thread_bins();
      if (i % 5000 == 0) trim_central();
    }
    for (void* block : held) lull_free(block);
  });
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

TEST(Threads, ABlockIsHandedOutOnce) {
  static std::vector<void*> taken[4];
  run_together(4, [&](unsigned t) {
    for (int i = 0; i < scaled(100'000); ++i) taken[t].push_back(lull_malloc(48));
  });
  std::set<void*> all;
  for (const auto& blocks : taken) all.insert(blocks.begin(), blocks.end());
  EXPECT_EQ(4u * static_cast<unsigned>(scaled(100'000)), all.size());
}

// The view that free() has of the heap is made with the first bins; a large block needs none.
TEST(Threads, MayFreeLargeBlocksWhileAnotherMakesTheFirstBins) {
  lull::testing::expect_success_in_new_process([] {
    void* large = lull_malloc(100'000);
    run_together(2, [&](unsigned t) { lull_free(t == 0 ? large : lull_malloc(10)); });
  });
}

TEST(Threads, MayAskForFiguresAtAnyTime) {
  std::atomic<unsigned> working{3};
  run_together(4, [&](unsigned t) {
    while (t == 0 && working.load() > 0) {
      const HeapFigures figures = read_figures();  // one look: between two of them anything may happen
      EXPECT_GE(figures.held_bytes, figures.idle_bytes + figures.used_bytes);
    }
    for (int i = 0; t != 0 && i < scaled(20'000); ++i) {
      void* blocks[8];
      for (auto& block : blocks) block = lull_malloc(9000 + 1000 * t);
      for (void* block : blocks) lull_free(block);
      if (i % 100 == 0) flush_thread_bins(), trim_central();
    }
    if (t != 0) working.fetch_sub(1);
  });
}

pthread_key_t last_key;
TEST(Threads, MayAllocateAndFreeInTheirLastDestructors) {
  lull_free(lull_malloc(1));  // the bins' key comes first, so that they are gone when this one's destructor runs
  pthread_key_create(&last_key, [](void* block) {
    void* other = lull_malloc(100);
    lull_free(block);
    lull_free(other);
  });
  for (int i = 0; i < 100; ++i)
    std::thread([] { pthread_setspecific(last_key, lull_malloc(100)); }).join();
  flush_thread_bins();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

// Passive false sharing: a worker was given one of two neighbours, freed it, and got it back at its next allocation.
std::size_t handed_out_again(const std::set<void*>& freed) {
  std::size_t again = 0;
  std::thread([&] {
    for (void* block : freed) lull_free(block);
    std::vector<void*> own(2 * freed.size());
    for (void*& block : own) again += freed.count(block = lull_malloc(16));
    for (void* block : own) lull_free(block);
  }).join();
  return again;
}
std::set<void*> small_blocks(std::size_t n) {
  std::set<void*> blocks;
  while (blocks.size() < n) blocks.insert(lull_malloc(16));
  return blocks;
}
// Makes `total` bytes of blocks and frees them, twelve times: arrays grow.
void turn(std::size_t bytes, std::size_t total) {
  std::vector<void*> blocks(total / bytes);
  for (int round = 0; round < 12; ++round) {
    for (void*& block : blocks) block = lull_malloc(bytes);
    for (void* block : blocks) lull_free(block);
  }
}
// Other sizes have used up what a thread's arrays may hold together.
TEST(Bins, OfASizeThatComesLateHoldMoreThanAFewBlocks) {
  std::thread([] {
    for (std::size_t bytes = 128; bytes <= 1024; bytes += bytes / 8) turn(bytes, std::size_t{1} << 20);
    const lull::front::ThreadBins& own = *lull::front::own_bins_or_null();
    EXPECT_GT(own.capacity_bytes, std::size_t{3} << 19);  // 1.5 of 2 MiB: no place for another long one
    turn(64, 100'000);
    EXPECT_GE(own.reserve[lull::front::bin_of(64)].capacity, 128);
  }).join();
}
// Vectors that grow go from one size of many bytes to the next; each would leave a long array behind.
TEST(Bins, OfLargeBlocksTogetherAreNotLong) {
  std::thread([] {
    for (std::size_t bytes = 2048; bytes <= 32 * 1024; bytes += bytes / 8) turn(bytes, std::size_t{1} << 20);
    const lull::front::ThreadBins& own = *lull::front::own_bins_or_null();
    std::size_t beyond_plain = 0;
    for (std::uint32_t b = lull::front::bin_of(2048); b < lull::front::kBins; ++b) {
      const std::size_t plain = 2 * std::max<std::size_t>(2, 8192 / lull::front::bytes_of_bin(b)), have = own.reserve[b].capacity;
      if (have > plain) beyond_plain += (have - plain) * lull::front::bytes_of_bin(b);
    }
    EXPECT_GT(beyond_plain, 0u);
    EXPECT_LE(beyond_plain, std::size_t{256} << 10);
  }).join();
}
// A thread that kept the span it took from last would keep it wholly free.
TEST(Bins, OfAThreadThatFreesHoldNoSpan) {
  std::thread([] {
    turn(512, std::size_t{1} << 20);  // more than its bin holds
    EXPECT_EQ(nullptr, lull::front::own_bins_or_null()->reserve[lull::front::bin_of(512)].held);
  }).join();
}
// A thread that frees one size after the other left two magazines of each behind.
TEST(Bins, OfASizeThatAThreadTurnedAwayFromAreEmpty) {
  std::thread([] {
    std::vector<void*> first(4000), second(4000);
    for (void*& block : first) block = lull_malloc(96);
    for (void*& block : second) block = lull_malloc(160);
    const lull::front::ThreadBins& own = *lull::front::own_bins_or_null();
    for (void* block : first) lull_free(block);
    EXPECT_GT(lull::front::count_of(own, lull::front::bin_of(96)), 0u);
    for (void* block : second) lull_free(block);
    EXPECT_EQ(0u, lull::front::count_of(own, lull::front::bin_of(96)));
    EXPECT_GT(lull::front::count_of(own, lull::front::bin_of(160)), 0u);
  }).join();
}
// A long bin gives whole spans back at once. These were linked as wholly free ones, and stayed their size's for ever.
TEST(Memory, ThatCameBackAllAtOnceServesOtherSizes) {
  std::thread([] { turn(256, std::size_t{8} << 20); }).join();
  EXPECT_LE(used_pages(), 32u);
  lull_malloc_trim(0);
}
// Of each size one wholly free span may stay, but few of all together.
TEST(Memory, OfManySizesInTurnServesTheNext) {
  std::size_t most = 0;
  for (std::size_t bytes = 200; bytes <= 32 * 1024; bytes += bytes / 8 + 16) {
    lull_free(lull_malloc(bytes));
    flush_thread_bins();
    most = std::max(most, used_pages());
  }
  EXPECT_LE(most, 32u + 16u);  // of those and of the last size
  lull_malloc_trim(0);
}

TEST(Neighbours, AFewThatAnotherThreadFreesAreNotItsToHandOut) {
  EXPECT_EQ(0u, handed_out_again(small_blocks(kManyStrangers - 1)));
}
// 0: no thread looks away, as if strangers came rarely; ~0: every thread does that sends a parcel.
class HurriedAfter {
 public:
  explicit HurriedAfter(std::uint64_t ns) : before_(std::exchange(hurried_ns, ns)) {}
  ~HurriedAfter() { hurried_ns = before_; }
  HurriedAfter(const HurriedAfter&) = delete;
  HurriedAfter& operator=(const HurriedAfter&) = delete;

 private:
  std::uint64_t before_;
};
TEST(Neighbours, ManyAreHandedOutAgainSinceTheyAreInTheCache) {
  const HurriedAfter at_once(~std::uint64_t{0});
  EXPECT_LT(0u, handed_out_again(small_blocks(10 * kManyStrangers)));
}
TEST(Neighbours, GoBackToTheirSpansWhenTheThreadEnds) {
  static_cast<void>(handed_out_again(small_blocks(kManyStrangers - 1)));
  flush_thread_bins();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

// What two threads free of each other came to lie beside each other's blocks for ever: with 200 bytes as with 16.
TEST(Neighbours, ThatAnotherThreadFreesComeBackByTheParcel) {
  const HurriedAfter never(0);
  for (const std::size_t bytes : {16u, 200u}) {
    std::vector<void*> freed(2 * kManyStrangers), drained;
    for (void*& block : freed) block = lull_malloc(bytes);
    const ThreadBins& own = *own_bins_or_null();
    const std::uint32_t bin = bin_of(bytes);
    while (count_of(own, bin) != 0) drained.push_back(lull_malloc(bytes));
    std::thread([&] {
      lull_free(lull_malloc(1));  // it has bins: the first it frees without would go to their spans
      for (void* block : freed) lull_free(block);
    }).join();
    std::vector<void*> received;
    do received.push_back(lull_malloc(bytes)); while (count_of(own, bin) != 0);
    std::sort(freed.begin(), freed.end());
    std::sort(received.begin(), received.end());
    EXPECT_EQ(freed, received) << bytes;
    for (void* block : received) lull_free(block);
    for (void* block : drained) lull_free(block);
  }
}
TEST(Neighbours, ThatNobodyFetchesGoBackToTheirSpans) {
  const HurriedAfter never(0);
  static_cast<void>(handed_out_again(small_blocks(20 * kManyStrangers)));  // more than there is room for
  flush_thread_bins();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}
// Every thread frees what all of them have made.
TEST(Neighbours, TravelBetweenManyThreadsAndNoneIsLost) {
  const HurriedAfter never(0);
  std::vector<std::atomic<void*>> exchange(500);
  run_together(4, [&](unsigned id) {
    std::uint32_t random = id * 2654435761u + 1;
    for (int i = 0; i < scaled(20'000); ++i) {
      random = random * 1664525u + 1013904223u;
      const std::size_t bytes = 16 + random % 224;
      auto* made = static_cast<unsigned char*>(lull_malloc(bytes));
      fill(made, 16, id);
      void* other = exchange[random / 65536 % exchange.size()].exchange(made, std::memory_order_acq_rel);
      if (other == nullptr) continue;
      EXPECT_TRUE(is_filled(other, 16, *static_cast<unsigned char*>(other)));
      lull_free(other);
    }
  });
  for (auto& left : exchange) lull_free(left.load(std::memory_order_relaxed));
  flush_thread_bins();
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

// Threads got each other's spans, in the order in which these had been given back, and their blocks came to lie in the same lines.
TEST(Homes, OfSpansAreThoseOfWhoTookFromThemLast) {
  constexpr BinIndex kBin = bin_of(2000);
  lull_malloc_trim(0);
  std::vector<Block*> blocks;
  const auto take = [&](std::uint32_t thread) {  // one block; whose span it is
    Block* block;
    Span* held;
    EXPECT_EQ(1u, take_first_blocks(kBin, 1, &block, {0, home_number(thread)}, held));
    if (held != nullptr) release_held_span(kBin, held);
    blocks.push_back(block);
    return small_span_of(reinterpret_cast<std::uintptr_t>(block));
  };
  Span* const first = take(2);
  for (std::uint32_t n = 1; n < first->slots; ++n) EXPECT_EQ(first, take(1));  // rather than another one is made
  Span* const second = take(2);
  EXPECT_NE(first, second);
  give_blocks(blocks.data(), 8);  // of the first one
  blocks.erase(blocks.begin(), blocks.begin() + 8);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(second, take(2));
    EXPECT_EQ(first, take(1));
  }
  EXPECT_EQ(first, take(3));  // whose own set is empty, and the first of the others, too
  EXPECT_EQ(second, take(1));
  give_blocks(blocks.data(), static_cast<std::uint32_t>(blocks.size()));
  lull_malloc_trim(0);
  EXPECT_EQ(0u, used_pages());
}

// Blocks of a heap that has shrunk: one of each fifty made, in the order of their addresses; none is in a bin, and the purger was
// there.
std::vector<void*> sparse_blocks(std::size_t bytes, std::size_t n) {
  std::vector<void*> blocks(n), kept;
  for (void*& block : blocks) block = lull_malloc(bytes);
  std::sort(blocks.begin(), blocks.end());
  for (std::size_t i = 0; i < n; ++i)
    if (i % 50 == 0) kept.push_back(blocks[i]);
    else lull_free(blocks[i]);
  flush_thread_bins();
  purge_all_spans();
  return kept;
}
Span& span_of(void* block) { return *small_span_of(reinterpret_cast<std::uintptr_t>(block)); }

// Each took the place of the one that died, so the heap stayed as large as it had ever been.
TEST(Neighbours, OfASparseSpanAreReplacedElsewhereUntilItsPagesGoBack) {
  for (const std::size_t bytes : {16u, 48u, 200u, 1000u}) {
    std::vector<void*> kept = sparse_blocks(bytes, 20'000);
    std::size_t in_place = 0;
    for (void*& block : kept) {
      void* const old = block;
      lull_free(old);
      block = lull_malloc(bytes);
      in_place += block == old;
    }
    EXPECT_LT(in_place, kept.size() / 4) << bytes;
    flush_thread_bins();
    lull_malloc_trim(0);
    EXPECT_LT(used_pages() << kPageShift, 20'000 * bytes / 10 + (std::size_t{256} << 10)) << bytes;
    for (void* block : kept) lull_free(block);
    flush_thread_bins();
    lull_malloc_trim(0);
  }
}

TEST(Neighbours, OfASpanThatIsFilledAgainAreHandedOutAsEver) {
  constexpr std::size_t kBytes = 300;  // smaller: a taker's own mark replaces the other
  std::vector<void*> kept = sparse_blocks(kBytes, 5000), filled(4900);
  std::size_t sparse = 0;
  for (void* block : kept) sparse += is_sparse(span_of(block));
  EXPECT_GT(sparse, kept.size() * 3 / 4);
  for (void*& block : filled) block = lull_malloc(kBytes);
  for (void* block : kept) EXPECT_FALSE(is_sparse(span_of(block)));
  for (void* block : filled) {
    lull_free(block);
    EXPECT_EQ(block, lull_malloc(kBytes));
  }
  kept.insert(kept.end(), filled.begin(), filled.end());
  for (void* block : kept) lull_free(block);
}

// Wrong use.

class MallocDeathTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(MallocDeathTest, DoubleFreeAtOnce) {
  EXPECT_DEATH({ void* p = lull_malloc(40); lull_free(p); lull_free(p); }, "lull: double free of 0x");
}
TEST_F(MallocDeathTest, DoubleFreeOfALargeBlock) {
  EXPECT_DEATH({ void* p = lull_malloc(1 << 20); lull_free(p); lull_free(p); }, "lull: free of 0x.*no block");
}
TEST_F(MallocDeathTest, DoubleFreeAfterOthersWereFreed) {
  EXPECT_DEATH({
    void* p = lull_malloc(40);
    void* q = lull_malloc(40);
    lull_free(p);
    lull_free(q);
    lull_free(p);
  }, "lull: double free of 0x");
}
TEST_F(MallocDeathTest, DoubleFreeByAnotherThread) {
  EXPECT_DEATH({
    void* p = lull_malloc(40);
    lull_free(p);
    std::thread([&] { lull_free(p); }).join();
  }, "lull: double free of 0x");
}
TEST_F(MallocDeathTest, DoubleFreeOfABlockWhoseKeyWasOverwrittenIsFoundInItsSpan) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(40));
    lull_free(p);
    flush_thread_bins();
    std::memset(p, 1, 40);
    lull_free(p);
    flush_thread_bins();
  }, "lull: double free of 0x");
}
TEST_F(MallocDeathTest, DoubleFreeInOneBatchIsFoundThoughTheKeyWasOverwritten) {
  EXPECT_DEATH({
    auto* p = static_cast<char*>(lull_malloc(40));
    lull_free(p);
    std::memset(p + 8, 1, 8);
    lull_free(p);
    flush_thread_bins();
  }, "lull: (double free of|free of) 0x");
}
TEST_F(MallocDeathTest, DoubleFreeInOneBatchNamesTheBlock) {
  GTEST_FLAG_SET(death_test_style, "fast");  // in a copy of this process, with its blocks
  void* blocks[4];
  for (void*& block : blocks) block = lull_malloc(40);
  char message[64];
  std::snprintf(message, sizeof message, "lull: double free of %p", blocks[2]);
  EXPECT_DEATH({
    for (void* block : blocks) lull_free(block);
    std::memset(static_cast<char*>(blocks[2]) + 8, 1, 8);
    lull_free(blocks[2]);
    flush_thread_bins();
  }, message);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (void* block : blocks) lull_free(block);
}
TEST_F(MallocDeathTest, FreeOfAnInteriorAddress) {
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(100)); lull_free(p + 16); }, "free of 0x.*inside a block of 112 bytes at 0x");
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(100)); lull_free(p + 1); }, "inside a block");
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(1 << 20)); lull_free(p + 16); }, "inside a block of 1048576 bytes");
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(1 << 20)); lull_free(p + (1 << 19)); }, "inside a block of 1048576 bytes");
}
TEST_F(MallocDeathTest, FreeOfAForeignAddress) {
  static char global[64];
  char local[64];
  EXPECT_DEATH({ lull_free(lull_malloc(1)); lull_free(global + 16); }, "no address of this heap");
  EXPECT_DEATH({ lull_free(lull_malloc(1)); lull_free(local + 16); }, "no address of this heap");
  EXPECT_DEATH(lull_free(global), "no address of this heap");  // before anything was allocated
  EXPECT_DEATH(lull_free(reinterpret_cast<void*>(8)), "no address of this heap");
  EXPECT_DEATH(lull_free(reinterpret_cast<void*>(~std::uintptr_t{15})), "no address of this heap");
}
TEST_F(MallocDeathTest, FreeOfAFreePage) {
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(64 << 20)); lull_free(p); lull_free(p + (32 << 20)); }, "no block");
}
TEST_F(MallocDeathTest, DeleteWithTheWrongSize) {
  EXPECT_DEATH({ void* p = lull_malloc(100); lull_free_sized(p, 50); }, "delete of 0x.* with size 50, but its block has 112 bytes");
  EXPECT_DEATH({ void* p = lull_malloc(100); lull_free_sized(p, 50'000); }, "with size 50000, but its block has 112 bytes");
  EXPECT_DEATH({ void* p = lull_malloc(50'000); lull_free_sized(p, 100); }, "with size 100, but its block has 57344 bytes");
}
TEST_F(MallocDeathTest, UsableSizeOfWhatIsNoBlock) {
  EXPECT_DEATH({ auto* p = static_cast<char*>(lull_malloc(100)); lull_malloc_usable_size(p + 16); }, "inside a block");
}
TEST_F(MallocDeathTest, ReallocOfAFreedLargeBlock) {
  EXPECT_DEATH({ void* p = lull_malloc(1 << 20); lull_free(p); p = lull_realloc(p, 2 << 20); }, "no block");
}

}  // namespace
}  // namespace lull::front

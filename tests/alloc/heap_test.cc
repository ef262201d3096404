// lull/heap.h: blocks that are freed together, by whom a block may be freed, what wrong use does.
#include "lull/heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <map>
#include <set>
#include <string>

#include "alloc/front/heap_registry.h"
#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::run_together;
using lull::testing::scaled;

std::size_t used_pages() { return pages::page_heap.stats().used >> kPageShift; }
std::uint64_t spans() { return pages::span_stats().spans; }
std::uintptr_t address_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block); }

std::map<void*, std::size_t> blocks_of(heap& h) {
  std::map<void*, std::size_t> found;
  h.walk([&](void* block, std::size_t size) { EXPECT_TRUE(found.emplace(block, size).second); });
  return found;
}

class HeapsOfBothKinds : public ::testing::TestWithParam<heap_use> {};
INSTANTIATE_TEST_SUITE_P(Heap, HeapsOfBothKinds, ::testing::Values(heap_use::one_thread_at_a_time, heap_use::shared),
                         [](const auto& kind) { return kind.param == heap_use::shared ? "Shared" : "OneThread"; });

TEST_P(HeapsOfBothKinds, GiveUsableDisjointAlignedBlocksOfEverySize) {
  heap h(GetParam());
  std::map<void*, std::size_t> made;
  for (std::size_t bytes = 0; bytes < 70'000; bytes += bytes < 1200 ? 1 : 97) {
    void* block = h.allocate(bytes);
    ASSERT_EQ(0u, address_of(block) % 16);
    ASSERT_GE(lull_malloc_usable_size(block), bytes);
    ASSERT_EQ(lull_good_size(bytes), lull_malloc_usable_size(block));
    ASSERT_TRUE(made.emplace(block, lull_malloc_usable_size(block)).second);
    std::memset(block, 0x5a, bytes);
  }
  std::uintptr_t end = 0;
  for (const auto& [block, size] : made) {
    ASSERT_LE(end, address_of(block));
    end = address_of(block) + size;
  }
  EXPECT_EQ(made, blocks_of(h));
}

TEST_P(HeapsOfBothKinds, TakeEveryAlignment) {
  heap h(GetParam());
  for (std::size_t alignment = 1; alignment <= 1 << 20; alignment *= 2)
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, alignment - 1, alignment + 1, std::size_t{5000}, std::size_t{100'000}}) {
      void* block = lull_heap_aligned_alloc(h.get(), alignment, bytes);
      ASSERT_NE(nullptr, block);
      ASSERT_EQ(0u, address_of(block) % alignment) << alignment << ' ' << bytes;
      ASSERT_GE(lull_malloc_usable_size(block), bytes);
      if (alignment % 3 == 1) h.free(block);
    }
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(nullptr, lull_heap_aligned_alloc(h.get(), alignment, 8));
    EXPECT_EQ(EINVAL, errno);
  }
}

TEST_P(HeapsOfBothKinds, DestroyGivesEverythingBack) {
  const std::size_t pages_before = used_pages();
  const std::uint64_t spans_before = spans();
  for (int round = 0; round < 3; ++round) {
    heap h(GetParam());
    for (int i = 0; i < 100'000; ++i) {
      void* block = h.allocate(static_cast<std::size_t>(i * 7919 % 2000));
      if (i % 3 == 0) h.free(block);
      else if (i % 5 == 1) lull_free(block);
      if (i % 1000 == 0) std::memset(h.allocate(100'000), 1, 100'000);
    }
    EXPECT_LT(pages_before, used_pages());
  }
  EXPECT_EQ(pages_before, used_pages());
  EXPECT_EQ(spans_before, spans());
  pages::page_heap.check_invariants();
}

TEST_P(HeapsOfBothKinds, ResetFreesAllAndKeepsTheSpans) {
  heap h(GetParam());
  const auto fill = [&] {
    for (int i = 0; i < 50'000; ++i) std::memset(h.allocate(static_cast<std::size_t>(i % 500)), i, static_cast<std::size_t>(i % 500));
  };
  fill();
  static_cast<void>(h.allocate(1 << 20));
  const std::uint64_t spans_before = spans();
  h.reset();
  EXPECT_EQ(0u, h.stats().blocks);
  EXPECT_EQ(0u, blocks_of(h).size());
  EXPECT_EQ(spans_before - 1, spans());  // the large one is gone
  fill();
  EXPECT_EQ(50'000u, h.stats().blocks);
  EXPECT_EQ(spans_before - 1, spans());
}

TEST_P(HeapsOfBothKinds, ReuseWhatOthersFreedAlsoAfterAResetInBetween) {
  heap h(GetParam());
  std::vector<void*> blocks;
  const auto fill = [&] {
    blocks.clear();
    for (int i = 0; i < 10'000; ++i) blocks.push_back(h.allocate(64));
  };
  fill();
  const std::size_t held = h.stats().held_bytes;
  for (void* block : blocks) lull_free(block);
  h.reset();
  fill();
  for (void* block : blocks) lull_free(block);
  fill();
  EXPECT_LE(h.stats().held_bytes, held);
  EXPECT_EQ(10'000u, h.stats().blocks);
}

TEST_P(HeapsOfBothKinds, ReuseWhatWasFreed) {
  heap h(GetParam());
  std::set<void*> first;
  for (int i = 0; i < 10'000; ++i) first.insert(h.allocate(48));
  const std::size_t held = h.stats().held_bytes;
  std::size_t n = 0;
  for (void* block : first) n++ % 2 ? h.free(block) : lull_free(block);
  for (int i = 0; i < 10'000; ++i) static_cast<void>(h.allocate(48));
  EXPECT_LE(h.stats().held_bytes, held);
  EXPECT_EQ(10'000u, h.stats().blocks);
}

TEST_P(HeapsOfBothKinds, GiveEmptySpansBackWhileTheyLive) {
  heap h(GetParam());
  std::vector<void*> blocks;
  for (int i = 0; i < 100'000; ++i) blocks.push_back(h.allocate(64));
  const std::size_t most = h.stats().held_bytes;
  for (void* block : blocks) h.free(block);
  EXPECT_LT(h.stats().held_bytes * 20, most);
  EXPECT_EQ(0u, h.stats().blocks);
  h.trim();
  EXPECT_EQ(0u, h.stats().held_bytes);
  static_cast<void>(h.allocate(64));
}

TEST_P(HeapsOfBothKinds, TrimGivesBackWhatOthersEmptied) {
  heap h(GetParam());
  std::vector<void*> blocks;
  for (int i = 0; i < 10'000; ++i) blocks.push_back(h.allocate(64));
  for (void* block : blocks) lull_free(block);
  EXPECT_EQ(0u, h.stats().blocks);
  const std::size_t held = h.stats().held_bytes;
  EXPECT_GE(held, 640'000u);
  EXPECT_EQ(held, h.trim());
  EXPECT_EQ(0u, h.stats().held_bytes);
}

TEST_P(HeapsOfBothKinds, ReallocKeepsContentsAndStaysInTheHeap) {
  heap h(GetParam());
  std::string content;
  auto* block = static_cast<char*>(h.reallocate(nullptr, 1));
  std::mt19937_64 random(lull::testing::seed_of_this_run());
  for (int i = 0; i < scaled(2000); ++i) {
    const std::size_t bytes = random() % (i % 10 == 0 ? 300'000 : 3000) + 1;
    block = static_cast<char*>(h.reallocate(block, bytes));
    ASSERT_TRUE(h.owns(block));
    content.resize(std::min(content.size(), bytes));
    ASSERT_EQ(0, std::memcmp(block, content.data(), content.size()));
    content.resize(bytes, static_cast<char>(random()));
    std::memcpy(block, content.data(), bytes);
    ASSERT_EQ(1u, h.stats().blocks);
  }
  EXPECT_EQ(nullptr, h.reallocate(block, 0));
  EXPECT_EQ(0u, h.stats().blocks);
}

TEST_P(HeapsOfBothKinds, ZeroedMemoryIsZeroAlsoWhereItWasUsed) {
  heap h(GetParam());
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t bytes : {1u, 100u, 5000u, 40'000u, 300'000u}) {
      auto* block = static_cast<unsigned char*>(h.allocate_zeroed(bytes));
      EXPECT_TRUE(std::all_of(block, block + bytes, [](unsigned char c) { return c == 0; })) << bytes;
      std::memset(block, 0xff, bytes);
      if (round == 0) h.free(block);
    }
    h.reset();
  }
  errno = 0;
  EXPECT_EQ(nullptr, lull_heap_calloc(h.get(), SIZE_MAX / 2, 3));
  EXPECT_EQ(ENOMEM, errno);
}

TEST(Heap, TellsItsBlocksFromOthers) {
  heap a, b;
  auto* small = static_cast<char*>(a.allocate(100));
  auto* large = static_cast<char*>(a.allocate(100'000));
  void* other = b.allocate(100);
  void* of_malloc = lull_malloc(100);
  int local;
  for (char* at : {small, small + 99, large, large + 99'999}) {
    EXPECT_TRUE(a.owns(at));
    EXPECT_FALSE(b.owns(at));
    EXPECT_EQ(a.get(), lull_heap_of(at));
  }
  for (void* at : {other, of_malloc, static_cast<void*>(&local), static_cast<void*>(nullptr), static_cast<void*>(small + 112)})
    EXPECT_FALSE(a.owns(at)) << at;
  a.free(small);
  lull_free(large);
  EXPECT_FALSE(a.owns(small));
  EXPECT_FALSE(a.owns(large));
  EXPECT_EQ(nullptr, lull_heap_of(of_malloc));
  lull_free(of_malloc);
}

TEST(Heap, WalkStopsWhenToldTo) {
  heap h;
  for (int i = 0; i < 100; ++i) static_cast<void>(h.allocate(100));
  static_cast<void>(h.allocate(100'000));
  int seen = 0;
  EXPECT_FALSE(h.walk([&](void*, std::size_t) { return ++seen < 10; }));
  EXPECT_EQ(10, seen);
  seen = 0;
  EXPECT_TRUE(h.walk([&](void*, std::size_t) { return ++seen > 0; }));
  EXPECT_EQ(101, seen);
  EXPECT_EQ(7, lull_heap_walk(h.get(), [](void*, size_t, void*) { return 7; }, nullptr));
}

TEST(Heap, PlainReallocMovesABlockThatGrowsToMalloc) {
  heap h;
  auto* block = static_cast<char*>(h.allocate(100));
  std::strcpy(block, "kept");
  block = static_cast<char*>(lull_realloc(block, 110));
  EXPECT_TRUE(h.owns(block));
  block = static_cast<char*>(lull_realloc(block, 5000));
  EXPECT_FALSE(h.owns(block));
  EXPECT_STREQ("kept", block);
  EXPECT_EQ(0u, h.stats().blocks);
  lull_free(block);
  auto* large = static_cast<char*>(h.allocate(100'000));
  large = static_cast<char*>(lull_realloc(large, 60'000));  // where it is
  EXPECT_TRUE(h.owns(large));
  EXPECT_EQ(65'536u, h.stats().used_bytes);
  lull_free_sized(large, 60'000);
}

TEST(Heap, IsMovedWithItsBlocks) {
  heap a;
  void* block = a.allocate(10);
  heap b(std::move(a));
  EXPECT_TRUE(b.owns(block));
  EXPECT_EQ(nullptr, a.get());
  a = heap();
  b = std::move(a);
  EXPECT_EQ(0u, b.stats().blocks);
  EXPECT_EQ(1u, heaps_in_use());
}

TEST(Heap, ServesContainers) {
  heap h;
  {
    std::pmr::map<int, std::pmr::string> map(&h.resource());
    std::list<int, heap_allocator<int>> list(h);
    std::vector<int, heap_allocator<int>> from(h), to(h);
    for (int i = 0; i < 1000; ++i) {
      map[i] = std::string(static_cast<std::size_t>(i), 'x');
      list.push_back(i);
      from.push_back(i);
    }
    EXPECT_TRUE(h.owns(map.at(999).data()) && h.owns(&list.front()) && h.owns(from.data()));
    heap second;
    std::vector<int, heap_allocator<int>> elsewhere(second);
    elsewhere = from;
    EXPECT_TRUE(second.owns(elsewhere.data()));
    to = std::move(from);
    EXPECT_TRUE(h.owns(to.data()));
    struct alignas(128) Wide { char bytes[128]; };
    std::vector<Wide, heap_allocator<Wide>> wide(5, h);
    EXPECT_EQ(0u, address_of(wide.data()) % 128);
  }
  EXPECT_EQ(0u, h.stats().blocks);
  EXPECT_TRUE(h.resource().is_equal(heap_resource(h.get())));
  EXPECT_FALSE(h.resource().is_equal(*std::pmr::new_delete_resource()));
  EXPECT_THROW(static_cast<void>(heap_allocator<int>(h).allocate(~std::size_t{0} / 2)), std::bad_array_new_length);
  EXPECT_THROW(static_cast<void>(h.allocate(~std::size_t{0} / 4)), std::bad_alloc);
}

TEST(Heap, MakesObjects) {
  struct Counted {
    explicit Counted(int* count) : count_(count) { ++*count_; }
    ~Counted() { --*count_; }
    int* count_;
  };
  struct Throws { Throws() { throw 1; } };
  heap h;
  int count = 0;
  auto* object = h.make<Counted>(&count);
  EXPECT_EQ(1, count);
  h.destroy(object);
  EXPECT_EQ(0, count);
  EXPECT_THROW(static_cast<void>(h.make<Throws>()), int);
  EXPECT_EQ(0u, h.stats().blocks);
}

TEST(Heap, RefusesUnknownFlags) {
  errno = 0;
  EXPECT_EQ(nullptr, lull_heap_create(2));
  EXPECT_EQ(EINVAL, errno);
}

TEST(Heap, RunsOutAsNullAndComesBack) {
  lull::testing::expect_success_in_new_process([] {
    lull_heap* h = lull_heap_create(0);
    LULL_CHILD_EXPECT(lull_heap_malloc(h, 10) != nullptr);
    os::fail_mapping_for_testing(0, true);
    std::size_t n = 0;
    while (lull_heap_malloc(h, 3000) != nullptr) ++n;
    LULL_CHILD_EXPECT(errno == ENOMEM && n > 1000);
    LULL_CHILD_EXPECT(lull_heap_calloc(h, 1, 100'000) == nullptr && lull_heap_aligned_alloc(h, 8192, 100'000) == nullptr);
    LULL_CHILD_EXPECT(lull_heap_read_stats(h).blocks == n + 1);
    lull_heap_reset(h);
    LULL_CHILD_EXPECT(lull_heap_malloc(h, 3000) != nullptr);
    lull_heap_destroy(h);
    LULL_CHILD_EXPECT((h = lull_heap_create(0)) != nullptr && lull_heap_malloc(h, 3000) != nullptr);
    os::fail_mapping_for_testing(-1);
  });
}

TEST(Heap, EveryMappingMayFailInTurn) {
  for (int n = 0; n < 8; ++n)
    lull::testing::expect_success_in_new_process([n] {
      os::fail_mapping_for_testing(n);
      int failed = 0;
      for (int i = 0; i < 500; ++i) {
        lull_heap* h = lull_heap_create(i % 2 ? LULL_HEAP_SHARED : 0);
        failed += h == nullptr;
        if (h == nullptr) continue;
        for (const std::size_t size : {500u, 100'000u}) failed += lull_heap_malloc(h, size) == nullptr;
        if (i % 3 != 0) lull_heap_destroy(h);
      }
      LULL_CHILD_EXPECT(failed <= 1);
    });
}

// Threads.

// One thread allocates and frees in its heap; others free what it hands them.
TEST_P(HeapsOfBothKinds, LetOtherThreadsFreeTheirBlocks) {
  constexpr std::size_t kPlaces = 512;
  static std::atomic<std::uint32_t*> places[kPlaces];
  heap h(GetParam());
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  std::atomic<bool> over{false};
  const auto end_block = [](std::uint32_t* block) {
    for (std::uint32_t i = 1; i < block[0]; ++i) ASSERT_EQ(block[0], block[i]);
    lull_free(block);
  };
  run_together(3, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    for (int i = 0; t == 0 && i < scaled(400'000); ++i) {
      const auto words = static_cast<std::uint32_t>(1 + random() % (i % 1000 == 0 ? 20'000 : 100));
      auto* block = static_cast<std::uint32_t*>(h.allocate(words * sizeof(std::uint32_t)));
      std::fill(block, block + words, words);
      std::uint32_t* old = places[random() % kPlaces].exchange(block);
      if (old != nullptr && random() % 2) h.free(old);
      else if (old != nullptr) end_block(old);
    }
    if (t == 0) over = true;
    while (t != 0 && !over)
      if (std::uint32_t* block = places[random() % kPlaces].exchange(nullptr)) end_block(block);
  });
  for (auto& place : places)
    if (std::uint32_t* block = place.exchange(nullptr)) end_block(block);
  EXPECT_EQ(0u, h.stats().blocks);
  h.trim();
  EXPECT_EQ(0u, h.stats().held_bytes);
}

TEST(Heap, SharedOneServesThreadsAtOnce) {
  heap h(heap_use::shared);
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  run_together(4, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    std::vector<std::pair<unsigned char*, std::size_t>> held(200);
    for (int i = 0; i < scaled(100'000); ++i) {
      auto& [block, bytes] = held[random() % held.size()];
      if (block != nullptr) {
        ASSERT_TRUE(std::all_of(block, block + bytes, [&](unsigned char c) { return c == t + 1; }));
        if (random() % 8 == 0) lull_free(block);
        else h.free(block);
      }
      bytes = 1 + random() % (i % 500 == 0 ? 100'000 : 300);
      block = static_cast<unsigned char*>(h.allocate(bytes));
      std::memset(block, static_cast<int>(t + 1), bytes);
      if (i % 10'000 == 0) h.trim();
      const lull_heap_stats stats = i % 1000 == 0 ? h.stats() : lull_heap_stats{};
      ASSERT_GE(stats.held_bytes, stats.used_bytes);
    }
    for (auto& [block, bytes] : held)
      if (block != nullptr) h.free(block);
  });
  EXPECT_EQ(0u, h.stats().blocks);
}

TEST(Heap, ManyComeAndGoInManyThreads) {
  const std::size_t before = used_pages();
  run_together(4, [](unsigned) {
    for (int i = 0; i < scaled(2000); ++i) {
      heap h;
      for (int n = 0; n < 50; ++n) std::memset(h.allocate(static_cast<std::size_t>(n * 20)), 1, static_cast<std::size_t>(n * 20));
    }
  });
  EXPECT_EQ(before, used_pages());
  EXPECT_EQ(0u, heaps_in_use());
}

// fork takes no part of a shared heap away, though other threads use it at that moment.
TEST(Heap, SharedOneServesAForkedChild) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "its fork does not go with threads";
  heap h(heap_use::shared);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      std::vector<void*> held(50);
      for (std::size_t i = 0; !over; ++i) {
        void*& block = held[i * 7 % held.size()];
        if (i % 2) lull_free(block);
        else lull_heap_free(h.get(), block);
        block = h.allocate(i * 97 % (i % 100 == 0 ? 100'000 : 2000));
      }
      for (void* block : held) h.free(block);
    });
  for (int i = 0; i < 100; ++i) {
    const auto child = lull::testing::run_in_child([&] {
      ::alarm(20);
      std::vector<void*> mine;
      for (int n = 0; n < 2000; ++n) mine.push_back(h.allocate(static_cast<std::size_t>(n)));
      for (void* block : mine) lull_free(block);
      const std::size_t left = h.stats().blocks;
      LULL_CHILD_EXPECT(left <= 100);
      h.reset();
      LULL_CHILD_EXPECT(h.stats().blocks == 0);
      heap other;
      LULL_CHILD_EXPECT(other.allocate(10) != nullptr);
    });
    ASSERT_TRUE(child.exited_well()) << child.errors;
  }
  over = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(0u, h.stats().blocks);
}

TEST(Heap, StaticOnesAndTheirBlocksOutliveMain) {
  lull::testing::expect_success_in_new_process([] {
    static heap h;
    static std::pmr::vector<std::pmr::string> strings(&h.resource());
    static void* block = h.allocate(10);
    for (int i = 0; i < 1000; ++i) strings.emplace_back("a string of more than fifteen characters");
    std::atexit([] { lull_free(block); });
    std::exit(0);
  });
}

// Wrong use.

class HeapDeathTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(HeapDeathTest, DoubleFreeInEveryOrderOfWays) {
  for (const bool first : {false, true})
    for (const bool second : {false, true})
      EXPECT_DEATH({
        heap h;
        auto* block = static_cast<char*>(h.allocate(40));
        first ? h.free(block) : lull_free(block);
        std::memset(block, 1, 40);  // no key needed
        second ? h.free(block) : lull_free(block);
      }, "lull: double free of 0x");
}
TEST_F(HeapDeathTest, DoubleFreeOfALargeBlock) {
  EXPECT_DEATH({ heap h; void* p = h.allocate(1 << 20); h.free(p); h.free(p); }, "lull: free of 0x.*no block");
  EXPECT_DEATH({ heap h; void* p = h.allocate(1 << 20); lull_free(p); lull_free(p); }, "lull: free of 0x.*no block");
}
TEST_F(HeapDeathTest, FreeOfAnInteriorAddress) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{1} << 20}) {
    EXPECT_DEATH({ heap h; h.free(static_cast<char*>(h.allocate(size)) + 16); }, "inside a block of [0-9]+ bytes at 0x");
    EXPECT_DEATH({ heap h; lull_free(static_cast<char*>(h.allocate(size)) + 16); }, "inside a block of [0-9]+ bytes at 0x");
  }
  EXPECT_DEATH({ heap h; h.free(static_cast<char*>(h.allocate(1 << 20)) + (1 << 19)); }, "inside a block of 1048576 bytes at 0x");
}
TEST_F(HeapDeathTest, FreeOfABlockOfAnotherHeap) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{100'000}}) {
    EXPECT_DEATH({ heap a; heap b; b.free(a.allocate(size)); }, "in a heap, but the block is one of another heap");
    EXPECT_DEATH({ heap a; heap b; static_cast<void>(b.reallocate(a.allocate(size), 10)); },
                 "but the block is one of another heap");
    EXPECT_DEATH({ heap a; a.free(lull_malloc(size)); }, "in a heap, but the block is one of malloc");
  }
}
TEST_F(HeapDeathTest, FreeOfAForeignAddress) {
  static char global[64];
  EXPECT_DEATH({ heap h; h.free(h.allocate(1)); h.free(global + 16); }, "no address of this heap");
}
TEST_F(HeapDeathTest, FreeAfterTheHeapWasDestroyed) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{100'000}})
    EXPECT_DEATH({
      void* block;
      {
        heap h;
        block = h.allocate(size);
      }
      lull_free(block);
    }, "lull: free of 0x.*no block \\(freed already\\?\\)");
}
TEST_F(HeapDeathTest, FreeAfterTheHeapWasReset) {
  EXPECT_DEATH({ heap h; void* p = h.allocate(100); h.reset(); h.free(p); }, "lull: double free of 0x");
  EXPECT_DEATH({ heap h; void* p = h.allocate(100); h.reset(); lull_free(p); }, "lull: double free of 0x");
}
TEST_F(HeapDeathTest, UseOfADestroyedHeap) {
  EXPECT_DEATH({ lull_heap* h = lull_heap_create(0); lull_heap_destroy(h); lull_heap_destroy(h); }, "use of heap 0x.*destroyed");
  EXPECT_DEATH({ lull_heap* h = lull_heap_create(0); lull_heap_malloc(h, 1); lull_heap_destroy(h); lull_heap_malloc(h, 1); },
               "use of heap 0x.*destroyed");
  EXPECT_DEATH({ lull_heap* h = lull_heap_create(0); lull_heap_destroy(h); lull_heap_malloc(h, 100'000); }, "destroyed");
}
TEST_F(HeapDeathTest, SizedFreeWithTheWrongSize) {
  EXPECT_DEATH({ heap h; lull_free_sized(h.allocate(100), 50); }, "with size 50, but its block has 112 bytes");
  EXPECT_DEATH({ heap h; lull_free_sized(h.allocate(100'000), 50); }, "with size 50, but its block has");
}
TEST_F(HeapDeathTest, UsableSizeOfAFreeBlock) {
  EXPECT_DEATH({ heap h; void* p = h.allocate(100); h.free(p); lull_malloc_usable_size(p); }, "double free|free of");
}

}  // namespace
}  // namespace lull::front

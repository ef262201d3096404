// Programs built with -D_FORTIFY_SOURCE=3: the compiler knows what was asked of malloc, stops who writes beyond it, and malloc_usable_size()
// says more than was asked (systemd 22801, jemalloc 2238). What a program may do with what it is told, and what not.
#include <gtest/gtest.h>

#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tests/alloc/support.h"
#if !LULL_PRELOADED_PROGRAM
#include "lull/malloc.h"
#include "lull/malloc_allocator.h"
#endif

extern "C" std::size_t nallocx(std::size_t, int) __attribute__((weak));

namespace {

// A number that the compiler does not know.
std::size_t hide(std::size_t number) {
  asm volatile("" : "+r"(number));
  return number;
}
std::size_t usable(void* block) { return hide(malloc_usable_size(block)); }

constexpr std::size_t kUnknown = ~std::size_t{0};
#define KNOWN_SIZE(block) __builtin_dynamic_object_size(block, 0)

constexpr std::size_t kSizes[] = {1, 24, 100, 1000, 5000, 30'000, 32'768, 33'000, 200'000, 300'000, 5'000'000};

// What follows tests nothing otherwise.
TEST(Fortify, KnowsWhatWasAskedFor) {
  void* block = std::malloc(hide(1000));
  EXPECT_EQ(1000u, KNOWN_SIZE(block));
  std::free(block);
}

TEST(FortifyDeathTest, StopsWhoFillsABlockToItsUsableSize) {
  GTEST_FLAG_SET(death_test_style, "fast");
  auto* block = static_cast<char*>(std::malloc(hide(1001)));
  const std::size_t bytes = usable(block);
  if (bytes > 1001) {  // LULL_MALLOC=guard says 1001
    EXPECT_DEATH(std::memset(block, 1, bytes), "buffer overflow detected");
  }
  std::free(block);
}

TEST(Fortify, ReallocToTheUsableSizeKeepsTheBlockInPlaceForAllOfIt) {
  for (const std::size_t size : kSizes) {
    void* block = std::malloc(hide(size));
    const std::size_t bytes = usable(block);
    ASSERT_GE(bytes, size);
    const auto before = reinterpret_cast<std::uintptr_t>(block);
    block = std::realloc(block, bytes);
    const std::size_t known = KNOWN_SIZE(block);
    std::memset(block, 1, bytes);
    EXPECT_EQ(bytes, known) << size;
    EXPECT_EQ(before, reinterpret_cast<std::uintptr_t>(block)) << size;
    EXPECT_EQ(bytes, usable(block)) << size;
    std::free(block);
  }
}

// As systemd does: a function that the compiler does not see through tells it the size.
[[gnu::noinline, gnu::alloc_size(2)]] void* expand_to_usable(void* block, std::size_t) {
  asm volatile("" : "+r"(block));
  return block;
}
TEST(Fortify, AllOfABlockMayBeUsedWhoseSizeTheCompilerWasTold) {
  for (const std::size_t size : kSizes) {
    void* block = std::malloc(hide(size));
    const std::size_t bytes = usable(block);
    std::memset(expand_to_usable(block, bytes), 1, bytes);
    std::free(block);
  }
}

TEST(Fortify, WhoAsksForAGoodSizeAtOnceMayUseAllOfIt) {
  for (const std::size_t size : kSizes) {
    void* block = std::malloc(nallocx(hide(size), 0));
    std::memset(block, 1, nallocx(hide(size), 0));
    std::free(block);
  }
}

#if !LULL_PRELOADED_PROGRAM
TEST(Fortify, AllThatAMallocAllocatorSaysMayBeUsed) {
  for (const std::size_t size : kSizes) {
    lull::malloc_allocator<char> allocator;
    const auto got = allocator.allocate_at_least(hide(size));
    std::memset(got.ptr, 1, got.count);
    allocator.deallocate(got.ptr, got.count);
  }
}

// lull/malloc.h tells the compiler no sizes, so nothing is taken for an overflow that is none.
[[gnu::always_inline]] inline void use_all(void* block) {
  EXPECT_EQ(kUnknown, KNOWN_SIZE(block));
  std::memset(block, 1, hide(lull_malloc_usable_size(block)));
  lull_free(block);
}
TEST(Fortify, BlocksOfLullMallocMayBeUsedToTheirUsableSize) {
  for (const std::size_t size : kSizes) {
    use_all(lull_malloc(hide(size)));
    use_all(lull_calloc(1, hide(size)));
    use_all(lull_realloc(nullptr, hide(size)));
    use_all(lull_aligned_alloc(64, hide(size)));
  }
}
#endif

}  // namespace

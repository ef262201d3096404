// Guarded blocks, and what is said of sampled blocks that are used wrongly. Everything goes through lull_malloc.
#include "alloc/sample/guard_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <set>

#include "alloc/front/sampling.h"
#include "lull/malloc.h"
#include "lull/profile.h"
#include "tests/alloc/support.h"

namespace lull::sample {
namespace {

using lull::testing::ChildOutcome;
using lull::testing::run_in_child;
using lull::testing::run_together;
using lull::testing::scaled;

bool is_guarded(const void* block) { return in_guard_pool(reinterpret_cast<std::uintptr_t>(block)); }
bool ends_its_page(const void* block, std::size_t bytes) { return (reinterpret_cast<std::uintptr_t>(block) + bytes) % 4096 == 0; }
bool starts_its_page(const void* block) { return reinterpret_cast<std::uintptr_t>(block) % 4096 == 0; }

// Every block is a sample, and guarded as long as there is room.
class Guarded : public ::testing::Test {
 protected:
  Guarded() {
    EXPECT_TRUE(start_guarding(1));
    lull_profile_start(1);
  }
  ~Guarded() override {
    lull_profile_stop();
    EXPECT_TRUE(start_guarding(0));
  }
};

// A guarded block of `bytes` with the property, found among others of its size.
template <class Wanted>
char* find_guarded(std::size_t bytes, Wanted&& wanted) {
  std::vector<void*> others;
  char* found = nullptr;
  while (found == nullptr && others.size() < kGuardSlots) {
    auto* block = static_cast<char*>(lull_malloc(bytes));
    if (is_guarded(block) && wanted(block)) found = block;
    else others.push_back(block);
  }
  for (void* block : others) lull_free(block);
  return found;
}
char* at_right_end(std::size_t bytes) {
  return find_guarded(bytes, [&](const void* block) { return ends_its_page(block, bytes); });
}
char* at_left_end(std::size_t bytes) {
  return find_guarded(bytes, [&](const void* block) { return starts_its_page(block) && !ends_its_page(block, bytes); });
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}
#define EXPECT_SAYS(outcome, part) EXPECT_EQ(1, count((outcome).errors, part)) << (outcome).errors
// Sanitizers' own handlers exit where others let the signal kill.
void expect_fault(const ChildOutcome& outcome) {
  if (!lull::testing::kSanitized) EXPECT_TRUE(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGSEGV) << outcome.status;
  else EXPECT_FALSE(outcome.exited_well());
}

TEST_F(Guarded, BlocksOfEverySizeAreAlignedAndUsableToTheLastByte) {
  for (std::size_t bytes = 0; bytes <= kLargestGuarded; bytes += 1 + bytes / 16)
    for (int i = 0; i < 4; ++i) {
      auto* block = static_cast<unsigned char*>(lull_malloc(bytes));
      ASSERT_TRUE(is_guarded(block)) << bytes;
      ASSERT_EQ(bytes, lull_malloc_usable_size(block));
      ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(block) % 16);
      std::memset(block, 0x11, bytes);
      lull_free_sized(block, bytes);
    }
  void* large = lull_malloc(kLargestGuarded + 1);
  EXPECT_FALSE(is_guarded(large));
  lull_free(large);
}

TEST_F(Guarded, BlocksLieAtEitherEnd) {
  int right = 0, left = 0;
  for (int i = 0; i < 200; ++i) {
    void* block = lull_malloc(48);
    right += ends_its_page(block, 48);
    left += starts_its_page(block);
    lull_free(block);
  }
  EXPECT_EQ(200, right + left);
  EXPECT_GT(right, 50);
  EXPECT_GT(left, 50);
}

TEST_F(Guarded, BlocksAreAlignedAsTheirSizeIs) {
  for (std::size_t alignment = 16; alignment <= 8192; alignment *= 2)
    for (std::size_t bytes = 1; bytes < 20'000; bytes = bytes * 3 + 1) {
      void* block = lull_aligned_alloc(alignment, bytes);
      ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(block) % alignment) << bytes;
      lull_free_aligned_sized(block, alignment, bytes);
    }
}

TEST_F(Guarded, ReallocMovesWhatDoesNotFit) {
  auto* block = static_cast<char*>(lull_malloc(10));
  std::strcpy(block, "contents");
  for (const std::size_t bytes : {12u, 16u, 1000u, 40'000u, 100u, 60u, 9u}) {
    block = static_cast<char*>(lull_realloc(block, bytes));
    ASSERT_STREQ("contents", block);
    ASSERT_GE(lull_malloc_usable_size(block), bytes);
  }
  lull_free(block);
}

// As of other blocks: it has room for 33 bytes, and 20 are more than half of them.
TEST_F(Guarded, WhatReallocShrankInPlaceMayBeFreedWithItsNewSize) {
  for (std::size_t size : {33, 100, 4000})
    for (std::size_t bytes = size; bytes > size / 3; bytes -= bytes / 16 + 1) {
      void* block = lull_malloc(size);
      ASSERT_TRUE(is_guarded(block));
      lull_free_sized(lull_realloc(block, bytes), bytes);
    }
}

TEST_F(Guarded, CallocIsZero) {
  for (const std::size_t bytes : {1u, 100u, 4096u, 20'000u}) {
    auto* block = static_cast<unsigned char*>(lull_calloc(1, bytes));
    EXPECT_TRUE(std::all_of(block, block + bytes, [](unsigned char c) { return c == 0; }));
    lull_free(block);
  }
}

// Faults.

TEST_F(Guarded, AnOverflowIsReported) {
  char* block = at_right_end(64);
  ASSERT_NE(nullptr, block);
  for (const std::size_t distance : {0u, 1u, 4000u, 8191u}) {
    const auto outcome = run_in_child([&] { *const_cast<volatile char*>(block + 64 + distance) = 1; });
    expect_fault(outcome);
    EXPECT_SAYS(outcome, "lull: buffer overflow: write to ");
    EXPECT_SAYS(outcome, ", " + std::to_string(distance) + " bytes behind the end of a block of 64 bytes at ");
    EXPECT_SAYS(outcome, "  written by thread ");
    EXPECT_SAYS(outcome, "  allocated by thread ");
    EXPECT_EQ(0, count(outcome.errors, "freed by")) << outcome.errors;
    EXPECT_GE(count(outcome.errors, "the program+0x"), 4) << outcome.errors;
  }
  lull_free(block);
}

TEST_F(Guarded, AnUnderflowIsReported) {
  char* block = at_left_end(100);
  ASSERT_NE(nullptr, block);
  const auto outcome = run_in_child([&] { static_cast<void>(*const_cast<volatile char*>(block - 3)); });
  expect_fault(outcome);
  EXPECT_SAYS(outcome, "lull: buffer underflow: read of ");
  EXPECT_SAYS(outcome, ", 3 bytes before a block of 100 bytes at ");
  lull_free(block);
}

TEST_F(Guarded, AUseAfterFreeIsReported) {
  char* block = at_right_end(128);
  ASSERT_NE(nullptr, block);
  lull_free(block);
  const auto outcome = run_in_child([&] { *const_cast<volatile char*>(block + 8) = 1; });
  expect_fault(outcome);
  EXPECT_SAYS(outcome, "lull: use after free: write to ");
  EXPECT_SAYS(outcome, ", 8 bytes into a block of 128 bytes at ");
  EXPECT_SAYS(outcome, "  allocated by thread ");
  EXPECT_SAYS(outcome, "  freed by thread ");
}

// Where no page ends at the block's end, the bytes between are looked at when it is freed.
TEST_F(Guarded, AnOverflowOfAFewBytesIsFoundByFree) {
  char* block = at_left_end(100);
  ASSERT_NE(nullptr, block);
  const auto outcome = run_in_child([&] {
    block[101] = 1;
    lull_free(block);
  });
  EXPECT_TRUE(outcome.aborted());
  EXPECT_SAYS(outcome, "lull: buffer overflow found by free: ");
  EXPECT_SAYS(outcome, ", 1 bytes behind the block of 100 bytes at ");
  EXPECT_SAYS(outcome, "  allocated by thread ");
  lull_free(block);
}

// It was told as one of 1 byte, which could be written.
TEST_F(Guarded, ABlockOfNoBytesHasNone) {
  for (const bool right : {false, true}) {
    char* block = find_guarded(0, [&](const void* found) { return starts_its_page(found) != right; });
    ASSERT_NE(nullptr, block);
    EXPECT_EQ(0u, lull_malloc_usable_size(block));
    const ChildOutcome outcome = run_in_child([&] {
      *static_cast<volatile char*>(block) = 1;
      lull_free(block);
    });
    EXPECT_TRUE(outcome.aborted());
    EXPECT_SAYS(outcome, ", 0 bytes behind the block of 0 bytes at ");
    block = static_cast<char*>(lull_realloc(block, 10));
    lull_free_sized(block, 10);
    lull_free_sized(find_guarded(0, [](const void*) { return true; }), 0);
  }
}

TEST_F(Guarded, DoubleAndWrongFreesAreReported) {
  auto* block = static_cast<char*>(lull_malloc(100));
  const auto expect_abort = [](const char* says, auto&& body) {
    const auto outcome = run_in_child(body);
    EXPECT_TRUE(outcome.aborted()) << says;
    EXPECT_SAYS(outcome, says);
    EXPECT_SAYS(outcome, "  allocated by thread ");
  };
  expect_abort("which is no start of a block", [&] { lull_free(block + 16); });
  expect_abort("with size 4000, but its block has 100 bytes", [&] { lull_free_sized(block, 4000); });
  lull_free(block);
  expect_abort("lull: double free of ", [&] { lull_free(block); });
  expect_abort("after it was freed", [&] { static_cast<void>(lull_malloc_usable_size(block)); });
  expect_abort("after it was freed", [&] { static_cast<void>(lull_realloc(block, 200)); });
}

// The pool.

TEST_F(Guarded, AFreedSlotIsUsedAgainAfterAllOthers) {
  void* first = lull_malloc(100);
  ASSERT_TRUE(is_guarded(first));
  lull_free(first);
  std::set<std::uintptr_t> slots;
  for (std::uint32_t i = 0; i + 1 < kGuardSlots; ++i) {
    void* block = lull_malloc(100);
    ASSERT_TRUE(is_guarded(block));
    slots.insert(reinterpret_cast<std::uintptr_t>(block) >> 12);
    lull_free(block);
  }
  EXPECT_EQ(0u, slots.count(reinterpret_cast<std::uintptr_t>(first) >> 12));
}

std::size_t mappings() {
  std::ifstream in("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line);) ++lines;
  return lines;
}

TEST_F(Guarded, ThereAreNoMoreThanTheSlotsAndTheirMappings) {
  const std::size_t before = mappings();
  std::vector<void*> blocks;
  std::size_t guarded = 0;
  for (std::uint32_t i = 0; i < 2 * kGuardSlots; ++i) {
    blocks.push_back(lull_malloc(1000));
    guarded += is_guarded(blocks.back());
  }
  EXPECT_EQ(kGuardSlots, guarded);
  EXPECT_LE(mappings(), before + 2 * kGuardSlots + 50);
  for (void* block : blocks) lull_free(block);
  EXPECT_LE(mappings(), before + 2 * kGuardSlots + 50);  // the kernel may merge them again
}

TEST_F(Guarded, OneInSoManySamples) {
  ASSERT_TRUE(start_guarding(10));
  int guarded = 0;
  for (int i = 0; i < 1000; ++i) {
    void* block = lull_malloc(100);
    guarded += is_guarded(block);
    lull_free(block);
  }
  EXPECT_EQ(100, guarded);
}

TEST_F(Guarded, CountsInTheProfile) {
  lull_profile_totals before, held, after;
  lull_profile_read_totals(&before);
  void* block = lull_malloc(100);
  ASSERT_TRUE(is_guarded(block));
  lull_profile_read_totals(&held);
  lull_free(block);
  lull_profile_read_totals(&after);
  EXPECT_EQ(before.live_objects + 1, held.live_objects);
  EXPECT_EQ(before.live_bytes + 100, held.live_bytes);
  EXPECT_EQ(before.live_objects, after.live_objects);
}

TEST_F(Guarded, ByManyThreadsWhoPassBlocksOn) {
  static std::atomic<void*> places[64];
  run_together(4, [](unsigned t) {
    std::uint64_t state = t + 1;
    for (int i = 0; i < scaled(20'000); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      auto* block = static_cast<char*>(lull_malloc((state >> 40) % 3000 + 1));
      block[0] = 1;
      lull_free(places[(state >> 33) % 64].exchange(block));
    }
  });
  for (auto& place : places) lull_free(place.exchange(nullptr));
}

TEST_F(Guarded, GoesOnInAChildAndFindsTheParentsBlocks) {
  auto* block = at_right_end(64);
  ASSERT_NE(nullptr, block);
  const auto outcome = run_in_child([&] {
    void* own = lull_malloc(100);
    LULL_CHILD_EXPECT(is_guarded(own));
    lull_free(own);
    lull_free(block);
    static_cast<void>(*const_cast<volatile char*>(block));
  });
  expect_fault(outcome);
  EXPECT_SAYS(outcome, "lull: use after free: read of ");
  lull_free(block);
}

TEST(GuardPool, FailsWhenThereIsNoAddressSpaceAndMallocGoesOn) {
  const auto outcome = run_in_child([] {
    const rlimit limit{lull::testing::mapped_bytes() + (1 << 20), RLIM_INFINITY};
    if (!lull::testing::kSanitized) {
      ::setrlimit(RLIMIT_AS, &limit);
      LULL_CHILD_EXPECT(!start_guarding(1));
    }
    lull_free(lull_malloc(100));
  });
  EXPECT_TRUE(outcome.exited_well()) << outcome.errors;
}

// Handlers that were there before.

volatile std::uintptr_t nowhere = 64;

void exit_with_7(int) { ::_exit(7); }
TEST(GuardPool, PassesFaultsOnToTheHandlerBefore) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "has handlers of its own";
  for (const bool ours : {false, true}) {
    const auto outcome = run_in_child([&] {
      ::signal(SIGSEGV, exit_with_7);
      LULL_CHILD_EXPECT(start_guarding(1));
      lull_profile_start(1);
      auto* block = static_cast<char*>(lull_malloc(100));
      LULL_CHILD_EXPECT(is_guarded(block));
      lull_free(block);
      *reinterpret_cast<volatile char*>(ours ? reinterpret_cast<std::uintptr_t>(block) : nowhere) = 1;
    });
    EXPECT_TRUE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 7) << outcome.errors;
    EXPECT_EQ(ours ? 1 : 0, count(outcome.errors, "use after free")) << outcome.errors;
  }
}

TEST(GuardPool, AForeignFaultKillsAsBefore) {
  const auto outcome = run_in_child([] {
    LULL_CHILD_EXPECT(start_guarding(1));
    *reinterpret_cast<volatile char*>(nowhere) = 1;
  });
  expect_fault(outcome);
  EXPECT_EQ(0, count(outcome.errors, "lull: ")) << outcome.errors;
}

// Samples that are not guarded: what is known of them is told with what was wrong.
TEST(Misuse, OfASampleNamesWhereItWasAllocatedAndFreed) {
  lull_profile_start(1);
  auto* small = static_cast<char*>(lull_malloc(100));
  auto* large = static_cast<char*>(lull_malloc(100'000));
  const auto expect_told = [](const char* says, int freed, auto&& body) {
    const auto outcome = run_in_child(body);
    EXPECT_TRUE(outcome.aborted()) << says;
    EXPECT_SAYS(outcome, says);
    EXPECT_SAYS(outcome, "  allocated by thread ");
    EXPECT_EQ(freed, count(outcome.errors, "  freed by thread ")) << outcome.errors;
  };
  expect_told("which is inside a block of 112 bytes", 0, [&] { lull_free(small + 16); });
  expect_told("which is inside a block of 106496 bytes", 0, [&] { lull_free(large + 50'000); });
  expect_told("with size 50, but its block has 112 bytes", 0, [&] { lull_free_sized(small, 50); });
  lull_free(small);
  lull_free(large);
  expect_told("double free of ", 1, [&] { lull_free(small); });
  expect_told("double free of ", 1, [&] { lull_free(large); });
  lull_profile_stop();
}

}  // namespace
}  // namespace lull::sample

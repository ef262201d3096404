// Stacks that are found by what was walked before, against walks.
#include "alloc/sample/stack_memo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/alloc/support.h"

namespace lull::sample {
namespace {

using lull::testing::run_in_child;
using lull::testing::run_together;
using lull::testing::scaled;

// Both in one call, so that all frames but the innermost are the same.
[[gnu::noinline]] bool both_agree() {
  const Stack* remembered = intern_own_stack();
  StackTrace walked;
  capture_stack(walked);
  return remembered->depth == walked.depth && walked.depth > 1 &&
         std::equal(walked.frames + 1, walked.frames + walked.depth, remembered->frames + 1);
}

[[gnu::noinline]] bool through_one() { const bool ok = both_agree(); asm volatile("" ::: "memory"); return ok; }
[[gnu::noinline]] bool through_other() { const bool ok = both_agree(); asm volatile("" ::: "memory"); return ok; }
[[gnu::noinline]] bool deeper(int depth) {
  volatile char frame[64];
  frame[0] = static_cast<char>(depth);
  const bool ok = depth == 0 ? both_agree() : deeper(depth - 1);
  return ok && frame[0] == static_cast<char>(depth);
}
[[gnu::noinline]] bool with_alloca(std::size_t bytes, std::size_t then) {
  auto* memory = static_cast<volatile char*>(__builtin_alloca(bytes));
  memory[0] = 1;
  const bool ok = then != 0 ? with_alloca(then, 0) : both_agree();
  return ok && memory[0] == 1;
}

TEST(StackMemo, TellsCallersApartThatCallFromTheSameDepth) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(both_agree());
    EXPECT_TRUE(through_one());
    EXPECT_TRUE(through_other());
    EXPECT_TRUE(through_other());
    EXPECT_TRUE(through_one());
    EXPECT_TRUE(deeper(i));
    EXPECT_TRUE(deeper(70));  // cut off
    // The last frame lies at the same place, the others do not.
    EXPECT_TRUE(with_alloca(64, 960));
    EXPECT_TRUE(with_alloca(960, 64));
  }
}

// Elsewhere the register holds anything.
TEST(WalkRecord, ComparesFramePointersWhereAFrameIsFoundByOne) {
  std::uintptr_t stack[4] = {1, 2, 3, 4};
  const Registers from{5, reinterpret_cast<std::uintptr_t>(stack), 6};
  const Registers other_bp{5, from.sp, 7}, other_pc{6, from.sp, 6};
  const auto address_of = [&](int i) { return reinterpret_cast<std::uintptr_t>(&stack[i]); };
  const auto noted = [&](bool register_used, bool saved_used) {
    WalkRecord record;
    record.begin(from);
    if (register_used) record.note_bp_used();
    record.note_read(address_of(0), stack[0]);
    record.note_saved_bp(address_of(1), stack[1]);
    if (saved_used) record.note_bp_used();
    record.note_read(address_of(2), stack[2]);
    EXPECT_TRUE(record.is_whole());
    EXPECT_TRUE(record.repeats(from));
    EXPECT_FALSE(record.repeats(other_pc));
    return record;
  };
  const WalkRecord neither = noted(false, false), of_register = noted(true, false), saved = noted(false, true);
  EXPECT_TRUE(neither.repeats(other_bp));
  EXPECT_FALSE(of_register.repeats(other_bp));
  EXPECT_TRUE(saved.repeats(other_bp));
  stack[1] = 9;
  EXPECT_TRUE(neither.repeats(from));
  EXPECT_FALSE(saved.repeats(from));
  stack[1] = 2;
  stack[2] = 9;
  EXPECT_FALSE(neither.repeats(from));
}

TEST(WalkRecord, IsGivenUpWhenThereIsMoreToRead) {
  std::uintptr_t word = 1;
  WalkRecord record;
  record.begin({5, reinterpret_cast<std::uintptr_t>(&word), 6});
  for (std::uint32_t i = 0; i < WalkRecord::kMostWords; ++i) record.note_read(reinterpret_cast<std::uintptr_t>(&word), word);
  EXPECT_TRUE(record.is_whole());
  for (int i = 0; i < 3; ++i) record.note_read(reinterpret_cast<std::uintptr_t>(&word), word);
  EXPECT_FALSE(record.is_whole());
}

// Not inlined: compilers split loops, and calls from two places are two stacks.
[[gnu::noinline]] bool through_all() { return through_one() && through_other() && deeper(10); }

TEST(StackMemo, KnowsAStackThatWasWalkedBefore) {
  std::uint64_t before = 0;
  bool (*volatile again)() = through_all;
  for (int i = 0; i < 30; ++i) {
    if (i == 20) forget_walks();
    EXPECT_TRUE(again());
    const std::uint64_t now = recorded_walks_for_testing();
    if (i != 0) {
      EXPECT_EQ(before + (i == 20 ? 3 : 0), now);
    }
    before = now;
  }
}

TEST(StackMemo, IsThereInAForkedChild) {
  EXPECT_TRUE(deeper(3));
  const auto outcome = run_in_child([] {
    forget_walks_after_fork();
    LULL_CHILD_EXPECT(deeper(3) && deeper(3) && through_one());
  });
  EXPECT_TRUE(outcome.exited_well()) << outcome.errors;
}

// Threads' stacks lie in different places, their records in the same sets; somebody forgets all of them meanwhile.
TEST(StackMemo, OfManyThreads) {
  const int rounds = scaled(2000);
  run_together(4, [&](unsigned t) {
    for (int i = 0; i < rounds; ++i) {
      EXPECT_TRUE(deeper(i % 8));
      EXPECT_TRUE(i % 3 == 0 ? through_one() : through_other());
      if (t == 0 && i % 100 == 0) forget_walks();
    }
  });
}

}  // namespace
}  // namespace lull::sample

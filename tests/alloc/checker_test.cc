// What the library tells checkers is tested where there are some: tests/checkers.
#include "alloc/os/checker.h"

#include <gtest/gtest.h>

#include <array>

namespace lull::os {
namespace {

TEST(Checker, IsNoneInProgramsThatNobodyWatches) {
  EXPECT_EQ(find_checker(), Checker::none);
  EXPECT_EQ(checker(), Checker::none);
}

TEST(Checker, ForbidsNothingThen) {
  alignas(8) std::array<char, 64> bytes{};
  const auto at = reinterpret_cast<std::uintptr_t>(bytes.data());
  forbid(at, bytes.size());
  forbid_now(at, 0);
  bytes[7] = 1;
  allow(at, bytes.size());
  EXPECT_EQ(bytes[7], 1);
}

TEST(Checker, LeavesWhatAScanCopiedAlone) {
  int word = 3;
  UncheckedScan scan;
  scan.copied(&word, sizeof word);
  EXPECT_EQ(word, 3);
}

}  // namespace
}  // namespace lull::os

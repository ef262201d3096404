#include "alloc/os/guard_pages.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>

#include "alloc/base/units.h"
#include "alloc/os/vm.h"
#include "tests/alloc/support.h"

namespace lull::os {
namespace {

class GuardPages : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "fast");  // in a copy of this process, with its choice
    if (GetParam()) use_mappings_as_guards_for_testing(kMostGuards);
    memory_ = static_cast<char*>(map(4 * kPageSize));
    for (std::size_t at = 0; at < 4 * kPageSize; ++at) memory_[at] = 1;
  }
  void TearDown() override { unmap(memory_, 4 * kPageSize); }
  void expect_death_at(std::size_t at) {
    EXPECT_EXIT({ std::signal(SIGSEGV, SIG_DFL); static_cast<void>(*static_cast<volatile char*>(memory_ + at)); ::_exit(0); },
                ::testing::KilledBySignal(SIGSEGV), "") << at;
  }
  char* memory_ = nullptr;
};

TEST_P(GuardPages, KillWhoTouchesThemAndNobodyElse) {
  errno = 4711;
  ASSERT_TRUE(install_guard(memory_ + kPageSize, 2 * kPageSize));
  for (const std::size_t at : {kPageSize, 2 * kPageSize, 3 * kPageSize - 1}) expect_death_at(at);
  EXPECT_EQ(1, memory_[kPageSize - 1]);
  EXPECT_EQ(1, memory_[3 * kPageSize]);
  ASSERT_TRUE(remove_guard(memory_ + kPageSize, 2 * kPageSize));
  EXPECT_EQ(4711, errno);
}

TEST_P(GuardPages, ReadAsZeroAfterwards) {
  ASSERT_TRUE(install_guard(memory_ + kPageSize, kPageSize));
  ASSERT_TRUE(remove_guard(memory_ + kPageSize, kPageSize));
  EXPECT_EQ(0, memory_[kPageSize]);
  EXPECT_EQ(0, memory_[2 * kPageSize - 1]);
  memory_[kPageSize] = 2;
  EXPECT_EQ(2, memory_[kPageSize]);
}

// The purger and fork meet them.
TEST_P(GuardPages, SurvivePurgingAndForks) {
  ASSERT_TRUE(install_guard(memory_ + kPageSize, kPageSize));
  purge(memory_, 3 * kPageSize);
  expect_death_at(kPageSize);
  ASSERT_TRUE(remove_guard(memory_ + kPageSize, kPageSize));
}

TEST(GuardPagesThatAreMappings, AreCountedAndBounded) {
  lull::testing::expect_success_in_new_process([] {
    use_mappings_as_guards_for_testing(2);
    auto* memory = static_cast<char*>(map(8 * kPageSize));
    LULL_CHILD_EXPECT(install_guard(memory, kPageSize) && install_guard(memory + 2 * kPageSize, kPageSize));
    LULL_CHILD_EXPECT(!install_guard(memory + 4 * kPageSize, kPageSize));
    memory[4 * kPageSize] = 1;
    LULL_CHILD_EXPECT(remove_guard(memory, kPageSize) && install_guard(memory + 4 * kPageSize, kPageSize));
    LULL_CHILD_EXPECT(!install_guard(memory, kPageSize));
  });
}

INSTANTIATE_TEST_SUITE_P(AsMarkersOrMappings, GuardPages, ::testing::Bool());

}  // namespace
}  // namespace lull::os

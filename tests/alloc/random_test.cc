#include "alloc/os/random.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace lull::os {
namespace {

TEST(RandomNumbers, AreBelowTheBoundAndEvenlySpread) {
  RandomNumbers random;
  std::array<int, 10> counts{};
  for (int i = 0; i < 100'000; ++i) ++counts[random.below(10)];
  for (const int count : counts) EXPECT_NEAR(10'000, count, 600);  // six standard deviations
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(0u, random.below(1));
}

TEST(RandomNumbers, OfTwoSourcesDiffer) {
  RandomNumbers a, b;
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(a.below(~0u));
    seen.insert(b.below(~0u));
  }
  EXPECT_GT(seen.size(), 1990u);
}

TEST(RandomNumbers, AreDrawnAnewAfterAFork) {
  RandomNumbers parent;
  parent.below(2);
  RandomNumbers child = parent;
  renew_random_after_fork();
  int same = 0;
  RandomNumbers unaware = parent;
  for (int i = 0; i < 32; ++i) same += child.below(~0u) == unaware.below(~0u);
  EXPECT_LT(same, 3);
}

}  // namespace
}  // namespace lull::os

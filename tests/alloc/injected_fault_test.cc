#include "alloc/os/injected_fault.h"

#include <atomic>
#include <vector>

#include "tests/alloc/support.h"

namespace lull::os {
namespace {

constexpr unsigned kThreads = 4;

// What `requests` requests met, one after another.
std::vector<bool> hits_of(InjectedFault& fault, int requests) {
  std::vector<bool> hits;
  for (int i = 0; i < requests; ++i) hits.push_back(fault.hits());
  return hits;
}

TEST(InjectedFault, HitsNobodyUnlessSet) {
  InjectedFault fault;
  EXPECT_EQ(std::vector<bool>(3, false), hits_of(fault, 3));
  EXPECT_LT(fault.remaining_for_testing(), 0);
}

TEST(InjectedFault, HitsTheNthRequestAlone) {
  InjectedFault fault;
  fault.set_for_testing(2, false);
  EXPECT_EQ((std::vector<bool>{false, false, true, false}), hits_of(fault, 4));
  EXPECT_LT(fault.remaining_for_testing(), 0);
}

TEST(InjectedFault, StickyHitsEveryRequestFromTheNthOn) {
  InjectedFault fault;
  fault.set_for_testing(2, true);
  EXPECT_EQ((std::vector<bool>{false, false, true, true, true}), hits_of(fault, 5));
  EXPECT_EQ(0, fault.remaining_for_testing());
  fault.set_for_testing(-1, false);
  EXPECT_FALSE(fault.hits());
}

// Counts down to the fault with all threads at once, so that several of them see the last count together.
TEST(InjectedFault, HitsOneOfManyThreads) {
  for (int round = 0; round < 200; ++round) {
    InjectedFault fault;
    fault.set_for_testing(500, false);
    std::atomic<int> hit{0};
    testing::run_together(kThreads, [&](unsigned) {
      for (int i = 0; i < 500; ++i) hit.fetch_add(fault.hits() ? 1 : 0, std::memory_order_relaxed);
    });
    ASSERT_EQ(1, hit.load()) << "round " << round;
  }
}

TEST(InjectedFault, StickyLetsNoThreadThroughAfterwards) {
  for (int round = 0; round < 50; ++round) {
    InjectedFault fault;
    fault.set_for_testing(500, true);
    std::atomic<int> passed{0};
    testing::run_together(kThreads, [&](unsigned) {
      for (int i = 0; i < 1000; ++i) passed.fetch_add(fault.hits() ? 0 : 1, std::memory_order_relaxed);
    });
    ASSERT_EQ(500, passed.load()) << "round " << round;
  }
}

}  // namespace
}  // namespace lull::os

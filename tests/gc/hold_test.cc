// Allocations past the goal wait, each for a bounded time, and only while a cycle is due (gc/cycle/hold.cc).
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "lull/lull.h"

namespace {

using lull::gc::Step;
using lull::gc::Stepper;

struct Node {
  lull::ptr<Node> next;
  char bytes[1000] = {};
  void trace(lull::tracer& t) const { t(next); }
};

std::uint64_t held() { return lull::gc::holds.count.load(); }
std::uint64_t live() { return lull::gc::heap_counters.live.load(); }

void forget(const void* object) { asm volatile("" ::"r"(object)); }

void allocate_until(std::uint64_t bytes) {
  while (live() < bytes) forget(lull::make<Node>().get());
}

class Hold : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.brake = 1;
    lull::attach_thread();
    lull::set_gc_percent(100);
    lull::collect();
    goal_ = lull::gc::pacing.goal();
    past_ = goal_ + goal_ / 20;  // between the brake's ends
  }
  std::uint64_t goal_ = 0, past_ = 0;
};

// Nobody marks at these steps and no handshake is asked for: only the brake is between the thread and the memory.
class HoldAt : public Hold, public testing::WithParamInterface<Step> {};

TEST_P(HoldAt, AnAllocationPastTheGoalWaitsAndThenGoesOn) {
  Stepper stepper;
  stepper.run_to(GetParam());
  allocate_until(goal_ - goal_ / 20);
  EXPECT_EQ(held(), 0u);
  allocate_until(past_);
  EXPECT_GT(held(), 0u);
  EXPECT_GT(lull::gc::holds.longest_ns.load(), 0u);
}
INSTANTIATE_TEST_SUITE_P(Steps, HoldAt, testing::Values(Step::cycle_begins, Step::barriers_on, Step::marked, Step::done),
                         [](const auto& step) { return lull::gc::name_of(step.param); });

// The cycle does not count as over there, so what is asked for is itself; held threads ask for nothing more.
TEST_F(Hold, AHeapThatIsAtItsTriggerWhenACycleEndsIsCollected) {
  Stepper stepper;
  stepper.run_to(Step::cycle_ends);
  const auto before = lull::gc::cycle_counts().completed;
  allocate_until(lull::gc::pacing.trigger() + 65536);
  EXPECT_EQ(before, lull::gc::cycle_counts().completed);
  stepper.finish();
  for (int i = 0; i < 500 && lull::gc::cycle_counts().completed < before + 2; ++i)  // five seconds: idle programs are collected after ten
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(before + 2, lull::gc::cycle_counts().completed);
}

TEST_F(Hold, AHeapThatStaysAboveItsTriggerIsNotCollectedWithoutEnd) {
  std::vector<lull::root<Node>> kept;
  for (int i = 0; i < 20000; ++i) kept.emplace_back(lull::make<Node>());
  lull::set_memory_limit(1 << 20);
  lull::collect();
  lull::collect();
  EXPECT_GE(live(), lull::gc::pacing.trigger());
  const auto before = lull::gc::cycle_counts().completed;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);  // not asleep: each signal would make that longer
  while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_LE(lull::gc::cycle_counts().completed, before + 1);
  lull::set_memory_limit(0);
}

TEST_F(Hold, NobodyWaitsWhereCollectionIsOff) {
  lull::set_gc_percent(-1);
  Stepper stepper;
  stepper.run_to(Step::barriers_on);
  allocate_until(2 * goal_);
  EXPECT_EQ(held(), 0u);
}

TEST_F(Hold, ALargeObjectWaitsBeforeItIsMadeIfACycleIsDue) {
  Stepper stepper;
  stepper.run_to(Step::barriers_on);
  allocate_until(goal_ - goal_ / 50);
  ASSERT_EQ(held(), 0u);
  forget(lull::make_array<char>(goal_ / 2).get());
  EXPECT_EQ(held(), 2u);  // before it, and after it as any object that leaves the heap past its goal
}

TEST_F(Hold, ALargeObjectDoesNotWaitWhereNoCycleIsDue) {
  forget(lull::make_array<char>(goal_ * 2).get());
  EXPECT_LE(held(), 1u);  // the wait after it, as for any object
}

TEST_F(Hold, TheLastCycleIsToldByHowFarItPassedItsGoal) {
  Stepper stepper;
  stepper.run_to(Step::barriers_on);
  allocate_until(past_);
  stepper.finish();
  const lull::mem_stats s = lull::read_mem_stats();
  EXPECT_GE(s.heap_over_goal_max, 1.04);
  EXPECT_EQ(s.held_allocations, held());
  EXPECT_GT(s.hold_max_ns, 0u);
}

}  // namespace

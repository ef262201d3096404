// Collection of idle programs: its rule with a clock of the test's own (gc/pace/idle.h), and the driver's timer.
#include "gc/pace/idle.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "gc/cycle/driver.h"
#include "gc/model/options.h"
#include "lull/lull.h"

namespace lull::gc {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000, kPeriod = 120 * kSecond;
constexpr std::uint64_t kDear = 2 * kSecond;  // a full cycle that cannot be had for 1 % of a processor within the period

class Idle : public testing::Test {
 protected:
  void SetUp() override { idle.set_period_ns(kPeriod); }
  std::uint64_t wait() const { return idle.wait_ns(now, activity); }
  IdleCollection idle;
  IdleCollection::Activity activity;
  std::uint64_t now = 1000 * kSecond;
};

TEST_F(Idle, ProgramsWithoutACycleYetAreLeftAlone) {
  activity.allocated = 1000;
  EXPECT_EQ(wait(), IdleCollection::kForever);
}

TEST_F(Idle, PeriodOfZeroMeansNever) {
  idle.set_period_ns(0);
  idle.end_cycle(now, activity, kDear);
  activity.allocated = 1000;
  now += 1000 * kPeriod;
  EXPECT_EQ(wait(), IdleCollection::kForever);
}

TEST_F(Idle, CollectsOnceAPeriodAfterTheLastCycleAndThenNoMore) {
  idle.end_cycle(now, activity, kDear);
  activity.allocated = 64;
  EXPECT_EQ(wait(), kPeriod);
  now += kPeriod - kSecond;
  EXPECT_EQ(wait(), kSecond);
  now += kSecond;
  EXPECT_EQ(wait(), 0u);
  idle.end_cycle(now, activity, kDear);
  for (int i = 0; i < 100; ++i) {
    now += kPeriod;
    EXPECT_EQ(wait(), kPeriod);  // looks again, does not collect
  }
}

TEST_F(Idle, CheapCyclesComeSooner) {
  activity.allocated = 64;
  idle.end_cycle(now, {}, kSecond / 1000);
  EXPECT_EQ(wait(), 10 * kSecond);
  idle.end_cycle(now, {}, kSecond / 2);
  EXPECT_EQ(wait(), 50 * kSecond);
  now += 50 * kSecond;
  EXPECT_EQ(wait(), 0u);
  idle.set_period_ns(3 * kSecond);
  idle.end_cycle(now, {}, kSecond / 1000);
  EXPECT_EQ(wait(), 3 * kSecond) << "not later than was asked for";
}

TEST_F(Idle, WhatCameWhileTheCycleRanCountsAsNew) {
  const auto before = activity;
  activity.allocated = 8192;
  idle.end_cycle(now, before, kDear);
  now += kPeriod;
  EXPECT_EQ(wait(), 0u);
}

TEST_F(Idle, AFullCycleFollowsAYoungOne) {
  activity.young = true;
  idle.end_cycle(now, activity, kDear);
  now += kPeriod;
  EXPECT_EQ(wait(), 0u);
}

TEST_F(Idle, AnotherCycleFollowsOneThatLeftMemoryInHoles) {
  activity.holes = true;
  idle.end_cycle(now, activity, kDear);
  now += kPeriod;
  EXPECT_EQ(wait(), 0u);
}

TEST_F(Idle, AnotherCycleFollowsDestructors) {
  idle.end_cycle(now, activity, kDear);
  activity.destructors = 1;
  now += kPeriod;
  EXPECT_EQ(wait(), 0u);
}

TEST_F(Idle, AClockThatJumpsBackIsWaitedFor) {
  idle.end_cycle(now, activity, kDear);
  activity.allocated = 64;
  now -= 500 * kSecond;
  EXPECT_EQ(wait(), kPeriod);
}

struct Node {
  ptr<Node> next;
  void trace(tracer& t) const { t(next); }
};

// Waits until so many cycles are done; the test's time limit is the only one.
void wait_for_cycles(std::uint32_t cycles) {
  blocking_region waiting;
  while (cycle_counts().completed < cycles) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(IdleDriver, CollectsForAnIdleProgramAndThenSleeps) {
  attach_thread();
  set_gc_percent(100);
  collect();
  EXPECT_EQ(set_idle_period_ms(5), std::uint64_t{120'000});
  for (int i = 0; i < 2000; ++i) asm volatile("" ::"r"(make<Node>().get()));
  read_mem_stats();  // gives the span back: all is counted
  wait_for_cycles(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(cycle_counts().completed, 5u);  // one for what came meanwhile, perhaps; not one in 5 ms
  EXPECT_EQ(read_mem_stats().num_forced_gc, 1u);
}

TEST(IdleDriver, DoesNothingWhereCollectionIsOff) {
  attach_thread();
  set_gc_percent(-1);
  collect();
  set_idle_period_ms(1);
  for (int i = 0; i < 2000; ++i) asm volatile("" ::"r"(make<Node>().get()));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_EQ(cycle_counts().completed, 1u);
}

}  // namespace
}  // namespace lull::gc

// lull/tune.h and LULL_AUTO_TUNE. The rules themselves: tuner_test.cc.
#include <gtest/gtest.h>

#include <cmath>

#include "gc/model/options.h"
#include "lull/lull.h"

namespace {

class AutoTune : public testing::Test {
 protected:
  void SetUp() override {
    lull::attach_thread();
    lull::set_gc_percent(100);
  }
  static void collect(int cycles) {
    for (int i = 0; i < cycles; ++i) lull::collect();
  }
};

TEST_F(AutoTune, MovesThePercentageTowardsItsTargetAndLogsIt) {
  ASSERT_TRUE(lull::auto_tune({.memory_bytes = 1 << 30}));
  collect(12);
  lull::tune_action log[4];
  ASSERT_EQ(lull::read_tune_log(log, 4), 2u);
  EXPECT_EQ(log[0].cycle, 4u);
  EXPECT_EQ(log[0].from, 100);
  EXPECT_EQ(log[0].to, 200);
  EXPECT_EQ(log[0].reason, lull::tune_reason::memory_low);
  EXPECT_EQ(log[0].target, 1 << 30);
  EXPECT_EQ(log[1].to, 400);
  EXPECT_EQ(lull::set_gc_percent(100), 400);
}

TEST_F(AutoTune, StopsWhereThePercentageIs) {
  ASSERT_TRUE(lull::auto_tune({.memory_bytes = 1 << 30}));
  collect(4);
  ASSERT_TRUE(lull::auto_tune({}));
  collect(8);
  EXPECT_EQ(lull::read_tune_log(nullptr, 0), 0u);
  EXPECT_EQ(lull::set_gc_percent(100), 200);
}

TEST_F(AutoTune, GoesOnFromWhatTheProgramSets) {
  ASSERT_TRUE(lull::auto_tune({.memory_bytes = 1 << 30}));
  collect(4);
  lull::set_gc_percent(120);
  collect(4);
  lull::tune_action last;
  ASSERT_EQ(lull::read_tune_log(&last, 1), 1u);
  EXPECT_EQ(last.from, 120);
  EXPECT_EQ(last.to, 240);
}

TEST_F(AutoTune, LeavesACollectorAloneThatIsOff) {
  lull::set_gc_percent(-1);
  ASSERT_TRUE(lull::auto_tune({.cpu_share = 0.1, .latency_ns = 1000, .memory_bytes = 1 << 30}));
  collect(8);
  lull::tune_action action;
  EXPECT_EQ(lull::read_tune_log(&action, 1), 0u);
  EXPECT_EQ(lull::set_gc_percent(100), -1);
}

TEST_F(AutoTune, LatencyAndShareAreMeasured) {
  ASSERT_TRUE(lull::auto_tune({.cpu_share = 1, .latency_ns = 1, .max_percent = 1000}));  // no allocation is as fast
  for (int i = 0; i < 4; ++i) {
    for (int n = 0; n < 2000; ++n) asm volatile("" ::"r"(lull::make_array<char>(1000).get()));
    lull::collect();
  }
  lull::tune_action action;
  ASSERT_EQ(lull::read_tune_log(&action, 1), 1u);
  EXPECT_EQ(action.reason, lull::tune_reason::latency_high);
  EXPECT_GT(action.seen, 1);
}

TEST_F(AutoTune, RefusesNonsenseAndKeepsWhatItHad) {
  ASSERT_TRUE(lull::auto_tune({.memory_bytes = 1 << 30}));
  EXPECT_FALSE(lull::auto_tune({.cpu_share = 2}));
  EXPECT_FALSE(lull::auto_tune({.cpu_share = -0.1}));
  EXPECT_FALSE(lull::auto_tune({.cpu_share = std::nan("")}));
  EXPECT_FALSE(lull::auto_tune({.cpu_share = 0.1, .min_percent = 0}));
  EXPECT_FALSE(lull::auto_tune({.cpu_share = 0.1, .min_percent = 200, .max_percent = 100}));
  collect(4);
  EXPECT_EQ(lull::set_gc_percent(100), 200);
}

TEST(AutoTuneOption, ReadsTargetsWithUnits) {
  lull::tune_targets t;
  EXPECT_TRUE(lull::gc::parse_tune_targets("cpu=12.5%,latency=2.5ms,memory=3G,min=10,max=1000", t));
  EXPECT_DOUBLE_EQ(t.cpu_share, 0.125);
  EXPECT_EQ(t.latency_ns, 2'500'000u);
  EXPECT_EQ(t.memory_bytes, std::uint64_t{3} << 30);
  EXPECT_EQ(t.min_percent, 10);
  EXPECT_EQ(t.max_percent, 1000);
  EXPECT_TRUE(lull::gc::parse_tune_targets("cpu=5,latency=300us,", t));
  EXPECT_DOUBLE_EQ(t.cpu_share, 0.05);
  EXPECT_EQ(t.latency_ns, 300'000u);
}

TEST(AutoTuneOption, WarnsOfWhatItDoesNotKnow) {
  for (const char* text : {"cpu", "cpu=", "cpu=x", "cpu=-1", "cpu=10x", "latency=5", "latency=5s", "memory=lots", "min=1.5x", "speed=9", "=",
                           "max=99999999999999999999", "a_name_that_is_very_long_for_an_item_and_does_not_fit_into_any_buffer_that_there_is=1"}) {
    lull::tune_targets t;
    EXPECT_FALSE(lull::gc::parse_tune_targets(text, t)) << text;
  }
}

}  // namespace

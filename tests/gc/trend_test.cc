// gc/report/trend.h: planted leaks are found within ten cycles, whatever else is there; loads that only change are silent.
#include "gc/report/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace lull::gc {
namespace {

constexpr double kLeast = 100;  // bytes a second, the watch's default

// Samples until growth is seen; 0: never.
unsigned samples_until_found(unsigned most, double seconds_apart, const std::function<double(unsigned)>& value) {
  Trend trend;
  for (unsigned i = 0; i < most; ++i) {
    trend.add(1000 + i * seconds_apart, static_cast<std::uint64_t>(std::max(0.0, value(i))));
    if (trend.look(kLeast).grows) return i + 1;
  }
  return 0;
}

TEST(Trend, FindsALeakOfAKibibyteASecondWithinTenCycles) {
  for (double seconds : {0.01, 0.1, 1.0, 10.0, 60.0}) {
    const unsigned found = samples_until_found(10, seconds, [&](unsigned i) { return 5e6 + 1024 * seconds * i; });
    EXPECT_NE(found, 0u) << seconds;
    EXPECT_GE(found, Trend::kFewest) << seconds;
  }
}

TEST(Trend, FindsItInNoiseOfItsOwnSize) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::uniform_real_distribution<double> noise(-512, 512);  // of a step of 1024
    const unsigned found = samples_until_found(10, 1, [&](unsigned i) { return 1e6 + 1024 * i + noise(random); });
    EXPECT_NE(found, 0u) << round;
  }
}

TEST(Trend, TellsTheSlope) {
  Trend trend;
  for (unsigned i = 0; i < 10; ++i) trend.add(i * 2, 1000 + 3000 * i + (i == 4 ? 50'000 : 0));  // one outlier
  const Growth growth = trend.look(kLeast);
  EXPECT_NEAR(growth.per_sample, 3000, 1);
  EXPECT_NEAR(growth.per_second, 1500, 1);
  EXPECT_EQ(growth.samples, 10u);
}

TEST(Trend, NoiseIsSilent) {
  std::mt19937 random(2);
  unsigned alarms = 0;
  for (int round = 0; round < 200; ++round) {
    std::uniform_real_distribution<double> noise(0, 1e5);
    alarms += samples_until_found(100, 1, [&](unsigned) { return 1e6 + noise(random); }) != 0;
  }
  EXPECT_LE(alarms, 1u);  // of 20000 looks
}

// A cache that is filled once makes the median slope steep while the step lies in the middle of the window. What the values lie off
// that line says that it is none.
TEST(Trend, AStepAmidARiseSlowerThanAskedForIsSilent) {
  for (unsigned step : {1u, 5u, 50u})
    EXPECT_EQ(samples_until_found(100, 1, [&](unsigned i) { return 1e6 + 50.0 * i + (i < step ? 0 : 1e6); }), 0u) << step;
}

TEST(Trend, ASawtoothIsSilent) {
  for (unsigned period = 2; period < Trend::kFewest; ++period)
    for (double step : {1024.0, 1e5})
      EXPECT_EQ(samples_until_found(200, 1, [&](unsigned i) { return 1e6 + step * (i % period); }), 0u) << period;
  // One with a long period looks like a leak once: on its first rise.
  Trend trend;
  unsigned alarms = 0;
  for (unsigned i = 0; i < 300; ++i) {
    trend.add(i, 1'000'000 + 1024 * (i % 30));
    alarms += i >= 30 && trend.look(kLeast).grows;
  }
  EXPECT_EQ(alarms, 0u);
}

TEST(Trend, WhatStaysOrFallsIsSilent) {
  EXPECT_EQ(samples_until_found(100, 1, [](unsigned) { return 1e6; }), 0u);
  EXPECT_EQ(samples_until_found(100, 1, [](unsigned i) { return 1e6 - 5000.0 * i; }), 0u);
  EXPECT_EQ(samples_until_found(100, 1, [](unsigned i) { return i < 3 ? 0 : 1e8; }), 0u);                         // a step
  EXPECT_EQ(samples_until_found(100, 1, [](unsigned i) { return std::min(i, 5u) * 1e6; }), 0u);                   // a short start
  EXPECT_EQ(samples_until_found(100, 1, [](unsigned i) { return 1e6 + 50.0 * i; }), 0u);                          // slower than asked for
}

}  // namespace
}  // namespace lull::gc

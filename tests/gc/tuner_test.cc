// The tuner: its rules, and what it does to simulated programs (tuner_plant.h), action by action.
#include "gc/pace/tuner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/gc/pacer_plant.h"
#include "tests/gc/tuner_plant.h"

namespace lull::gc {
namespace {

const tune_targets kCpu{.cpu_share = 0.1};
const tune_targets kMemory{.memory_bytes = 300 * kMiB};
const tune_targets kLatency{.latency_ns = 1'000'000};

double wave(int i, int period) { return std::sin(i * 2 * 3.14159 / period); }

TEST(TunerSimulation, SteadyProgramGetsItsShareOrTheLargestPercentage) {
  TunePlant half(kCpu);
  half.cycles(100, [](int) { return TuneLoad{.alloc_mib_s = 500}; });
  EXPECT_EQ(half.log(), "4: 100->200 cpu high; 8: 200->250 cpu high");
  EXPECT_NEAR(half.share, 0.1, 0.001);

  TunePlant too_much(kCpu);
  too_much.cycles(100, [](int) { return TuneLoad{}; });
  EXPECT_EQ(too_much.log(), "4: 100->200 cpu high; 8: 200->400 cpu high");

  TunePlant little(kCpu);
  little.cycles(100, [](int) { return TuneLoad{.alloc_mib_s = 100}; });
  EXPECT_EQ(little.log(), "4: 100->50 cpu low");

  TunePlant memory(kMemory);
  memory.cycles(100, [](int) { return TuneLoad{}; });
  EXPECT_EQ(memory.log(), "4: 100->172 memory low");
  EXPECT_LE(memory.peak_mib * 1.1, 300);
}

TEST(TunerSimulation, RampOfTheRateRaisesThePercentageInSteps) {
  TunePlant plant(kCpu);
  plant.cycles(100, [](int i) { return TuneLoad{.alloc_mib_s = 200.0 * (i < 20 ? 1 : i < 60 ? 1 + (i - 20) * 0.1 : 5)}; });
  EXPECT_EQ(plant.log(),
            "24: 100->113 cpu high; 28: 113->154 cpu high; 32: 154->194 cpu high; 36: 194->234 cpu high; 40: 234->274 cpu high; "
            "44: 274->314 cpu high; 48: 314->354 cpu high; 52: 354->394 cpu high");
}

TEST(TunerSimulation, RampOfTheHeapLowersItBeforeTheHeapIsTooLarge) {
  TunePlant plant(kMemory);
  plant.cycles(100, [](int i) { return TuneLoad{.live_mib = i < 20 ? 100 : std::min(100.0 + (i - 20) * 4, 200.0)}; });
  EXPECT_LE(plant.peak_mib, 300);
  EXPECT_LE(plant.percent, 37);
  EXPECT_NE(plant.log().find("memory high"), std::string::npos);
}

TEST(TunerSimulation, BurstIsFollowedAndForgotten) {
  TunePlant plant(kCpu);
  plant.cycles(60, [](int i) { return TuneLoad{.alloc_mib_s = i == 20 || i == 21 ? 2000.0 : 200.0}; });
  EXPECT_EQ(plant.log(), "24: 100->181 cpu high; 32: 181->99 cpu low");
}

TEST(TunerSimulation, OscillationIsSatOut) {
  TunePlant rate(kCpu);
  rate.cycles(200, [](int i) { return TuneLoad{.alloc_mib_s = 200 * (1 + 0.3 * wave(i, 13))}; });
  EXPECT_EQ(rate.log(), "4: 100->115 cpu high");

  TunePlant heap(kMemory);
  heap.cycles(100, [](int i) { return TuneLoad{.live_mib = 100 * (1 + 0.1 * wave(i, 13))}; });
  EXPECT_EQ(heap.log(), "4: 100->143 memory low; 40: 143->160 memory low; 42: 160->143 memory high");
  EXPECT_LE(heap.peak_mib, 300);
}

TEST(TunerSimulation, JitterMovesNothingForLong) {
  const unsigned seed = seed_of_this_run();
  std::printf("LULL_TEST_SEED=%u\n", seed);
  std::mt19937 random(seed);
  std::uniform_real_distribution<> by(0.8, 1.2);
  TunePlant plant(kCpu);
  plant.cycles(400, [&](int) { return TuneLoad{.alloc_mib_s = 200 * by(random)}; });
  std::vector<tune_action> actions(Tuner::kLogLength);
  EXPECT_LE(plant.tuner.copy_log(actions.data(), actions.size()), 6u);
  EXPECT_NEAR(plant.percent, 100, 40);
}

TEST(TunerSimulation, LatencyRaisesThePercentageAndGivesItBack) {
  TunePlant plant(kLatency);
  plant.cycles(150, [](int i) { return TuneLoad{.latency_us = i < 50 ? 3000u : 300u}; });
  EXPECT_EQ(plant.log(),
            "4: 100->150 latency high; 8: 150->225 latency high; 12: 225->337 latency high; 60: 337->269 latency low; "
            "64: 269->215 latency low; 68: 215->172 latency low; 72: 172->137 latency low; 76: 137->109 latency low");
}

TEST(TunerSimulation, LatencyNeverLowersItBelowWhereItBegan) {
  TunePlant plant(kLatency);
  plant.cycles(100, [](int) { return TuneLoad{.latency_us = 10}; });
  EXPECT_EQ(plant.log(), "");
}

TEST(TunerSimulation, MemoryComesBeforeShareAndLatency) {
  TunePlant plant({.cpu_share = 0.1, .latency_ns = 1000, .memory_bytes = 300 * kMiB});
  plant.cycles(100, [](int i) { return TuneLoad{.live_mib = i < 50 ? 100.0 : 200.0, .latency_us = 1000}; });
  EXPECT_EQ(plant.log(), "4: 100->172 memory low; 51: 172->25 memory high; 63: 25->36 memory low");
}

TEST(TunerSimulation, AHeapBeyondItsMemoryGetsTheLeastAtOnce) {
  TunePlant plant(kMemory);
  plant.cycles(100, [](int) { return TuneLoad{.live_mib = 400}; });
  EXPECT_EQ(plant.log(), "1: 100->25 memory high");
}

TEST(TunerSimulation, ASmallHeapHasTheRoomOfTheSmallestGoal) {
  TunePlant plant({.memory_bytes = 10 * kMiB, .max_percent = 10000});
  plant.cycles(20, [](int) { return TuneLoad{.live_mib = 0}; });
  EXPECT_LE(plant.peak_mib, 10);
}

TEST(TunerSimulation, YoungCyclesSayNothingAboutTheHeap) {
  TunePlant plant(kMemory);
  plant.cycle({.live_mib = 50});
  plant.cycles(40, [](int) { return TuneLoad{.live_mib = 250, .full = false}; });  // promoted garbage, perhaps
  EXPECT_EQ(plant.log().find("memory high"), std::string::npos);
}

TEST(Tuner, WithoutATargetDoesNothing) {
  Tuner none({}, 100);
  EXPECT_FALSE(none.is_on());
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(none.add({.live = 1000 * kMiB, .elapsed_ns = 1, .gc_ns = 100}, 100));
}

TEST(Tuner, LeavesACollectorAloneThatIsOff) {
  Tuner tuner(kCpu, -1);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(tuner.add({.live = kMiB, .elapsed_ns = 100, .gc_ns = 100}, -1));
}

TEST(Tuner, BringsAPercentageIntoItsBounds) {
  Tuner tuner({.cpu_share = 0.1, .min_percent = 50, .max_percent = 80}, 0);
  std::optional<tune_action> action;
  for (int i = 0; i < 8 && !action; ++i) action = tuner.add({.live = kMiB, .elapsed_ns = 1000, .gc_ns = 100}, 0);
  ASSERT_TRUE(action);
  EXPECT_EQ(action->to, 50);
  EXPECT_EQ(action->reason, tune_reason::bounds);
}

TEST(Tuner, LogKeepsTheNewestActionsInOrder) {
  TunePlant plant(kCpu);
  plant.cycles(4000, [](int i) { return TuneLoad{.alloc_mib_s = 200 * (1 + 0.9 * wave(i, 40))}; });
  std::vector<tune_action> actions(100);
  ASSERT_EQ(plant.tuner.copy_log(actions.data(), 100), Tuner::kLogLength);
  for (std::size_t i = 1; i < Tuner::kLogLength; ++i) {
    EXPECT_GT(actions[i].cycle, actions[i - 1].cycle);
    EXPECT_EQ(actions[i].from, actions[i - 1].to);
  }
  EXPECT_EQ(actions[Tuner::kLogLength - 1].to, plant.percent);
  tune_action last;
  ASSERT_EQ(plant.tuner.copy_log(&last, 1), 1u);
  EXPECT_EQ(last.cycle, actions[Tuner::kLogLength - 1].cycle);
}

// Whatever came before: of two heaps the one that has grown more gets no higher a percentage.
TEST(Tuner, FasterGrowthNeverGetsAHigherPercentage) {
  const unsigned seed = seed_of_this_run();
  std::printf("LULL_TEST_SEED=%u\n", seed);
  std::mt19937_64 random(seed);
  const auto upto = [&](std::uint64_t n) { return random() % n; };
  for (int run = 0; run < 2000; ++run) {
    const tune_targets targets{.cpu_share = upto(2) ? 0.1 : 0, .latency_ns = upto(2) * 1'000'000, .memory_bytes = (50 + upto(500)) * kMiB};
    int percent = 25 + static_cast<int>(upto(375));
    Tuner before(targets, percent);
    const auto sample = [&](std::uint64_t live) {
      return TuneSample{.full = true, .live = live, .elapsed_ns = upto(1'000'000'000), .gc_ns = upto(100'000'000), .processors = 2, .latency_ns = upto(3'000'000)};
    };
    const std::uint64_t base = 10 * kMiB + upto(200 * kMiB);
    for (std::uint64_t i = upto(12); i > 0; --i)
      if (const auto action = before.add(sample(base), percent)) percent = action->to;
    TuneSample last = sample(base);
    int lowest = 1'000'000;
    for (std::uint64_t grown = 0; grown < 300 * kMiB; grown += 10 * kMiB) {
      Tuner tuner = before;
      last.live = base + grown;
      const auto action = tuner.add(last, percent);
      const int now = action ? action->to : percent;
      ASSERT_LE(now, lowest) << "run " << run << " grown " << (grown >> 20) << " from " << percent;
      lowest = now;
    }
  }
}

TEST(Tuner, StaysWithinBoundsWhateverItIsTold) {
  const unsigned seed = seed_of_this_run();
  std::printf("LULL_TEST_SEED=%u\n", seed);
  std::mt19937_64 random(seed);
  const std::uint64_t odd[] = {0, 1, 1000, kMiB, ~std::uint64_t{0}, ~std::uint64_t{0} >> 1};
  const auto any = [&] { return odd[random() % std::size(odd)]; };
  for (int run = 0; run < 300; ++run) {
    const tune_targets targets{.cpu_share = random() % 2 ? 1e-9 : 1, .latency_ns = any(), .memory_bytes = any(), .min_percent = 1, .max_percent = 1 + static_cast<int>(random() % 1000)};
    int percent = static_cast<int>(random() % 2000);
    Tuner tuner(targets, percent);
    for (int i = 0; i < 30; ++i)
      if (const auto action = tuner.add({random() % 2 == 0, any(), any(), any(), static_cast<unsigned>(random() % 3), any()}, percent)) {
        percent = action->to;
        ASSERT_GE(percent, targets.min_percent);
        ASSERT_LE(percent, targets.max_percent);
      }
  }
}

}  // namespace
}  // namespace lull::gc

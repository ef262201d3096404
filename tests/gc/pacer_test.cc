// The pacer: its rules one by one, and how it holds the heap of a simulated program (pacer_plant.h) to its
// goals.
#include "gc/pace/pacer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "tests/gc/pacer_plant.h"

namespace lull::gc {
namespace {

// One line a scenario, over the results from `first` on: the figures to quote.
void print_summary(const char* name, const std::vector<Result>& results, std::size_t first) {
  double low = 1e9, high = 0, used = 0, ratio = 0, peak_low = 1e18, peak_high = 0;
  for (std::size_t i = first; i < results.size(); i++) {
    low = std::min(low, results[i].goal_ratio());
    high = std::max(high, results[i].goal_ratio());
    used = std::max(used, results[i].utilisation);
    ratio = std::max(ratio, results[i].worst_ratio);
    peak_low = std::min(peak_low, as_double(results[i].peak));
    peak_high = std::max(peak_high, as_double(results[i].peak));
  }
  const double swing = (peak_high - peak_low) / (peak_high + peak_low) * 100;
  std::printf("%-22s peak/goal %.3f..%.3f  peak +-%.1f%%  gc cpu <= %.1f%%  assist ratio <= %.1f\n", name,
              low, high, swing, used * 100, ratio);
}

void expect_goal_ratios(const std::vector<Result>& results, std::size_t first, std::size_t last, double low,
                        double high) {
  for (std::size_t i = first; i < std::min(last, results.size()); i++) {
    EXPECT_GE(results[i].goal_ratio(), low) << "cycle " << i;
    EXPECT_LE(results[i].goal_ratio(), high) << "cycle " << i;
  }
}

void expect_peak_swing(const std::vector<Result>& results, std::size_t first, double at_most) {
  Bytes low = kNever, high = 0;
  for (std::size_t i = first; i < results.size(); i++) {
    low = std::min(low, results[i].peak);
    high = std::max(high, results[i].peak);
  }
  EXPECT_LE(as_double(high - low) / as_double(high + low), at_most);
}

constexpr std::size_t kEnd = 1000000;

TEST(PacerSimulation, SteadyHeapMeetsItsGoalWithTheBackgroundShareAlone) {
  Plant plant({}, {});
  const auto r = plant.cycles(50, [](int) { return Load{}; });
  print_summary("steady", r, 10);
  expect_goal_ratios(r, 6, kEnd, 0.98, 1.01);
  expect_goal_ratios(r, 0, kEnd, 0, 1.10);
  expect_peak_swing(r, 10, 0.01);
  for (std::size_t i = 10; i < r.size(); i++) EXPECT_NEAR(0.25, r[i].utilisation, 0.005);
}

TEST(PacerSimulation, ManyRootsCountAsWork) {
  Plant plant({}, {});
  const auto r =
      plant.cycles(50, [](int) { return Load{.alloc_rate = 132, .stacks = 64 * kMiB, .roots = 64 * kMiB}; });
  print_summary("big stacks and roots", r, 10);
  expect_goal_ratios(r, 6, kEnd, 0.95, 1.05);
  for (std::size_t i = 10; i < r.size(); i++) EXPECT_NEAR(0.25, r[i].utilisation, 0.01);
}

TEST(PacerSimulation, FivefoldAllocationSettlesInFiveCyclesUpAndDown) {
  Plant plant({}, {});
  const auto r = plant.cycles(90, [](int i) { return Load{.alloc_rate = i >= 30 && i < 60 ? 165.0 : 33.0}; });
  print_summary("step x5 and back", r, 10);
  expect_goal_ratios(r, 0, kEnd, 0, 1.10);
  expect_goal_ratios(r, 6, 60, 0.95, 1.05);
  expect_goal_ratios(r, 65, kEnd, 0.95, 1.05);
  for (std::size_t i = 33; i < 60; i++) EXPECT_LE(r[i].utilisation, 0.30) << "cycle " << i;
  for (std::size_t i = 65; i < 90; i++) EXPECT_NEAR(0.25, r[i].utilisation, 0.005) << "cycle " << i;
}

TEST(PacerSimulation, GrowingAndShrinkingHeapStaysWithinTenPercentOfItsGoals) {
  Plant plant({}, {});
  const auto r = plant.cycles(80, [](int i) {
    const double growth = i < 20 ? 0 : i < 40 ? i - 20 : i < 60 ? 20 : 80 - i;
    return Load{.live = static_cast<Bytes>(as_double(64 * kMiB) * std::pow(1.1, growth))};
  });
  print_summary("ramp 10 % a cycle", r, 10);
  expect_goal_ratios(r, 6, kEnd, 0.95, 1.05);
  // No spike where the remaining work and the remaining heap reach zero together.
  for (std::size_t i = 10; i < r.size(); i++) EXPECT_LE(r[i].worst_ratio, 20);
}

TEST(PacerSimulation, HeapThatGrowsThreefoldInOneCycleStaysWithinTenPercentOfTheOldGoal) {
  for (const int percent : {50, 100, 200, 400}) {
    Plant plant({.gc_percent = percent}, {});
    const auto r =
        plant.cycles(60, [](int i) { return Load{.alloc_rate = 165, .live = (i < 30 ? 64 : 192) * kMiB}; });
    print_summary("live x3 in one cycle", r, 10);
    expect_goal_ratios(r, 6, kEnd, 0.80, 1.101);
    expect_goal_ratios(r, 35, kEnd, 0.95, 1.05);
  }
}

TEST(PacerSimulation, BurstsOfTenfoldAllocationDoNotOvershoot) {
  Plant plant({}, {});
  const auto r = plant.cycles(100, [](int i) { return Load{.alloc_rate = i % 10 < 2 ? 330.0 : 33.0}; });
  print_summary("bursts x10", r, 10);
  expect_goal_ratios(r, 6, kEnd, 0.70, 1.10);
}

TEST(PacerSimulation, OscillatingLoadKeepsItsGoals) {
  Plant plant({}, {});
  const auto r = plant.cycles(100, [](int i) {
    const double wave = std::sin(i * 2 * 3.14159 / 13);
    return Load{.alloc_rate = 33 * (1 + 0.5 * wave),
                .live = static_cast<Bytes>(as_double(64 * kMiB) * (1 - 0.1 * wave))};
  });
  print_summary("oscillation", r, 10);
  expect_goal_ratios(r, 6, kEnd, 0.90, 1.05);
}

TEST(PacerSimulation, NoiseDoesNotMakeTheHeapSwing) {
  const unsigned seed = seed_of_this_run();
  std::printf("LULL_TEST_SEED=%u\n", seed);
  std::mt19937 random(seed);
  Plant plant({}, {.noise = 0.3}, seed);
  std::uniform_real_distribution<> by(0.8, 1.2);
  const auto r = plant.cycles(
      200, [&](int) { return Load{.alloc_rate = 33 * by(random), .scan_rate = 1024 * by(random)}; });
  print_summary("jitter", r, 10);
  double used = 0;
  for (const Result& cycle : r) used += cycle.utilisation / as_double(r.size());
  EXPECT_LE(used, 0.26);  // assists stay rare: the estimate is made of the worst of the last cycles
  expect_goal_ratios(r, 6, kEnd, 0.92, 1.05);
  expect_peak_swing(r, 10, 0.09);
}

TEST(PacerSimulation, PercentChangedWhileMarkingTakesEffectAtOnce) {
  Plant plant({}, {});
  plant.cycles(20, [](int) { return Load{}; });
  const Bytes before = plant.pacer.goal();
  auto lower = [&](double progress) {
    if (progress > 0.5) plant.pacer.set_gc_percent(90);
  };
  const Result changed = plant.cycle({}, kNever, lower);
  EXPECT_LT(plant.pacer.goal(), before);
  EXPECT_LE(changed.goal_ratio(), 1.10);
  for (const int percent : {50, 200, 25, 100}) {
    plant.pacer.set_gc_percent(percent);
    const auto r = plant.cycles(50, [](int) { return Load{}; });
    print_summary("percent changed", r, 5);
    expect_goal_ratios(r, 0, kEnd, 0, 1.10);
    expect_goal_ratios(r, 5, kEnd, 0.95, 1.05);
  }
}

TEST(PacerSimulation, AllocationFourTimesAsFastAsTheMarkersIsHeldByAssists) {
  Plant plant({}, {});
  const auto r = plant.cycles(60, [](int) { return Load{.alloc_rate = 4096}; });
  print_summary("allocation 4 x marking", r, 5);
  expect_goal_ratios(r, 0, kEnd, 0, 1.10);
  expect_goal_ratios(r, 5, kEnd, 0.95, 1.05);
}

TEST(PacerSimulation, WithoutAssistsTheSameLoadMissesItsGoal) {
  Plant plant({}, {.assists = false});
  const auto r = plant.cycles(5, [](int) { return Load{.alloc_rate = 4096}; });
  EXPECT_GT(r[2].goal_ratio(), 1.10);
}

TEST(PacerSimulation, AWorkerWithAnotherShareThanConfiguredConvergesToo) {
  for (const double share : {0.10, 0.50}) {
    Plant plant({}, {.cores = 2, .background_share = share});
    const auto r = plant.cycles(50, [](int) { return Load{.alloc_rate = 40}; });
    print_summary("other share", r, 12);
    expect_goal_ratios(r, 12, kEnd, 0.95, 1.05);
    for (std::size_t i = 12; i < r.size(); i++) EXPECT_NEAR(share, r[i].utilisation, 0.02);
  }
}

TEST(PacerSimulation, TinyHeapCollectsAtTheMinimum) {
  Plant plant({}, {.start_delay = 8 << 10});
  const auto r = plant.cycles(50, [](int) { return Load{.live = 20 << 10}; });
  print_summary("tiny heap", r, 5);
  for (std::size_t i = 0; i < r.size(); i++) EXPECT_EQ(4 * kMiB, r[i].goal);
  expect_goal_ratios(r, 5, kEnd, 0.90, 1.05);
}

TEST(PacerSimulation, HeapWithNothingLiveCollectsAtTheMinimum) {
  Plant plant({}, {.start_delay = 0});
  const auto r = plant.cycles(50, [](int) { return Load{.live = 0, .stacks = 0, .roots = 0}; });
  print_summary("nothing live", r, 5);
  for (std::size_t i = 0; i < r.size(); i++) EXPECT_EQ(4 * kMiB, r[i].goal);
  expect_goal_ratios(r, 5, kEnd, 0.90, 1.0);
}

TEST(PacerSimulation, ZeroPercentStillLeavesARunway) {
  Plant plant({.gc_percent = 0}, {});
  const auto r = plant.cycles(50, [](int) { return Load{}; });
  print_summary("percent 0", r, 5);
  expect_goal_ratios(r, 0, kEnd, 0, 1.10);
}

TEST(PacerSimulation, MemoryLimitHoldsWithAndWithoutThePercentage) {
  for (const int percent : {-1, 400}) {
    Plant plant({.gc_percent = percent, .memory_limit = 256 * kMiB}, {});
    plant.pacer.set_non_heap_bytes(16 * kMiB);
    const auto r = plant.cycles(50, [](int) { return Load{}; });
    print_summary("memory limit", r, 5);
    for (std::size_t i = 5; i < r.size(); i++) {
      EXPECT_EQ(240 * kMiB - 240 * kMiB * 3 / 100, r[i].goal);
      EXPECT_LE(r[i].peak, 240 * kMiB);
    }
    expect_goal_ratios(r, 5, kEnd, 0.95, 1.05);
  }
}

TEST(PacerSimulation, HeapGrowingUnderTheLimitNeverPassesItWhilePacesAllow) {
  Plant plant({.gc_percent = -1, .memory_limit = 256 * kMiB}, {});
  const auto r =
      plant.cycles(60, [](int i) { return Load{.alloc_rate = 165, .live = (i < 30 ? 32 : 160) * kMiB}; });
  print_summary("live x5 under a limit", r, 5);
  for (std::size_t i = 5; i < r.size(); i++) EXPECT_LE(r[i].peak, 256 * kMiB) << "cycle " << i;
}

TEST(PacerSimulation, ForcedCyclesWhileOffDoNotAssist) {
  Plant plant({.gc_percent = -1}, {});
  for (int i = 0; i < 50; i++) {
    EXPECT_EQ(kNever, plant.pacer.goal());
    EXPECT_EQ(kNever, plant.pacer.trigger());
    EXPECT_LT(plant.cycle({.alloc_rate = 4096}, 100 * kMiB).worst_ratio, 1e-6);
  }
}

TEST(PacerSimulation, ForcedCyclesDoNotSpoilTheEstimate) {
  Plant plant({}, {});
  plant.cycles(20, [](int) { return Load{}; });
  for (int i = 0; i < 10; i++) plant.cycle({.alloc_rate = 0}, 0);  // the program sleeps and somebody collects
  const auto r = plant.cycles(10, [](int) { return Load{}; });
  expect_goal_ratios(r, 0, kEnd, 0.95, 1.01);
  for (const Result& cycle : r) EXPECT_LE(cycle.utilisation, 0.26);
}

// The rules, one by one.

CycleEnd end_of(Bytes marked, Bytes scanned, Bytes allocated, double assist_seconds = 0) {
  return {marked, marked, scanned, 0, allocated, 1, assist_seconds, 1};
}

Pacer after_one_cycle(PacerConfig config, const CycleEnd& end, Bytes stacks = 0, Bytes roots = 0) {
  Pacer pacer(config);
  pacer.begin_cycle({end.heap_marked, stacks, roots});
  pacer.end_cycle(end);
  return pacer;
}

TEST(PacerRules, GoalIsMarkedPlusThePercentageOfMarkedStacksAndRoots) {
  for (const int percent : {25, 100, 300}) {
    const Pacer pacer =
        after_one_cycle({.gc_percent = percent}, end_of(100 * kMiB, 1, 1), 8 * kMiB, 4 * kMiB);
    EXPECT_EQ(100 * kMiB + 112 * kMiB * static_cast<Bytes>(percent) / 100, pacer.goal());
  }
}

TEST(PacerRules, MinimumHeapScalesWithThePercentage) {
  EXPECT_EQ(4 * kMiB, Pacer({}).goal());
  EXPECT_EQ(8 * kMiB, Pacer({.gc_percent = 200}).goal());
  EXPECT_EQ(2 * kMiB, Pacer({.gc_percent = 50}).goal());
}

TEST(PacerRules, MinimumHeapCanBeChanged) {
  Pacer pacer = after_one_cycle({.min_heap_bytes = 8 * kMiB}, end_of(3 * kMiB, 1, 1));
  EXPECT_EQ(8 * kMiB, pacer.goal());
  pacer.set_min_heap_bytes(64 * kMiB);
  EXPECT_EQ(64 * kMiB, pacer.goal());
  EXPECT_GE(pacer.trigger(), 40 * kMiB);
  pacer.set_min_heap_bytes(0);
  EXPECT_EQ(6 * kMiB, pacer.goal());
  pacer.set_min_heap_bytes(~Bytes{0});  // a goal that is never met, and nothing overflows
  EXPECT_GT(pacer.goal(), kMiB << 40);
}

TEST(PacerRules, TriggerIsTheGoalMinusTheRunwayWithinBounds) {
  const auto trigger = [](Bytes allocated) {
    return after_one_cycle({}, end_of(100 * kMiB, 100 * kMiB, allocated)).trigger();
  };
  EXPECT_NEAR(as_double(180 * kMiB), as_double(trigger(20 * kMiB)),
              16);  // what was allocated is the next runway
  EXPECT_EQ(170 * kMiB, trigger(31 * kMiB));
  EXPECT_EQ(195 * kMiB, trigger(4 * kMiB));
  EXPECT_EQ(195 * kMiB, trigger(0));
}

TEST(PacerRules, WithoutHistoryTheTriggerIsTheEarliest) {
  EXPECT_EQ(4 * kMiB * 70 / 100, Pacer({}).trigger());
}

// Assists as long as the workers: 0.5 of the machine instead of 0.25. Alone the workers need twice as long,
// and the mutators have 0.75 of the machine instead of 0.5: three times as much is allocated.
TEST(PacerRules, AssistsCountAsTimeTheMutatorsWouldHaveAllocatedIn) {
  const Pacer pacer = after_one_cycle({}, end_of(100 * kMiB, 100 * kMiB, 8 * kMiB, 1));
  EXPECT_DOUBLE_EQ(0.5, pacer.last_cycle().utilisation);
  EXPECT_NEAR(as_double(176 * kMiB), as_double(pacer.trigger()), 16);
}

TEST(PacerRules, AssistTimesNotMeasuredAreJudgedByTheWork) {
  CycleEnd end = end_of(100 * kMiB, 100 * kMiB, 8 * kMiB);
  end.background_seconds = 0;
  end.assist_work = 50 * kMiB;
  EXPECT_DOUBLE_EQ(0.5, after_one_cycle({}, end).last_cycle().utilisation);
}

TEST(PacerRules, AssistRatioSpreadsTheRemainingWorkOverTheRemainingHeap) {
  Pacer pacer = after_one_cycle({}, end_of(100 * kMiB, 100 * kMiB, 20 * kMiB));
  EXPECT_EQ(0, pacer.assist_ratio(150 * kMiB, 0));
  pacer.begin_cycle({180 * kMiB, 0, 0});
  EXPECT_DOUBLE_EQ(100.0 / 20, pacer.assist_ratio(180 * kMiB, 0));
  EXPECT_DOUBLE_EQ(40.0 / 15, pacer.assist_ratio(185 * kMiB, 60 * kMiB));
  // More work than expected: up to 180 in all; by 180 + 20 * 1.8 = 216 MiB.
  EXPECT_NEAR(70.0 / 16, pacer.assist_ratio(200 * kMiB, 110 * kMiB), 1e-6);
  // Past the goal with work left: all of it by 220 MiB.
  EXPECT_NEAR(130.0 / 10, pacer.assist_ratio(210 * kMiB, 50 * kMiB), 1e-6);
  EXPECT_EQ(Pacer::kMaxAssistRatio, pacer.assist_ratio(300 * kMiB, 50 * kMiB));
}

// 10 % past the goal would be 181 MiB: 11 more than what is not heap leaves of the limit.
TEST(PacerRules, PastTheGoalAssistsEndWithinTheMemoryLimit) {
  Pacer pacer = after_one_cycle({.memory_limit = 200 * kMiB}, end_of(100 * kMiB, 100 * kMiB, 20 * kMiB));
  pacer.set_non_heap_bytes(30 * kMiB);
  pacer.begin_cycle({160 * kMiB, 0, 0});
  EXPECT_NEAR(110.0 / 4, pacer.assist_ratio(166 * kMiB, 50 * kMiB), 1e-6);
  EXPECT_EQ(Pacer::kMaxAssistRatio, pacer.assist_ratio(170 * kMiB, 50 * kMiB));
}

TEST(PacerRules, AbortedCycleTeachesNothing) {
  Pacer pacer = after_one_cycle({}, end_of(100 * kMiB, 100 * kMiB, 20 * kMiB));
  const Bytes trigger = pacer.trigger(), goal = pacer.goal();
  pacer.begin_cycle({190 * kMiB, 0, 0});
  pacer.abort_cycle();
  EXPECT_EQ(trigger, pacer.trigger());
  EXPECT_EQ(goal, pacer.goal());
  EXPECT_EQ(0, pacer.assist_ratio(190 * kMiB, 0));
}

TEST(PacerRules, LimitBelowTheLiveHeapAsksForCyclesWithoutEnd) {
  const Pacer pacer = after_one_cycle({.memory_limit = 64 * kMiB}, end_of(100 * kMiB, 100 * kMiB, kMiB));
  EXPECT_EQ(100 * kMiB, pacer.goal());
  EXPECT_EQ(100 * kMiB, pacer.trigger());
}

TEST(PacerRules, HugePercentagesSaturate) {
  Pacer pacer = after_one_cycle({.gc_percent = 2147483647}, end_of(kMiB << 30, kMiB, kMiB));
  EXPECT_EQ(kNever, pacer.goal());
  EXPECT_EQ(kNever, pacer.trigger());
  pacer.set_gc_percent(1000000);
  EXPECT_EQ((kMiB << 30) * 10001, pacer.goal());
  EXPECT_LT(pacer.trigger(), pacer.goal());
}

// Nonsense in, bounded answers out: bytes over all magnitudes, times negative, infinite or not a number.
TEST(PacerRules, EveryAnswerIsBoundedWhateverItIsTold) {
  const unsigned seed = seed_of_this_run();
  std::printf("LULL_TEST_SEED=%u\n", seed);
  std::mt19937_64 random(seed);
  const auto bytes = [&] { return random() % 8 == 0 ? 0 : random() >> (random() % 64); };
  const auto seconds = [&] {
    const double odd[] = {0, -1, 1e-300, 1e300, HUGE_VAL, -HUGE_VAL, std::nan("")};
    return random() % 4 == 0 ? odd[random() % 7] : as_double(random() % 1000) / 100;
  };
  Pacer pacer({.background_utilisation = seconds()});
  for (int i = 0; i < 100000; i++) {
    pacer.set_gc_percent(static_cast<int>(static_cast<unsigned>(random()) >> (random() % 32)));
    pacer.set_memory_limit(random() % 2 == 0 ? kNever : bytes());
    pacer.set_non_heap_bytes(bytes());
    const Bytes marked = pacer.heap_marked();
    ASSERT_LE(pacer.trigger(), pacer.goal());
    ASSERT_GE(pacer.trigger(), marked);
    pacer.begin_cycle({bytes(), bytes(), bytes()});
    for (int j = 0; j < 4; j++) {
      const double ratio = pacer.assist_ratio(bytes(), bytes());
      ASSERT_TRUE(ratio >= 0 && ratio <= Pacer::kMaxAssistRatio) << ratio << " in step " << i;
    }
    if (random() % 8 == 0) {
      pacer.abort_cycle();
      continue;
    }
    pacer.end_cycle({bytes(), bytes(), bytes(), bytes(), bytes(), seconds(), seconds(), seconds()});
    ASSERT_TRUE(std::isfinite(pacer.last_cycle().cons_mark)) << "step " << i;
  }
}

// Memory that comes round sooner is still in the caches; the goal is that of the heap all the same.
TEST(PacerTest, AYoungCycleStartsWhenItsBudgetIsUsedUp) {
  Pacer pacer(PacerConfig{.generational = true});
  const auto cycle = [&](CycleKind kind, Bytes peak, Bytes marked, Bytes scanned) {
    pacer.begin_cycle({peak, 0, 0, kind});
    pacer.end_cycle({peak, marked, scanned, 0, kMiB, 0.001, 0, 0.001});
  };
  cycle(CycleKind::full, 600 * kMiB, 300 * kMiB, 300 * kMiB);
  const Bytes goal = pacer.goal(), late = pacer.trigger();
  EXPECT_GT(late, 500 * kMiB);
  for (int i = 0; i < 10; ++i) cycle(CycleKind::young, 400 * kMiB, 301 * kMiB, kMiB);
  EXPECT_EQ(pacer.next_cycle().kind, CycleKind::young);
  EXPECT_EQ(pacer.trigger(), 301 * kMiB + Generations::kSmallestYoungBudget);
  EXPECT_EQ(pacer.goal(), goal);
}

// Three quarters of the room are taken: waiting for 70 % of the rest would leave the mark of the whole heap next to none.
TEST(PacerTest, AFullCycleThatIsDueStartsAtOnceIfItNeedsTheRoom) {
  Pacer pacer(PacerConfig{.generational = true});
  const auto cycle = [&](CycleKind kind, Bytes peak, Bytes marked, Bytes scanned) {
    pacer.begin_cycle({peak, 0, 0, kind});
    pacer.end_cycle({peak, marked, scanned, 0, 200 * kMiB, 0.1, 0, 0.1});
  };
  cycle(CycleKind::full, 200 * kMiB, 100 * kMiB, 100 * kMiB);
  EXPECT_GE(pacer.trigger(), 170 * kMiB);
  cycle(CycleKind::young, 190 * kMiB, 140 * kMiB, 30 * kMiB);
  cycle(CycleKind::young, 190 * kMiB, 178 * kMiB, 30 * kMiB);
  ASSERT_EQ(pacer.next_cycle().reason, CycleReason::old_has_grown);
  EXPECT_EQ(pacer.trigger(), 178 * kMiB);
}

}  // namespace
}  // namespace lull::gc

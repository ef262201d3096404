// Which kind of cycle is next: each rule of gc/pace/generations.h by its name, and programs in the course of time.
#include "gc/pace/generations.h"

#include <gtest/gtest.h>

#include <functional>

namespace lull::gc {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// A heap that ends every cycle at twice what the last full cycle left.
class Program {
 public:
  // `live` by the size of the heap: what survives of what was allocated since the last cycle, in MiB, and what the full
  // cycle would keep in all.
  NextCycle cycle(double survives, std::uint64_t live_mib) {
    const std::uint64_t goal = 2 * std::max(live_after_full_, 2 * kMiB);
    const NextCycle next = generations.next(true, goal);
    const std::uint64_t allocated = goal > held_ ? goal - held_ : kMiB;
    const auto kept = next.kind == CycleKind::full
                          ? std::min(live_mib * kMiB, held_ + allocated)
                          : held_ + static_cast<std::uint64_t>(static_cast<double>(allocated) * survives);
    generations.end_cycle({next.kind, allocated, held_ + allocated > kept ? held_ + allocated - kept : 0, kept});
    held_ = kept;
    if (next.kind == CycleKind::full) live_after_full_ = kept;
    ++(next.kind == CycleKind::full ? full : young);
    return next;
  }
  Generations generations;
  int full = 0, young = 0;

 private:
  std::uint64_t held_ = 0, live_after_full_ = 0;
};

TEST(Generations, BeginWithAFullCycle) {
  Generations g;
  EXPECT_EQ(g.next(true, 4 * kMiB).reason, CycleReason::nothing_is_old);
  g.end_cycle({CycleKind::full, 4 * kMiB, 3 * kMiB, kMiB});
  EXPECT_EQ(g.next(true, 4 * kMiB).kind, CycleKind::young);
}

TEST(Generations, OffMeansFullCycles) {
  Generations g;
  g.end_cycle({CycleKind::full, 4 * kMiB, 3 * kMiB, kMiB});
  EXPECT_EQ(g.next(false, 4 * kMiB).reason, CycleReason::generations_off);
  EXPECT_EQ(g.next(false, 4 * kMiB).kind, CycleKind::full);
}

TEST(Generations, AnAbortedCycleIsFollowedByAFullOne) {
  Generations g;
  g.end_cycle({CycleKind::full, 4 * kMiB, 3 * kMiB, kMiB});
  g.abort_cycle();
  EXPECT_EQ(g.next(true, 4 * kMiB).reason, CycleReason::last_was_aborted);
  g.end_cycle({CycleKind::full, 4 * kMiB, 3 * kMiB, kMiB});
  EXPECT_EQ(g.next(true, 4 * kMiB).kind, CycleKind::young);
}

TEST(Generations, AFullCycleIsDueWhenPromotedObjectsFillThreeQuartersOfTheRoom) {
  Generations g;
  g.end_cycle({CycleKind::full, 200 * kMiB, 100 * kMiB, 100 * kMiB});
  g.end_cycle({CycleKind::young, 100 * kMiB, 50 * kMiB, 175 * kMiB});
  EXPECT_EQ(g.next(true, 200 * kMiB).kind, CycleKind::young);
  g.end_cycle({CycleKind::young, 50 * kMiB, 49 * kMiB, 176 * kMiB});
  EXPECT_EQ(g.next(true, 200 * kMiB).reason, CycleReason::old_has_grown);
}

// The oftener young cycles free too little where full ones free much, the more full cycles come before the next attempt: 1, 2, 4,
// 8, 16, 16, ...
TEST(Generations, YoungCyclesThatDoNotPayBecomeRare) {
  Generations g;
  g.end_cycle({CycleKind::full, 200 * kMiB, 100 * kMiB, 100 * kMiB});
  for (const int expected : {1, 2, 4, 8, 16, 16}) {
    ASSERT_EQ(g.next(true, 200 * kMiB).kind, CycleKind::young);
    g.end_cycle({CycleKind::young, 20 * kMiB, 2 * kMiB, 118 * kMiB});
    int full = 0;
    while (g.next(true, 200 * kMiB).reason == CycleReason::young_did_not_pay) {
      g.end_cycle({CycleKind::full, 100 * kMiB, 90 * kMiB, 100 * kMiB});
      ++full;
    }
    EXPECT_EQ(full, expected);
  }
  // One that pays is followed by others.
  g.end_cycle({CycleKind::young, 20 * kMiB, 18 * kMiB, 102 * kMiB});
  EXPECT_EQ(g.next(true, 200 * kMiB).kind, CycleKind::young);
  g.end_cycle({CycleKind::young, 20 * kMiB, 2 * kMiB, 120 * kMiB});
  g.end_cycle({CycleKind::full, 20 * kMiB, 18 * kMiB, 102 * kMiB});
  EXPECT_EQ(g.next(true, 204 * kMiB).kind, CycleKind::young);
}

// A program that builds up: a young cycle would promote everything and fill the room, so that a full one had to follow it.
TEST(Generations, APoorYoungCycleIsForgivenIfTheFullOneAfterItFreesNothingEither) {
  Generations g;
  g.end_cycle({CycleKind::full, 200 * kMiB, 100 * kMiB, 100 * kMiB});
  g.end_cycle({CycleKind::young, 20 * kMiB, 2 * kMiB, 118 * kMiB});
  ASSERT_EQ(g.next(true, 200 * kMiB).reason, CycleReason::young_did_not_pay);
  std::uint64_t live = 138 * kMiB;
  for (; live < 400 * kMiB; live += 38 * kMiB) {
    g.end_cycle({CycleKind::full, 40 * kMiB, 2 * kMiB, live});
    ASSERT_EQ(g.next(true, 2 * live).reason, CycleReason::nothing_dies) << live / kMiB;
  }
  g.end_cycle({CycleKind::full, 40 * kMiB, 30 * kMiB, live});
  EXPECT_EQ(g.next(true, 2 * live).kind, CycleKind::young) << "objects die again";
  g.end_cycle({CycleKind::full, 40 * kMiB, 2 * kMiB, live});  // asked for, say
  EXPECT_EQ(g.next(true, 2 * live).kind, CycleKind::young) << "young cycles have not failed";
}

// What was there when the last full cycle ended lives, as far as anybody knows: it is no excuse for a cycle that frees half of the rest.
TEST(Generations, AFullCycleIsJudgedByWhatHasComeSinceTheLastOne) {
  Generations g;
  g.end_cycle({CycleKind::full, 200 * kMiB, 100 * kMiB, 100 * kMiB});
  for (const int expected : {1, 2, 4}) {
    g.end_cycle({CycleKind::young, 20 * kMiB, 2 * kMiB, 118 * kMiB});
    int full = 0;
    for (; full < 10 && g.next(true, 200 * kMiB).kind == CycleKind::full; ++full) g.end_cycle({CycleKind::full, 0, 18 * kMiB, 100 * kMiB});
    EXPECT_EQ(full, expected);
  }
}

// Binary trees: what is built up first lives on, everything after it dies early. The build-up must not be held against young cycles.
TEST(Generations, AProgramThatBuildsUpWhatItWorksOnRunsYoungCyclesSoonAfter) {
  Program builder;
  for (int i = 0; i < 6; ++i) builder.cycle(1, 100);
  EXPECT_EQ(builder.young, 1) << "the first one has shown that nothing dies";
  builder.full = 0;
  for (int i = 0; i < 100; ++i) builder.cycle(0.01, 100);
  EXPECT_LE(builder.full, 4);
}

TEST(Generations, ASteadyProgramWithEarlyDeathRunsMostlyYoungCycles) {
  Program steady;
  for (int i = 0; i < 1000; ++i) steady.cycle(0.02, 100);
  EXPECT_LE(steady.full, 50);
}

TEST(Generations, AProgramWhoseObjectsAllSurviveRunsMostlyFullCycles) {
  Program hoarder;
  for (int i = 0; i < 1000; ++i) hoarder.cycle(0.95, 100);
  EXPECT_LE(hoarder.young, 100);
}

TEST(Generations, ARampOfWhichHalfSurvivesGetsFullCyclesWhenTheRoomIsTaken) {
  Program ramp;
  for (int i = 1; i < 200; ++i) {
    const NextCycle next = ramp.cycle(0.5, static_cast<std::uint64_t>(i));
    EXPECT_NE(next.reason, CycleReason::young_did_not_pay);
  }
  EXPECT_GT(ramp.full, 20);
  EXPECT_GT(ramp.young, 20);
}

TEST(Generations, ABurstOfSurvivorsIsForgottenAfterwards) {
  Program bursty;
  for (int i = 0; i < 100; ++i) bursty.cycle(0.02, 50);
  for (int i = 0; i < 10; ++i) bursty.cycle(0.9, 200);
  bursty.full = bursty.young = 0;
  for (int i = 0; i < 200; ++i) bursty.cycle(0.02, 200);
  EXPECT_GT(bursty.young, 150);
}

// Alternating phases must not end in one kind for good.
TEST(Generations, AnOscillatingProgramKeepsBothKinds) {
  Program oscillating;
  for (int i = 0; i < 2000; ++i) oscillating.cycle(i / 20 % 2 == 0 ? 0.05 : 0.9, 100);
  EXPECT_GT(oscillating.young, 300);
  EXPECT_GT(oscillating.full, 100);
}

// Of a young cycle that looks at 100 MiB, keeps 1 and scans so many.
CycleYield scanning(std::uint64_t mib) { return {CycleKind::young, 100 * kMiB, 99 * kMiB, 101 * kMiB, mib * kMiB}; }

TEST(Generations, TheYoungBudgetShrinksWhileNextToNothingIsScanned) {
  Generations g;
  g.end_cycle({CycleKind::full, 200 * kMiB, 100 * kMiB, 100 * kMiB});
  EXPECT_EQ(g.young_budget(), Generations::kNoBudget);
  g.end_cycle(scanning(1));
  EXPECT_EQ(g.young_budget(), 50 * kMiB) << "half of what the cycle looked at";
  for (int i = 0; i < 10; ++i) g.end_cycle(scanning(1));
  EXPECT_EQ(g.young_budget(), Generations::kSmallestYoungBudget);
}

TEST(Generations, TheYoungBudgetGrowsWhileMuchIsScanned) {
  Generations g;
  for (int i = 0; i < 10; ++i) g.end_cycle(scanning(1));
  g.end_cycle(scanning(20));
  EXPECT_EQ(g.young_budget(), 2 * Generations::kSmallestYoungBudget);
  for (int i = 0; i < 100; ++i) g.end_cycle(scanning(20));
  EXPECT_EQ(g.young_budget(), Generations::kNoBudget);
}

TEST(Generations, TheYoungBudgetStaysBetweenTheTwo) {
  Generations g;
  for (int i = 0; i < 10; ++i) g.end_cycle(scanning(1));
  for (int i = 0; i < 10; ++i) g.end_cycle(scanning(10));
  EXPECT_EQ(g.young_budget(), Generations::kSmallestYoungBudget);
}

TEST(Generations, TheYoungBudgetOfALargeHeapIsAPartOfIt) {
  Generations g;
  for (int i = 0; i < 20; ++i) g.end_cycle({CycleKind::young, 2000 * kMiB, 1999 * kMiB, 16'000 * kMiB, kMiB});
  EXPECT_EQ(g.young_budget(), 1000 * kMiB);
}

TEST(Generations, ReasonsHaveNames) {
  EXPECT_STREQ(name_of(CycleReason::young_did_not_pay), "young did not pay");
  EXPECT_STREQ(name_of(CycleReason::generations_off), "generations off");
}

}  // namespace
}  // namespace lull::gc

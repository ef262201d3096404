// The brake: its curve, and what it does to a storm of allocations while the collector stands still.
#include "gc/pace/brake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "gc/pace/pacer.h"

namespace lull::gc {
namespace {

constexpr std::uint64_t kKiB = 1 << 10, kMiB = 1 << 20, kMs = 1'000'000, kUs = 1000;
constexpr std::uint64_t kNone = ~std::uint64_t{0};

TEST(Brake, HoldsNobodyUntilTheHeapIsPastItsGoalByAnEighthOfTheRoom) {
  const Brake brake = brake_for(100 * kMiB, 110 * kMiB);
  EXPECT_EQ(brake.hold_ns(0), 0u);
  EXPECT_EQ(brake.hold_ns(100 * kMiB), 0u);
  EXPECT_EQ(brake.hold_ns(101 * kMiB + 256 * kKiB - 1), 0u);
  EXPECT_GT(brake.hold_ns(102 * kMiB), 0u);
}

TEST(Brake, HoldsLongerTheFurtherAndNeverLongerThanItsMost) {
  const Brake brake = brake_for(100 * kMiB, 110 * kMiB);
  std::uint64_t before = 0;
  for (std::uint64_t live = 100 * kMiB; live < 130 * kMiB; live += 64 * kKiB) {
    const std::uint64_t now = brake.hold_ns(live);
    EXPECT_GE(now, before);
    EXPECT_LE(now, Brake::kMostNs);
    before = now;
  }
  EXPECT_EQ(brake.hold_ns(110 * kMiB), Brake::kMostNs);
  EXPECT_EQ(brake.hold_ns(kNone), Brake::kMostNs);
}

TEST(Brake, IsNotThereWithoutAGoal) {
  EXPECT_EQ(Brake{}.hold_ns(kNone - 1), 0u);
  EXPECT_EQ(brake_for(kNone, kNone).hold_ns(kNone - 1), 0u);
  Pacer off({.gc_percent = -1});
  EXPECT_EQ(off.brake().hold_ns(kNone - 1), 0u);
}

TEST(Brake, LeavesSomeRoomToAHeapThatIsAtItsMemoryLimit) {
  const Brake brake = brake_for(100 * kMiB, 100 * kMiB);
  EXPECT_EQ(brake.hold_ns(100 * kMiB + 512 * kKiB), 0u);
  EXPECT_GT(brake.full, brake.from);
}

TEST(Brake, OfThePacerLiesWithinTenPercentPastTheGoal) {
  Pacer pacer({});
  EXPECT_LE(pacer.brake().full, pacer.goal() + pacer.goal() / 10);
  EXPECT_GE(pacer.brake().from, pacer.goal());
  pacer.begin_cycle({.heap_live = 4 * kMiB, .stack_bytes = 0, .root_bytes = 0});
  EXPECT_GE(pacer.brake().from, pacer.goal());
}

TEST(Brake, OfThePacerKnowsWhichGoalBinds) {
  Pacer pacer({});
  EXPECT_FALSE(pacer.is_limited());
  pacer.set_memory_limit(3 * kMiB);
  EXPECT_TRUE(pacer.is_limited());
  EXPECT_LE(pacer.brake().full, 3 * kMiB);
  pacer.set_gc_percent(-1);
  EXPECT_TRUE(pacer.is_limited());
}

// `threads` on as many processors take a span of 8 KiB every `span_us` unless they are held, from the goal on, and the
// collector answers after `stall`: a thread without a processor has its handshake. Returns the heap by its goal then.
double storm(std::uint64_t goal, int threads, std::uint64_t span_ns, std::uint64_t stall_ns, const Brake& brake) {
  std::vector<std::uint64_t> next(static_cast<std::size_t>(threads), 0);  // when each may take its next span
  std::uint64_t live = goal;
  for (;;) {
    auto first = std::min_element(next.begin(), next.end());
    if (*first >= stall_ns) return static_cast<double>(live) / static_cast<double>(goal);
    live += 8 * kKiB;
    *first += span_ns + brake.hold_ns(live);
  }
}

// Spans at 2 GB/s a thread.
TEST(BrakeSimulation, AStormOfFourThreadsStaysWithinTenPercentWhileAHandshakeWaits) {
  for (const std::uint64_t goal : {4 * kMiB, 16 * kMiB, 200 * kMiB, 4096 * kMiB})
    for (const std::uint64_t stall : {100 * kUs, 3 * kMs, 12 * kMs, 80 * kMs}) {
      const Brake brake = brake_for(goal, goal + goal / 10);
      EXPECT_LE(storm(goal, 4, 4 * kUs, stall, brake), 1.10) << (goal >> 20) << " MiB, " << stall / kUs << " us";
    }
  EXPECT_GT(storm(16 * kMiB, 4, 4 * kUs, 12 * kMs, Brake{}), 2.0);  // what it is good for
}

TEST(BrakeSimulation, ACycleThatIsALittleLateHoldsNobody) {
  const Brake brake = brake_for(200 * kMiB, 220 * kMiB);
  EXPECT_EQ(storm(200 * kMiB, 4, 4 * kUs, 250 * kUs, brake), storm(200 * kMiB, 4, 4 * kUs, 250 * kUs, Brake{}));
}

TEST(BrakeSimulation, ThreadsGoOnHoweverLongTheCollectorStands) {
  const Brake brake = brake_for(4 * kMiB, 4 * kMiB + 400 * kKiB);
  const double after = storm(4 * kMiB, 1, 4 * kUs, 10'000 * kMs, brake), later = storm(4 * kMiB, 1, 4 * kUs, 20'000 * kMs, brake);
  EXPECT_GE((later - after) * 4 * kMiB, 8 * kKiB * 490);  // a span in 20 ms
}

}  // namespace
}  // namespace lull::gc

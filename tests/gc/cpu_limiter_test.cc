#include "gc/pace/cpu_limiter.h"

#include <gtest/gtest.h>

namespace lull::gc {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

// A program in steps of a millisecond in which the collector takes a share of all processors.
class Machine {
 public:
  explicit Machine(unsigned processors) : processors_(processors) { limiter.update(now_, gc_, processors_); }
  void run(std::uint64_t ms, double share) {
    for (std::uint64_t i = 0; i < ms; ++i) {
      now_ += kMs;
      gc_ += static_cast<std::uint64_t>(static_cast<double>(kMs) * processors_ * share);
      limiter.update(now_, gc_, processors_);
    }
  }
  CpuLimiter limiter;

 private:
  unsigned processors_;
  std::uint64_t now_ = 1, gc_ = 0;
};

TEST(CpuLimiter, LeavesHalfOfTheProcessorsAlone) {
  for (const unsigned processors : {1u, 2u, 64u}) {
    Machine machine(processors);
    machine.run(60'000, 0.5);
    EXPECT_FALSE(machine.limiter.is_limiting()) << processors;
    EXPECT_EQ(machine.limiter.fill_ns(), 0u);
  }
}

TEST(CpuLimiter, LimitsWhoTakesMoreForLong) {
  Machine machine(2);
  machine.run(300, 0.9);  // 2 * (0.9 - 0.1) * 300 ms = 480 ms
  EXPECT_FALSE(machine.limiter.is_limiting());
  machine.run(20, 0.9);
  EXPECT_TRUE(machine.limiter.is_limiting());
}

TEST(CpuLimiter, LetsABurstThrough) {
  Machine machine(4);
  for (int i = 0; i < 100; ++i) {
    machine.run(100, 1.0);
    machine.run(150, 0.1);
    ASSERT_FALSE(machine.limiter.is_limiting()) << i;
  }
}

TEST(CpuLimiter, EndsWhenTheProgramHasHadItsTurn) {
  Machine machine(1);
  machine.run(2000, 1.0);
  EXPECT_TRUE(machine.limiter.is_limiting());
  machine.run(100, 0.0);
  EXPECT_TRUE(machine.limiter.is_limiting());
  machine.run(200, 0.0);
  EXPECT_FALSE(machine.limiter.is_limiting());
}

TEST(CpuLimiter, SurvivesClocksThatStandStillOrJumpBack) {
  CpuLimiter limiter;
  limiter.update(1000, 0, 2);
  limiter.update(1000, 500, 2);
  limiter.update(500, 100, 2);
  limiter.update(2000, 10'000'000'000, 2);
  EXPECT_LE(limiter.fill_ns(), CpuLimiter::kCapacityNs);
  EXPECT_FALSE(limiter.is_limiting());
}

}  // namespace
}  // namespace lull::gc

// Naps of threads that are ahead of the markers: all together they wake about as often as one on each processor would.
#include "gc/mutator/nap.h"

#include <gtest/gtest.h>

#include "gc/mutator/mutator.h"
#include "lull/lull.h"

namespace lull::gc {
namespace {

constexpr std::uint64_t kUs = 1000;

TEST(Nap, IsShortWhileNoMoreSleepThanThereAreProcessors) {
  for (std::uint32_t sleepers = 1; sleepers <= 4; ++sleepers) EXPECT_EQ(nap_ns(sleepers, 4), 200 * kUs);
}

TEST(Nap, WakesAsOftenInAllHoweverManySleep) {
  for (const unsigned processors : {1u, 2u, 8u})
    for (std::uint32_t sleepers = processors; sleepers <= 25 * processors; ++sleepers)
      EXPECT_NEAR(static_cast<double>(nap_ns(sleepers, processors)) / sleepers, 200e3 / processors, 1) << sleepers;
}

TEST(Nap, IsNeverLongerThanFiveMilliseconds) {
  for (const std::uint32_t sleepers : {51u, 64u, 10'000u, ~0u}) EXPECT_EQ(nap_ns(sleepers, 2), 5000 * kUs) << sleepers;
}

TEST(ShortWaits, AreAddedUpUntilTheyAreWorthANap) {
  ShortWaits waits;
  std::uint64_t owed = 1;
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_FALSE(waits.add(100 * kUs, 1, owed));
    EXPECT_EQ(owed, i * 100 * kUs);
  }
  EXPECT_TRUE(waits.add(100 * kUs, 1, owed));
  EXPECT_EQ(owed, 400 * kUs);
  EXPECT_FALSE(waits.add(100 * kUs, 1, owed)) << "paid";
  EXPECT_EQ(owed, 0u);
}

TEST(ShortWaits, DoNotPutALongOneOff) {
  ShortWaits waits;
  std::uint64_t owed = 1;
  EXPECT_TRUE(waits.add(20'000 * kUs, 1, owed));
  EXPECT_EQ(owed, 0u);
}

TEST(ShortWaits, AreForgivenWhenTheCycleEnds) {
  ShortWaits waits;
  std::uint64_t owed = 1;
  EXPECT_FALSE(waits.add(400 * kUs, 1, owed));
  EXPECT_FALSE(waits.add(400 * kUs, 2, owed));
  EXPECT_EQ(owed, 0u);
}

// What it waits for is there already, or the time is short: it comes back at once, and the thread is no longer blocked.
TEST(Nap, EndsWhenItsWordHasChangedOrItsTimeIsOver) {
  lull::attach_thread();
  const std::atomic<std::uint32_t> word{1};
  nap(self(), word, 0, ~std::uint64_t{0});
  nap(self(), word, 1, 1000);
  EXPECT_EQ(self().blocked_depth, 0);
  EXPECT_EQ(self().state.load(), ThreadState::running);
}

}  // namespace
}  // namespace lull::gc

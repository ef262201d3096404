#include "alloc/os/lock.h"

#include <chrono>

#include "alloc/os/clock.h"
#include "tests/alloc/support.h"

namespace lull::os {
namespace {

TEST(Lock, OneThreadAtATimeIsInside) {
  Lock lock(LockRank::pages);
  const int rounds = testing::scaled(200'000);
  std::uint64_t counter = 0, twin = 0;  // not atomic: the lock is what makes this right
  testing::run_together(4, [&](unsigned) {
    for (int i = 0; i < rounds; ++i) {
      Locked locked(lock);
      ASSERT_EQ(counter, twin);
      ++counter;
      ++twin;
    }
  });
  EXPECT_EQ(4u * static_cast<unsigned>(rounds), counter);
  EXPECT_FALSE(lock.is_held());
}

TEST(Lock, TryLockSucceedsOnAFreeLockOnly) {
  Lock lock(LockRank::pages);
  ASSERT_TRUE(lock.try_lock());
  EXPECT_TRUE(lock.is_held());
  std::thread([&] { EXPECT_FALSE(lock.try_lock()); }).join();
  lock.unlock();
  EXPECT_FALSE(lock.is_held());
  std::thread([&] {
    EXPECT_TRUE(lock.try_lock());
    lock.unlock();
  }).join();
}

TEST(Lock, TryLockExcludesToo) {
  Lock lock(LockRank::pages);
  std::uint64_t counter = 0;
  std::atomic<std::uint64_t> entered{0};
  testing::run_together(4, [&](unsigned t) {
    for (int i = 0; i < testing::scaled(100'000); ++i) {
      if (t % 2 == 0) lock.lock();
      else if (!lock.try_lock()) continue;
      ++counter;
      entered.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
    }
  });
  EXPECT_EQ(entered.load(), counter);
}

TEST(Lock, AWaiterSleepsAndIsWoken) {
  Lock lock(LockRank::pages);
  lock.lock();
  std::atomic<std::uint64_t> cpu_of_waiters{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i)
    waiters.emplace_back([&] {
      const std::uint64_t start = thread_cpu_ns();
      lock.lock();
      lock.unlock();
      cpu_of_waiters.fetch_add(thread_cpu_ns() - start);
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  lock.unlock();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_LT(cpu_of_waiters.load(), 30'000'000u) << "three spinners burn 600 ms, or what the processors have to give";
}

// Threads work under the lock all the time; the child of a fork has none of them and must not wait for one.
TEST(Lock, HeldAcrossAForkItIsFreeInTheChildAndGuardsAWholeState) {
  Lock lock(LockRank::pages), twin(LockRank::pages);
  std::atomic<bool> done{false};
  std::uint64_t counter = 0, shadow = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      while (!done.load()) {
        Locked locked(lock);
        ++counter;
        ++shadow;
      }
    });
  for (int i = 0; i < 20; ++i) {
    lock.lock_across_fork();
    twin.lock_across_fork();  // two of one rank, unlike otherwise
    const auto child = testing::run_in_child([&] {
      ::alarm(20);
      lock.unlock_across_fork();
      twin.unlock_across_fork();
      LULL_CHILD_EXPECT(counter == shadow && !lock.is_held());
      Locked locked(lock);
    });
    EXPECT_TRUE(child.exited_well()) << child.errors;
    EXPECT_TRUE(lock.is_held()) << "the parent's copy is its own";
    lock.unlock_across_fork();
    twin.unlock_across_fork();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  done.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, shadow);
}

TEST(Lock, EverySleeperGoesOnAfterAFork) {
  Lock lock(LockRank::pages);
  lock.lock_across_fork();
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 4; ++i) sleepers.emplace_back([&] { Locked locked(lock); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  lock.unlock_across_fork();
  for (std::thread& thread : sleepers) thread.join();
  EXPECT_FALSE(lock.is_held());
}

TEST(LockRanks, MayRiseWithGapsAndBeReleasedInAnyOrder) {
  Lock low(LockRank::driver), middle(LockRank::roots), high(LockRank::metadata);
  low.lock();
  middle.lock();
  high.lock();
  middle.unlock();
  low.unlock();
  high.unlock();
  for (int i = 0; i < 2; ++i) {  // nothing is left behind
    Locked locked(low);
    ASSERT_TRUE(high.try_lock());
    high.unlock();
  }
}

TEST(LockRanks, AreKeptForEachThreadOnItsOwn) {
  Lock low(LockRank::driver), high(LockRank::metadata);
  Locked locked(high);
  std::thread([&] { Locked other(low); }).join();
}

#if LULL_DEBUG_CHECKS
constexpr char kOutOfOrder[] = "lull: lock taken out of rank order";

TEST(LockRanksDeathTest, ALowerRankUnderAHigherOneStopsTheProcess) {
  Lock low(LockRank::pages), high(LockRank::metadata);
  EXPECT_DEATH({
    high.lock();
    low.lock();
  }, kOutOfOrder);
}

TEST(LockRanksDeathTest, TwoLocksOfOneRankStopTheProcess) {
  Lock one(LockRank::pages), other(LockRank::pages);
  EXPECT_DEATH({
    one.lock();
    other.lock();
  }, kOutOfOrder);
}

TEST(LockRanksDeathTest, LockingTwiceStopsTheProcessInsteadOfHanging) {
  Lock lock(LockRank::driver);
  EXPECT_DEATH({
    lock.lock();
    lock.lock();
  }, kOutOfOrder);
}

TEST(LockRanksDeathTest, TryLockIsCheckedToo) {
  Lock low(LockRank::driver), high(LockRank::roots);
  EXPECT_DEATH({
    high.lock();
    low.try_lock();
  }, kOutOfOrder);
}

TEST(LockRanksDeathTest, AHigherLockThatIsStillHeldCountsAfterALowerOneWasReleased) {
  Lock low(LockRank::driver), middle(LockRank::roots), high(LockRank::pages);
  EXPECT_DEATH({
    low.lock();
    high.lock();
    low.unlock();
    middle.lock();
  }, kOutOfOrder);
}
#endif

}  // namespace
}  // namespace lull::os

// The gate of forks, one instruction at a time.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "alloc/front/fork_gate.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/lock.h"
#include "alloc/pages/purger.h"
#include "lull/malloc.h"
#include "tests/support/single_step.h"
#include "tests/support/streams.h"

namespace {

using lull::front::Visiting;
using lull::testing::start_stepping;
using lull::testing::stop_stepping;

// A thread that wants in stops after so many instructions.
std::atomic<int> stop_after{0}, steps{0};
std::atomic<bool> may_begin, has_stopped, may_go_on;

void on_trap(int) {
  if (steps.fetch_add(1) + 1 != stop_after) return;
  has_stopped = true;
  while (!may_go_on) {
  }
}

// Of a visit while the gate is open. A thread that finds it closed executes no fewer before it ends in a system call.
int instructions_of_a_visit() {
  stop_after = 0;
  steps = 0;
  start_stepping();
  { const Visiting visit(nullptr); }
  stop_stepping();
  return steps;
}

// Of the parent, when the gate is closed: registered before the gate's own handler, so that it runs after it.
std::atomic<bool> has_visitor{false};
void let_the_visitor_try() {
  if (!has_visitor) return;
  may_begin = true;
  while (!has_stopped) {
  }
}

// Before all constructors, the gate's included.
void register_first() { pthread_atfork(let_the_visitor_try, nullptr, nullptr); }
[[gnu::section(".preinit_array"), gnu::used]] void (*const at_first)() = register_first;

int child_forks_again() {
  has_visitor = false;
  alarm(10);  // hanging is the defect
  const pid_t child = fork();
  if (child == 0) _exit(0);
  int status = 1;
  waitpid(child, &status, 0);
  return status;
}

// A thread without bins (all of them, with LULL_MALLOC=secure; the purger) counts itself, finds the gate closed, and takes that back. A
// fork in between left the child a visitor that never leaves: its own next fork waited for it for ever.
TEST(ForkGate, AThreadThatIsTurnedAwayIsNotCountedInTheChild) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "looks at machine code of a plain build";
#endif
  std::signal(SIGTRAP, on_trap);
  const int most = instructions_of_a_visit();
  ASSERT_GT(most, 10);
  for (int n = 2; n <= most; n += 2) {  // it is counted for more than two
    stop_after = n;
    steps = 0;
    may_begin = has_stopped = may_go_on = false;
    std::thread visitor([] {
      while (!may_begin) {
      }
      start_stepping();
      { const Visiting visit(nullptr); }
      stop_stepping();
    });
    has_visitor = true;
    const pid_t child = fork();
    if (child == 0) _exit(child_forks_again());
    may_go_on = true;
    int status = 1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "stopped after " << n << " instructions";
    visitor.join();
    if (status != 0) return;
  }
}

// A handler may fork in a thread that it interrupted inside a visit without bins, malloc_trim()'s for one. The fork waited until nobody was
// inside, and the thread itself was.
TEST(ForkGate, AVisitorThatForksDoesNotWaitForItself) {
  const pid_t program = fork();
  if (program == 0) {
    alarm(10);  // hanging is the defect
    int status = 1;
    {
      const Visiting visit(nullptr);
      const pid_t child = fork();
      if (child == 0) _exit(0);
      waitpid(child, &status, 0);
    }
    _exit(status == 0 ? child_forks_again() : 1);
  }
  int status = 1;
  EXPECT_EQ(waitpid(program, &status, 0), program);
  EXPECT_EQ(status, 0);
}

// A collector may have parked the visitor, and wait for who waits for it.
TEST(ForkGate, WhoGetsNoMemoryWaitsForAVisitorForSomeTimeOnly) {
  std::atomic<bool> is_inside{false}, over{false};
  std::thread visitor([&] {
    const Visiting visit(nullptr);
    is_inside = true;
    while (!over) std::this_thread::yield();
  });
  while (!is_inside) std::this_thread::yield();
  {
    lull::os::Locked locked(lull::front::bins_lock());
    EXPECT_FALSE(Visiting::try_close_gate(1'000'000));
  }
  over = true;
  visitor.join();
  { const Visiting visit(nullptr); }  // it is open
  lull::os::Locked locked(lull::front::bins_lock());
  EXPECT_TRUE(Visiting::try_close_gate(1'000'000));
  Visiting::open_gate();
}

// tests/programs/fork_test.cc has the same with malloc itself.
void allocate_some() {
  std::array<void*, 200> blocks;
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = lull_malloc(i * 100);
  for (void* block : blocks) lull_free(block);
}

// The first block's thread may have a stream's lock: one of 100 runs of the next test hung in pthread_atfork().
bool was_there_at_start = false;
[[gnu::constructor(103)]] void look() { was_there_at_start = lull::front::fork_handlers_are_installed(); }

TEST(ForkGate, IsThereBeforeAnybodyAllocates) { EXPECT_TRUE(was_there_at_start); }

TEST(ForkGate, ComesAfterTheLockOfTheStreamsList) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "TSan does not support threads after a fork of a threaded process";
#endif
  const pid_t program = fork();
  if (program == 0)
    _exit(lull::testing::fork_beside_streams<lull::testing::WaitingAsEver>(allocate_some, [] { return child_forks_again(); }));
  int status = 1;
  EXPECT_EQ(waitpid(program, &status, 0), program);
  EXPECT_EQ(status, 0);
}

#if LULL_DEBUG_CHECKS
constexpr char kOutOfOrder[] = "lull: lock taken out of rank order";

// A forking thread has the lock and waits for the visitor.
TEST(ForkGateDeathTest, AVisitorThatTakesTheLockOfTheBinsStopsTheProcess) {
  EXPECT_DEATH({
    const Visiting visit(nullptr);
    lull::os::Locked locked(lull::front::bins_lock());
  }, kOutOfOrder);
}

// The visitor waits at the gate with a lock that the forking thread wants.
TEST(ForkGateDeathTest, AVisitUnderALockThatAForkTakesLaterStopsTheProcess) {
  EXPECT_DEATH({
    lull::os::Lock lock(lull::os::LockRank::pages);
    lull::os::Locked locked(lock);
    const Visiting visit(nullptr);
  }, kOutOfOrder);
}

// pthread_create waits for locks of libc, under which others call free(), and those wait at the gate.
TEST(ForkGateDeathTest, AVisitorThatStartsThePurgerStopsTheProcess) {
  EXPECT_DEATH({
    lull_free(lull_malloc(std::size_t{64} << 20));
    lull::pages::forget_purger_after_fork();
    const Visiting visit(nullptr);
    lull::pages::nudge_purger();
  }, kOutOfOrder);
}

TEST(ForkGate, VisitsAndLocksInOrderAreFine) {
  lull::os::Lock low(lull::os::LockRank::caches), high(lull::os::LockRank::pages);
  for (int i = 0; i < 2; ++i) {  // nothing is left behind
    lull::os::Locked locked(low);
    const Visiting visit(nullptr), nested(nullptr);
    lull::os::Locked another(high);
  }
}
#endif

}  // namespace

// fork() while another thread is at one named point: what it leaves behind there must not stop the child. All four were found by
// reading the code for the model of forks (tests/model/forks.h); none had ever been seen to happen.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <sched.h>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/heap_gate.h"
#include "gc/weak/destructors.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"

// Eight processors whatever the machine has: with fewer than that the collector has no helpers.
extern "C" int sched_getaffinity(pid_t, std::size_t size, cpu_set_t* set) noexcept {
  CPU_ZERO_S(size, set);
  for (unsigned i = 0; i < 8; ++i) CPU_SET_S(i, size, set);
  return 0;
}

namespace {

using lull::testing::elsewhere;

struct Node {
  lull::ptr<Node> next;
  void trace(lull::tracer& t) const { t(next); }
};

void wait_for(const std::atomic<bool>& flag) {
  lull::blocking_region waiting;
  while (!flag) std::this_thread::yield();
}

template <class Live>
int status_of_child(Live&& live) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that hangs is the defect
    _exit(live() ? 0 : 1);
  }
  int status = -1;
  lull::blocking_region waiting;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

class ForkPoints : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "TSan does not support threads after a fork of a threaded process";
#endif
    lull::attach_thread();
  }
  void TearDown() override { lull::gc::options.delay = 0; }

  static void hold_at_points(void (*hook)(const char*)) {
    lull::gc::delay_hook_for_testing = hook;
    lull::gc::options.delay = 1;
  }
};

// The driver waits until no helper counts as busy. A helper that had seen a cycle mark, and then waited for a processor until that was
// over, counted itself, looked again, and took it back; a fork in between left the child a helper that was busy for ever: its first
// cycle never ended.
std::atomic<bool> has_seen_marking, cycle_is_over, counts, parent_goes_on;
thread_local bool is_the_helper = false;

void be_late(const char* where) {
  if (std::string_view(where) == "helper sees marking" && !has_seen_marking.exchange(true)) {
    is_the_helper = true;
    while (!cycle_is_over) std::this_thread::yield();
  } else if (std::string_view(where) == "helper counts" && is_the_helper) {
    counts = true;
    while (!parent_goes_on) std::this_thread::yield();
  }
}

TEST_F(ForkPoints, AHelperThatCountedItselfDoesNotKeepTheChildFromCollecting) {
  hold_at_points(be_late);
  while (!has_seen_marking) lull::collect();
  cycle_is_over = true;
  wait_for(counts);
  EXPECT_EQ(status_of_child([] {
              lull::gc::options.delay = 0;
              lull::collect();
              return true;
            }), 0);
  parent_goes_on = true;
}

// The kernel copies a process page by page while its other threads run, so a child could find a span in a set without the bits
// of what was allocated in it, or a set without its links. malloc's fork waited for such changes to be over, the collector's did not.
std::atomic<bool> is_taking, fork_begins, has_taken;
thread_local bool takes_late = false;

void take_slowly(const char* where) {
  if (!takes_late || std::string_view(where) != "span taken" || is_taking.exchange(true)) return;
  while (!fork_begins) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));  // for a fork that would not wait
  has_taken = true;
}

TEST_F(ForkPoints, AForkWaitsForAThreadThatTakesASpan) {
  hold_at_points(take_slowly);
  std::thread other([] {
    takes_late = true;
    for (int i = 0; i < 20'000; ++i) lull::make<Node>();
  });
  wait_for(is_taking);
  fork_begins = true;
  EXPECT_EQ(status_of_child([] { return has_taken.load() && lull::make<Node>() != nullptr; }), 0);
  lull::blocking_region joining;
  other.join();
}

// A child waited for ever for destructors: for the one that the lost thread was in the midst of, and for those in the queue, which the
// driver alone gave to a thread, and a child of several mutators has none.
std::atomic<bool> is_destroying, may_end;
std::atomic<int> destroyed;

struct Slow {
  ~Slow() {
    is_destroying = true;
    while (!may_end) std::this_thread::yield();
    ++destroyed;
  }
};

TEST_F(ForkPoints, TheChildWaitsForNoDestructorThatNobodyRuns) {
  constexpr int kObjects = 100;
  elsewhere([] {
    for (int i = 0; i < kObjects; ++i) lull::make<Slow>();
  });
  while (!is_destroying) lull::collect();
  static std::uint64_t queued;
  queued = lull::gc::destructor_counts().queued;
  EXPECT_GT(queued, 1u);
  EXPECT_EQ(status_of_child([] {
              may_end = true;
              lull::wait_for_finalizers();
              return destroyed == static_cast<int>(queued) - 1;
            }), 0);
  // Without a thread that destroys, which the first child has: it may come to lie on the stack of the lost one and hide what it left.
  EXPECT_EQ(status_of_child([] {
              may_end = true;
              lull::run_finalizers();
              lull::wait_for_finalizers();
              return destroyed == static_cast<int>(queued) - 1;
            }), 0);
  may_end = true;
  lull::wait_for_finalizers();
}

// A destructor may fork itself: what it is in the midst of goes on in the child.
struct Forking {
  ~Forking() {
    is_destroying = true;
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      std::thread([] {
        lull::attach_thread();
        lull::wait_for_finalizers();  // for this destructor, too
        _exit(destroyed == 1 ? 0 : 1);
      }).detach();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ++destroyed;
      return;
    }
    int status = -1;
    {
      lull::blocking_region waiting;
      waitpid(child, &status, 0);
    }
    if (status == 0) ++destroyed;
  }
};

TEST_F(ForkPoints, ADestructorThatForksIsWaitedForInTheChild) {
  is_destroying = false;
  destroyed = 0;
  elsewhere([] { lull::make<Forking>(); });
  while (!is_destroying) lull::collect();
  lull::wait_for_finalizers();
  EXPECT_EQ(destroyed, 1);
}

#if LULL_DEBUG_CHECKS
// A forking thread has the lock and waits for the visitor.
TEST(ForkPointsDeathTest, AVisitorOfTheHeapThatTakesTheMutatorsLockStopsTheProcess) {
  EXPECT_DEATH({
    lull::attach_thread();
    const lull::gc::HeapVisit visit(*lull::gc::self_or_null());
    lull::os::Locked locked(lull::gc::mutators.lock);
  }, "lull: lock taken out of rank order");
}
#endif

}  // namespace

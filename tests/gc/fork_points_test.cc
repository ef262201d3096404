// fork() while another thread is at one named point: what it leaves behind there must not stop the child. All four were found by
// reading the code for the model of forks (tests/model/forks.h); none had ever been seen to happen.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <sched.h>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/heap_gate.h"
#include "gc/weak/destructors.h"
#include "lull/lull_c.h"
#include "lull/lull.h"
#include "lull/pool.h"
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

// What a lost thread did last, the child may see in part: here the cursor is older than the object and the reference to it.
lull::root<Node> published;
std::atomic<lull::detail::AllocSlot*> slots_of_other;
std::atomic<bool> may_go;

TEST_F(ForkPoints, WhatALostThreadMadeStaysThoughItsCursorIsOlder) {
  std::thread other([] {
    lull::make<Node>();
    published = lull::make<Node>();
    published->next = lull::make<Node>();
    slots_of_other = lull::detail::thread_block.slots;
    wait_for(may_go);
  });
  while (slots_of_other == nullptr) std::this_thread::yield();
  EXPECT_EQ(status_of_child([] {
              const auto object = reinterpret_cast<std::uintptr_t>(published->next.get());
              lull::detail::AllocSlot* slot = slots_of_other;
              while (slot->begin == 0 || object < slot->begin || object >= slot->limit) ++slot;
              slot->cursor = slot->begin;
              for (int i = 0; i < 3; ++i) {
                lull::collect();
                for (int n = 0; n < 5000; ++n)
                  if (const Node* node = lull::make<Node>().get(); node == published.get() || node == published->next.get()) return false;
              }
              return true;
            }), 0);
  may_go = true;
  lull::blocking_region joining;
  other.join();
}

// ... or a reference that an old object was given, and not the card.
TEST_F(ForkPoints, TheFirstCycleOfTheChildTrustsNoCards) {
  may_go = false;
  std::atomic<bool> is_attached{false};
  std::thread other([&] {
    lull::attach_thread();
    is_attached = true;
    wait_for(may_go);
  });
  wait_for(is_attached);
  published = lull::make<Node>();
  for (int i = 0; i < 2; ++i) lull::collect();
  EXPECT_EQ(status_of_child([] {
              static lull::testing::Hidden young;
              const std::uint32_t before = lull::read_mem_stats().num_young_gc;
              elsewhere([] {
                const lull::ptr<Node> node = lull::make<Node>();
                young = lull::testing::Hidden(node.get());
                __atomic_store_n(reinterpret_cast<lull::detail::Word*>(&published->next), young.address(), __ATOMIC_RELEASE);  // no card
              });
              elsewhere([] { lull::collect_young(); });
              if (!lull::testing::is_allocated(young) || lull::read_mem_stats().num_young_gc != before) return false;
              elsewhere([] { lull::collect_young(); });  // trusts those of the child
              return lull::read_mem_stats().num_young_gc == before + 1;
            }), 0);
  may_go = true;
  lull::blocking_region joining;
  other.join();
}

// A child that saw that an object is to be destroyed and not that it was made, as it may be of two pages, would have destroyed zeros; and one
// that saw what a destructor did and not that it had begun, destroyed again. Both are begun in visits, which a fork waits for and holds up.
std::atomic<int> constructed, destructed;
std::atomic<bool> has_made, has_destroyed;
struct Counted {
  Counted() { ++constructed; }
  ~Counted() { ++destructed; }
};

bool one_is_destroyed_after(int cycles) {
  for (int i = 0; i < cycles; ++i) elsewhere([] { lull::collect(); });
  lull::wait_for_finalizers();
  return destructed == 1;
}

// What only lost threads referred to is garbage, also in the span that one had.
TEST_F(ForkPoints, WhatLostThreadsHadIsGarbageInTheChild) {
  constructed = destructed = 0;
  may_go = false;
  std::thread other([&] {
    const lull::ptr<Counted> own = lull::make<Counted>();
    wait_for(may_go);
    EXPECT_EQ(destructed, 0);
  });
  while (constructed == 0) std::this_thread::yield();
  EXPECT_EQ(status_of_child([] { return one_is_destroyed_after(2); }), 0);
  may_go = true;
  lull::blocking_region joining;
  other.join();
}

// Who waits for a walk has it on its stack, and the walk is the driver's after its next cycle: the child walked what might be another
// thread's stack by then. The driver is held where a fork need not wait for it, as it may be by somebody who is gone in the child.
TEST_F(ForkPoints, NobodyWalksTheHeapForALostThread) {
  static std::atomic<int> walked;
  walked = 0;
  std::atomic<bool> asks{false};
  const lull::root<Node> kept = lull::make<Node>();
  lull::gc::Stepper stepper;
  stepper.run_to(lull::gc::Step::cycle_ends);
  std::thread other([&] {
    lull::attach_thread();
    asks = true;
    lull_walk_heap([](void*, const lull_kind*, std::size_t, void*) { ++walked; }, nullptr);
  });
  wait_for(asks);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));  // it waits
  EXPECT_EQ(status_of_child([] {
              lull::collect();
              return walked == 0;
            }), 0);
  EXPECT_EQ(walked, 0);
  stepper.finish();
  lull::blocking_region joining;
  other.join();
  EXPECT_GE(walked, 1);
}

// A lost thread's part of a pool was its own for ever, and what lay there with it; also if it had just been at its list.
struct Pooled {
  void reset() {}
  Pooled() { ++constructed; }
  ~Pooled() { ++destructed; }
};

TEST_F(ForkPoints, WhatLostThreadsGaveToAPoolAges) {
  constructed = destructed = 0;
  may_go = false;
  std::atomic<bool> has_given{false};
  lull::pool<Pooled> pool;
  std::thread other([&] {
    static_cast<void>(pool.get());
    has_given = true;
    wait_for(may_go);
  });
  wait_for(has_given);
  EXPECT_EQ(status_of_child([] { return one_is_destroyed_after(4); }), 0);
  may_go = true;
  lull::blocking_region joining;
  other.join();
}

// Handlers that fork, of a thread that waits for the collector. In the child the thread waits on, and nobody had been asked there.
pid_t forked_in_handler;
int went_on;
void fork_in_handler(int) {
  forked_in_handler = fork();
  if (forked_in_handler == 0) alarm(20);
}

template <class Wait>
void expect_child_of_a_handler_to_go_on(Wait&& wait) {
  ::signal(SIGUSR1, fork_in_handler);
  wait();
  if (forked_in_handler == 0) _exit(went_on);
  int status = -1;
  lull::blocking_region waiting;
  EXPECT_EQ(waitpid(forked_in_handler, &status, 0), forked_in_handler);
  EXPECT_EQ(status, 0);
}

TEST_F(ForkPoints, AHandlerMayForkWhileItsThreadWaitsForACycle) {
  static std::atomic<int> walked;
  walked = 0;
  const lull::root<Node> kept = lull::make<Node>();
  lull::gc::Stepper stepper;
  stepper.run_to(lull::gc::Step::cycle_ends);  // a fork need not wait, and the walk has to
  std::thread signals([self = pthread_self(), &stepper] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    pthread_kill(self, SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    stepper.finish();
  });
  expect_child_of_a_handler_to_go_on([] {
    lull_walk_heap([](void*, const lull_kind*, std::size_t, void*) { ++walked; }, nullptr);
    went_on = walked > 0 ? 0 : 1;
  });
  EXPECT_GT(walked, 0);
  lull::blocking_region joining;
  signals.join();
}

TEST_F(ForkPoints, AHandlerMayForkWhileItsThreadWaitsForDestructors) {
  is_destroying = may_end = false;
  elsewhere([] { lull::make<Slow>(); });
  elsewhere([] { lull::collect(); });
  wait_for(is_destroying);
  std::thread signals([self = pthread_self()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    pthread_kill(self, SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    may_end = true;
  });
  expect_child_of_a_handler_to_go_on([] {
    lull::wait_for_finalizers();
    went_on = 0;
  });
  lull::blocking_region joining;
  signals.join();
}

class HeapGateClosed {
 public:
  HeapGateClosed() {
    lull::gc::cycle_gate().lock();
    lull::gc::mutators.lock.lock();
    lull::gc::close_heap_gate_locked();
  }
  ~HeapGateClosed() {
    lull::gc::open_heap_gate();
    lull::gc::mutators.lock.unlock();
    lull::gc::cycle_gate().unlock();
  }

 private:
  lull::blocking_region blocked_;  // as the forking thread is
};

TEST_F(ForkPoints, DestructorsAreRegisteredAndTakenInVisits) {
  std::atomic<bool> is_ready{false}, begin{false};
  std::thread other([&] {
    const lull::ptr<Counted> old = lull::make<Counted>();  // and there is room for another one
    is_ready = true;
    while (!begin) std::this_thread::yield();
    lull::make<Counted>();
    has_made = true;
    lull::destroy(old);
    has_destroyed = true;
  });
  wait_for(is_ready);
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  {
    const HeapGateClosed closed;
    begin = true;
    while (constructed < 2) std::this_thread::yield();
    wait();
    EXPECT_FALSE(has_made);
  }
  lull::blocking_region joining;
  other.join();
  EXPECT_TRUE(has_destroyed);
  EXPECT_GE(destructed, 1);
}

TEST_F(ForkPoints, AnObjectIsDestroyedAfterTheFork) {
  constructed = destructed = 0;
  std::atomic<bool> is_ready{false}, begin{false};
  std::thread other([&] {
    const lull::ptr<Counted> old = lull::make<Counted>();
    is_ready = true;
    while (!begin) std::this_thread::yield();
    lull::destroy(old);
  });
  wait_for(is_ready);
  {
    const HeapGateClosed closed;
    begin = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_EQ(destructed, 0);
  }
  lull::blocking_region joining;
  other.join();
  EXPECT_EQ(destructed, 1);
}

// A hole is several words; a child that saw some of them as they were would hand objects out twice.
TEST_F(ForkPoints, HolesAreOpenedInVisits) {
  struct Wide {
    void trace(lull::tracer&) const {}
    char bytes[128] = {};
  };
  constexpr int kInAPiece = 2048 / sizeof(Wide);  // of memory that was used before, as it is handed out
  std::atomic<int> made{0};
  std::atomic<bool> stop{false};
  elsewhere([] {
    for (int i = 0; i < 20'000; ++i) lull::make<Wide>();
  });
  lull::collect();
  std::thread other([&] {
    for (; !stop; ++made) lull::make<Wide>();
  });
  std::array<int, 21> more{};
  for (int& n : more) {
    const int before = made;
    while (made < before + 10) std::this_thread::yield();
    const HeapGateClosed closed;
    const int at_most = made;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    n = made - at_most;
  }
  stop = true;
  std::sort(more.begin(), more.end());
  EXPECT_LE(more[more.size() / 2], kInAPiece + 1);  // fresh spans are one piece; with holes opened meanwhile, half a span
  lull::blocking_region joining;
  other.join();
}

TEST(ForkPointsDeathTest, AForkOfTheDriverStopsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    const lull::root<Node> kept = lull::make<Node>();
    lull_walk_heap([](void*, const lull_kind*, std::size_t, void*) { static_cast<void>(fork()); }, nullptr);
  }, "lull: fork: called by the event function");
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

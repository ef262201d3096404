// Threads come, go, block and poll while cycles run (lull/thread.h). What they hold meanwhile is the matter of
// collect_test.cc. The program is not called thread_test: that is the one of alloc/os/thread.h.
#include "lull/thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <semaphore>
#include <vector>

#include "alloc/os/lock.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "lull/lull_c.h"
#include "tests/support/collecting.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"

namespace {

using lull::blocking_region;
using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::testing::clear_stack_below;
using lull::testing::Collecting;
using lull::testing::elsewhere;
using lull::testing::kIntact;
using lull::testing::kThreadSanitizer;
using lull::testing::Node;
using lull::testing::scaled;
using lull::testing::wait_for;

class Thread : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

// Nobody is interrupted: whoever neither polls nor blocks holds the collector up for ever.
class ThreadWithoutSignals : public Thread {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.noasync = 1;
    Thread::SetUp();
  }
};

std::uint32_t attached() { return lull::read_mem_stats().threads; }

void join(std::thread& thread) {
  blocking_region joining;
  thread.join();
}
void join(std::vector<std::thread>& threads) {
  for (std::thread& t : threads) join(t);
}

// Attaching and detaching.

TEST_F(Thread, AttachesAtItsFirstAllocation) {
  const std::uint32_t before = attached();
  elsewhere([&] {
    make<Node>();
    EXPECT_EQ(attached(), before + 1);
  });
  EXPECT_EQ(attached(), before);
}

// The first contact with managed objects is a raw pointer out of a root: the thread is attached before it has it in a
// register, or no scan would find it there.
TEST_F(Thread, AttachesAtItsFirstLookAtARoot) {
  static root<Node> held;
  elsewhere([] { held = make<Node>(); });
  std::binary_semaphore looked{0}, collected{0};
  std::uint64_t value = 0;
  std::thread thread([&] {
    const Node* node = held.get();
    looked.release();
    while (!collected.try_acquire()) lull::safepoint();  // where nobody is interrupted it has to answer
    value = node->value;
  });
  {
    blocking_region waiting;
    looked.acquire();
  }
  elsewhere([] { held = nullptr; });
  elsewhere([] { lull::collect(); });
  collected.release();
  join(thread);
  EXPECT_EQ(value, kIntact);
}

TEST_F(Thread, AttachesAtItsFirstPointerStore) {
  const std::uint32_t before = attached();
  std::binary_semaphore stored{0}, counted{0};
  root<Node> node = make<Node>();
  std::thread thread([&] {
    [[maybe_unused]] ptr<Node> p = node;
    stored.release();
    counted.acquire();
  });
  stored.acquire();
  EXPECT_EQ(attached(), before + 1);
  counted.release();
  thread.join();
  EXPECT_EQ(attached(), before);
}

TEST_F(Thread, DoesNotAttachWithoutNeed) {
  const std::uint32_t before = attached();
  std::atomic<bool> over{false};
  std::thread thread([&] {
    lull::safepoint();
    while (!over) {  // nobody asks this thread anything
    }
  });
  lull::collect();
  EXPECT_EQ(attached(), before);
  over = true;
  thread.join();
}

TEST_F(Thread, MayAttachAndDetachExplicitlyAnyNumberOfTimes) {
  const std::uint32_t before = attached();
  root<Node> kept;
  elsewhere([&] {
    for (int i = 0; i < 100; ++i) {
      lull::attach_thread();
      lull::attach_thread();
      kept = make<Node>();
      lull::detach_thread();
      lull::detach_thread();
    }
    lull::attach_thread();
    EXPECT_EQ(attached(), before + 1);
  });
  EXPECT_EQ(attached(), before);
  lull::collect();
  EXPECT_EQ(kept->value, kIntact);
}

TEST_F(Thread, TheMainThreadMayDetachAndComeBack) {
  const std::uint32_t before = attached();
  static root<Node> kept;
  elsewhere([] { kept = make<Node>(); });
  lull::detach_thread();
  std::thread([&] {  // elsewhere() would attach this thread
    lull::collect();
    EXPECT_EQ(attached(), before);  // that one instead of this
  }).join();
  lull::collect();
  EXPECT_EQ(attached(), before);
  EXPECT_EQ(kept->value, kIntact);
}

// For a thread that gets to know objects through plain pointers only.
TEST_F(Thread, HoldsWhatPlainPointersReferToOnceAttached) {
  static root<Node> handed_over;
  handed_over = make<Node>();
  std::binary_semaphore taken{0}, collected{0};
  std::thread thread([&] {
    lull::attach_thread();
    const Node* node = handed_over.get();
    clear_stack_below();
    taken.release();
    {
      blocking_region waiting;
      collected.acquire();
    }
    EXPECT_EQ(node->value, kIntact);
  });
  {
    blocking_region waiting;
    taken.acquire();
  }
  elsewhere([] { handed_over = nullptr; });
  lull::collect();
  lull::collect();
  collected.release();
  join(thread);
}

TEST_F(Thread, WhatItAllocatedStaysAndGoesAfterItsEnd) {
  lull::collect();
  const std::uint64_t before = lull::read_mem_stats().heap_objects;
  static root<Node> kept[10];
  elsewhere([] {
    for (int i = 0; i < 1000; ++i) {
      ptr<Node> node = make<Node>();
      if (i % 100 == 0) kept[i / 100] = node;
    }
  });
  EXPECT_EQ(lull::read_mem_stats().heap_objects, before + 1000);
  lull::collect();
  EXPECT_EQ(lull::read_mem_stats().heap_objects, before + 10);
  for (const root<Node>& node : kept) EXPECT_EQ(node->value, kIntact);
}

// Many.

void live_briefly() {
  ptr<Node> first = make<Node>(), last = first;
  for (int i = 0; i < 20; ++i) {
    last->next = make<Node>();
    last = last->next;
  }
  make_array<ptr<Node>>(100);
  int length = 0;
  for (ptr<Node> n = first; n; n = n->next, ++length) ASSERT_EQ(n->value, kIntact);
  ASSERT_EQ(length, 21);
}

TEST_F(Thread, ThousandsLiveBrieflyWhileCyclesRun) {
  std::vector<std::thread> threads;
  lull::mem_stats early, late;
  {
    Collecting collecting;
    for (int i = 0; i < scaled(2000); ++i) {
      threads.emplace_back(live_briefly);
      if (threads.size() < 8) continue;
      join(threads);
      threads.clear();
      if (i < 100) early = lull::read_mem_stats();
    }
    join(threads);
    late = lull::read_mem_stats();
    EXPECT_GT(collecting.cycles(), 3);
  }
  EXPECT_LE(attached(), 2u);
  EXPECT_LE(late.other_sys, early.other_sys + (1 << 20));  // records of ended threads are used again
}

TEST_F(Thread, DetachedOnesComeAndGo) {
  std::atomic<int> running{0};
  {
    Collecting collecting;
    for (int i = 0; i < scaled(500); ++i) {
      wait_for([&] { return running < 8; });
      ++running;
      std::thread([&] {
        live_briefly();
        --running;
      }).detach();
    }
    wait_for([&] { return running == 0; });
  }
  while (attached() > 1) std::this_thread::yield();  // the last ones are still ending
}

// Cycles back to back with a random delay at every step: threads start and end in each of them.
TEST_F(Thread, ComeAndGoInEveryPhase) {
  lull::gc::options.rage = 1;
  lull::collect();
  std::vector<std::thread> threads;
  for (int i = 0; i < scaled(1000) || lull::read_mem_stats().num_gc < 20; i += 4) {
    for (int t = 0; t < 4; ++t) threads.emplace_back(live_briefly);
    join(threads);
    threads.clear();
  }
  EXPECT_EQ(attached(), 1u);
}

// Stacks that are not the usual ones.

void* spin_on_little_stack(void* argument) {
  auto& over = *static_cast<std::atomic<int>*>(argument);
  ptr<Node> node = make<Node>();
  over = 1;
  while (over != 2) {
    if (kThreadSanitizer) lull::safepoint();
  }
  EXPECT_EQ(node->value, kIntact);
  return nullptr;
}

TEST_F(Thread, MayHaveASmallStackOfItsOwn) {
  constexpr std::size_t kBytes = kThreadSanitizer ? 1024 * 1024 : 64 * 1024;  // TSan keeps data of its own there
  void* stack = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstack(&attributes, stack, kBytes), 0);
  std::atomic<int> over{0};
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, spin_on_little_stack, &over), 0);
  while (over != 1) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) lull::collect();
  over = 2;
  blocking_region joining;
  pthread_join(thread, nullptr);
}

// Blocking regions.

TEST_F(ThreadWithoutSignals, InABlockingRegionIsAnsweredForThoughItDoesNotPoll) {
  std::atomic<bool> in_region{false}, over{false};
  std::thread thread([&] {
    ptr<Node> node = make<Node>();
    {
      blocking_region region;
      in_region = true;
      while (!over) {
      }
    }
    EXPECT_EQ(node->value, kIntact);
  });
  while (!in_region) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) lull::collect();
  over = true;
  join(thread);
}

TEST_F(ThreadWithoutSignals, StaysBlockedUntilItLeavesTheOutermostRegion) {
  enum Stage { starting, in_region, leave, running, end };
  std::atomic<Stage> stage{starting};
  std::thread thread([&] {
    ptr<Node> node = make<Node>();
    {
      blocking_region outer;
      {
        blocking_region middle;
        blocking_region inner;
      }
      stage = in_region;
      while (stage != leave) {
      }
    }
    EXPECT_EQ(node->value, kIntact);
    stage = running;
    while (stage != end) {
      lull::safepoint();
      node = make<Node>();
    }
  });
  while (stage != in_region) std::this_thread::yield();
  const std::uint64_t before = lull::read_mem_stats().handshake.count;
  for (int i = 0; i < 5; ++i) lull::collect();
  EXPECT_EQ(lull::read_mem_stats().handshake.count, before);  // nobody answered for itself
  stage = leave;
  while (stage != running) std::this_thread::yield();
  for (int i = 0; i < 5; ++i) lull::collect();
  stage = end;
  join(thread);
  EXPECT_GE(lull::read_mem_stats().handshake.count, before + 5);
}

TEST_F(ThreadWithoutSignals, MayCollectInABlockingRegion) {
  ptr<Node> node = make<Node>();
  {
    blocking_region region;
    for (int i = 0; i < 100; ++i) lull::collect();
    std::atomic<bool> over{false};
    std::thread other([&] {
      lull::collect();  // this thread is still blocked
      over = true;
    });
    while (!over) {
    }
    other.join();
  }
  EXPECT_EQ(node->value, kIntact);
}

TEST_F(Thread, EntersAndLeavesRegionsWhileCyclesRun) {
  Collecting collecting;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([] {
      ptr<Node> node = make<Node>();
      for (int i = 0; i < scaled(20'000); ++i) {
        { blocking_region region; }
        ASSERT_EQ(node->value, kIntact);
        if (i % 8 == 0) node = make<Node>();
      }
    });
  join(threads);
}

TEST_F(Thread, MayEndInsideABlockingRegion) {
  const std::uint32_t before = attached();
  {
    Collecting collecting;
    for (int i = 0; i < 200; ++i)
      elsewhere([] {
        for (int j = 0; j < 100; ++j) make<Node>();
        new blocking_region;  // never left: the collector may be at work on the thread when it ends
      });
  }
  EXPECT_EQ(attached(), before);
}

TEST_F(Thread, MayExitFromWithinABlockingRegion) {
  const std::uint32_t before = attached();
  for (int i = 0; i < 10; ++i) {
    elsewhere([] {
      [[maybe_unused]] ptr<Node> node = make<Node>();
      blocking_region region;
      pthread_exit(nullptr);  // unwinds
    });
    lull::collect();
  }
  EXPECT_EQ(attached(), before);
}

// Polls.

TEST_F(ThreadWithoutSignals, AnswersAtSafepoints) {
  std::atomic<bool> over{false};
  std::thread thread([&] {
    ptr<Node> node = make<Node>();
    while (!over) lull::safepoint();
    EXPECT_EQ(node->value, kIntact);
  });
  for (int i = 0; i < 10; ++i) lull::collect();
  over = true;
  join(thread);
}

TEST_F(ThreadWithoutSignals, IsNamedWhenItKeepsTheCollectorWaiting) {
  lull::gc::options.late = 20;
  const std::uint64_t before = lull::gc::handshake_stats.told_late.load();
  testing::internal::CaptureStderr();
  std::atomic<bool> attached{false};
  std::thread thread([&] {
    pthread_setname_np(pthread_self(), "busy body");
    lull::attach_thread();
    attached = true;
    while (lull::gc::handshake_stats.told_late.load() < before + 2) {
    }
  });
  while (!attached) std::this_thread::yield();
  lull::collect();
  join(thread);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_THAT(told, testing::ContainsRegex("lull: thread [0-9]+ \\(busy body\\) has kept the collector waiting for [0-9]+ ms \\(barriers on\\)"));
  EXPECT_THAT(told, testing::HasSubstr("call lull::safepoint()"));
}

// The flush of termination and the handshake that turns barriers off find it at its stores alone.
TEST_F(ThreadWithoutSignals, AnswersWhenItStoresWhileMarking) {
  std::atomic<bool> attached{false}, is_marking{false}, over{false};
  std::atomic<std::uint64_t> stores{0};
  std::thread storing([&] {
    root<Node> holder = make<Node>();
    const ptr<Node> one = make<Node>(), other = make<Node>();
    attached = true;
    while (!is_marking) lull::safepoint();
    for (; !over; ++stores) {  // over something, or a barrier may have nothing to do
      holder->next = one;
      holder->next = other;
    }
  });
  while (!attached) std::this_thread::yield();
  lull::gc::Stepper stepper;
  stepper.run_to(lull::gc::Step::stacks_scanned);
  is_marking = true;
  while (stores < 1000) std::this_thread::yield();
  const std::uint64_t rounds = lull::gc::handshake_stats.rounds.load();
  stepper.finish();
  EXPECT_GE(lull::gc::handshake_stats.rounds.load(), rounds + 2);
  over = true;
  join(storing);
}

TEST_F(ThreadWithoutSignals, AnswersWhenItAllocates) {
  std::atomic<bool> over{false};
  std::thread allocating([&] {
    while (!over) make<Node>();
  });
  for (int i = 0; i < 10; ++i) lull::collect();
  over = true;
  join(allocating);
}

// Interrupted.

TEST_F(Thread, KeepsItsErrnoWhenInterrupted) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  std::atomic<bool> attached{false}, over{false};
  std::thread thread([&] {
    make<Node>();
    errno = 4711;
    attached = true;
    while (!over) {
    }
    EXPECT_EQ(errno, 4711);
  });
  while (!attached) std::this_thread::yield();  // on a busy machine, all the cycles could be over before there is a thread
  const std::uint64_t before = lull::read_mem_stats().async_answers;
  for (int i = 0; i < 20; ++i) lull::collect();
  EXPECT_GT(lull::read_mem_stats().async_answers, before);
  over = true;
  join(thread);
}

// The oracle's mode `parked` did not end, 1 run in 300: a thread in free() was parked while it held the lock of the page
// heap, which the driver took before it resumed the world.
TEST_F(Thread, IsNotStoppedWhileItHoldsALockOfMallocs) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  lull::os::Lock lock{lull::os::LockRank::pages};
  lull::gc::Mutator* stopped = nullptr;
  std::atomic<bool> holds{false};
  std::thread thread([&] {
    make<Node>();
    stopped = lull::gc::self_or_null();
    const std::uint64_t before = lull::gc::handshake_stats.async_answers.load();
    lock.lock();
    holds = true;
    std::uint64_t answered = before;
    while (!stopped->refused_signal.load() && answered == before) answered = lull::gc::handshake_stats.async_answers.load();
    lock.unlock();
    EXPECT_EQ(answered, before);
  });
  while (!holds) std::this_thread::yield();
  lull::collect();
  join(thread);
}

TEST_F(Thread, KeepsItsSystemCallsWhenInterrupted) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<bool> attached{false};
  std::thread thread([&] {
    make<Node>();
    attached = true;
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);  // not -1 with EINTR
    EXPECT_EQ(byte, 'x');
  });
  while (!attached) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) lull::collect();
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  join(thread);
  close(ends[0]);
  close(ends[1]);
}

// Main in pthread_join, say: each handshake of each cycle would wait 100 us for it before it sends a signal.
TEST_F(Thread, ThatIsSilentIsSignalledAtOnceUntilItAllocates) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<int> waits{0};
  std::thread thread([&] {
    for (int i = 0; i < 2; ++i) {
      for (int n = 0; n < 1000; ++n) make<Node>();
      ++waits;
      char byte;
      EXPECT_EQ(read(ends[0], &byte, 1), 1);
    }
  });
  for (int i = 0; i < 2; ++i) {
    while (waits <= i) std::this_thread::yield();
    const auto& stats = lull::gc::handshake_stats;
    const std::uint64_t rounds = stats.rounds.load(), at_once = stats.signalled_at_once.load();
    lull::collect();
    EXPECT_EQ(stats.rounds.load() - rounds, stats.signalled_at_once.load() - at_once + 2) << "the first two wait for a poll";
    const std::uint64_t rounds_then = stats.rounds.load(), at_once_then = stats.signalled_at_once.load();
    lull::collect();
    EXPECT_EQ(stats.rounds.load() - rounds_then, stats.signalled_at_once.load() - at_once_then);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
  }
  join(thread);
  close(ends[0]);
  close(ends[1]);
}

volatile std::sig_atomic_t passed_on = 0;

// Of a library that was there before: another language's runtime, or another collector.
TEST(HandshakeSignal, IsPassedOnToWhoHandledItBefore) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  struct sigaction action {}, before {};
  action.sa_handler = [](int) { passed_on = passed_on + 1; };
  ASSERT_EQ(0, sigaction(SIGURG, &action, &before));
  if (before.sa_handler != SIG_DFL) GTEST_SKIP() << "the collector has started: run by itself";
  lull::attach_thread();
  raise(SIGURG);
  EXPECT_EQ(1, passed_on);
  lull::collect();
}

TEST(HandshakeSignal, IsPassedOnToNobodyWhoIgnoredIt) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  struct sigaction action {}, before {};
  action.sa_handler = SIG_IGN;
  action.sa_flags = SA_SIGINFO;  // the kernel looks at the handler alone
  ASSERT_EQ(0, sigaction(SIGURG, &action, &before));
  if (before.sa_handler != SIG_DFL) GTEST_SKIP() << "the collector has started: run by itself";
  lull::attach_thread();
  raise(SIGURG);
  lull::collect();
}

// As Go's, which stops the program when it finds itself on the thread's own stack.
TEST(HandshakeSignal, IsNotPassedOnToWhoWouldMissHisStack) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  struct sigaction action {}, before {};
  action.sa_handler = [](int) { passed_on = passed_on + 1; };
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(0, sigaction(SIGURG, &action, &before));
  if (before.sa_handler != SIG_DFL) GTEST_SKIP() << "the collector has started: run by itself";
  lull::attach_thread();
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  stack_t old;
  ASSERT_EQ(0, sigaltstack(&none, &old));
  raise(SIGURG);
  EXPECT_EQ(1, passed_on);
  std::vector<char> memory(65536);
  stack_t own = {};
  own.ss_sp = memory.data();
  own.ss_size = memory.size();
  ASSERT_EQ(0, sigaltstack(&own, nullptr));
  raise(SIGURG);
  EXPECT_EQ(1, passed_on);
  ASSERT_EQ(0, sigaltstack(&old, nullptr));
}

struct sigaction who_was_before;

void install_who_passes_on() {
  struct sigaction action {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
    passed_on = passed_on + 1;
    if (who_was_before.sa_flags & SA_SIGINFO) who_was_before.sa_sigaction(signal, info, context);
  };
  ASSERT_EQ(0, sigaction(SIGURG, &action, &who_was_before));
}

// Two that pass it on, each to the other.
TEST(HandshakeSignal, ComesBackFromWhoInstalledItselfAnewAndEnds) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  install_who_passes_on();
  if (who_was_before.sa_handler != SIG_DFL) GTEST_SKIP() << "the collector has started: run by itself";
  lull::attach_thread();
  install_who_passes_on();
  raise(SIGURG);
  EXPECT_EQ(2, passed_on);
  lull::collect();
}

struct sigaction handshake_action;
std::atomic<int> interruptions{0};
volatile std::sig_atomic_t answers = 0, is_answering = 0;

void count_interruption(int signal, siginfo_t* info, void* context) {
  if (is_answering != 0) ++interruptions;
  handshake_action.sa_sigaction(signal, info, context);
}

// Part of an answer, which it makes fifty times as long as the driver waits before it sends signals.
void trace_slowly(const lull_frame*, lull_tracer*) {
  using Clock = std::chrono::steady_clock;
  answers = answers + 1;
  is_answering = 1;
  for (const Clock::time_point end = Clock::now() + std::chrono::milliseconds(5); Clock::now() < end && interruptions == 0;) {
  }
  is_answering = 0;
}

// An answer that an interrupt of the machine had made long got a signal on top, which made it 20 to 40 us longer.
TEST_F(Thread, GetsNoSignalWhileItAnswers) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  make<Node>();
  struct sigaction counting {};
  ASSERT_EQ(sigaction(SIGURG, nullptr, &handshake_action), 0);
  counting = handshake_action;
  counting.sa_sigaction = count_interruption;
  ASSERT_EQ(sigaction(SIGURG, &counting, nullptr), 0);
  std::atomic<bool> done{false};
  std::thread collector([&] {
    for (int i = 0; i < 4; ++i) lull::collect();
    done = true;
  });
  lull_frame frame = {nullptr, trace_slowly, 0, nullptr};
  lull_push_frame(&frame);
  while (!done) lull::safepoint();
  lull_pop_frame(&frame);
  join(collector);
  ASSERT_EQ(sigaction(SIGURG, &handshake_action, nullptr), 0);
  EXPECT_GE(answers, 4);
  EXPECT_EQ(interruptions, 0);
}

// Programs often block all signals in their workers, so that one thread handles them.
TEST_F(Thread, IsInterruptedThoughItWasStartedWithAllSignalsBlocked) {
  if (kThreadSanitizer) GTEST_SKIP() << "no signals";
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  std::atomic<int> stage{0};
  std::thread thread([&] {
    ptr<Node> node = make<Node>();
    stage = 1;
    while (stage != 2) {
    }
    EXPECT_EQ(node->value, kIntact);
  });
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  while (stage != 1) std::this_thread::yield();
  lull::collect();
  stage = 2;
  join(thread);
}

// The end of a thread: thread_locals and thread-specific data are destroyed before and after it has detached.

struct AllocatesAtTheEnd {
  ~AllocatesAtTheEnd() {
    live_briefly();
    ++ended;
  }
  static inline std::atomic<int> ended{0};
};
thread_local AllocatesAtTheEnd allocates_at_the_end;
thread_local root<Node> held_to_the_end;

TEST_F(Thread, MayAllocateInDestructorsOfThreadLocals) {
  Collecting collecting;
  const int n = scaled(200);
  for (int i = 0; i < n; ++i)
    elsewhere([&] {
      (void)&allocates_at_the_end;
      asm volatile("" ::"r"(&allocates_at_the_end) : "memory");
      held_to_the_end = make<Node>();
    });
  EXPECT_EQ(AllocatesAtTheEnd::ended, n);
}

pthread_key_t key_before, key_after;
std::atomic<int> key_destructors{0};

// Destructors of keys run in rounds; one that sets its key again is called in the next round.
void allocate_in_key_destructor(void* rounds) {
  live_briefly();
  ++key_destructors;
  const auto left = reinterpret_cast<std::uintptr_t>(rounds) - 1;
  if (left > 0) pthread_setspecific(key_after, reinterpret_cast<void*>(left));
}

TEST(ThreadEnd, MayAllocateInDestructorsOfThreadSpecificData) {
  pthread_key_create(&key_before, allocate_in_key_destructor);  // destroyed before the thread detaches,
  lull::attach_thread();
  pthread_key_create(&key_after, allocate_in_key_destructor);   // and after it has: it attaches again
  {
    Collecting collecting;
    for (int i = 0; i < scaled(200); ++i)
      elsewhere([] {
        live_briefly();
        pthread_setspecific(key_before, reinterpret_cast<void*>(1));
        pthread_setspecific(key_after, reinterpret_cast<void*>(2));
      });
  }
  EXPECT_EQ(key_destructors, 3 * scaled(200));
  EXPECT_EQ(attached(), 1u);
  lull::collect();
}

pthread_key_t last_key;
thread_local int last_rounds = 0;
void allocate_in_the_last_round(void* set) {
  if (++last_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) pthread_setspecific(last_key, set);
  else live_briefly();
}
void* use_the_last_key(void*) {
  live_briefly();
  pthread_setspecific(last_key, &last_key);
  return nullptr;
}

// On a stack that is gone when the thread is, and its thread-local variables with it.
void end_unnoticed() {
  constexpr std::size_t kBytes = 256 << 10;
  void* stack = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstack(&attributes, stack, kBytes), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, use_the_last_key, nullptr), 0);
  {
    blocking_region joining;
    pthread_join(thread, nullptr);
  }
  munmap(stack, kBytes);
}

// Nobody is told of its end: it used to keep its place among the threads, and the next cycle waited for it for ever.
TEST(ThreadEnd, InTheLastRoundOfDestructorsOfThreadSpecificDataIsNoticed) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer has given the thread up by then";
  lull::attach_thread();
  pthread_key_create(&last_key, allocate_in_the_last_round);
  for (int i = 0; i < 20; ++i) end_unnoticed();
  EXPECT_EQ(attached(), 21u);
  lull::collect();
  EXPECT_EQ(attached(), 1u);
  {
    Collecting collecting;
    for (int i = 0; i < scaled(200); ++i) end_unnoticed();
  }
  lull::collect();
  EXPECT_EQ(attached(), 1u);
}

std::atomic<int> last_stage{0};
void poll_in_the_last_round(void* set) {
  if (++last_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific(last_key, set);
    return;
  }
  live_briefly();
  last_stage = 1;
  while (last_stage != 2) lull::safepoint();
}

// Nobody may set the flag that safepoint() looks at when such a thread may be gone: without signals it answered no more.
TEST(ThreadEnd, InTheLastRoundOfDestructorsOfThreadSpecificDataSafepointsAnswer) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer has given the thread up by then";
  lull::gc::read_options();
  lull::gc::options.noasync = 1;
  lull::attach_thread();
  pthread_key_create(&last_key, poll_in_the_last_round);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, use_the_last_key, nullptr), 0);
  while (last_stage != 1) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) lull::collect();
  EXPECT_EQ(attached(), 2u);
  last_stage = 2;
  blocking_region joining;
  pthread_join(thread, nullptr);
}

// Of a virtual machine under ThreadSanitizer, whose objects have counters: each was reported as a race with LULL_DEBUG=check_trace, which reads
// whole objects.
struct Counter {
  ptr<Node> node;
  std::uint64_t count = 0;
  void trace(lull::tracer& t) const { t(node); }
};

TEST_F(Thread, WritesNumbersBesideTheCheckOfTraceFunctions) {
  lull::gc::options.check_trace = 1;
  root<Counter> shared = make<Counter>();
  std::atomic<bool> over{false};
  std::thread counting([&] {
    while (!over) {
      for (int i = 0; i < 100; ++i) shared->count = shared->count + 1;
      lull::safepoint();
    }
  });
  for (int i = 0; i < 20; ++i) lull::collect();
  over = true;
  blocking_region joining;
  counting.join();
}

}  // namespace

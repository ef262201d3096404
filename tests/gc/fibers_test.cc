// Stacks that threads run on by turns: rules 18 and 19 of docs/design/protocol_model.md, made deterministic, and everything at once.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/mark/parked_stacks.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"
#include "tests/support/task.h"

namespace {

using lull::parked_stack;
using lull::gc::CycleKind;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::test::Task;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Node {
  lull::ptr<Node> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

class Fibers : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

void collect_all() {
  lull::collect();
  lull::collect();
}

// Holds an object in a variable of its own, then in `taken` of whoever resumes it, then in nothing.
struct Holder {
  Hidden object;
  Node* taken = nullptr;
  Task task;
  explicit Holder(parked_stack use = parked_stack::may_change)
      : task([this](Task& self) { run(self); }, use) {}

  [[gnu::noinline]] void hold(Task& self) {
    lull::ptr<Node> node = lull::make<Node>();
    node->value = 7;
    object = Hidden(node.get());
    self.pause();
    taken = node.get();
    asm volatile("" : "+m"(node) : : "memory");
  }
  void run(Task& self) {
    hold(self);
    clear_stack_below();
    self.pause();
  }
};

TEST_F(Fibers, AParkedOneKeepsWhatItHolds) {
  for (const parked_stack use : {parked_stack::may_change, parked_stack::stays}) {
    Holder holder(use);
    holder.task.resume();
    collect_all();
    lull::collect_young();
    lull::collect_young();
    EXPECT_TRUE(is_allocated(holder.object));
    holder.task.resume();
    EXPECT_EQ(holder.taken->value, 7);
  }
}

TEST_F(Fibers, WhatOneHeldGoesWithItsStack) {
  Hidden object;
  elsewhere([&] {
    Holder holder;
    holder.task.resume();
    object = holder.object;
  });
  elsewhere(collect_all);
  EXPECT_FALSE(is_allocated(object));
}

TEST_F(Fibers, AThreadsOwnStackCountsWhileItRunsOnAnother) {
  lull::ptr<Node> mine = lull::make<Node>();
  mine->value = 3;
  Task task([](Task&) { collect_all(); });
  task.resume();
  EXPECT_EQ(mine->value, 3);
  EXPECT_TRUE(is_allocated(Hidden(mine.get())));
}

TEST_F(Fibers, OneThatAnotherThreadLeftAndThatEndedGoesOn) {
  Holder holder;
  elsewhere([&] { holder.task.resume(); });
  collect_all();
  lull::collect_young();
  EXPECT_TRUE(is_allocated(holder.object));
  holder.task.resume();
  EXPECT_EQ(holder.taken->value, 7);
}

// A black thread that runs on a grey stack has scanned it: it may take the only reference from there.
class FiberStep : public Fibers, public testing::WithParamInterface<Step> {};

[[gnu::noinline]] Node* take_from(Holder& holder) {
  holder.task.resume();
  return std::exchange(holder.taken, nullptr);
}

TEST_P(FiberStep, ATakenReferenceIsKept) {
  for (const CycleKind kind : {CycleKind::full, CycleKind::young})
    for (const parked_stack use : {parked_stack::may_change, parked_stack::stays}) {
      Holder holder(use);
      holder.task.resume();
      Stepper stepper;
      stepper.use(kind);
      stepper.run_to(GetParam());
      Node* node = take_from(holder);
      stepper.finish();
      EXPECT_TRUE(is_allocated(holder.object));
      EXPECT_EQ(node->value, 7);
    }
}

// The same on another thread, which is gone before the cycle ends: only what it stored counts.
TEST_P(FiberStep, AFiberGoesOnInAnotherThread) {
  static lull::root<Node> kept;
  for (const CycleKind kind : {CycleKind::full, CycleKind::young}) {
    Holder holder;
    holder.task.resume();
    Stepper stepper;
    stepper.use(kind);
    stepper.run_to(GetParam());
    elsewhere([&] {
      holder.task.resume();
      kept = lull::ptr<Node>(holder.taken);
    });
    holder.taken = nullptr;
    stepper.finish();
    EXPECT_TRUE(is_allocated(holder.object));
    EXPECT_EQ(kept->value, 7);
  }
}

// What a fiber makes and parks with is found by the next young cycle, whenever it ran.
TEST_P(FiberStep, WhatItMakesMeanwhileIsFoundByTheNextYoungCycle) {
  for (const parked_stack use : {parked_stack::may_change, parked_stack::stays}) {
    Hidden made;
    Task task([&](Task& self) {
      self.pause();
      lull::ptr<Node> node = lull::make<Node>();
      made = Hidden(node.get());
      self.pause();
      asm volatile("" : "+m"(node) : : "memory");
    }, use);
    task.resume();
    lull::collect_young();
    Stepper stepper;
    stepper.use(CycleKind::young);
    stepper.run_to(GetParam());
    task.resume();
    stepper.finish();
    EXPECT_TRUE(is_allocated(made));
    elsewhere([] { lull::collect_young(); });
    EXPECT_TRUE(is_allocated(made));
    elsewhere([] { lull::collect_young(); });
    EXPECT_TRUE(is_allocated(made));
    task.resume();
  }
}

// A grey stack that is given up counts up to then: a black thread has copied a reference out of a variable there.
TEST_P(FiberStep, AReferenceCopiedOutOfAStackThatIsGivenUpIsKept) {
  Hidden object;
  lull::ptr<Node>* variable = nullptr;
  Task task([&](Task& self) {
    lull::ptr<Node> node = lull::make<Node>();
    object = Hidden(node.get());
    variable = &node;
    self.pause();
  });
  task.resume();
  Stepper stepper;
  stepper.run_to(GetParam());
  Node* copied = [&]() __attribute__((noinline)) { return lull::ptr<Node>(*variable).get(); }();
  task.drop_stack();
  stepper.finish();
  EXPECT_TRUE(is_allocated(object));
  asm volatile("" : : "r"(copied));
}

// What a generator has put into a variable of its stack is taken out of there by whoever it yields to. Read and overwritten as a T*, it was lost where
// a black thread did so before the stack was read: two in a thousand, in a C program.
TEST_P(FiberStep, WhatAnotherTakesOutOfAVariableOfAParkedOneIsKept) {
  for (const CycleKind kind : {CycleKind::full, CycleKind::young}) {
    Hidden object;
    lull::ptr<Node>* variable = nullptr;
    Task task([&](Task& self) {
      [&]() __attribute__((noinline)) {
        lull::ptr<Node> node = lull::make<Node>();
        node->value = 8;
        object = Hidden(node.get());
        variable = &node;
        clear_stack_below();
        self.pause();
        EXPECT_EQ(node, nullptr);
      }();
    });
    task.resume();
    Stepper stepper;
    stepper.use(kind);
    stepper.run_to(GetParam());
    Node* taken = [&]() __attribute__((noinline)) { return std::exchange(*variable, nullptr).get(); }();
    stepper.finish();
    EXPECT_TRUE(is_allocated(object));
    EXPECT_EQ(taken->value, 8);
    task.resume();
  }
}

INSTANTIATE_TEST_SUITE_P(AtEveryStep, FiberStep,
                         testing::Values(Step::cycle_begins, Step::sweep_closed, Step::barriers_on, Step::stacks_scanned,
                                         Step::roots_marked, Step::marked, Step::terminating, Step::flushed, Step::done,
                                         Step::weak_cleared, Step::destructors_queued, Step::barriers_off, Step::sweep_opened,
                                         Step::swept),
                         [](const auto& named) { return std::string(name_of(named.param)); });

// Counter-example 14: black T1 has left the fiber; grey T0 runs on it, leaves a reference there, and answers handshake 2 without.
TEST_F(Fibers, OneThatAGreyThreadLeavesIsGrey) {
  const auto noasync = std::exchange(lull::gc::options.noasync, 1u);  // T0 answers when it wants to
  std::atomic<int> stage{0};
  std::atomic<bool> holds{false};  // T0 answers nothing from here on
  Hidden object;
  Node* gift = nullptr;
  Task task([&](Task& self) {
    while (gift == nullptr) self.pause();
    [&]() __attribute__((noinline)) {
      Node* mine = std::exchange(gift, nullptr);  // a ptr's barrier would poll, and T0 answer there
      asm volatile("" : "+m"(mine) : : "memory");
      self.pause();
      asm volatile("" : "+m"(mine) : : "memory");
    }();
  });
  task.resume();
  std::thread grey([&] {
    [&]() __attribute__((noinline)) {
      lull::ptr<Node> node = lull::make<Node>();
      node->value = 5;
      object = Hidden(node.get());
      stage = 1;
      while (stage != 2) lull::safepoint();
      holds = true;
      while (stage != 3) {
      }
      gift = node.get();
      task.resume();
    }();
    clear_stack_below();
    stage = 4;
    lull::blocking_region done;  // the driver answers for it
    while (stage != 5) std::this_thread::yield();
  });
  {
    lull::blocking_region waiting;
    while (stage != 1) std::this_thread::yield();
  }
  Stepper stepper;
  stepper.run_to(Step::barriers_on);
  stage = 2;
  while (!holds) std::this_thread::yield();
  std::thread finishing([&] { stepper.finish(); });
  // This thread becomes black; T0 does not answer.
  while (lull::gc::self().scanned_cycle != lull::gc::current_cycle.load()) lull::safepoint();
  task.resume();
  stage = 3;
  {
    lull::blocking_region waiting;
    while (stage != 4) std::this_thread::yield();
    finishing.join();
  }
  EXPECT_TRUE(is_allocated(object));
  stage = 5;
  {
    lull::blocking_region waiting;
    grey.join();
  }
  lull::gc::options.noasync = noasync;
}

std::uint32_t stacks_read_by_a_young_cycle() {
  elsewhere([] { lull::collect_young(); });
  return lull::gc::parked_stacks.stacks();
}

TEST_F(Fibers, YoungCyclesReadOneThatStaysOnlyIfItHasRun) {
  Holder holder(parked_stack::stays);
  holder.task.resume();
  EXPECT_EQ(stacks_read_by_a_young_cycle(), 1u);
  EXPECT_EQ(stacks_read_by_a_young_cycle(), 0u);
  holder.task.resume();
  EXPECT_EQ(stacks_read_by_a_young_cycle(), 1u);
  EXPECT_EQ(stacks_read_by_a_young_cycle(), 0u);
  elsewhere([] { lull::collect(); });
  EXPECT_EQ(lull::gc::parked_stacks.stacks(), 1u);
  Holder changing;
  changing.task.resume();
  EXPECT_EQ(stacks_read_by_a_young_cycle(), 1u);
  EXPECT_EQ(stacks_read_by_a_young_cycle(), 1u);
}

TEST_F(Fibers, VariablesOfAParkedOneMayBeWrittenByOthers) {
  lull::ptr<Node>* variable = nullptr;
  Hidden object;
  Task task([&](Task& self) {
    lull::ptr<Node> result;
    variable = &result;
    self.pause();
    EXPECT_EQ(result->value, 9);
  });
  task.resume();
  elsewhere([] { lull::collect_young(); });
  elsewhere([&] {
    *variable = lull::make<Node>();
    (*variable)->value = 9;
    object = Hidden(variable->get());
  });
  elsewhere([] { lull::collect_young(); });
  elsewhere(collect_all);
  EXPECT_TRUE(is_allocated(object));
  task.resume();
  EXPECT_TRUE(task.ended());
}

// Handlers stay with the stack they are on, whatever thread goes on there.
TEST_F(Fibers, ExceptionsStayWithTheirStack) {
  std::string seen;
  const auto body = [&](const char* what) {
    return [&seen, what](Task& self) {
      try {
        throw std::runtime_error(what);
      } catch (const std::exception&) {
        self.pause();
        try {
          throw;
        } catch (const std::exception& again) {
          seen += again.what();
        }
        self.pause();
      }
      EXPECT_EQ(std::current_exception(), nullptr);
    };
  };
  Task a(body("a")), b(body("b"));
  a.resume();
  b.resume();
  EXPECT_EQ(std::current_exception(), nullptr);
  try {
    throw 1;
  } catch (int) {
    elsewhere([&] { a.resume(); });
    b.resume();
    a.resume();
    elsewhere([&] { b.resume(); });
    EXPECT_NE(std::current_exception(), nullptr);
  }
  EXPECT_EQ(seen, "ab");
  EXPECT_TRUE(a.ended());
  EXPECT_TRUE(b.ended());
}

// Nobody told the collector of its stack: it is a guest, of which copies are kept.
TEST_F(Fibers, AStackOfAnUnknownAllocatorIsSafe) {
  struct Guest {
    std::unique_ptr<char[]> memory{new char[Task::kDefaultBytes]};
    void* caller = nullptr;
    Hidden object;
    static void run(Transfer from) {
      Guest& self = *static_cast<Guest*>(from.data);
      lull::ptr<Node> node = lull::make<Node>();
      node->value = 4;
      self.object = Hidden(node.get());
      from = jump_fcontext(from.context, nullptr);
      EXPECT_EQ(node->value, 4);
      collect_all();
      EXPECT_EQ(node->value, 4);
      jump_fcontext(from.context, nullptr);
    }
  } guest;
  void* context = make_fcontext(guest.memory.get() + Task::kDefaultBytes, Task::kDefaultBytes, Guest::run);
  context = jump_fcontext(context, &guest).context;
  elsewhere(collect_all);
  elsewhere([] { lull::collect_young(); });
  EXPECT_TRUE(is_allocated(guest.object));
  jump_fcontext(context, nullptr);
  // A stack in the same place: what the dead one referred to goes.
  context = make_fcontext(guest.memory.get() + Task::kDefaultBytes, Task::kDefaultBytes, Guest::run);
  elsewhere(collect_all);
  EXPECT_FALSE(is_allocated(guest.object));
}

TEST_F(Fibers, AChildProcessGoesOnWithThem) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer gives up where threads start after a fork";
  Holder holder;
  holder.task.resume();
  const pid_t child = fork();
  if (child == 0) {
    collect_all();
    const bool whole = is_allocated(holder.object);
    holder.task.resume();
    _exit(whole && holder.taken->value == 7 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  collect_all();
  EXPECT_TRUE(is_allocated(holder.object));
}

// The thread that ran on it is not there. Its stack could not be given up: destructors of globals at exit() stopped the child.
TEST_F(Fibers, AChildProcessGivesUpTheStackOfAThreadThatIsLost) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer gives up where threads start after a fork";
  std::atomic<bool> runs{false}, may_end{false};
  Hidden held;
  Task task([&](Task&) {
    const lull::ptr<Node> node = lull::make<Node>();
    held = Hidden(node.get());
    runs = true;
    while (!may_end) std::this_thread::yield();
    lull::keep_alive(node);
  });
  std::thread other([&] { task.resume(); });
  while (!runs) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    collect_all();
    const bool is_garbage = !is_allocated(held);
    task.drop_stack();
    collect_all();
    _exit(is_garbage ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  may_end = true;
  lull::blocking_region joining;
  other.join();
}

TEST(FibersDeathTest, AStackThatAThreadRunsOnIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    static char memory[4096];
    lull::fiber_stack stack(memory, sizeof memory);
    std::thread([&] {
      lull::fiber_switch_to(stack);
      std::thread([&] { lull::fiber_switch_to(stack); }).join();
    }).join();
  }, "lull: fiber_switch_to: a thread runs on that stack");
}

TEST(FibersDeathTest, AStackThatIsInUseIsNotGivenUp) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    Task task([](Task& self) { self.drop_stack(); });
    task.resume();
  }, "lull: a stack is given up that a thread runs on");
}

TEST(FibersDeathTest, ABlockedThreadDoesNotSwitch) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    Task task([](Task&) {});
    lull::blocking_region region;
    task.resume();
  }, "lull: fiber_switch_to: in a blocking region");
}

// Everything at once: fibers with lists of their own on their stacks, passed between threads, while cycles of both kinds run.
TEST_F(Fibers, MoveBetweenThreadsWhileCyclesRun) {
  constexpr int kThreads = 4, kTasks = 64;
  const int turns = lull::testing::scaled(60'000);
  std::vector<std::unique_ptr<Task>> tasks;
  std::deque<Task*> ready;
  std::mutex lock;
  std::atomic<int> lost{0}, left{kThreads};
  for (int i = 0; i < kTasks; ++i) {
    tasks.push_back(std::make_unique<Task>([&lost, i](Task& self) {
      lull::ptr<Node> list;
      for (int n = 0;; ++n) {
        lull::ptr<Node> node = lull::make<Node>();
        node->value = i;
        node->next = list;
        list = node;
        if (n % 8 == 7) list = nullptr;
        self.pause();
        for (Node* at = list.get(); at != nullptr; at = at->next.get()) lost += at->value != i;
      }
    }, i % 2 == 0 ? parked_stack::may_change : parked_stack::stays));
    ready.push_back(tasks.back().get());
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      for (int turn = 0; turn < turns; ++turn) {
        Task* task = nullptr;
        {
          std::lock_guard guard(lock);
          task = ready.front();
          ready.pop_front();
        }
        task->resume();
        std::lock_guard guard(lock);
        ready.push_back(task);
      }
      --left;
    });
  while (left != 0) {
    lull::collect_young();
    lull::collect_young();
    lull::collect();
  }
  {
    lull::blocking_region joining;
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(lost, 0);
}

}  // namespace

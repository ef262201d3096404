// lull/coroutine.h: rule 20 of docs/design/protocol_model.md, made deterministic, and everything at once.
#include <gtest/gtest.h>

#include <version>
#if defined(__cpp_impl_coroutine)  // clang 14 has its own, older coroutines

#include <atomic>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "lull/coroutine.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::coroutine_frame;
using lull::task;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Node {
  lull::ptr<Node> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

class Coroutines : public testing::Test {
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

Node* make_node(int value) {
  lull::ptr<Node> node = lull::make<Node>();
  node->value = value;
  return node.get();
}

// Ends a local variable without a store that anybody sees, as the end of its scope does.
template <class T>
void end_unseen(T& variable) {
  *reinterpret_cast<volatile std::uintptr_t*>(&variable) = 0;
}

task<int> twice(lull::ptr<Node> node) {
  co_await std::suspend_always{};
  co_return node->value * 2;
}

task<std::string> describe(int value) {
  lull::ptr<Node> node = lull::make<Node>();
  node->value = value;
  const int doubled = co_await twice(node);
  co_return std::to_string(node->value) + " " + std::to_string(doubled);
}

TEST_F(Coroutines, AnAwaitedTaskHandsItsResultOn) {
  const task<std::string> outer = describe(4);
  lull::ptr<coroutine_frame> pending;
  outer.resume();
  collect_all();
  EXPECT_FALSE(outer.done());
}

// What a task waits for, kept by a root as an event loop does.
struct Event {
  lull::root<coroutine_frame> waiting;
  int resumed = 0;
  void set() {
    const lull::ptr<coroutine_frame> frame = waiting;
    waiting = nullptr;
    frame->resume();
  }
  auto operator co_await() {
    struct Awaiter {
      Event& event;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) { event.waiting = lull::frame_of(handle); }
      int await_resume() { return ++event.resumed; }
    };
    return Awaiter{*this};
  }
};

task<int> leaf(Event& event, lull::ptr<Node> node) {
  const int times = co_await event;
  co_return node->value + times;
}

task<int> middle(Event& event, int value) {
  lull::ptr<Node> node = lull::make<Node>();
  node->value = value;
  const int first = co_await leaf(event, node), second = co_await leaf(event, node);
  co_return first * 100 + second;
}

TEST_F(Coroutines, AnEventLoopKeepsTheInnermostAndThatItsAwaiters) {
  Event event;
  int got = 0;
  const auto run = [](Event& e, int& to) -> task<> { to = co_await middle(e, 7); };
  const lull::root<coroutine_frame> outer = [&]() __attribute__((noinline)) {
    task<> started = run(event, got);
    started.resume();
    return started.detach();
  }();
  for (int i = 0; i < 2; ++i) {
    elsewhere(collect_all);
    elsewhere([] { lull::collect_young(); });
    event.set();
  }
  EXPECT_EQ(got, 809);
  EXPECT_TRUE(outer->done());
}

task<> hold_until_told(Hidden& object, Node*& taken) {
  Node* raw = make_node(7);
  object = Hidden(raw);
  co_await std::suspend_always{};
  taken = raw;
  end_unseen(raw);
  co_await std::suspend_always{};
}

struct Holder {
  Hidden object;
  Node* taken = nullptr;
  task<> body;

  Holder() {
    [this]() __attribute__((noinline)) { body = hold_until_told(object, taken); }();
    body.resume();
    clear_stack_below();
  }
};

TEST_F(Coroutines, ASuspendedOneKeepsWhatItHolds) {
  Holder holder;
  elsewhere(collect_all);
  elsewhere([] { lull::collect_young(); });
  EXPECT_TRUE(is_allocated(holder.object));
  holder.body.resume();
  EXPECT_EQ(holder.taken->value, 7);
}

class CoroutineStep : public Coroutines, public testing::WithParamInterface<Step> {};

// Rule 20: resumed by a thread that is black, or becomes so with the reference in a register.
TEST_P(CoroutineStep, AReferenceTakenOutOfItIsKept) {
  for (const lull::gc::CycleKind kind : {lull::gc::CycleKind::full, lull::gc::CycleKind::young}) {
    Holder holder;
    Stepper stepper;
    stepper.use(kind);
    stepper.run_to(GetParam());
    holder.body.resume();
    stepper.finish();
    EXPECT_TRUE(is_allocated(holder.object));
    EXPECT_EQ(holder.taken->value, 7);
  }
}

// It is old; what it makes meanwhile is held by nothing else.
TEST_P(CoroutineStep, WhatOldOnesMakeMeanwhileIsKept) {
  for (const lull::gc::CycleKind kind : {lull::gc::CycleKind::full, lull::gc::CycleKind::young}) {
    Hidden object;
    int value = 0;
    task<> body = [](Hidden& made, int& seen) -> task<> {
      co_await std::suspend_always{};
      Node* raw = make_node(11);
      made = Hidden(raw);
      co_await std::suspend_always{};
      seen = raw->value;
    }(object, value);
    body.resume();
    elsewhere(collect_all);
    {
      Stepper stepper;
      stepper.use(kind);
      stepper.run_to(GetParam());
      body.resume();
      clear_stack_below();
      stepper.finish();
    }
    EXPECT_TRUE(is_allocated(object));
    elsewhere([] { lull::collect_young(); });
    elsewhere([] { lull::collect_young(); });
    EXPECT_TRUE(is_allocated(object));
    body.resume();
    EXPECT_EQ(value, 11);
  }
}

// Counter-example 17: a grey thread leaves it and stores into it then, which shades nothing before handshake 2.
TEST_P(CoroutineStep, WhatIsStoredIntoItAndTakenOutLaterIsKept) {
  lull::ptr<Node>* variable = nullptr;
  Node* taken = nullptr;
  Hidden object;
  task<> body = [](lull::ptr<Node>*& to, Node*& out) -> task<> {
    lull::ptr<Node> local;
    to = &local;
    co_await std::suspend_always{};
    co_await std::suspend_always{};
    out = local.get();
    end_unseen(local);
    co_await std::suspend_always{};
  }(variable, taken);
  body.resume();
  Stepper stepper;
  stepper.run_to(GetParam());
  body.resume();
  [&]() __attribute__((noinline)) {
    *variable = lull::ptr<Node>(make_node(5));
    object = Hidden(variable->get());
  }();
  clear_stack_below();
  if (GetParam() < Step::stacks_scanned) stepper.run_to(Step::stacks_scanned);
  body.resume();
  stepper.finish();
  EXPECT_TRUE(is_allocated(object));
  EXPECT_EQ(taken->value, 5);
}

INSTANTIATE_TEST_SUITE_P(AtEveryStep, CoroutineStep,
                         testing::Values(Step::cycle_begins, Step::sweep_closed, Step::barriers_on, Step::stacks_scanned,
                                         Step::roots_marked, Step::marked, Step::terminating, Step::flushed, Step::done,
                                         Step::weak_cleared, Step::destructors_queued, Step::barriers_off, Step::sweep_opened,
                                         Step::swept),
                         [](const auto& named) { return std::string(name_of(named.param)); });

TEST_F(Coroutines, WhatARunningOneHoldsIsScannedWithItsThread) {
  Hidden object;
  int value = 0;
  task<> body = [](Hidden& made, int& seen) -> task<> {
    Node* raw = make_node(3);
    made = Hidden(raw);
    co_await std::suspend_always{};
    clear_stack_below();
    Stepper stepper;
    stepper.run_to(Step::stacks_scanned);
    Node* taken = raw;  // from here on in a black thread's variable only
    end_unseen(raw);
    stepper.finish();
    seen = taken->value;
  }(object, value);
  body.resume();
  body.resume();
  EXPECT_EQ(value, 3);
  EXPECT_TRUE(body.done());
}

TEST_F(Coroutines, OneThatNothingRefersToGoesWithWhatItHolds) {
  Hidden object, frame;
  elsewhere([&] {
    const lull::ptr<coroutine_frame> dropped = [&]() __attribute__((noinline)) {
      Node* taken = nullptr;
      task<> body = hold_until_told(object, taken);
      body.resume();
      return body.detach();
    }();
    frame = Hidden(dropped.get());
  });
  elsewhere(collect_all);
  EXPECT_FALSE(is_allocated(object));
  EXPECT_FALSE(is_allocated(frame));
}

// An object that owns a coroutine which refers to it: as roots the two would stay for ever.
struct Agent {
  static inline int destroyed = 0;
  task<> behaviour;
  ~Agent() { ++destroyed; }
  void trace(lull::tracer& t) const { t(behaviour); }
};
struct Count {
  static inline int destroyed = 0;
  ~Count() { ++destroyed; }
};

task<> behave(lull::ptr<Agent> self) {
  const Count count;
  co_await std::suspend_always{};
  self->behaviour.resume();
}

TEST_F(Coroutines, CyclesThroughFramesAreCollectedAndLocalsDestroyed) {
  Agent::destroyed = Count::destroyed = 0;
  elsewhere([] {
    const lull::ptr<Agent> agent = lull::make<Agent>();
    agent->behaviour = behave(agent);
    agent->behaviour.resume();
  });
  elsewhere(collect_all);
  lull::run_finalizers();
  elsewhere(collect_all);
  lull::run_finalizers();
  EXPECT_EQ(Agent::destroyed, 1);
  EXPECT_EQ(Count::destroyed, 1);
}

// At its beginning, in the middle, at its end: the frame is entered, so that destructors may do what bodies may.
TEST_F(Coroutines, DestroyedWhereverItStands) {
  for (int steps = 0; steps <= 2; ++steps) {
    Count::destroyed = 0;
    {
      const task<> body = [](Count) -> task<> {
        const Count local;
        co_await std::suspend_always{};
      }({});
      for (int i = 0; i < steps; ++i) body.resume();
      EXPECT_EQ(body.done(), steps == 2);
      Count::destroyed = 0;
    }
    EXPECT_EQ(Count::destroyed, steps == 1 ? 2 : 1) << "after " << steps << " steps";  // the parameter lives as long as the frame
    collect_all();
  }
}

TEST_F(Coroutines, ExceptionsReachTheAwaiter) {
  const task<std::string> outer = []() -> task<std::string> {
    try {
      co_await [](lull::ptr<Node> node) -> task<> {
        co_await std::suspend_never{};
        if (node->value == 1) throw std::runtime_error("inner");
      }(lull::ptr<Node>(make_node(1)));
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "nothing";
  }();
  outer.resume();
  ASSERT_TRUE(outer.done());
  EXPECT_EQ(outer.result(), "inner");
}

struct ThrowsOnCopy {
  ThrowsOnCopy() = default;
  ThrowsOnCopy(const ThrowsOnCopy&) { throw std::runtime_error("copy"); }
};

TEST_F(Coroutines, AParameterThatCannotBeCopiedLeavesNothingBehind) {
  const ThrowsOnCopy parameter;
  const auto body = [](lull::ptr<Node>, ThrowsOnCopy) -> task<> { co_return; };
  EXPECT_THROW(static_cast<void>(body(lull::ptr<Node>(make_node(1)), parameter)), std::runtime_error);
  EXPECT_EQ(lull::detail::thread_block.frames, nullptr);
}

struct Suspicious {
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<>) const { return false; }  // goes on at once
  int await_resume() const { return 6; }
};
struct Throwing {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<>) const { throw std::runtime_error("suspend"); }
  void await_resume() const {}
};

TEST_F(Coroutines, AwaitersMayDecideOtherwise) {
  std::string seen;
  const task<> body = [](std::string& to) -> task<> {
    lull::ptr<Node> node(make_node(2));
    to += std::to_string(co_await Suspicious{} * node->value);
    try {
      co_await Throwing{};
    } catch (const std::runtime_error& error) {
      to += error.what();
    }
    EXPECT_NE(lull::detail::thread_block.frames, nullptr);
    to += std::to_string(node->value);
  }(seen);
  body.resume();
  EXPECT_TRUE(body.done());
  EXPECT_EQ(seen, "12suspend2");
  EXPECT_EQ(lull::detail::thread_block.frames, nullptr);
}

lull::generator<lull::ptr<Node>> list_of(int length) {
  for (int i = 0; i < length; ++i) {
    lull::ptr<Node> node = lull::make<Node>();
    node->value = i;
    co_yield node;
  }
  if (length == 3) throw std::runtime_error("three");
}

TEST_F(Coroutines, GeneratorsYieldOneByOne) {
  int sum = 0;
  for (const lull::ptr<Node>& node : list_of(10)) {
    if (node->value % 3 == 0) elsewhere(collect_all);
    sum += node->value;
    if (node->value == 8) break;
  }
  EXPECT_EQ(sum, 36);
  sum = 0;
  EXPECT_THROW(
      {
        for (const lull::ptr<Node>& node : list_of(3)) sum += node->value;
      },
      std::runtime_error);
  EXPECT_EQ(sum, 3);
}

TEST_F(Coroutines, AGeneratorMayRunAnother) {
  const auto squares = [](int n) -> lull::generator<int> {
    for (const lull::ptr<Node>& node : list_of(n)) co_yield node->value * node->value;
  };
  int sum = 0;
  for (const int square : squares(5)) sum += square;
  EXPECT_EQ(sum, 30);
}

TEST(CoroutinesDeathTest, OneThatRunsIsNotResumed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    static task<> body;
    body = []() -> task<> {
      co_await std::suspend_always{};
      body.frame()->resume();
    }();
    body.resume();
    body.resume();
  }, "");
}

// Everything at once: coroutines with lists of their own, awaiting others, handed from thread to thread while cycles run.
task<int> shorten(lull::ptr<Node> list, int owner) {
  int wrong = 0;
  co_await std::suspend_never{};
  for (const Node* at = list.get(); at != nullptr; at = at->next.get()) wrong += at->value != owner;
  co_return wrong;
}

task<> churn(int owner, std::atomic<int>& lost) {
  Node* list = nullptr;  // raw: nothing sees what happens to it
  for (int n = 0;; ++n) {
    lull::ptr<Node> node = lull::make<Node>();
    node->value = owner;
    node->next = lull::ptr<Node>(list);
    list = n % 8 == 7 ? nullptr : node.get();
    co_await std::suspend_always{};
    lost += co_await shorten(lull::ptr<Node>(list), owner);
  }
}

void churn_on_threads(int turns) {
  constexpr int kThreads = 3, kTasks = 48;
  std::atomic<int> lost{0}, left{kThreads};
  std::mutex lock;
  std::deque<lull::root<coroutine_frame>> ready;
  std::vector<lull::root<task<>>> owners;
  for (int i = 0; i < kTasks; ++i) {
    owners.emplace_back(lull::make<task<>>(churn(i, lost)));
    ready.emplace_back(lull::ptr<coroutine_frame>(owners.back()->frame()));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      for (int turn = 0; turn < turns; ++turn) {
        lull::root<coroutine_frame> frame;
        {
          std::lock_guard guard(lock);
          frame = std::move(ready.front());
          ready.pop_front();
        }
        frame->resume();
        std::lock_guard guard(lock);
        ready.push_back(std::move(frame));
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

TEST_F(Coroutines, MoveBetweenThreadsWhileCyclesRun) { churn_on_threads(lull::testing::scaled(40'000)); }

TEST_F(Coroutines, TheVerifierAgrees) {
  const auto verify = std::exchange(lull::gc::options.verify, 1u);
  churn_on_threads(lull::testing::scaled(2'000));
  lull::gc::options.verify = verify;
}

TEST_F(Coroutines, CollectingAtEveryAllocation) {
  const auto stress = std::exchange(lull::gc::options.stress, 1u);
  for (int i = 0; i < 3; ++i) {
    int sum = 0;
    for (const lull::ptr<Node>& node : list_of(8)) sum += node->value;
    EXPECT_EQ(sum, 28);
    Event event;
    const task<int> outer = middle(event, 2);
    outer.resume();
    event.set();
    event.set();
    EXPECT_EQ(outer.result(), 304);
  }
  lull::gc::options.stress = stress;
}

}  // namespace

#endif

// on_unreachable: callbacks run once, in order, when nobody can reach the object any more, destructors included.
//
// Objects that are to die are made on threads that end; see collect_test.cc.
#include "lull/on_unreachable.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"

namespace {

using lull::make;
using lull::on_unreachable;
using lull::ptr;
using lull::root;
using lull::gc::CycleKind;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::kIntact;
using lull::testing::Node;

std::vector<int> ran;  // by run_finalizers() on the test's thread
root<Node> kept;

class OnUnreachable : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::gc::options.verify = 1;
    lull::gc::options.manual_finalizers = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
    ran.clear();
  }
  void TearDown() override { kept = nullptr; }
};

void run_all() {
  elsewhere([] { lull::run_finalizers(); });
}

TEST_F(OnUnreachable, RunsOnceAfterTheObjectHasGone) {
  Hidden where;
  elsewhere([&] {
    kept = make<Node>();
    where = Hidden(kept.get());
    on_unreachable(kept.load(), [] { ran.push_back(1); });
  });
  for (int i = 0; i < 2; ++i) lull::collect();
  run_all();
  EXPECT_TRUE(ran.empty());
  elsewhere([] { kept = nullptr; });
  lull::collect();
  EXPECT_TRUE(ran.empty());
  EXPECT_FALSE(is_allocated(where));
  for (int i = 0; i < 3; ++i) {
    run_all();
    lull::collect();
  }
  EXPECT_EQ(ran, std::vector{1});
}

TEST_F(OnUnreachable, RunsOnTheFinalizerThread) {
  lull::gc::options.manual_finalizers = 0;
  static std::atomic<bool> done{false};
  elsewhere([] { on_unreachable(make<Node>(), [] { done = true; }); });
  lull::collect();
  lull::wait_for_finalizers();
  EXPECT_TRUE(done);
}

// Some are registered before cycles of either kind, some after, some while one runs.
TEST_F(OnUnreachable, RunInTheOrderOfRegistration) {
  int n = 0;
  const auto add = [&] {
    elsewhere([&] {
      for (int i = 0; i < 300; ++i) on_unreachable(kept.load(), [number = n++] { ran.push_back(number); });
    });
  };
  elsewhere([] { kept = make<Node>(); });
  add();
  lull::collect_young();
  add();
  lull::collect();
  add();
  for (const Step step : {Step::stacks_scanned, Step::done, Step::swept}) {
    Stepper stepper;
    stepper.run_to(step);
    add();
  }
  elsewhere([] { kept = nullptr; });
  lull::collect();
  run_all();
  ASSERT_EQ(ran.size(), static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) ASSERT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST_F(OnUnreachable, YoungCyclesFindYoungObjectsOnly) {
  elsewhere([] {
    kept = make<Node>();
    on_unreachable(kept.load(), [] { ran.push_back(1); });
  });
  lull::collect();
  elsewhere([] {
    kept = nullptr;
    on_unreachable(make<Node>(), [] { ran.push_back(2); });
  });
  lull::collect_young();
  run_all();
  EXPECT_EQ(ran, std::vector{2});
  lull::collect();
  run_all();
  EXPECT_EQ(ran, (std::vector{2, 1}));
}

TEST_F(OnUnreachable, ACancelledOneDoesNotRun) {
  static root<lull::cleanup> handle;
  elsewhere([] {
    kept = make<Node>();
    lull::cleanup first = on_unreachable(kept.load(), [] { ran.push_back(1); });
    handle = make<lull::cleanup>(on_unreachable(kept.load(), [] { ran.push_back(2); }));
    on_unreachable(kept.load(), [] { ran.push_back(3); });
    EXPECT_TRUE(first.cancel());
    EXPECT_FALSE(first.cancel());
    kept = nullptr;
  });
  lull::collect();
  EXPECT_TRUE(handle->cancel());  // queued, not run
  run_all();
  EXPECT_EQ(ran, std::vector{3});
  EXPECT_FALSE(lull::cleanup().cancel());
  elsewhere([] {
    *handle = on_unreachable(make<Node>(), [] { ran.push_back(4); });
  });
  lull::collect();
  run_all();
  EXPECT_EQ(ran, (std::vector{3, 4}));
  EXPECT_FALSE(handle->cancel());
  handle = nullptr;
}

// Captures are whole, managed ones too, and go in the end; a cancelled callback's as well.
TEST_F(OnUnreachable, CapturesLiveUntilItHasRun) {
  std::weak_ptr<int> watch, watch_cancelled;
  Hidden managed;
  elsewhere([&] {
    auto shared = std::make_shared<int>(7), other = std::make_shared<int>(8);
    watch = shared;
    watch_cancelled = other;
    kept = make<Node>();
    const ptr<Node> captured = make<Node>();
    managed = Hidden(captured.get());
    on_unreachable(kept.load(), [captured, shared = std::move(shared)] {
      EXPECT_EQ(captured->value, kIntact);
      ran.push_back(*shared);
    });
    on_unreachable(kept.load(), [other = std::move(other)] {}).cancel();
  });
  for (int i = 0; i < 2; ++i) {
    lull::collect_young();
    lull::collect();
    run_all();
  }
  EXPECT_TRUE(is_allocated(managed));
  EXPECT_FALSE(watch.expired());
  EXPECT_TRUE(watch_cancelled.expired());
  elsewhere([] { kept = nullptr; });
  for (int i = 0; i < 4; ++i) {
    lull::collect();
    run_all();
  }
  EXPECT_EQ(ran, std::vector{7});
  EXPECT_TRUE(watch.expired());
  EXPECT_FALSE(is_allocated(managed));
}

// The object's own destructor, and those of others that refer to it, run before.
struct Owner {
  ptr<Node> part = make<Node>();
  ~Owner() { ran.push_back(part->value == kIntact ? 1 : -1); }
  void trace(lull::tracer& t) const { t(part); }
};

TEST_F(OnUnreachable, RunsAfterDestructorsThatCanReachTheObject) {
  elsewhere([] {
    const ptr<Owner> owner = make<Owner>();
    on_unreachable(owner->part, [] { ran.push_back(2); });
    on_unreachable(owner, [] { ran.push_back(3); });
  });
  lull::collect();
  run_all();
  EXPECT_EQ(ran, std::vector{1});
  lull::collect();
  run_all();
  EXPECT_EQ(ran, (std::vector{1, 2, 3}));
}

TEST_F(OnUnreachable, OfNothingNeverRuns) {
  static int outside = 0;
  elsewhere([] {
    on_unreachable(ptr<int>(), [] { ran.push_back(1); });
    on_unreachable(ptr<int>(&outside), [] { ran.push_back(2); });
  });
  for (int i = 0; i < 2; ++i) lull::collect();
  run_all();
  EXPECT_TRUE(ran.empty());
}

// Registered at any step by a thread that knew the object before: its callback is not lost, and runs once.
class OnUnreachableStep : public OnUnreachable, public testing::WithParamInterface<Step> {};

[[gnu::noinline]] void register_here() {
  on_unreachable(kept.load(), [captured = make<Node>()] { ran.push_back(captured->value == kIntact ? 1 : -1); });
}

TEST_P(OnUnreachableStep, RegisteredWhileACycleRuns) {
  for (const CycleKind kind : {CycleKind::full, CycleKind::young}) {
    ran.clear();
    elsewhere([] { kept = make<Node>(); });
    Stepper stepper;
    stepper.use(kind);
    stepper.run_to(GetParam());
    register_here();
    lull::testing::clear_stack_below();
    stepper.finish();
    lull::collect_young();
    elsewhere([] { kept = nullptr; });
    for (int i = 0; i < 2; ++i) lull::collect();
    run_all();
    EXPECT_EQ(ran, std::vector{1});
  }
}
INSTANTIATE_TEST_SUITE_P(AtEveryStep, OnUnreachableStep,
                         testing::Values(Step::cycle_begins, Step::barriers_on, Step::stacks_scanned, Step::roots_marked, Step::marked,
                                         Step::terminating, Step::flushed, Step::done, Step::weak_cleared, Step::destructors_queued,
                                         Step::barriers_off, Step::sweep_opened, Step::swept),
                         [](const auto& named) { return std::string(name_of(named.param)); });

}  // namespace

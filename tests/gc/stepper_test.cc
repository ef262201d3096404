// Lost-object scenarios, made deterministic by holding the driver at named steps. Each names the rule of
// docs/design/protocol_model.md that it guards; tools/mutants breaks these rules one by one and expects a failure here.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "alloc/pages/memory_limit.h"
#include "alloc/pages/span_table.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

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

lull::root<Node> anchor;

// A list of `n` nodes behind `anchor`, built where this thread never sees an address.
void build_list(int n) {
  elsewhere([&] {
    anchor = lull::make<Node>();
    Node* last = anchor.get();
    for (int i = 1; i < n; ++i) {
      last->next = lull::make<Node>();
      last = last->next.get();
      last->value = i;
    }
  });
}

class StepperTest : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

// Cuts the list behind the anchor and returns the rest, hidden. Not inlined: leaves no address in the caller's frame.
[[gnu::noinline]] Hidden cut_after_anchor() {
  Hidden rest(anchor->next.get());
  anchor->next = nullptr;
  return rest;
}

// Marks have a version a span: to clear them would cost as much as the heap is large (docs/design/pitfalls.md).
TEST_F(StepperTest, MarksOfTheLastCycleAreStaleAtOnceAndTouchedByNobody) {
  constexpr int kNodes = 20'000;
  build_list(kNodes);
  lull::collect();
  const auto marks = [] {
    std::uint64_t set = 0, stale = 0;
    lull::pages::for_each_span([&](lull::pages::Span* span) {
      std::uint64_t here = 0;
      for (std::uint32_t w = 0; w < span->words; ++w) here += static_cast<std::uint64_t>(std::popcount(span->mark_bits()[w].load()));
      set += here;
      if (span->mark_cycle.load() != lull::gc::mark_epoch.load()) stale += here;
    });
    return std::pair(set, stale);
  };
  const auto [before, stale_before] = marks();
  ASSERT_LE(kNodes, before);
  EXPECT_GT(before / 2, stale_before);
  Stepper stepper;
  stepper.run_to(Step::barriers_on);
  const auto [after, stale_after] = marks();
  EXPECT_LE(kNodes, after);
  EXPECT_EQ(after, stale_after);
  stepper.finish();
}

// Shade of the old value (Yuasa): a black stack loads the only reference and deletes it from the heap.
TEST_F(StepperTest, ABlackStackMayTakeTheLastReferenceOutOfTheHeap) {
  build_list(2);
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  const Hidden taken = cut_after_anchor();
  clear_stack_below();
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
  EXPECT_EQ(taken.as<Node>()->value, 1);
}

TEST_F(StepperTest, SoMayTheStackOfAThreadThatHasJustCome) {
  build_list(2);
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  Hidden taken;
  elsewhere([&] { taken = cut_after_anchor(); });
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
}

TEST_F(StepperTest, ARootThatGoesShadesWhatItHeld) {
  auto root = std::make_unique<lull::root<Node>>();
  elsewhere([&] { *root = lull::make<Node>(); });
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  Hidden taken;
  elsewhere([&] {
    taken = Hidden(root->get());
    root.reset();
  });
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
}

// Rule 4: a flush that interrupts a thread between a store and its shades scans it again. Nobody else knows the old value.
std::atomic<bool> is_in_barrier{false}, may_leave_barrier{false};

TEST_F(StepperTest, AFlushFindsTheOldValueInABarrierThatItInterrupts) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "threads that do not poll need the signal";
  build_list(2);
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  lull::gc::delay_hook_for_testing = [](const char* where) {
    if (std::string_view(where) != "stored, not shaded" || is_in_barrier.exchange(true)) return;
    while (!may_leave_barrier) {
    }
  };
  lull::gc::options.delay = 1;  // of the hook
  std::thread other([&] {
    {
      lull::blocking_region waiting;
      while (!is_in_barrier) std::this_thread::yield();
    }
    stepper.finish();
    may_leave_barrier = true;
  });
  const Hidden taken = cut_after_anchor();
  {
    lull::blocking_region joining;
    other.join();
  }
  EXPECT_TRUE(is_allocated(taken));
}

// A flush brings what the barrier greyed: the deleted node is marked at once, its successors only after the flush.
TEST_F(StepperTest, TerminationWaitsForWhatBarriersHaveGreyed) {
  build_list(4);
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  const Hidden taken = cut_after_anchor();
  clear_stack_below();
  stepper.finish();
  int length = 0;
  for (Node* n = taken.as<Node>(); n != nullptr; n = n->next.get()) {
    EXPECT_TRUE(is_allocated(Hidden(n)));
    EXPECT_EQ(n->value, ++length);
    if (n->value != length) break;
  }
  EXPECT_EQ(length, 3);
}

// The same after the flush was answered: the shade cancels termination (rule 7).
TEST_F(StepperTest, ADeletionAfterTheFlushCancelsTermination) {
  build_list(3);
  static lull::root<Node> other;
  Stepper stepper;
  stepper.run_to(Step::flushed);
  // Everything reachable is marked by now, so nothing is lost; the cycle must end all the same.
  const Hidden taken = cut_after_anchor();
  other = lull::ptr<Node>(taken.as<Node>());
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
}

// The snapshot: objects born after their thread's stack was scanned are no candidates (rule 11).
[[gnu::noinline]] Hidden make_hidden() { return Hidden(lull::make<Node>().get()); }

TEST_F(StepperTest, ObjectsBornAfterTheScanAreNotFreedByTheCycle) {
  build_list(1);
  make_hidden();  // the thread has a span, which the scan finds in its cache
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  const Hidden born = make_hidden();
  clear_stack_below();
  stepper.finish();
  EXPECT_TRUE(is_allocated(born));
}

TEST_F(StepperTest, ObjectsBornInSpansTakenAfterTheScanAreNotFreedByTheCycle) {
  build_list(1);
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  Hidden born[3000];
  for (Hidden& b : born) b = make_hidden();
  clear_stack_below();
  stepper.finish();
  for (const Hidden& b : born) ASSERT_TRUE(is_allocated(b));
}

TEST_F(StepperTest, ObjectsBornBetweenHandshake3AndTheSweepAreNotFreed) {
  build_list(1);
  Stepper stepper;
  stepper.run_to(Step::barriers_off);
  Hidden born[3000];
  for (Hidden& b : born) b = make_hidden();
  clear_stack_below();
  stepper.finish();
  for (const Hidden& b : born) ASSERT_TRUE(is_allocated(b));
}

// There the allocation waits for the sweep, which does not come: only for a moment.
TEST_F(StepperTest, NearTheMemoryLimitAllocationsGoOnThoughTheSweepDoesNotOpen) {
  build_list(1);
  Stepper stepper;
  stepper.run_to(Step::barriers_off);
  const std::uint64_t before = lull::set_memory_limit(1);
  lull::pages::note_held(2);
  EXPECT_TRUE(lull::pages::memory_is_short());
  Hidden born[300];
  for (Hidden& b : born) b = make_hidden();
  lull::set_memory_limit(before);
  clear_stack_below();
  stepper.finish();
  for (const Hidden& b : born) ASSERT_TRUE(is_allocated(b));
  lull::pages::note_held(0);
}

// Shades skip what lies in the hole that a black thread opened last (docs/design/barrier.md). A thread that opened one
// between handshake 3 and the sweep went on skipping it in the next cycle, in which those objects are candidates.
[[gnu::noinline]] void append_to_anchor() { anchor->next = lull::make<Node>(); }

TEST_F(StepperTest, ObjectsBornBetweenHandshake3AndTheSweepAreShadedInTheNextCycle) {
  build_list(1);
  Stepper stepper;
  stepper.run_to(Step::barriers_off);
  append_to_anchor();  // opens a hole
  clear_stack_below();
  stepper.finish();
  stepper.run_to(Step::stacks_scanned);
  const Hidden taken = cut_after_anchor();
  clear_stack_below();
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
}

TEST_F(StepperTest, ObjectsBornBeforeTheirScanThatNobodyHoldsAreFreed) {
  build_list(1);
  Stepper stepper;
  stepper.run_to(Step::sweep_closed);  // barriers are off: nothing shades it
  const Hidden dropped = make_hidden();
  clear_stack_below();
  stepper.finish();
  EXPECT_FALSE(is_allocated(dropped));
}

// Shade of the new value (Dijkstra): a grey stack publishes an object into one that was born black, which nobody scans.
lull::root<Node> born_black;

[[gnu::noinline]] void store_into_born_black(const Hidden& value) {
  born_black->next = lull::ptr<Node>(value.as<Node>());
}

// Well below the caller's frame, where clear_stack_below reaches every word.
[[gnu::noinline]] void store_deep_down(const Hidden& value) {
  volatile char padding[1024] = {};
  store_into_born_black(value);
  EXPECT_EQ(padding[0], 0);
}

TEST_F(StepperTest, AGreyStackMayPublishIntoAnObjectThatWasBornBlack) {
  lull::gc::options.noasync = 1;  // the grey thread answers where this test wants it to
  build_list(1);
  Hidden published;
  std::atomic<int> stage{0};
  std::thread grey([&] {
    lull::attach_thread();
    stage = 1;
    while (lull::gc::self().pending != lull::gc::HandshakeOp::barriers_on) {
    }
    lull::gc::poll(lull::gc::self());  // answers handshake 1; safepoint() asks a flag that is set a moment later
    stage = 2;
    while (stage != 3) {  // does not poll: grey
    }
    {
      // The store's own poll would answer handshake 2 with the new value still in a register.
      lull::gc::RuntimeSection later(lull::gc::self());
      store_deep_down(published);
      clear_stack_below();
    }
    while (lull::gc::mark_state != lull::gc::MarkState::off) lull::safepoint();  // answers the others
  });
  while (stage != 1) std::this_thread::yield();
  elsewhere([&] { published = make_hidden(); });  // now: the grey thread must not get this thread's stack, stale words and all
  lull::gc::request_cycle();
  {
    lull::blocking_region scanned_on_behalf;
    while (stage != 2) std::this_thread::yield();
  }
  while (lull::gc::self().scanned_cycle != lull::gc::current_cycle.load()) {
    lull::blocking_region scanned_on_behalf;
    std::this_thread::yield();
  }
  born_black = lull::make<Node>();  // this stack is black
  stage = 3;
  {
    lull::blocking_region joining;
    grey.join();
  }
  Stepper().finish();
  EXPECT_TRUE(is_allocated(published));
}

// The other way round: a black stack copies the last reference out of a local variable of a thread whose stack is grey,
// and the variable ends, which is no store (docs/design/barrier.md, "Variables").
TEST_F(StepperTest, ABlackStackMayCopyFromAVariableOfAGreyOne) {
  lull::gc::options.noasync = 1;
  build_list(1);
  std::atomic<const lull::ptr<Node>*> variable{nullptr};
  std::atomic<int> stage{0};
  Hidden copied;
  std::thread grey([&] {
    lull::attach_thread();
    stage = 1;
    while (lull::gc::self().pending != lull::gc::HandshakeOp::barriers_on) {
    }
    {
      lull::gc::RuntimeSection later(lull::gc::self());  // make() must not answer handshake 2
      [&]() __attribute__((noinline)) {
        const lull::ptr<Node> mine = lull::make<Node>();
        copied = Hidden(mine.get());
        variable = &mine;
        lull::gc::self().runtime_depth = 0;
        lull::gc::poll(lull::gc::self());  // handshake 1
        lull::gc::self().runtime_depth = 1;
        while (stage != 2) {  // does not poll: grey
        }
      }();
      clear_stack_below();
    }
    while (lull::gc::mark_state != lull::gc::MarkState::off) lull::safepoint();
  });
  while (stage != 1) std::this_thread::yield();
  lull::gc::request_cycle();
  while (variable == nullptr || lull::gc::self().scanned_cycle != lull::gc::current_cycle.load()) {
    lull::blocking_region scanned_on_behalf;
    std::this_thread::yield();
  }
  born_black = lull::make<Node>();  // this stack is black
  born_black->next = *variable;
  clear_stack_below();
  stage = 2;
  {
    lull::blocking_region joining;
    grey.join();
  }
  Stepper().finish();
  EXPECT_TRUE(is_allocated(copied));
}

bool is_marked(const Hidden& object) {
  return lull::gc::is_marked(lull::gc::resolve(object.address()), lull::gc::mark_epoch.load());
}

// Once no stack is grey, a stored value is left alone, the overwritten one is shaded.
TEST_F(StepperTest, OnlyDeletionsAreShadedOnceAllStacksAreBlack) {
  build_list(1);
  Hidden value;
  elsewhere([&] { value = make_hidden(); });
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  born_black = lull::make<Node>();
  store_deep_down(value);
  EXPECT_FALSE(is_marked(value));
  born_black->next = nullptr;
  EXPECT_TRUE(is_marked(value));
  clear_stack_below();
  stepper.finish();
}

// Rule 15.
lull::root<lull::weak_ptr<Node>> weak_anchor;

void build_weakly_held() {
  elsewhere([] { weak_anchor = lull::make<lull::weak_ptr<Node>>(lull::make<Node>()); });
}

TEST_F(StepperTest, LockWhileMarkingKeepsTheObject) {
  for (Step step : {Step::barriers_on, Step::stacks_scanned, Step::roots_marked, Step::marked, Step::terminating, Step::flushed}) {
    build_weakly_held();
    Stepper stepper;
    stepper.run_to(step);
    Hidden locked;
    [&]() __attribute__((noinline)) { locked = Hidden(weak_anchor->lock().get()); }();
    clear_stack_below();
    ASSERT_NE(locked.as<Node>(), nullptr) << name_of(step);
    stepper.finish();
    EXPECT_TRUE(is_allocated(locked)) << name_of(step);
  }
}

TEST_F(StepperTest, LockAfterTerminationYieldsNothing) {
  for (Step step : {Step::done, Step::weak_cleared, Step::destructors_queued, Step::barriers_off, Step::swept}) {
    build_weakly_held();
    clear_stack_below();
    Stepper stepper;
    stepper.run_to(step);
    EXPECT_TRUE(weak_anchor->expired()) << name_of(step);
  }
}

TEST_F(StepperTest, LockAfterTerminationFindsWhatIsReachable) {
  for (Step step : {Step::done, Step::weak_cleared, Step::destructors_queued, Step::barriers_off, Step::swept}) {
    elsewhere([] {
      anchor = lull::make<Node>();
      weak_anchor = lull::make<lull::weak_ptr<Node>>(anchor);
    });
    clear_stack_below();
    Stepper stepper;
    stepper.run_to(step);
    EXPECT_EQ(weak_anchor->lock().get(), anchor.get()) << name_of(step);
  }
}

// At whatever step the only reference moves from the heap to a stack and back, nothing is lost.
TEST_F(StepperTest, AReferenceThatMovesBetweenHeapAndStackAtAnyStepIsNotLost) {
  static lull::root<Node> second;
  for (std::uint32_t s = 0; s < lull::gc::kSteps; ++s) {
    for (std::uint32_t later = s; later < lull::gc::kSteps; ++later) {
      build_list(3);
      clear_stack_below();
      Hidden held;
      {
        Stepper stepper;
        stepper.run_to(static_cast<Step>(s));
        held = cut_after_anchor();
        clear_stack_below();
        // On the stack only while it is visible to a scan: a real local.
        Node* volatile local = held.as<Node>();
        if (later != s) stepper.run_to(static_cast<Step>(later));
        second = lull::ptr<Node>(local);
        local = nullptr;
        stepper.finish();
      }
      ASSERT_TRUE(is_allocated(held)) << name_of(static_cast<Step>(s)) << " " << name_of(static_cast<Step>(later));
      ASSERT_EQ(held.as<Node>()->next->value, 2);
    }
  }
}

TEST_F(StepperTest, ThreadsComeAndGoAtAnyStep) {
  for (std::uint32_t s = 0; s < lull::gc::kSteps; ++s) {
    build_list(2);
    Stepper stepper;
    stepper.run_to(static_cast<Step>(s));
    static lull::root<Node> made;
    elsewhere([] {
      made = lull::make<Node>();
      made->next = lull::make<Node>();
      for (int i = 0; i < 1000; ++i) lull::make<Node>();
    });
    stepper.finish();
    EXPECT_TRUE(is_allocated(Hidden(made.get()))) << name_of(static_cast<Step>(s));
    EXPECT_TRUE(is_allocated(Hidden(made->next.get()))) << name_of(static_cast<Step>(s));
  }
}

}  // namespace

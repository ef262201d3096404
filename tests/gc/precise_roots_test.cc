// Precise roots (lull_use_precise_roots): lost-object scenarios with the driver held at named steps. A frame's slots are the
// protocol's registers: grey until their thread has answered handshake 2, black from then on, never barriered.
#include <gtest/gtest.h>

#include <pthread.h>

#include <atomic>
#include <thread>

#include "gc/cycle/stepper.h"
#include "gc/cycle/verifier.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "lull/lull_c.h"
#include "tests/support/hidden.h"

namespace {

using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Node {
  Node* next;
  long value;
};

lull_kind node_kind;

Node* make_node(long value) {
  auto* n = static_cast<Node*>(lull_new(&node_kind));
  n->value = value;
  return n;
}

bool is_poll_requested() { return __atomic_load_n(&lull_this_thread_.poll_requested, __ATOMIC_ACQUIRE) != 0; }

class PreciseRootsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(lull_use_precise_roots(), 0);
    lull::gc::options.scribble = lull::gc::options.verify = 1;
    lull_set_gc_percent(-1);
    lull_attach_thread();
    lull_kind_info info{};
    info.name = "node";
    info.bytes = sizeof(Node);
    info.scan = LULL_BITMAP;
    info.pointer_bits = 1;
    ASSERT_EQ(lull_kind_init(&node_kind, &info), 0);
  }
};

// Stacks do not count: an address in a variable of a live frame keeps nothing.
TEST_F(PreciseRootsTest, VariablesAreNoRoots) {
  Node* volatile in_a_variable = make_node(1);
  LULL_FRAME(v, 1);
  v[0] = make_node(2);
  lull_collect();
  EXPECT_FALSE(is_allocated(Hidden(in_a_variable)));
  EXPECT_TRUE(is_allocated(Hidden(v[0])));
  LULL_END_FRAME(v);
}

// Between two safepoints a reference may be anywhere: stores, loads and weak reads are none, though a handshake is pending.
TEST_F(PreciseRootsTest, NothingButASafepointAnswersAHandshake) {
  lull::gc::options.verify = 0;  // the driver would answer for this thread behind a stop, and clear the flag for it
  LULL_FRAME(v, 2);
  v[0] = make_node(1);
  v[1] = lull_weak_new(v[0]);
  std::atomic<bool> asked{false};
  std::thread collector([&] {
    asked = true;
    lull_collect();
  });
  Hidden object(v[0]);
  lull_weak* weak = static_cast<lull_weak*>(v[1]);
  while (!asked || !is_poll_requested()) std::this_thread::yield();
  // Handshake 1 waits for this thread. Out of the frame and into a variable, past barriers and weak reads, and back.
  Node* held = static_cast<Node*>(v[0]);
  v[0] = nullptr;
  for (int i = 0; i < 100; ++i) {
    lull_store(&held->next, held);
    EXPECT_EQ(lull_weak_get(weak), held);
    EXPECT_TRUE(is_poll_requested());
  }
  v[0] = held;
  while (is_poll_requested()) lull_poll();
  lull_enter_native();
  collector.join();
  lull_leave_native();
  EXPECT_TRUE(is_allocated(object));
  LULL_END_FRAME(v);
}

// A frame is grey until its thread answers: a reference moves out of it into a scanned object; shade(new) has to see it.
TEST_F(PreciseRootsTest, AGreyFrameMayPublishIntoAScannedObject) {
  LULL_FRAME(v, 2);
  v[0] = make_node(1);  // the scanned object
  lull_root* root = lull_root_new(v[0]);
  v[1] = make_node(2);
  v[0] = nullptr;
  Stepper stepper;
  stepper.run_to(Step::barriers_on);  // barriers are on, no frame has been scanned
  const Hidden moved(v[1]);
  lull_store(&static_cast<Node*>(lull_load(root))->next, v[1]);
  v[1] = nullptr;  // gone from the frame before it is scanned; and out of the object before that is
  Node* holder = static_cast<Node*>(lull_load(root));
  v[0] = lull_load(&holder->next);
  stepper.run_to(Step::stacks_scanned);
  stepper.finish();
  EXPECT_TRUE(is_allocated(moved));
  lull_root_free(root);
  LULL_END_FRAME(v);
}

// The same between threads: what a grey frame alone holds is published by its thread through an object that only a black thread knows.
TEST_F(PreciseRootsTest, ADeletionBehindABlackFrameIsSeen) {
  LULL_FRAME(v, 1);
  lull_root* root = lull_root_new(make_node(1));
  v[0] = make_node(2);
  lull_store(&static_cast<Node*>(lull_load(root))->next, v[0]);
  v[0] = nullptr;
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);  // this frame is black, nothing is marked yet
  Node* holder = static_cast<Node*>(lull_load(root));
  v[0] = lull_load(&holder->next);     // out of the heap into a black frame,
  lull_store(&holder->next, nullptr);  // and the last slot is overwritten: shade(old)
  const Hidden taken(v[0]);
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
  EXPECT_EQ(static_cast<Node*>(v[0])->value, 2);
  lull_root_free(root);
  LULL_END_FRAME(v);
}

// The same through an exchange, a range copy and a fill.
TEST_F(PreciseRootsTest, DeletionsByRangesAreSeen) {
  LULL_FRAME(v, 3);
  lull_root* holder[3];
  for (int i = 0; i < 3; ++i) {
    holder[i] = lull_root_new(make_node(i));
    Node* next = make_node(10 + i);
    lull_store(&static_cast<Node*>(lull_load(holder[i]))->next, next);
  }
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  void* nothing[1] = {nullptr};
  v[0] = lull_exchange(&static_cast<Node*>(lull_load(holder[0]))->next, nullptr);
  v[1] = lull_load(&static_cast<Node*>(lull_load(holder[1]))->next);
  lull_copy(&static_cast<Node*>(lull_load(holder[1]))->next, nothing, 1);
  v[2] = lull_load(&static_cast<Node*>(lull_load(holder[2]))->next);
  lull_fill(&static_cast<Node*>(lull_load(holder[2]))->next, 1, nullptr);
  stepper.finish();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(is_allocated(Hidden(v[i])));
    EXPECT_EQ(static_cast<Node*>(v[i])->value, 10 + i);
    lull_root_free(holder[i]);
  }
  LULL_END_FRAME(v);
}

// A stack that is an object (docs/embedding.md, "Coroutines that nobody resumes") is copied onto itself before its slots are variables and when they are
// none any more: what a black thread takes out of it between the two is stored by no barrier.
TEST_F(PreciseRootsTest, WhatIsTakenOutOfAStackThatIsAnObjectIsKept) {
  LULL_FRAME(v, 2);
  v[0] = make_node(0);
  lull_store(&static_cast<Node*>(v[0])->next, make_node(1));
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  void** const slot = reinterpret_cast<void**>(&static_cast<Node*>(v[0])->next);
  const Hidden taken(*slot);
  lull_frame running{nullptr, nullptr, 1, slot};
  lull_push_frame(&running);
  lull_copy(slot, slot, 1);
  v[1] = *slot;
  *slot = nullptr;
  lull_copy(slot, slot, 1);
  lull_pop_frame(&running);
  stepper.finish();
  EXPECT_TRUE(is_allocated(taken));
  EXPECT_EQ(static_cast<Node*>(v[1])->value, 1);
  LULL_END_FRAME(v);
}

// Allocation looks at roots before the object exists, never after: the new object is in a variable alone.
TEST_F(PreciseRootsTest, ANewObjectNeedsNoRootBeforeTheNextSafepoint) {
  lull::gc::options.stress = 1;  // a cycle in every allocation
  LULL_FRAME(v, 1);
  for (int i = 0; i < 20; ++i) {
    Node* n = make_node(i);
    EXPECT_TRUE(is_allocated(Hidden(n)));
    n->next = nullptr;
    lull_initialize(&n->next, v[0]);
    v[0] = n;
  }
  int length = 0;
  for (auto* n = static_cast<Node*>(v[0]); n != nullptr; n = n->next) ++length;
  EXPECT_EQ(length, 20);
  LULL_END_FRAME(v);
}

// While a thread is in a native region the collector scans its frames for it, in every cycle.
TEST_F(PreciseRootsTest, FramesOfAThreadInANativeRegionAreScannedForIt) {
  std::atomic<int> stage{0};
  Hidden object;
  std::thread other([&] {
    LULL_FRAME(v, 1);
    v[0] = make_node(7);
    object = Hidden(v[0]);
    lull_enter_native();
    stage = 1;
    while (stage < 2) std::this_thread::yield();
    lull_leave_native();
    EXPECT_EQ(static_cast<Node*>(v[0])->value, 7);
    LULL_END_FRAME(v);
  });
  lull_enter_native();
  while (stage < 1) std::this_thread::yield();
  lull_leave_native();
  for (int i = 0; i < 3; ++i) lull_collect();
  EXPECT_TRUE(is_allocated(object));
  stage = 2;
  lull_enter_native();
  other.join();
  lull_leave_native();
}

// Words of a thread's stack from before it attached count for nothing.
TEST_F(PreciseRootsTest, AThreadThatAttachesWhileMarkingBringsNoWords) {
  Hidden garbage(make_node(9));
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  std::thread([&] {
    void* volatile stale = garbage.as<void>();
    lull_attach_thread();
    static_cast<void>(stale);
    lull_detach_thread();
  }).join();
  stepper.finish();
  EXPECT_FALSE(is_allocated(garbage));
}

// Root functions run while marking, so their slots are written with barriers.
void* global_slot;
void trace_global(void* data, lull_tracer* t) { lull_trace(t, data); }

TEST_F(PreciseRootsTest, RootFunctionsNameRootsInYoungAndFullCycles) {
  ASSERT_EQ(lull_add_roots(trace_global, &global_slot), 0);
  lull_store(&global_slot, make_node(4));
  const Hidden object(global_slot);
  lull_collect();
  lull_collect_young();
  EXPECT_TRUE(is_allocated(object));
  LULL_FRAME(v, 1);
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);  // the function was not called yet
  v[0] = lull_exchange(&global_slot, nullptr);
  stepper.finish();
  EXPECT_TRUE(is_allocated(object));
  lull_remove_roots(trace_global, &global_slot);
  LULL_END_FRAME(v);
}

// Finalizers see their object through cycles that they start themselves.
std::atomic<bool> survived{false};
lull_kind finalized_kind;

TEST_F(PreciseRootsTest, AFinalizersObjectIsARootWhileItRuns) {
  lull_kind_info info{};
  info.name = "finalized";
  info.bytes = sizeof(Node);
  info.scan = LULL_BITMAP;
  info.pointer_bits = 1;
  info.finalize = [](void* object) {
    lull_collect();
    survived = is_allocated(Hidden(object)) && static_cast<Node*>(object)->value == 5;
  };
  lull::gc::options.manual_finalizers = 1;
  ASSERT_EQ(lull_kind_init(&finalized_kind, &info), 0);
  auto* object = static_cast<Node*>(lull_new(&finalized_kind));
  object->value = 5;
  lull_enable_finalizer(object);
  lull_collect();
  EXPECT_EQ(lull_run_finalizers(), 1u);
  EXPECT_TRUE(survived);
}

// The verifier takes frames for what they are: a lost object is reported, not excused as a stale word.
TEST_F(PreciseRootsTest, TheVerifierWalksFrames) {
  lull::gc::options.verify = 2;  // counts
  LULL_FRAME(v, 1);
  v[0] = make_node(1);
  const std::uint64_t before = lull::gc::verifier_errors();
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  static_cast<void>(v);
  // Against the rules: a reference that nobody knew at the scan appears in a black frame out of an integer.
  const Hidden lost = [] { return Hidden(make_node(2)); }();  // born during the cycle: no harm
  v[0] = lost.as<void>();
  stepper.finish();
  EXPECT_EQ(lull::gc::verifier_errors(), before);
  Hidden white(make_node(3));
  stepper.run_to(Step::stacks_scanned);
  v[0] = white.as<void>();
  stepper.finish();
  EXPECT_GT(lull::gc::verifier_errors(), before);
  v[0] = nullptr;
  LULL_END_FRAME(v);
}

}  // namespace

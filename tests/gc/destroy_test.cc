// lull::destroy: the destructor runs at once and once; what the object referred to is not lost to a cycle under way.
#include "lull/destroy.h"

#include <gtest/gtest.h>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"

namespace {

using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::gc::Step;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::kIntact;
using lull::testing::Node;

int destroyed = 0;

struct Counted {
  ~Counted() { ++destroyed; }
  std::uint64_t value = kIntact;
};
struct Base {
  virtual ~Base() = default;
  std::uint64_t base = 1;
};
struct Derived final : Counted, Base {};

class Destroy : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.verify = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};
using DestroyDeathTest = Destroy;

TEST_F(Destroy, RunsTheDestructorAtOnceAndOnce) {
  elsewhere([] {
    lull::destroy(make<Counted>());
    EXPECT_EQ(destroyed, 1);
    lull::destroy(make_array<Counted>(10));
    EXPECT_EQ(destroyed, 11);
    lull::destroy(ptr<Base>(make<Derived>()));
    EXPECT_EQ(destroyed, 12);
    lull::destroy(ptr<Counted>());
  });
  lull::collect();
  lull::wait_for_finalizers();
  EXPECT_EQ(destroyed, 12);
  EXPECT_EQ(lull::read_mem_stats().destructors_run, 0u);
}

TEST_F(Destroy, TheMemoryGoesWithTheNextCycle) {
  Hidden gone;
  elsewhere([&] {
    const ptr<Counted> p = make<Counted>();
    gone = Hidden(p.get());
    lull::destroy(p);
  });
  EXPECT_TRUE(is_allocated(gone));
  lull::collect();
  EXPECT_FALSE(is_allocated(gone));
}

TEST_F(Destroy, WhatIsStillReferredToStaysAllocated) {
  static root<Counted> kept;
  elsewhere([] {
    kept = make<Counted>();
    lull::destroy(kept.load());
  });
  const Hidden where(kept.get());
  lull::collect();
  EXPECT_TRUE(is_allocated(where));
  kept = nullptr;
}

TEST_F(Destroy, ScribblesInCheckingMode) {
  lull::gc::options.scribble = 1;
  elsewhere([] {
    const ptr<Node> node = make<Node>();
    lull::destroy(node);
    EXPECT_EQ(node->value, 0xdbdb'dbdb'dbdb'dbdb);
    const ptr<int[]> array = make_array<int>(1000);
    lull::destroy(array);
    EXPECT_EQ(array.size(), 1000u);
    EXPECT_EQ(array[0], static_cast<int>(0xdbdb'dbdb));
    EXPECT_EQ(array[999], static_cast<int>(0xdbdb'dbdb));
  });
  lull::collect();
}

TEST_F(DestroyDeathTest, Misuse) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        const ptr<Counted> p = make<Counted>();
        lull::destroy(p);
        lull::destroy(p);
      },
      "lull::destroy: the destructor of the object at .* has run already");
  EXPECT_DEATH(
      {
        lull::gc::options.scribble = 1;
        const ptr<Node> p = make<Node>();
        lull::destroy(p);
        lull::destroy(p);
      },
      "lull::destroy: the object at .* was destroyed before");
  static int outside = 0;
  EXPECT_DEATH(lull::destroy(ptr<int>(&outside)), "points to no managed object");
}

// A black stack has taken the only reference out of the object; scribbling deletes it, as a store would.
root<Node> holder;
[[gnu::noinline]] Node* take_next() { return holder->next.get(); }

TEST_F(Destroy, ShadesWhatItScribblesOver) {
  lull::gc::options.scribble = 1;
  elsewhere([] {
    holder = make<Node>();
    holder->next = make<Node>();
  });
  lull::gc::Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  Node* taken = take_next();
  lull::destroy(holder.load());
  stepper.finish();
  EXPECT_EQ(taken->value, kIntact);
  EXPECT_TRUE(is_allocated(Hidden(taken)));
  holder = nullptr;
}

}  // namespace

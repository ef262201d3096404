// gc/cycle/crew.h: helpers mark beside the driver. Machines with fewer than eight processors have none unless they are asked for.
#include "gc/cycle/crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string_view>
#include <sys/prctl.h>
#include <thread>

#include "gc/model/options.h"
#include "gc/mutator/mutator.h"
#include "tests/support/collecting.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"

namespace {

using lull::make;
using lull::ptr;
using lull::testing::kIntact;
using lull::testing::Node;

class Crew : public testing::Test {
 protected:
  Crew() {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::gc::crew.set_workers_for_testing(3);
    lull::attach_thread();
  }
};

struct Tree {
  explicit Tree(int depth) : value(depth) {
    if (depth > 0) left = make<Tree>(depth - 1), right = make<Tree>(depth - 1);
  }
  int sound(int depth) const { return value != depth ? -1'000'000 : depth == 0 ? 1 : 1 + left->sound(depth - 1) + right->sound(depth - 1); }
  void trace(lull::tracer& t) const { t(left, right); }
  ptr<Tree> left, right;
  int value;
};

// With branches that come and go meanwhile, and the verifier at the end of each cycle.
TEST_F(Crew, MarksWhatTheDriverWouldHaveMarked) {
  constexpr int kDepth = 13, kAll = (2 << kDepth) - 1;
  lull::gc::options.verify = 1;
  lull::root<Tree> tree = make<Tree>(kDepth);
  {
    const lull::testing::Collecting collecting;
    for (int i = 0; i < lull::testing::scaled(400) || collecting.cycles() < 10; ++i) {
      Tree* at = tree.get();
      for (int d = kDepth; d > 6; --d) at = (i >> d & 1 ? at->left : at->right).get();
      std::swap(at->left, at->right);
      at->left = make<Tree>(5);
    }
  }
  EXPECT_EQ(tree->sound(kDepth), kAll);
  EXPECT_EQ(lull::read_mem_stats().verifier_errors, 0u);
}

// What a helper has taken is nobody else's to find: here one sleeps over an object while the driver has nothing left to do.
std::atomic<bool> has_slept{false}, has_collected{false};

bool is_helper() {
  thread_local const bool is = [] {
    char name[16] = {};
    ::prctl(PR_GET_NAME, name);
    return std::string_view(name) == "lull-mark";
  }();
  return is;
}

struct Sleepy {
  ptr<Node> child = make<Node>();
  void trace(lull::tracer& t) const {
    static std::atomic<unsigned> traced{0};
    // With one processor helpers come when the driver sleeps.
    if (!has_slept && !is_helper() && ++traced % 1024 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (is_helper() && !has_slept.exchange(true))
      for (int i = 0; i < 100 && !has_collected; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    t(child);
  }
};

TEST_F(Crew, MarkingIsNotOverWhileAHelperIsBusy) {
  lull::root<ptr<Sleepy>[]> all = lull::make_array<ptr<Sleepy>>(50'000);
  for (ptr<Sleepy>& one : all) one = make<Sleepy>();
  for (int i = 0; i < 100 && !has_slept; ++i) lull::collect();
  has_collected = true;
  if (!has_slept) GTEST_SKIP() << "no helper got a processor while there was work";
  for (const ptr<Sleepy>& one : all) ASSERT_EQ(one->child->value, kIntact);
}

}  // namespace

// Root cells have cards: young cycles read those that were stored to since the last cycle, and no others (gc/mutator/roots.h).
#include <gtest/gtest.h>

#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/mutator/roots.h"
#include "gc/remember/cards.h"
#include "tests/support/hidden.h"

namespace {

using lull::gc::CycleKind;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Node {
  lull::ptr<Node> next;
  void trace(lull::tracer& t) const { t(next); }
};

class RootCards : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::gc::options.verify = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
    elsewhere([&] { roots_.resize(10'000); });
    assign(0, 10'000);
    lull::collect();
  }
  Hidden assign(std::size_t from, std::size_t count) {
    Hidden last;
    elsewhere([&] {
      for (std::size_t i = from; i < from + count; ++i) roots_[i] = lull::make<Node>();
      last = Hidden(roots_[from + count - 1].get());
    });
    return last;
  }
  void TearDown() override {
    elsewhere([&] { roots_.clear(); });
  }
  std::vector<lull::root<Node>> roots_;
};

TEST_F(RootCards, AYoungCycleFindsWhatARootHasBeenGiven) {
  for (const std::size_t i : {std::size_t{0}, std::size_t{61}, std::size_t{62}, std::size_t{63}, std::size_t{5000}, std::size_t{8189}, std::size_t{8190}, std::size_t{9999}}) {
    const Hidden made = assign(i, 1);
    lull::collect_young();
    EXPECT_TRUE(is_allocated(made)) << i;
    lull::collect_young();
    EXPECT_TRUE(is_allocated(made)) << i;
  }
}

TEST_F(RootCards, AYoungCycleReadsNoOthers) {
  lull::collect_young();
  lull::collect_young();
  EXPECT_LE(lull::gc::dirty_cards.listed_cards(), 16u);  // the test's own few stores; all roots would be 157
  assign(1000, 1);
  lull::collect_young();
  EXPECT_LE(lull::gc::dirty_cards.listed_cards(), 24u);
}

TEST_F(RootCards, AYoungObjectThatARootLetGoOfIsFreed) {
  const Hidden made = assign(5, 1);
  elsewhere([&] { roots_[5] = nullptr; });
  lull::collect_young();
  EXPECT_FALSE(is_allocated(made));
}

TEST_F(RootCards, AFullCycleReadsThemAll) {
  lull::collect();
  lull::collect();
  for (const lull::root<Node>& root : roots_) EXPECT_TRUE(is_allocated(Hidden(root.get())));
}

TEST_F(RootCards, CellsAreOnPagesThatHoldNoObjects) {
  lull::gc::RootChunk* chunk = lull::gc::first_root_chunk();
  ASSERT_NE(chunk, nullptr);
  const auto at = reinterpret_cast<std::uintptr_t>(chunk);
  EXPECT_EQ(at % lull::gc::kRootChunkBytes, 0u);
  EXPECT_TRUE(lull::detail::heap_range.contains(at));
  EXPECT_FALSE(lull::gc::resolve(reinterpret_cast<std::uintptr_t>(&chunk->cells[0])));
  for (std::size_t offset = 0; offset < lull::gc::kRootChunkBytes; offset += 8192) EXPECT_EQ(lull::gc::root_chunk_of(at + offset), chunk);
  EXPECT_EQ(lull::gc::root_chunk_of(lull::detail::heap_range.base + lull::detail::heap_range.size - 8192), nullptr);
}

// Whatever the cycle is doing when the root is given a new object: the next young one finds it.
class RootCardsAt : public RootCards, public testing::WithParamInterface<std::tuple<CycleKind, Step>> {};

TEST_P(RootCardsAt, WhatIsStoredMeanwhileIsThereAfterTheNextYoungCycle) {
  const auto [kind, step] = GetParam();
  Hidden made;
  {
    Stepper stepper;
    stepper.use(kind);
    stepper.run_to(step);
    made = assign(77, 1);
    stepper.finish();
  }
  EXPECT_TRUE(is_allocated(made));
  lull::collect_young();
  EXPECT_TRUE(is_allocated(made));
  lull::collect_young();
  EXPECT_TRUE(is_allocated(made));
}
INSTANTIATE_TEST_SUITE_P(Steps, RootCardsAt,
                         testing::Combine(testing::Values(CycleKind::young, CycleKind::full),
                                          testing::Values(Step::cycle_begins, Step::sweep_closed, Step::barriers_on, Step::stacks_scanned,
                                                          Step::roots_marked, Step::marked, Step::terminating, Step::flushed, Step::done,
                                                          Step::weak_cleared, Step::destructors_queued, Step::barriers_off,
                                                          Step::sweep_opened, Step::swept)),
                         [](const auto& at) {
                           return std::string(std::get<0>(at.param) == CycleKind::young ? "young_" : "full_") + lull::gc::name_of(std::get<1>(at.param));
                         });

}  // namespace

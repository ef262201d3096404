// Young cycles: sticky marks, dirty cards, and what they leave alone (docs/design/generations.md).
#include <gtest/gtest.h>

#include <atomic>
#include <string_view>
#include <thread>

#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/model/span_index.h"
#include "gc/remember/cards.h"
#include "tests/support/hidden.h"

namespace {

using lull::gc::CycleKind;
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

class Young : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::gc::options.verify = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
    elsewhere([] { anchor = lull::make<Node>(); });
    lull::collect();  // the anchor is old
  }
  void TearDown() override {
    elsewhere([] { anchor = nullptr; });
  }
};

Hidden make_elsewhere() {
  Hidden made;
  elsewhere([&] { made = Hidden(lull::make<Node>().get()); });
  return made;
}

// Makes a node and stores it into the anchor, on a thread of its own.
Hidden append_elsewhere() {
  Hidden made;
  elsewhere([&] {
    anchor->next = lull::make<Node>();
    made = Hidden(anchor->next.get());
  });
  return made;
}

[[gnu::noinline]] Hidden make_here() { return Hidden(lull::make<Node>().get()); }
[[gnu::noinline]] Hidden append_here() {
  anchor->next = lull::make<Node>();
  return Hidden(anchor->next.get());
}

void cut() {
  elsewhere([] { anchor->next = nullptr; });
}

TEST_F(Young, FreesYoungGarbageAndLeavesOldGarbageAlone) {
  const Hidden old = append_elsewhere();
  lull::collect();
  cut();
  const Hidden young = make_elsewhere();
  lull::collect_young();
  EXPECT_FALSE(is_allocated(young));
  EXPECT_TRUE(is_allocated(old));
  lull::collect();
  EXPECT_FALSE(is_allocated(old));
}

TEST_F(Young, KeepsWhatAnOldObjectRefersTo) {
  const Hidden young = append_elsewhere();
  lull::collect_young();
  EXPECT_TRUE(is_allocated(young));
  EXPECT_EQ(anchor->next.get(), young.as<Node>());
}

TEST_F(Young, KeepsAChainThatHangsOnAnOldObject) {
  elsewhere([] {
    Node* last = anchor.get();
    for (int i = 1; i < 1000; ++i) {
      last->next = lull::make<Node>();
      last = last->next.get();
      last->value = i;
    }
  });
  lull::collect_young();
  lull::collect_young();
  int n = 0;
  for (Node* at = anchor->next.get(); at != nullptr; at = at->next.get()) ASSERT_EQ(at->value, ++n);
  EXPECT_EQ(n, 999);
}

TEST_F(Young, TracesOnlyWhatIsYoung) {
  constexpr int kOld = 10'000;
  elsewhere([] {
    for (int i = 0; i < kOld; ++i) {
      auto node = lull::make<Node>();
      node->next = anchor->next;
      anchor->next = node;
    }
  });
  lull::collect();
  EXPECT_GE(lull::read_mem_stats().marked_objects, unsigned{kOld});
  elsewhere([] { anchor->value = 1; });
  lull::collect_young();
  EXPECT_LE(lull::read_mem_stats().marked_objects, 100u);
}

// What survives a young cycle is old: the next one leaves it alone even when it is dead.
TEST_F(Young, PromotesWhatSurvives) {
  const Hidden promoted = append_elsewhere();
  lull::collect_young();
  cut();
  lull::collect_young();
  EXPECT_TRUE(is_allocated(promoted));
  lull::collect();
  EXPECT_FALSE(is_allocated(promoted));
}

// Objects born after their thread's scan are neither freed nor promoted.
TEST_F(Young, DoesNotPromoteWhatIsBornMeanwhile) {
  Stepper stepper;
  stepper.use(CycleKind::young);
  stepper.run_to(Step::stacks_scanned);
  const Hidden born = make_here();
  clear_stack_below();
  stepper.finish();
  EXPECT_TRUE(is_allocated(born));
  clear_stack_below();
  elsewhere([] { lull::collect_young(); });
  EXPECT_FALSE(is_allocated(born));
}

[[gnu::noinline]] Hidden make_pair_here() {
  auto first = lull::make<Node>();
  first->next = lull::make<Node>();
  return Hidden(first->next.get());
}

// All stacks are grey then, and what is stored into a young object is found there or not at all.
TEST_F(Young, DoesNotPromoteWhatDiesBeforeStacksAreScanned) {
  Stepper stepper;
  stepper.use(CycleKind::young);
  stepper.run_to(Step::barriers_on);
  const Hidden stored = make_pair_here();
  clear_stack_below();
  stepper.finish();
  EXPECT_FALSE(is_allocated(stored));
}

// Rule 13. The card of a reference to an object that is born during the cycle stays dirty, wherever in the cycle it is stored.
class YoungStep : public Young, public testing::WithParamInterface<Step> {};

TEST_P(YoungStep, AReferenceStoredMeanwhileIsFoundByTheNextYoungCycle) {
  for (const CycleKind kind : {CycleKind::young, CycleKind::full}) {
    Stepper stepper;
    stepper.use(kind);
    stepper.run_to(GetParam());
    const Hidden born = append_here();
    clear_stack_below();
    stepper.finish();
    EXPECT_TRUE(is_allocated(born));
    clear_stack_below();
    elsewhere([] { lull::collect_young(); });
    EXPECT_TRUE(is_allocated(born));
    clear_stack_below();
  }
}

INSTANTIATE_TEST_SUITE_P(AtEveryStep, YoungStep,
                         testing::Values(Step::cycle_begins, Step::sweep_closed, Step::barriers_on, Step::stacks_scanned,
                                         Step::roots_marked, Step::marked, Step::terminating, Step::flushed, Step::done,
                                         Step::weak_cleared, Step::destructors_queued, Step::barriers_off, Step::sweep_opened,
                                         Step::swept),
                         [](const auto& named) { return std::string(name_of(named.param)); });

// A thread answers handshake 2, stores what only its stack held into an old object, and ends before the driver has taken its answer.
// The words it had copied were dropped with it, the store came too late for this cycle's cards: the object was freed. Seen as
// about one failure in 100 runs of Collect.RandomGraphsOfSeveralThreads on a busy machine.
TEST_F(Young, WhatAThreadAnsweredCountsAlsoWhenItEndsBeforeItsAnswerIsTaken) {
  std::atomic<int> stage{0};
  Hidden held;
  std::thread leaving([&] {
    [&]() __attribute__((noinline)) {
      lull::ptr<Node> young = lull::make<Node>();
      held = Hidden(young.get());
      stage = 1;
      while (stage != 2) lull::safepoint();
      anchor->next = young;
    }();
  });
  while (stage != 1) std::this_thread::yield();
  Stepper stepper;
  stepper.use(CycleKind::young);
  stepper.run_to(Step::stacks_scanned);  // answered, not taken
  stage = 2;
  {
    lull::blocking_region joining;
    leaving.join();
  }
  clear_stack_below();
  stepper.finish();
  EXPECT_TRUE(is_allocated(held));
}

// Only the parts of an array that lie on dirty cards are scanned; every one of its slots must be found all the same.
lull::root<lull::ptr<Node>[]> table;

TEST_F(Young, FindsEverySlotOfAnOldArray) {
  constexpr std::size_t kLength = 5000;
  elsewhere([] { table = lull::make_array<lull::ptr<Node>>(kLength); });
  lull::collect();
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}, std::size_t{62}, std::size_t{63}, std::size_t{64}, std::size_t{2047}, kLength - 1}) {
    Hidden young;
    elsewhere([&] {
      table[i] = lull::make<Node>();
      young = Hidden(table[i].get());
    });
    lull::collect_young();
    EXPECT_TRUE(is_allocated(young)) << i;
    EXPECT_LE(lull::gc::dirty_cards.listed_cards(), 16u);  // and not the whole array's
  }
  elsewhere([] { table = nullptr; });
}

struct Wide {  // no trace(): scanned conservatively, across many cards
  lull::ptr<Node> slots[300];
};
lull::root<Wide> wide;

TEST_F(Young, FindsEverySlotOfAnOldObjectWithoutTrace) {
  elsewhere([] { wide = lull::make<Wide>(); });
  lull::collect();
  for (std::size_t i = 0; i < 300; i += 23) {
    Hidden young;
    elsewhere([&] {
      wide->slots[i] = lull::make<Node>();
      young = Hidden(wide->slots[i].get());
    });
    lull::collect_young();
    EXPECT_TRUE(is_allocated(young)) << i;
  }
  elsewhere([] { wide = nullptr; });
}

// Holes in spans whose other objects are all old are filled with young ones, which young cycles must see.
TEST_F(Young, FreesWhatWasAllocatedIntoHolesOfOldSpans) {
  constexpr int kMany = 4000;
  static lull::root<lull::ptr<Node>[]> kept;
  elsewhere([] {
    kept = lull::make_array<lull::ptr<Node>>(kMany);
    for (int i = 0; i < kMany; ++i) {
      kept[static_cast<std::size_t>(i)] = lull::make<Node>();
      lull::make<Node>();
    }
  });
  lull::collect();  // every other slot is a hole now, in tenured spans
  const std::uint64_t objects = lull::read_mem_stats().heap_objects;
  elsewhere([] {
    for (int i = 0; i < kMany; ++i) lull::make<Node>();
  });
  EXPECT_GE(lull::read_mem_stats().heap_objects, objects + kMany / 2);
  lull::collect_young();
  EXPECT_LE(lull::read_mem_stats().heap_objects, objects + 16);
  elsewhere([] { kept = nullptr; });
}

TEST_F(Young, EmptiesOldWeakPointersToYoungGarbage) {
  static lull::root<lull::weak_ptr<Node>> weak;
  elsewhere([] { weak = lull::make<lull::weak_ptr<Node>>(); });
  lull::collect();
  elsewhere([] { *weak = lull::weak_ptr<Node>(lull::make<Node>()); });
  lull::collect_young();
  elsewhere([] { EXPECT_TRUE(weak->expired()); });
  elsewhere([] { *weak = lull::weak_ptr<Node>(anchor.load()); });
  lull::collect_young();
  elsewhere([] { EXPECT_FALSE(weak->expired()); });
  elsewhere([] { weak = nullptr; });
}

// Young cycles pass over spans of weak cells in which nothing can have changed, and over no others.
lull::gc::Span& span_of_cell(const lull::weak_ptr<Node>& weak) {  // a weak_ptr is the address of its cell
  return *lull::gc::resolve(*reinterpret_cast<const std::uintptr_t*>(&weak)).span;
}

TEST_F(Young, SpansOfWeakCellsSettleAndAreUnsettledByNewCells) {
  static lull::root<lull::weak_ptr<Node>[]> weak;
  elsewhere([] {
    weak = lull::make_array<lull::weak_ptr<Node>>(2);
    weak[0] = anchor.load();
  });
  const auto is_settled = [] { return lull::gc::settled_weak_spans.contains(span_of_cell(weak[0])); };
  EXPECT_TRUE(lull::gc::weak_cell_spans.contains(span_of_cell(weak[0])));
  EXPECT_FALSE(is_settled());
  lull::collect();
  EXPECT_TRUE(is_settled());
  lull::collect_young();
  EXPECT_TRUE(is_settled());
  elsewhere([] { weak[1] = lull::make<Node>(); });
  ASSERT_EQ(&span_of_cell(weak[0]), &span_of_cell(weak[1]));
  EXPECT_FALSE(is_settled());
  lull::collect_young();
  EXPECT_TRUE(weak[1].expired());
  EXPECT_FALSE(weak[0].expired());
  EXPECT_TRUE(is_settled());
  weak = nullptr;
}

// A cell that counts as old and was made, while a cycle marked, for an object born during that cycle: the span must not settle.
TEST_F(Young, ACellMadeDuringACycleIsEmptiedByTheNextYoungOne) {
  static lull::root<lull::weak_ptr<Node>> weak;
  elsewhere([] { weak = lull::make<lull::weak_ptr<Node>>(anchor.load()); });
  for (const Step step : {Step::stacks_scanned, Step::marked, Step::done, Step::weak_cleared, Step::barriers_off, Step::sweep_opened}) {
    lull::collect();
    Stepper stepper;
    stepper.run_to(step);
    elsewhere([] { *weak = lull::make<Node>(); });
    stepper.finish();
    lull::collect_young();
    elsewhere([&] { EXPECT_TRUE(weak->expired()) << name_of(step); });
    lull::collect_young();
    elsewhere([&] { EXPECT_TRUE(weak->expired()) << name_of(step); });
  }
  elsewhere([] { weak = nullptr; });
}

struct Counted {
  ~Counted() { destroyed.fetch_add(1); }
  lull::ptr<Node> held = lull::make<Node>();
  static inline std::atomic<int> destroyed{0};
  void trace(lull::tracer& t) const { t(held); }
};

TEST_F(Young, RunsTheDestructorsOfYoungGarbage) {
  const int before = Counted::destroyed;
  elsewhere([] {
    for (int i = 0; i < 10; ++i) lull::make<Counted>();
  });
  lull::collect_young();
  lull::wait_for_finalizers();
  EXPECT_EQ(Counted::destroyed, before + 10);
}

// The oracle stress lost objects in young cycles, the oftener the more threads shared a processor. A thread that took a fresh
// span after handshake 3 was held up there until the next cycle had begun, and then took the span's snapshot under the new
// cycle's number. What it allocated in the span before its scan counted as born during the cycle, though it was older than the
// cleaning of the cards: the reference to it lost its card, and the young cycle after that freed it.
struct FirstOfItsKind : Node {};
std::atomic<bool> is_overtaken{false}, may_overtake{false};
std::uint32_t overtaken_cycle = 0;

void be_overtaken(const char* where) {
  if (std::string_view(where) != "span taken" || is_overtaken.exchange(true)) return;
  may_overtake = true;
  while (lull::gc::current_cycle.load() == overtaken_cycle) std::this_thread::yield();
}

[[gnu::noinline]] Hidden append_while_the_next_cycle_begins() {
  lull::gc::RuntimeSection later(lull::gc::self());  // handshake 1 comes after the store
  anchor->next = lull::make<FirstOfItsKind>();
  return Hidden(anchor->next.get());
}

TEST_F(Young, ASpanTakenWhileTheNextCycleBeginsKeepsWhatIsAllocatedInIt) {
  lull::gc::options.verify = 0;
  Stepper stepper;
  stepper.use(CycleKind::young);
  stepper.run_to(Step::barriers_off);
  overtaken_cycle = lull::gc::current_cycle.load();
  lull::gc::delay_hook_for_testing = be_overtaken;
  lull::gc::options.delay = 1;  // of the hook, until everybody else has ended
  std::thread other([&] {
    {
      lull::blocking_region waiting;
      while (!may_overtake) std::this_thread::yield();
    }
    stepper.finish();
    lull::collect_young();
  });
  const Hidden appended = append_while_the_next_cycle_begins();
  clear_stack_below();
  {
    lull::blocking_region joining;
    other.join();
  }
  EXPECT_TRUE(is_overtaken);
  // The driver reads the option too; it stays on for the rest of this program's only test.
  elsewhere([] { lull::collect_young(); });
  EXPECT_TRUE(is_allocated(appended));
}

// Rule 16: the cards of an aborted cycle are gone, so the next cycle is full.
TEST_F(Young, AFullCycleFollowsAnAbortedOne) {
  const lull::mem_stats before = lull::read_mem_stats();
  const Hidden young = append_elsewhere();
  Stepper stepper;
  stepper.use(CycleKind::young);
  stepper.run_to(Step::stacks_scanned);
  lull::gc::cycle_must_abort = true;
  stepper.finish();
  const lull::mem_stats after = lull::read_mem_stats();
  EXPECT_EQ(after.aborted_cycles, before.aborted_cycles + 1);
  EXPECT_EQ(after.num_gc, before.num_gc + 1);
  EXPECT_EQ(after.num_young_gc, before.num_young_gc);
  EXPECT_TRUE(is_allocated(young));
}

TEST_F(Young, CyclesAreCounted) {
  const lull::mem_stats before = lull::read_mem_stats();
  lull::collect_young();
  lull::collect();
  lull::collect_young();
  const lull::mem_stats after = lull::read_mem_stats();
  EXPECT_EQ(after.num_young_gc, before.num_young_gc + 2);
  EXPECT_EQ(after.num_gc, before.num_gc + 3);
}

TEST_F(Young, CyclesAreFullWhereGenerationsAreOff) {
  const Hidden old = append_elsewhere();
  lull::collect();
  cut();
  lull::gc::options.generational = 0;
  lull::collect_young();
  lull::gc::options.generational = 1;
  EXPECT_FALSE(is_allocated(old));
}

// A full cycle cleans cards too, or the young one after it would scan what every store since the start has dirtied.
TEST_F(Young, CardsAreCleanAfterAFullCycle) {
  append_elsewhere();
  lull::collect();
  lull::collect_young();
  EXPECT_EQ(lull::gc::dirty_cards.listed_cards(), 0u);
}

}  // namespace

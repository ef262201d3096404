// weak_ptr: does not keep its object, finds it as long as somebody else does, and never finds what is about to go.
//
// Objects that are to die are made on threads that end; see collect_test.cc.
#include "lull/weak_ptr.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <vector>

#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

namespace {

using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::weak_ptr;
using lull::testing::announced_seed;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::kIntact;
using lull::testing::Node;
using lull::testing::scaled;

// Watches one object from the heap, as every weak_ptr that is not a local does.
struct Watch {
  weak_ptr<Node> node;
  void trace(lull::tracer& t) const { t(node); }
};
root<Watch> watch;
root<Node> strong;

// expired() leaves no address on this stack.
bool is_gone() { return watch->node.expired(); }
void watch_new_node() {
  elsewhere([] {
    strong = make<Node>();
    watch = make<Watch>();
    watch->node = strong.load();
  });
}
void drop_node() {
  elsewhere([] { strong = nullptr; });
}

class WeakPtr : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

std::uint64_t objects() { return lull::read_mem_stats().heap_objects; }

TEST_F(WeakPtr, EmptyOnesAreExpired) {
  weak_ptr<Node> none, null = nullptr, of_null = weak_ptr<Node>(ptr<Node>());
  for (const weak_ptr<Node>& w : {none, null, of_null}) {
    EXPECT_TRUE(w.expired());
    EXPECT_EQ(w.lock(), nullptr);
  }
}

TEST_F(WeakPtr, NullCanBeAssigned) {
  const ptr<Node> node = make<Node>();
  weak_ptr<Node> w = node;
  w = nullptr;
  EXPECT_TRUE(w.expired());
  w = node;
  w = {};
  EXPECT_TRUE(w.expired());
}

TEST_F(WeakPtr, ARootCanBeWatchedWithoutALocalPointer) {
  const root<Node> node = make<Node>();
  weak_ptr<Node> copied = node, assigned;
  weak_ptr<const Node> constant = node;
  assigned = node;
  EXPECT_EQ(copied.lock(), node);
  EXPECT_EQ(assigned.lock(), node);
  EXPECT_EQ(constant.lock().get(), node.get());
  constant = node;
  EXPECT_EQ([&]() -> weak_ptr<Node> { return node; }().lock(), node);
  EXPECT_TRUE(weak_ptr<Node>(root<Node>()).expired());
}

TEST_F(WeakPtr, FindsItsObjectWhileSomebodyHoldsIt) {
  watch_new_node();
  for (int i = 0; i < 3; ++i) {
    lull::collect();
    EXPECT_FALSE(is_gone());
    elsewhere([] {
      EXPECT_EQ(watch->node.lock(), strong);
      EXPECT_EQ(watch->node.lock()->value, kIntact);
    });
  }
}

TEST_F(WeakPtr, ExpiresInTheCycleAfterTheLastReferenceWent) {
  watch_new_node();
  drop_node();
  EXPECT_FALSE(is_gone());
  lull::collect();
  EXPECT_TRUE(is_gone());
  EXPECT_EQ(watch->node.lock(), nullptr);
}

TEST_F(WeakPtr, ALockedPointerKeepsTheObject) {
  watch_new_node();
  drop_node();
  ptr<Node> locked = watch->node.lock();
  lull::collect();
  lull::collect();
  EXPECT_EQ(watch->node.lock(), locked);
  EXPECT_EQ(locked->value, kIntact);
}

// Only a plain pointer in a register, got from lock(): the result is a root from the moment it exists.
TEST_F(WeakPtr, ALockedPointerKeepsTheObjectWhileCyclesRun) {
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop) lull::collect();
  });
  for (int i = 0; i < scaled(2000); ++i) {
    watch = make<Watch>();
    watch->node = make<Node>();
    clear_stack_below();
    for (int k = 0; k < 20; ++k)
      if (const ptr<Node> found = watch->node.lock()) {
        ASSERT_EQ(found->value, kIntact);
      }
  }
  stop = true;
  lull::blocking_region joining;
  collector.join();
}

TEST_F(WeakPtr, DoesNotKeepItsObjectFromWithinTheObject) {
  struct Selfish {
    weak_ptr<Selfish> self;
    ptr<Node> part;
    void trace(lull::tracer& t) const { t(self, part); }
  };
  lull::collect();
  const std::uint64_t before = objects();
  elsewhere([] {
    ptr<Selfish> s = make<Selfish>();
    s->self = s;
    s->part = make<Node>();
  });
  EXPECT_EQ(objects(), before + 3);  // and the cell
  lull::collect();
  EXPECT_EQ(objects(), before);
}

TEST_F(WeakPtr, CopiesShareTheCellAndCellsAreCollected) {
  static root<weak_ptr<Node>[]> copies;
  lull::collect();
  const std::uint64_t before = objects();
  elsewhere([] {
    strong = make<Node>();
    copies = make_array<weak_ptr<Node>>(100);
    const weak_ptr<Node> first = strong.load();
    const std::uint64_t with_one_cell = objects();
    const weak_ptr<Node> second = first, third(second);
    for (weak_ptr<Node>& w : copies) w = third;
    EXPECT_EQ(objects(), with_one_cell);
  });
  lull::collect();
  EXPECT_EQ(objects(), before + 3);
  drop_node();
  lull::collect();
  for (const weak_ptr<Node>& w : copies) ASSERT_TRUE(w.expired());
  EXPECT_EQ(objects(), before + 2);
  elsewhere([] {
    for (weak_ptr<Node>& w : copies) w.reset();
  });
  lull::collect();
  EXPECT_EQ(objects(), before + 1);
}

TEST_F(WeakPtr, AssignmentMakesItWatchTheOther) {
  watch_new_node();
  static root<Node> other;
  elsewhere([] {
    other = make<Node>();
    watch->node = other.load();
  });
  drop_node();
  lull::collect();
  EXPECT_FALSE(is_gone());
  elsewhere([] {
    const weak_ptr<Node> expired_soon = make<Node>();
    watch->node = expired_soon;
  });
  lull::collect();
  EXPECT_TRUE(is_gone());
  elsewhere([] {
    watch->node = other.load();
    watch->node = watch->node;
  });
  EXPECT_FALSE(is_gone());
}

struct Left {
  virtual void polymorphic() {}
  std::uint64_t left = 1;
};
struct Right {
  virtual void polymorphic() {}
  std::uint64_t right = 2;
};
struct Both final : Left, Right {
  std::uint64_t both = 3;
};
struct Views {
  weak_ptr<Both> whole;
  weak_ptr<Right> base;
  weak_ptr<Right> base_from_weak;
  weak_ptr<const Both> constant;
  weak_ptr<std::uint64_t> member;
  weak_ptr<void> untyped;
  void trace(lull::tracer& t) const { t(whole, base, base_from_weak, constant, member, untyped); }
};
static_assert(std::is_convertible_v<ptr<Both>, weak_ptr<Right>> && !std::is_constructible_v<weak_ptr<Both>, ptr<Right>>);
static_assert(std::is_convertible_v<weak_ptr<Both>, weak_ptr<Right>> && !std::is_constructible_v<weak_ptr<Both>, weak_ptr<Right>>);

TEST_F(WeakPtr, WatchesThroughBasesMembersAndConst) {
  static root<Both> both;
  static root<Views> views;
  elsewhere([] {
    both = make<Both>();
    views = make<Views>();
    views->whole = both.load();
    views->base = both.load();
    views->base_from_weak = views->whole;
    views->constant = both.load();
    views->member = ptr<std::uint64_t>(&both->both);
    views->untyped = both.load();
  });
  lull::collect();
  elsewhere([] {
    EXPECT_EQ(views->whole.lock(), both);
    EXPECT_EQ(views->base.lock()->right, 2u);
    EXPECT_EQ(weak_ptr<Right>(both.load()).lock(), views->base.lock());
    EXPECT_EQ(views->base_from_weak.lock(), views->base.lock());
    EXPECT_EQ(lull::static_pointer_cast<Both>(views->base.lock()), both);
    EXPECT_EQ(views->constant.lock()->both, 3u);
    EXPECT_EQ(*views->member.lock(), 3u);
    EXPECT_EQ(views->untyped.lock().get(), both.get());
    both = nullptr;
  });
  lull::collect();
  EXPECT_TRUE(views->whole.expired() && views->base.expired() && views->base_from_weak.expired());
  EXPECT_TRUE(views->constant.expired() && views->member.expired() && views->untyped.expired());
  EXPECT_TRUE(weak_ptr<Right>(views->whole).expired());
}

TEST_F(WeakPtr, WatchesArrays) {
  static root<int[]> array;
  static root<weak_ptr<int[]>> weak;
  elsewhere([] {
    array = make_array<int>(10);
    weak = make<weak_ptr<int[]>>(array.load());
  });
  lull::collect();
  elsewhere([] { EXPECT_EQ(weak->lock().size(), 10u); });
  elsewhere([] { array = nullptr; });
  lull::collect();
  EXPECT_TRUE(weak->expired());
}

TEST_F(WeakPtr, OfMemoryOutOfTheHeapNeverExpires) {
  static int outside = 5;
  static root<weak_ptr<int>> weak;
  weak = make<weak_ptr<int>>(ptr<int>(&outside));
  lull::collect();
  EXPECT_EQ(weak->lock().get(), &outside);
}

// A structure that is unreachable as a whole is gone as a whole: no weak_ptr to a part of it finds the part, not even
// while a destructor that may look at it is still to run.
struct Owner {
  ptr<Node> part = make<Node>();
  ~Owner() { asm volatile("" ::: "memory"); }
  void trace(lull::tracer& t) const { t(part); }
};

TEST_F(WeakPtr, DoesNotFindWhatIsKeptForADestructorOnly) {
  lull::gc::options.manual_finalizers = 1;
  elsewhere([] {
    watch = make<Watch>();
    watch->node = make<Owner>()->part;
  });
  lull::collect();
  EXPECT_EQ(lull::read_mem_stats().destructors_pending, 1u);
  EXPECT_TRUE(is_gone());
}

// A weak map: values found by key, entries dropped when the value is gone.
struct Entry {
  int key = 0;
  weak_ptr<Node> value;
  void trace(lull::tracer& t) const { t(value); }
};

TEST_F(WeakPtr, ManyInOneContainerFollowTheirObjectsOneByOne) {
  static root<Entry[]> table;
  static root<ptr<Node>[]> owners;
  constexpr std::size_t kEntries = 10'000;
  std::mt19937_64 random(announced_seed());
  elsewhere([&] {
    table = make_array<Entry>(kEntries);
    owners = make_array<ptr<Node>>(kEntries);
    for (std::size_t i = 0; i < kEntries; ++i) {
      owners[i] = make<Node>();
      owners[i]->value = i;
      table[i].value = owners[i];
    }
  });
  std::vector<bool> alive(kEntries, true);
  for (int round = 0; round < 5; ++round) {
    elsewhere([&] {
      for (std::size_t i = 0; i < kEntries; ++i)
        if (random() % 4 == 0) {
          owners[i] = nullptr;
          alive[i] = false;
        }
    });
    lull::collect();
    elsewhere([&] {
      for (std::size_t i = 0; i < kEntries; ++i) {
        ASSERT_EQ(!table[i].value.expired(), alive[i]) << i;
        if (alive[i]) {
          ASSERT_EQ(table[i].value.lock()->value, i);
        }
      }
    });
  }
}

TEST_F(WeakPtr, AMillionAreNoBurden) {
  const auto n = static_cast<std::size_t>(scaled(1'000'000));
  static root<weak_ptr<Node>[]> weak;
  static root<ptr<Node>[]> owners;
  elsewhere([&] {
    weak = make_array<weak_ptr<Node>>(n);
    owners = make_array<ptr<Node>>(n);
    for (std::size_t i = 0; i < n; ++i) weak[i] = owners[i] = make<Node>();
    for (std::size_t i = 0; i < n; i += 3) owners[i] = nullptr;
  });
  const auto start = std::chrono::steady_clock::now();
  lull::collect();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // 0.1 s here
  std::size_t expired = 0;
  for (std::size_t i = 0; i < n; ++i) expired += weak[i].expired() ? 1 : 0;
  EXPECT_EQ(expired, (n + 2) / 3);
}

// A cache as programs build them: threads look entries up through weak pointers, remake what is gone, and now and then
// drop what they hold; meanwhile cycles run. What lock() yields is always whole. That the cycles end is not a matter of
// course: each lock() while termination was under way cancelled it once, and the first cycle never ended.
struct Cell {
  weak_ptr<Node> node;
  void trace(lull::tracer& t) const { t(node); }
};

TEST_F(WeakPtr, LockRacesWithCycles) {
  constexpr std::size_t kCells = 20'000;  // so many that a cycle ends before each has been looked up
  const std::uint64_t seed = announced_seed();
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> found{0}, remade{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      root<Cell[]> cells = make_array<Cell>(kCells);
      root<ptr<Node>[]> held = make_array<ptr<Node>>(kCells);
      while (!stop) {
        const std::size_t i = random() % kCells;
        ptr<Node> node = cells[i].node.lock();
        if (node) {
          ++found;
          ASSERT_EQ(node->value, kIntact);
          ASSERT_EQ(node->next->value, kIntact);
        } else {
          ++remade;
          node = make<Node>();
          node->next = make<Node>();
          cells[i].node = node;
        }
        held[random() % kCells] = random() % 4 == 0 ? ptr<Node>() : node;
      }
    });
  // Remade 3 * kCells times at the start, then once for each object that died. Few do: most are looked up in time.
  while (remade < 3 * kCells + 20) lull::collect();
  stop = true;
  lull::blocking_region joining;
  for (std::thread& t : threads) t.join();
  EXPECT_GT(found, 0u);
}

}  // namespace

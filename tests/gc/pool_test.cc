// lull/pool.h: objects come back, are handed to one owner at a time, survive one full collection and not two, and move between
// threads.
#include "lull/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "alloc/pages/span_table.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::pool;
using lull::ptr;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

std::atomic<int> made{0};
struct Buffer {
  Buffer() { ++made; }
  void reset() {
    length = 0;
    refers = nullptr;
  }
  void trace(lull::tracer& t) const { t(refers); }
  ptr<Buffer> refers;
  int length = 0;
  std::atomic<int> owners{0};
};

class Pool : public testing::Test {
 protected:
  void SetUp() override { made = 0; }
};

[[gnu::noinline]] Hidden use(pool<Buffer>& buffers) {
  auto b = buffers.get();
  b->length = 7;
  return Hidden(b.get());
}

TEST_F(Pool, HandsTheSameObjectOutAgainResetted) {
  pool<Buffer> buffers;
  const Hidden first = use(buffers);
  for (int i = 0; i < 100; ++i) {
    auto b = buffers.get();
    EXPECT_EQ(b.get(), first.as<Buffer>());
    EXPECT_EQ(b->length, 0);
    b->length = i + 1;
  }
  EXPECT_EQ(made, 1);
}

struct Other {
  void reset() {}
  std::uint64_t tag = 0x07e4;
};

// Its number was free before threads had forgotten it: another pool of that number handed out what they had of the first.
TEST_F(Pool, ANewOneHandsOutNoObjectsOfOneThatIsBeingDestroyed) {
  auto buffers = std::make_unique<pool<Buffer>>();
  static_cast<void>(use(*buffers));  // this thread has one
  std::atomic<bool> is_held{false}, is_attached{false}, is_tested{false};
  std::thread holder([&] {  // as the driver holds it in a handshake
    while (!is_attached) std::this_thread::yield();
    lull::os::Locked held(lull::gc::mutators.lock);
    is_held = true;
    while (!is_tested) std::this_thread::yield();
  });
  std::thread destroyer([&] {
    lull::attach_thread();
    is_attached = true;
    while (!is_held) std::this_thread::yield();
    buffers.reset();
  });
  while (!is_held) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the destroyer waits for the lock
  pool<Other> others;
  EXPECT_EQ(others.get()->tag, 0x07e4u);
  is_tested = true;
  lull::blocking_region joining;
  holder.join();
  destroyer.join();
}

// A pooled object goes after two cycles, one that is held, or that a held one refers to, never.
TEST_F(Pool, CollectingAtEveryAllocation) {
  lull::gc::options.stress = 1;
  pool<Buffer> buffers;
  int wrong = 0;
  for (int i = 0; i < scaled(100) + 1; ++i) {
    auto held = buffers.get();
    wrong += held->length != 0 || held->refers != nullptr;
    held->refers = lull::make<Buffer>();
    held->refers->length = i;
    auto other = buffers.get();
    other->length = -i;
    lull::make<long>(7);
    wrong += held->refers->length != i || other->length != -i;
  }
  lull::gc::options.stress = 0;
  EXPECT_EQ(wrong, 0);
}

// Handles on the stack, as many as calls are deep.
void hold_many(pool<Buffer>& buffers, int depth) {
  auto held = buffers.get();
  EXPECT_EQ(held->owners.fetch_add(1), 0);
  if (depth > 1) hold_many(buffers, depth - 1);
  held->owners = 0;
}

TEST_F(Pool, ManyAtOnceAreDifferentAndAllComeBack) {
  pool<Buffer> buffers;
  for (int round = 0; round < 3; ++round) hold_many(buffers, 200);
  EXPECT_EQ(made, 200);
}

TEST_F(Pool, AnObjectSurvivesOneFullCollectionUnusedAndIsGoneAfterTwo) {
  pool<Buffer> buffers;
  const Hidden unused = use(buffers);
  clear_stack_below();
  lull::collect();
  EXPECT_TRUE(is_allocated(unused));
  lull::collect();
  EXPECT_FALSE(is_allocated(unused));
  use(buffers);
  EXPECT_EQ(made, 2);
}

// As an answer finds it that comes between a thread's load of its own object and the store that empties the place: were the object
// moved then, the next to take it would be its second owner.
TEST_F(Pool, AHandshakeLeavesTheThreadsObjectAloneWhileItIsTaken) {
  pool<Buffer> buffers;
  const Hidden taken = use(buffers);
  clear_stack_below();
  lull::detail::thread_block.pool_busy = 1;
  lull::collect();
  lull::collect();
  lull::detail::thread_block.pool_busy = 0;
  EXPECT_TRUE(is_allocated(taken));
  EXPECT_EQ(use(buffers).address(), taken.address());
}

TEST_F(Pool, ObjectsOfTheListAgeAsWell) {
  pool<Buffer> buffers;
  std::vector<Hidden> objects;
  elsewhere([&] {  // its part is nobody's afterwards
    auto a = buffers.get(), b = buffers.get(), c = buffers.get();
    for (auto* h : {&a, &b, &c}) objects.push_back(Hidden(h->get()));
  });
  lull::collect();
  for (const Hidden& o : objects) EXPECT_TRUE(is_allocated(o));
  lull::collect();
  for (const Hidden& o : objects) EXPECT_FALSE(is_allocated(o));
}

TEST_F(Pool, AVictimThatIsUsedIsYoungAgain) {
  pool<Buffer> buffers;
  const Hidden object = use(buffers);
  for (int i = 0; i < 5; ++i) {
    clear_stack_below();
    lull::collect();
    ASSERT_EQ(use(buffers).address(), object.address());
  }
  EXPECT_EQ(made, 1);
}

TEST_F(Pool, YoungCollectionsDoNotAge) {
  pool<Buffer> buffers;
  const Hidden object = use(buffers);
  clear_stack_below();
  for (int i = 0; i < 5; ++i) lull::collect_young();
  EXPECT_TRUE(is_allocated(object));
}

TEST_F(Pool, AnotherThreadsObjectsAreFound) {
  pool<Buffer> buffers;
  elsewhere([&] { auto a = buffers.get(), b = buffers.get(), c = buffers.get(); });
  EXPECT_EQ(made, 3);
  auto a = buffers.get(), b = buffers.get(), c = buffers.get();
  EXPECT_EQ(made, 3);
  EXPECT_TRUE(a.get() != b.get() && b.get() != c.get() && a.get() != c.get());
}

TEST_F(Pool, ReleaseTakesAnObjectOutForGood) {
  pool<Buffer> buffers;
  ptr<Buffer> kept = buffers.get().release();
  auto other = buffers.get();
  EXPECT_NE(kept.get(), other.get());
}

TEST_F(Pool, TakesAFactoryAndObjectsWithoutDefault) {
  struct Sized {
    explicit Sized(int n) : size(n) {}
    void reset() {}
    int size;
  };
  pool<Sized> sized([] { return lull::make<Sized>(42); });
  EXPECT_EQ(sized.get()->size, 42);
}

// The fault sweep ended in std::terminate: the part of a pool that a thread makes at its first use was made by lull::make in functions
// that must not throw.
TEST_F(Pool, WithoutMemoryForAThreadsPartItIsAsIfThereWereNoPool) {
  pool<Buffer> buffers;
  ptr<Buffer> spare = lull::make<Buffer>();  // of a span with room, so that objects themselves can be had
  EXPECT_NE(lull::make<Buffer>(), nullptr);
  lull::pages::span_fault_for_testing().set_for_testing(0, true);
  {
    auto taken = buffers.get();
    EXPECT_NE(taken.get(), nullptr);
    taken->refers = spare;
  }  // comes back, and is dropped
  EXPECT_EQ(made, 3);
  lull::pages::span_fault_for_testing().set_for_testing(-1, false);
  const Hidden first = use(buffers);
  EXPECT_EQ(use(buffers).address(), first.address());
}

TEST_F(Pool, MorePoolsThanHaveNumbersWorkWithoutReuse) {
  std::vector<std::unique_ptr<pool<Buffer>>> many;
  for (int i = 0; i < 300; ++i) many.push_back(std::make_unique<pool<Buffer>>());
  for (auto& p : many) use(*p);
  many.clear();
  pool<Buffer> again;  // a number that was given back
  made = 0;
  use(again), use(again);
  EXPECT_EQ(made, 1);
}

TEST_F(Pool, ReferencesThatResetDropsKeepNothing) {
  pool<Buffer> buffers;
  Hidden held;
  elsewhere([&] {
    auto b = buffers.get();
    b->refers = lull::make<Buffer>();
    held = Hidden(b->refers.get());
  });
  lull::collect();
  EXPECT_FALSE(is_allocated(held));
}

// Every object has one owner at any time, while cycles and their signals come and go.
TEST_F(Pool, NoObjectHasTwoOwnersUnderStress) {
  pool<Buffer> buffers;
  std::atomic<bool> stop{false}, failed{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < scaled(2000000) && !failed; ++i) {
        auto a = buffers.get();
        if (a->owners.fetch_add(1) != 0) failed = true;
        if (i % 3 == 0) {
          auto b = buffers.get();
          if (b->owners.fetch_add(1) != 0) failed = true;
          b->owners = 0;
        }
        a->owners = 0;
      }
    });
  std::thread collector([&] {
    while (!stop) lull::collect();
  });
  {
    lull::blocking_region joining;
    for (auto& t : threads) t.join();
    stop = true;
    collector.join();
  }
  EXPECT_FALSE(failed);
}

}  // namespace

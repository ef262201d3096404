// lull/arena.h: alignment, growth, destructors, reset, what a traced arena keeps alive and what it does not, dangling use.
#include "lull/arena.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::arena;
using lull::ptr;
using lull::traced_arena;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

std::vector<int> destroyed;
struct Logged {
  explicit Logged(int n) : number(n) {
    if (n < 0) throw std::runtime_error("negative");
  }
  ~Logged() { destroyed.push_back(number); }
  int number;
};

template <class Arena>
class BothArenas : public testing::Test {
 protected:
  void SetUp() override { destroyed.clear(); }
};
using Kinds = testing::Types<arena, traced_arena>;
TYPED_TEST_SUITE(BothArenas, Kinds, );

TYPED_TEST(BothArenas, BlocksAreAlignedDisjointAndTheirOwners) {
  TypeParam a;
  std::mt19937 random(1);
  struct Block {
    unsigned char* at;
    std::size_t size;
    unsigned char fill;
  };
  std::vector<Block> blocks;
  for (int i = 0; i < scaled(3000); ++i) {
    const std::size_t alignment = std::size_t{1} << random() % 13, size = random() % 10 == 0 ? random() % 100'000 : random() % 200;
    auto* at = static_cast<unsigned char*>(a.alloc(size, alignment));
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(at) % alignment, 0u);
    blocks.push_back({at, size, static_cast<unsigned char>(i)});
    std::memset(at, blocks.back().fill, size);
  }
  for (const Block& b : blocks)
    for (std::size_t k = 0; k < b.size; ++k) ASSERT_EQ(b.at[k], b.fill);
  std::size_t sum = 0;
  for (const Block& b : blocks) sum += b.size;
  EXPECT_GE(a.used(), sum);
}

TYPED_TEST(BothArenas, DestructorsRunOnceLastMadeFirst) {
  {
    TypeParam a;
    for (int i = 0; i < 3; ++i) a.template make<Logged>(i);
    a.reset();
    EXPECT_EQ(destroyed, (std::vector<int>{2, 1, 0}));
    EXPECT_EQ(a.used(), 0u);
    a.template make<Logged>(9);
  }
  EXPECT_EQ(destroyed, (std::vector<int>{2, 1, 0, 9}));
}

TYPED_TEST(BothArenas, AConstructorThatThrowsLeavesNothingToDestroy) {
  TypeParam a;
  a.template make<Logged>(1);
  EXPECT_THROW(a.template make<Logged>(-1), std::runtime_error);
  a.template make<Logged>(2);
  a.reset();
  EXPECT_EQ(destroyed, (std::vector<int>{2, 1}));
}

TYPED_TEST(BothArenas, MovingTakesObjectsAndDestructorsAlong) {
  TypeParam a;
  auto one = a.template make<Logged>(1);
  TypeParam b(std::move(a));
  EXPECT_EQ(one->number, 1);
  a.reset();
  EXPECT_TRUE(destroyed.empty());
  a.template make<Logged>(5);  // a is like new
  TypeParam c;
  c.template make<Logged>(7);
  c = std::move(b);
  EXPECT_EQ(destroyed, (std::vector<int>{7}));
  c.reset();
  EXPECT_EQ(destroyed, (std::vector<int>{7, 1}));
}

TYPED_TEST(BothArenas, ArraysAreValueInitialised) {
  TypeParam a;
  std::memset(a.alloc(4096), 0xff, 4096);
  a.reset();
  for (int element : a.template make_array<int>(1000)) ASSERT_EQ(element, 0);
  EXPECT_EQ(a.template make_array<std::string>(3)[2], "");
  EXPECT_EQ(a.template make_array<int>(0).size(), 0u);
  EXPECT_THROW(a.template make_array<long>(std::size_t{1} << 60), std::bad_array_new_length);
  EXPECT_THROW(static_cast<void>(a.alloc(std::size_t{1} << 62)), std::bad_alloc);
}

TEST(Arena, UsesItsMemoryAgainAfterAReset) {
  arena a;
  for (int i = 0; i < 100'000; ++i) a.make<long>(i);
  const std::size_t reserved = a.reserved();
  EXPECT_GE(reserved, 100'000 * sizeof(long));
  for (int round = 0; round < 10; ++round) {
    a.reset();
    for (int i = 0; i < 100'000; ++i) a.make<long>(i);
  }
  EXPECT_EQ(a.reserved(), reserved);
  a.release();
  EXPECT_EQ(a.reserved(), 0u);
}

struct Plain {
  int x;
};
struct Node;
template <class Arena, class T>
constexpr bool makes = requires(Arena a) { a.template make<T>(); };
static_assert(makes<arena, Plain> && makes<traced_arena, Plain> && makes<traced_arena, ptr<Plain>>);
static_assert(!makes<arena, ptr<Plain>>, "a reference that nobody would see");

// Reset makes a later use a fault that names the arena.
TEST(ArenaDeathTest, ADanglingUseIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ::setenv("LULL_MALLOC", "arena", 1);
  EXPECT_DEATH({
    arena a("requests");
    auto* p = a.make<volatile long>(1);
    a.reset();
    *p = 2;
  }, "lull: write to 0x.*, which belonged to the arena 'requests' before it was reset");
  ::unsetenv("LULL_MALLOC");
}

struct Node {
  ptr<Node> next;
  long value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

// A managed object that only an object in the arena's first chunk refers to.
[[gnu::noinline]] Hidden build(traced_arena& a, int n) {
  ptr<Node> held = lull::make<Node>();
  a.make<Node>()->next = held;
  for (int i = 0; i < n; ++i) static_cast<void>(a.make<Node>());  // further chunks, which refer to nothing
  return Hidden(held.get());
}

TEST(TracedArena, KeepsWhatItsObjectsReferTo) {
  traced_arena a;
  const Hidden first = build(a, 10'000);
  clear_stack_below();
  for (int i = 0; i < 3; ++i) {
    lull::collect_young();
    lull::collect();
    ASSERT_TRUE(is_allocated(first));
  }
  a.reset();
  clear_stack_below();
  lull::collect();
  EXPECT_FALSE(is_allocated(first));
}

TEST(TracedArena, AReferenceKeepsItsChunkBeyondAReset) {
  traced_arena a;
  ptr<Node> kept = a.make<Node>();
  kept->value = 42;
  a.reset();
  lull::collect();
  traced_arena b;
  for (int i = 0; i < 10'000; ++i) b.make<Node>()->value = i;
  EXPECT_EQ(kept->value, 42);
}

// The last chunk referred to the one before, and so kept them all.
TEST(TracedArena, AReferenceKeepsNoOtherChunkBeyondAReset) {
  traced_arena a;
  Hidden first;
  lull::root<Node> last;
  elsewhere([&] {
    first = Hidden(a.make<Node>().get());
    for (int i = 0; i < 100'000; ++i) last = a.make<Node>();
    a.reset();
  });
  lull::collect();
  EXPECT_FALSE(is_allocated(first));
  EXPECT_TRUE(is_allocated(Hidden(last.get())));
}

TYPED_TEST(BothArenas, NothingHasAnAddressToo) {
  TypeParam a;
  EXPECT_NE(a.alloc(0), nullptr);
  a.reset();
  EXPECT_NE(a.alloc(0), nullptr);
}

TEST(TracedArena, UnderStress) {
  lull::gc::options.stress = 1;
  traced_arena a;
  ptr<Node> last;
  for (int i = 0; i < scaled(3000); ++i) {
    ptr<Node> node = a.make<Node>();
    node->next = i % 7 == 0 ? lull::make<Node>() : last;
    node->value = i;
    last = node;
  }
  lull::gc::options.stress = 0;
  for (int i = scaled(3000) - 1; i > 0 && i % 7 != 0; --i, last = last->next) ASSERT_EQ(last->value, i);
}

// A reference that is stored into an arena's object while a cycle marks.
TEST(TracedArena, AStoreDuringMarkingIsNotLost) {
  traced_arena a;
  ptr<Node> holder = a.make<Node>();
  holder->next = lull::make<Node>();
  const Hidden held(holder->next.get());
  for (const lull::gc::Step step : {lull::gc::Step::barriers_on, lull::gc::Step::stacks_scanned, lull::gc::Step::marked}) {
    lull::gc::Stepper stepper;
    stepper.run_to(step);
    ptr<Node> moved = a.make<Node>();
    moved->next = holder->next;
    holder->next = nullptr;
    holder = moved;
    stepper.finish();
    ASSERT_TRUE(is_allocated(held));
  }
}

}  // namespace

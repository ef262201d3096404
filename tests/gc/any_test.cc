// lull/any.h and lull/atomic.h.
#include "lull/any.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "alloc/os/thread.h"
#include "alloc/os/thread_state.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "lull/atomic.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::any;
using lull::any_cast;
using lull::make;
using lull::ptr;
using lull::root;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

static_assert(sizeof(any) == sizeof(void*));

TEST(Any, HoldsOneValueOfAnyType) {
  any a;
  EXPECT_FALSE(a.has_value());
  EXPECT_EQ(any_cast<int>(&a), nullptr);
  a = 42;
  EXPECT_TRUE(a.has_value() && a.holds<int>() && !a.holds<long>());
  EXPECT_EQ(any_cast<int>(a), 42);
  EXPECT_EQ(any_cast<const int&>(a), 42);
  EXPECT_THROW(any_cast<long>(a), std::bad_any_cast);
  any_cast<int&>(a) = 43;
  EXPECT_EQ(*any_cast<int>(&a), 43);
  a = std::string("text");
  EXPECT_EQ(any_cast<std::string>(a), "text");
  EXPECT_EQ(a.emplace<std::string>(std::size_t{3}, 'x'), "xxx");
  a.reset();
  EXPECT_FALSE(a.has_value());
  EXPECT_EQ(any_cast<double>(lull::make_any<double>(1.5)), 1.5);
}

TEST(Any, CopiesTheValueAndMovesTheBox) {
  any a = std::string("one");
  any b = a;
  any_cast<std::string&>(b) = "two";
  EXPECT_EQ(any_cast<std::string>(a), "one");
  const auto* where = any_cast<std::string>(&b);
  any c = std::move(b);
  EXPECT_EQ(any_cast<std::string>(&c), where);
  EXPECT_FALSE(b.has_value());
  swap(a, c);
  EXPECT_EQ(any_cast<std::string>(a), "two");
  a = *&a;
  EXPECT_EQ(any_cast<std::string>(a), "two");
  a = c;
  EXPECT_EQ(any_cast<std::string>(a), "one");
}

int destroyed = 0;
struct Counted {
  Counted() = default;
  Counted(const Counted&) = default;
  ~Counted() { ++destroyed; }
};

TEST(Any, DestroysAValueWhenItGetsAnother) {
  any a;
  a.emplace<Counted>();
  destroyed = 0;
  a = 1;
  EXPECT_EQ(destroyed, 1);
  a.emplace<Counted>();
  a.reset();
  EXPECT_EQ(destroyed, 2);
}

// Assigning a part of the value destroyed that part with the value before it was taken over.
struct Link {
  std::string name;  // so that it is destroyed at once
  any next;
  void trace(lull::tracer& t) const { t(next); }
};

TEST(Any, TakesOverAPartOfItsOwnValue) {
  any list = Link{"first", Link{"second", 7}};
  list = std::move(any_cast<Link&>(list).next);
  ASSERT_NE(any_cast<Link>(&list), nullptr);
  EXPECT_EQ(any_cast<Link&>(list).name, "second");
  list = any_cast<Link&>(list).next;
  EXPECT_EQ(any_cast<int>(list), 7);
}

struct Binding {
  any value;
  void trace(lull::tracer& t) const { t(value); }
};

TEST(Any, KeepsWhatItsValueRefersTo) {
  root<Binding> binding = make<Binding>();
  Hidden object;
  elsewhere([&] {
    ptr<int> target = make<int>(7);
    object = Hidden(target.get());
    binding->value = target;
  });
  lull::collect();
  lull::collect_young();
  ASSERT_TRUE(is_allocated(object));
  elsewhere([&] {
    EXPECT_EQ(*any_cast<ptr<int>>(binding->value), 7);
    binding->value = 3.5;
  });
  clear_stack_below();
  lull::collect();
  EXPECT_FALSE(is_allocated(object));
}

TEST(Any, UnderStress) {
  lull::gc::options.stress = 1;
  root<std::array<any, 16>> values = make<std::array<any, 16>>();
  for (int i = 0; i < scaled(1000); ++i) {
    any& a = (*values)[static_cast<std::size_t>(i) % 16];
    switch (i % 3) {
      case 0: a = i; break;
      case 1: a = make<int>(i); break;
      default: a = (*values)[static_cast<std::size_t>(i / 3) % 16]; break;
    }
    const auto* p = any_cast<ptr<int>>(&a);
    const auto* n = any_cast<int>(&a);
    ASSERT_TRUE(p == nullptr || **p % 3 == 1);
    ASSERT_TRUE(n == nullptr || *n % 3 == 0);
  }
  lull::gc::options.stress = 0;
}

// lull/atomic.h

struct Node {
  explicit Node(long v = 0) : value(v) {}
  long value;
  ptr<Node> next;
  void trace(lull::tracer& t) const { t(next); }
};
struct Head {
  std::atomic<ptr<Node>> top;
  void trace(lull::tracer& t) const { t(top); }
};
static_assert(std::atomic<ptr<Node>>::is_always_lock_free && sizeof(std::atomic<ptr<Node>>) == sizeof(void*));
static_assert(std::is_base_of_v<lull::atomic<ptr<Node>>, std::atomic<ptr<Node>>> && !std::is_copy_constructible_v<std::atomic<ptr<Node>>>);

TEST(AtomicOfPtr, IsWhatStdAtomicIs) {
  ptr<Node> one = make<Node>(1), two = make<Node>(2);
  std::atomic<ptr<Node>> a(one);
  EXPECT_TRUE(a.is_lock_free());
  EXPECT_EQ(a.load(std::memory_order_acquire), one);
  a = two;
  EXPECT_EQ(static_cast<ptr<Node>>(a), two);
  a.store(one, std::memory_order_release);
  EXPECT_EQ(a.exchange(two), one);
  ptr<Node> expected = one;
  EXPECT_FALSE(a.compare_exchange_strong(expected, nullptr));
  EXPECT_EQ(expected, two);
  EXPECT_TRUE(a.compare_exchange_weak(expected, nullptr, std::memory_order_acq_rel, std::memory_order_relaxed));
  EXPECT_EQ(a.load(), nullptr);
  lull::atomic<ptr<int[]>> array(lull::make_array<int>(3));
  EXPECT_EQ(array.load().size(), 3u);
}

TEST(AtomicOfPtr, WaitersAreWokenAndDelayNoCollection) {
  root<Head> head = make<Head>();
  std::atomic<int> tid{0};
  std::thread waiter([&] {
    tid = lull::os::current_thread_id();
    head->top.wait(nullptr);
    EXPECT_EQ(1, head->top.load()->value);
  });
  while (tid == 0 || lull::os::stack_of_waiting_thread(tid) == 0) std::this_thread::yield();  // it spins before it sleeps
  lull::collect();
  head->top = make<Node>(1);
  head->top.notify_all();
  waiter.join();
}

// Owner and value are garbage together; their destructors run in any order.
struct Destroyed {
  static inline std::atomic<int> count{0};
  std::string text = "a text that is too long for the string itself";
  ~Destroyed() { ++count; }
};
struct Owner {
  lull::any value;
  explicit Owner(bool moves) : moves_(moves) {}
  ~Owner() {
    if (moves_) value = lull::any(1);
    else value.reset();
  }
  void trace(lull::tracer& t) const { t(value); }

 private:
  bool moves_;
};

TEST(Any, MayBeResetByTheDestructorOfItsOwner) {
  Destroyed::count = 0;
  lull::testing::elsewhere([] {
    for (int i = 0; i < 100; ++i) {
      const ptr<Owner> owner = make<Owner>(i % 2 == 0);
      owner->value.emplace<Destroyed>();
    }
  });
  clear_stack_below();
  for (int i = 0; i < 4; ++i) {
    lull::collect();
    lull::wait_for_finalizers();
  }
  EXPECT_EQ(100, Destroyed::count);
}

// What a black stack takes out is kept: the deleted value is shaded by each of the three.
TEST(AtomicOfPtr, WhatABlackStackTakesOutIsKept) {
  for (int way = 0; way < 3; ++way) {
    root<Head> head = make<Head>();
    Hidden node;
    elsewhere([&] {
      head->top = make<Node>(5);
      node = Hidden(head->top.load().get());
    });
    clear_stack_below();
    lull::collect();
    {
      lull::gc::Stepper stepper;
      stepper.run_to(lull::gc::Step::stacks_scanned);
      elsewhere([&] {
        if (way == 0) head->top.store(nullptr);
        if (way == 1) static_cast<void>(head->top.exchange(nullptr));
        if (way == 2) {
          ptr<Node> seen = head->top.load();
          head->top.compare_exchange_strong(seen, nullptr);
        }
      });
      clear_stack_below();
      stepper.finish();
    }
    EXPECT_TRUE(is_allocated(node)) << way;
  }
}

}  // namespace

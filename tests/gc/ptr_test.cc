// ptr, ptr<T[]>, atomic_ptr, root and atomic_root as values: what std::shared_ptr's user expects of them.
#include <gtest/gtest.h>

#include <concepts>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::atomic_ptr;
using lull::atomic_root;
using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::weak_ptr;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

struct Base {
  int base = 1;
};
struct Derived : Base {
  int derived = 2;
};
struct Unrelated {};

// Compile-time: one word each; no way to or from T* that is not spelled out; conversions are those of plain pointers.

template <class Smart>
constexpr bool is_one_word = sizeof(Smart) == sizeof(void*) && alignof(Smart) == alignof(void*);
static_assert(is_one_word<ptr<int>> && is_one_word<ptr<int[]>> && is_one_word<ptr<const Base>> && is_one_word<ptr<void>>);
static_assert(is_one_word<atomic_ptr<int>> && is_one_word<root<int>> && is_one_word<root<int[]>>);
static_assert(is_one_word<atomic_root<int>> && is_one_word<weak_ptr<int>>);

template <class Smart>
constexpr bool has_no_implicit_raw_conversion =
    !std::is_convertible_v<Smart, typename Smart::element_type*> && !std::is_convertible_v<Smart, void*> &&
    !std::is_convertible_v<typename Smart::element_type*, Smart> && !std::is_convertible_v<Smart, bool> &&
    !std::is_convertible_v<Smart, int>;
static_assert(has_no_implicit_raw_conversion<ptr<Base>> && has_no_implicit_raw_conversion<ptr<Base[]>>);
static_assert(has_no_implicit_raw_conversion<root<Base>> && has_no_implicit_raw_conversion<root<Base[]>>);
static_assert(std::is_constructible_v<ptr<Base>, Base*> && std::is_constructible_v<bool, ptr<Base>>);
static_assert(!std::is_constructible_v<ptr<Base>, int> && !std::is_constructible_v<root<Base>, Base*>);

static_assert(std::is_convertible_v<ptr<Derived>, ptr<Base>> && !std::is_constructible_v<ptr<Derived>, ptr<Base>>);
static_assert(std::is_convertible_v<ptr<Base>, ptr<const Base>> && !std::is_constructible_v<ptr<Base>, ptr<const Base>>);
static_assert(std::is_convertible_v<ptr<Base>, ptr<void>> && !std::is_constructible_v<ptr<Base>, ptr<Unrelated>>);
static_assert(!std::is_constructible_v<ptr<Base[]>, ptr<Derived[]>> && !std::is_constructible_v<ptr<Base>, ptr<Base[]>>);
static_assert(std::is_convertible_v<root<Derived>, root<Base>> && !std::is_constructible_v<root<Derived>, root<Base>>);
static_assert(std::is_convertible_v<ptr<Derived>, root<Base>> && std::is_convertible_v<root<Base>, ptr<Base>>);
static_assert(std::is_assignable_v<root<Base>&, ptr<Derived>> && std::is_assignable_v<root<Base>&, root<Derived>>);
static_assert(!std::is_assignable_v<root<Derived>&, ptr<Base>> && !std::is_assignable_v<root<Base>&, Base*>);

static_assert(std::is_convertible_v<ptr<Base[]>, ptr<const Base[]>> && !std::is_constructible_v<ptr<Base[]>, ptr<const Base[]>>);
static_assert(std::is_convertible_v<root<Derived>, ptr<Base>> && !std::is_constructible_v<ptr<Derived>, root<Base>>);
static_assert(std::is_convertible_v<root<Base[]>, ptr<const Base[]>> && is_one_word<root<void>>);
static_assert(std::is_trivially_destructible_v<ptr<Base>> && std::is_nothrow_copy_constructible_v<ptr<Base>>);
static_assert(std::is_nothrow_move_constructible_v<root<Base>> && std::is_nothrow_move_assignable_v<root<Base>>);
static_assert(!std::is_copy_constructible_v<atomic_ptr<Base>> && !std::is_copy_constructible_v<atomic_root<Base>>);
static_assert(std::totally_ordered<ptr<Base>> && std::totally_ordered<root<Base>>);
static_assert(std::swappable<ptr<Base>> && std::swappable<root<Base>>);

constinit root<Base> constant_initialised;
constinit thread_local root<Base[]> constant_initialised_too;

// A type may have members that point to a type not defined yet.
struct Incomplete;
struct Holder {
  ptr<Incomplete> one;
  ptr<Incomplete[]> many;
  atomic_ptr<Incomplete> shared;
  weak_ptr<Incomplete> weak;
  root<Incomplete> rooted;
  void trace(lull::tracer& t) const { t(one, many, shared, weak); }
};

TEST(Ptr, MayPointToATypeThatIsDefinedLater) {
  ptr<Holder> holder = make<Holder>();
  EXPECT_FALSE(holder->one || holder->many || holder->shared.load() || holder->rooted);
  EXPECT_TRUE(holder->weak.expired());
}
struct Incomplete {};

TEST(Ptr, DefaultAndNullptrAreEmpty) {
  EXPECT_EQ(ptr<int>().get(), nullptr);
  EXPECT_EQ(ptr<int>(nullptr).get(), nullptr);
  EXPECT_FALSE(ptr<int>());
  EXPECT_TRUE(ptr<int>() == nullptr);
  EXPECT_TRUE(nullptr == ptr<int>());
  EXPECT_EQ(ptr<int[]>().size(), 0u);
  EXPECT_EQ(ptr<int[]>().begin(), ptr<int[]>(nullptr).end());
}

TEST(Ptr, GivesAccessToItsObject) {
  ptr<Derived> p = make<Derived>();
  EXPECT_TRUE(p);
  EXPECT_EQ(&*p, p.get());
  EXPECT_EQ(&p->derived, &p.get()->derived);
  p->derived = 5;
  EXPECT_EQ((*p).derived, 5);
  const ptr<Derived> same = p;  // the pointer is constant, the object is not
  same->derived = 6;
  EXPECT_EQ(p->derived, 6);
}

TEST(Ptr, CopiesShareTheObject) {
  ptr<int> a = make<int>(1), b = a, c;
  c = b;
  *c = 2;
  EXPECT_EQ(*a, 2);
  EXPECT_TRUE(a == b && b == c);
  b = nullptr;
  EXPECT_TRUE(!b && a == c);
  a.reset();
  EXPECT_TRUE(!a && *c == 2);
}

TEST(Ptr, SelfAssignmentAndSelfSwapChangeNothing) {
  ptr<int> a = make<int>(1);
  ptr<int>& alias = a;
  a = alias;
  EXPECT_EQ(*a, 1);
  a = std::move(alias);
  EXPECT_EQ(*a, 1);
  a.swap(alias);
  EXPECT_EQ(*a, 1);
}

TEST(Ptr, SwapExchanges) {
  ptr<int> a = make<int>(1), b = make<int>(2), empty;
  swap(a, b);
  EXPECT_TRUE(*a == 2 && *b == 1);
  a.swap(empty);
  EXPECT_TRUE(!a && *empty == 2);
  ptr<int[]> x = make_array<int>(1), y = make_array<int>(2);
  swap(x, y);
  EXPECT_TRUE(x.size() == 2 && y.size() == 1);
}

TEST(Ptr, ComparesAndHashesByAddress) {
  ptr<int> a = make<int>(1), b = make<int>(1);
  EXPECT_NE(a, b);
  EXPECT_EQ(a < b, std::less<>()(a.get(), b.get()));
  EXPECT_EQ(a <=> a, std::strong_ordering::equal);
  EXPECT_EQ(std::hash<ptr<int>>()(a), std::hash<ptr<int>>()(ptr<int>(a.get())));
  EXPECT_EQ(std::hash<ptr<int>>()(a), std::hash<int*>()(a.get()));
  EXPECT_EQ((std::set<ptr<int>>{a, b, a}.size()), 2u);
  EXPECT_EQ((std::unordered_set<ptr<int>>{a, b, a}.size()), 2u);
}

TEST(Ptr, ComparesWithAPointerToTheBase) {
  ptr<Derived> d = make<Derived>();
  ptr<Base> b = d;
  EXPECT_TRUE(b == d && d == b);
  EXPECT_EQ(b <=> d, std::strong_ordering::equal);
}

TEST(Ptr, TakesAPointerOutOfTheHeapAndTheCollectorIgnoresIt) {
  static int outside = 7;
  ptr<ptr<int>> holder = make<ptr<int>>();
  *holder = ptr<int>(&outside);
  lull::collect();
  EXPECT_EQ(**holder, 7);
  EXPECT_EQ(holder->get(), &outside);
}

// Casts.

// Polymorphic, yet trivially destructible: an object with a destructor to run outlives the cycle that finds it dead.
struct Left {
  virtual void polymorphic() {}
  std::uint64_t left = 0x1111;
};
struct Right {
  virtual void polymorphic() {}
  std::uint64_t right = 0x2222;
};
struct Both final : Left, Right {
  std::uint64_t both = 0x3333;
  void trace(lull::tracer&) const {}
};
struct VirtualBase {
  virtual void polymorphic() {}
  std::uint64_t value = 0x4444;
};
struct ViaVirtual final : Left, virtual VirtualBase {
  void trace(lull::tracer&) const {}
};

TEST(Ptr, CastsAdjustTheAddressLikePlainPointers) {
  ptr<Both> both = make<Both>();
  ptr<Right> right = both;
  EXPECT_EQ(right.get(), static_cast<Right*>(both.get()));
  EXPECT_NE(static_cast<void*>(right.get()), static_cast<void*>(both.get()));
  EXPECT_EQ(right->right, 0x2222u);
  EXPECT_EQ(lull::static_pointer_cast<Both>(right), both);
  EXPECT_EQ(lull::dynamic_pointer_cast<Both>(right), both);
  EXPECT_EQ(lull::dynamic_pointer_cast<Left>(right), both);
  EXPECT_EQ(lull::dynamic_pointer_cast<VirtualBase>(right), nullptr);
  EXPECT_EQ(lull::dynamic_pointer_cast<Left>(ptr<Right>()), nullptr);
}

TEST(Ptr, CastsThroughNullStayNull) {
  ptr<Both> none;
  ptr<Right> right = none;  // the address of a second base would not be null if it were added to
  EXPECT_EQ(right, nullptr);
  EXPECT_EQ(lull::static_pointer_cast<Both>(right), nullptr);
}

TEST(Ptr, ConvertsToAVirtualBase) {
  ptr<VirtualBase> base = make<ViaVirtual>();
  EXPECT_EQ(base->value, 0x4444u);
  EXPECT_EQ(lull::dynamic_pointer_cast<Left>(base)->left, 0x1111u);
}

TEST(Ptr, ConstIsAddedSilentlyAndRemovedByACast) {
  ptr<const int> constant = make<int>(3);
  EXPECT_EQ(*constant, 3);
  static_assert(std::is_same_v<decltype(*constant), const int&>);
  const ptr<const int[]> constants = make_array<const int>(3);
  EXPECT_EQ(constants.size(), 3u);
  EXPECT_EQ(constants[2], 0);
  *lull::const_pointer_cast<int>(constant) = 4;
  EXPECT_EQ(*constant, 4);
  EXPECT_EQ(*make<const int>(5), 5);
}

// A pointer to a base part, a member or an element keeps the whole object, wherever the pointer lives.

struct Parts {
  ptr<Right> in_heap;
  void trace(lull::tracer& t) const { t(in_heap); }
};
root<Parts> parts;

TEST(Ptr, ToASecondBaseKeepsTheWholeObject) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  Hidden object;
  elsewhere([&] {
    parts = make<Parts>();
    ptr<Both> both = make<Both>();
    object = Hidden(both.get());
    parts->in_heap = both;
  });
  lull::collect();
  lull::collect();
  ASSERT_TRUE(is_allocated(object));
  EXPECT_EQ(lull::static_pointer_cast<Both>(parts->in_heap)->both, 0x3333u);
  parts->in_heap = nullptr;
}

struct Pair {
  std::uint64_t first = 1, second = 2;
  char text[16] = "0123456789";
};
root<std::uint64_t> to_member;
root<char> to_character;

TEST(Ptr, ToAMemberKeepsTheWholeObject) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  elsewhere([&] {
    ptr<Pair> pair = make<Pair>();
    to_member = ptr<std::uint64_t>(&pair->second);
  });
  lull::collect();
  lull::collect();
  EXPECT_EQ(*to_member, 2u);
  EXPECT_EQ(to_member.get()[-1], 1u);
}

TEST(Ptr, AliasesLikeASharedPtrAndKeepsTheWhole) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  elsewhere([&] {
    ptr<Pair> pair = make<Pair>();
    to_member = ptr<std::uint64_t>(pair, &pair->second);
    EXPECT_EQ(lull::reinterpret_pointer_cast<Pair>(ptr<std::uint64_t>(&pair->first)), pair);
  });
  lull::collect();
  lull::collect();
  EXPECT_EQ(to_member.get()[-1], 1u);
  to_member = nullptr;
}

// Free cells of the root table were once told apart by bit 0, and a root to an odd address counted as one of them.
TEST(Root, ToAnOddAddressKeepsItsObject) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  elsewhere([&] { to_character = ptr<char>(make<Pair>()->text + 1); });
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(to_character.get()) % 2, 1u);
  lull::collect();
  lull::collect();
  EXPECT_EQ(*to_character, '1');
}

// Arrays.

TEST(PtrToArray, IndexesAndIterates) {
  ptr<int[]> a = make_array<int>(5);
  ASSERT_EQ(a.size(), 5u);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<int>(i);
  int sum = 0;
  for (int x : a) sum += x;
  EXPECT_EQ(sum, 10);
  EXPECT_EQ(a.end() - a.begin(), 5);
  EXPECT_EQ(a.get(), &a[0]);
  ptr<int[]> same = a;
  EXPECT_TRUE(same == a && same.size() == 5);
  same = nullptr;
  EXPECT_TRUE(!same && a);
  a.reset();
  EXPECT_EQ(a.size(), 0u);
}

TEST(PtrToArray, HoldsPointersThatAreEmptyAtFirst) {
  ptr<ptr<int>[]> a = make_array<ptr<int>>(100);
  for (const ptr<int>& p : a) EXPECT_EQ(p, nullptr);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = make<int>(static_cast<int>(i));
  lull::collect();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(*a[i], static_cast<int>(i));
}

// atomic_ptr.

TEST(AtomicPtr, StoresLoadsAndExchanges) {
  ptr<int> one = make<int>(1), two = make<int>(2);
  ptr<atomic_ptr<int>> slot = make<atomic_ptr<int>>(one);
  EXPECT_EQ(slot->load(), one);
  slot->store(two);
  EXPECT_EQ(slot->load(), two);
  EXPECT_EQ(slot->exchange(one), two);
  EXPECT_EQ(slot->exchange(nullptr), one);
  EXPECT_EQ(slot->load(), nullptr);
}

TEST(AtomicPtr, CompareExchangeTellsWhatItFound) {
  ptr<int> one = make<int>(1), two = make<int>(2), expected = one;
  atomic_ptr<int> slot(two);
  EXPECT_FALSE(slot.compare_exchange(expected, one));
  EXPECT_EQ(expected, two);
  EXPECT_TRUE(slot.compare_exchange(expected, one));
  EXPECT_EQ(expected, two);
  EXPECT_EQ(slot.load(), one);
}

// A stack without a lock, popped and pushed by several threads. The nodes are never reused while somebody holds them,
// so the plain compare-and-swap is free of ABA; that none gets lost or doubled is the barrier's work.
struct Link {
  ptr<Link> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};
struct LockFreeStack {
  atomic_ptr<Link> top;
  void push(int value) {
    ptr<Link> link = make<Link>();
    link->value = value;
    ptr<Link> seen = top.load();
    do link->next = seen;
    while (!top.compare_exchange(seen, link));
  }
  int pop() {
    ptr<Link> seen = top.load();
    while (seen && !top.compare_exchange(seen, seen->next)) {
    }
    return seen ? seen->value : -1;
  }
  void trace(lull::tracer& t) const { t(top); }
};
root<LockFreeStack> lock_free_stack;

TEST(AtomicPtr, CarriesALockFreeStackThroughCollections) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  constexpr int kThreads = 3, kValues = 100;
  lock_free_stack = make<LockFreeStack>();
  for (int i = 0; i < kValues; ++i) lock_free_stack->push(i);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      while (!stop)
        if (const int value = lock_free_stack->pop(); value >= 0) lock_free_stack->push(value);
    });
  for (int i = 0; i < scaled(40); ++i) lull::collect();
  stop = true;
  {
    lull::blocking_region joining;
    for (std::thread& t : threads) t.join();
  }
  std::set<int> values;
  for (int value; (value = lock_free_stack->pop()) >= 0;) values.insert(value);
  EXPECT_EQ(values.size(), static_cast<std::size_t>(kValues));
  EXPECT_EQ(*values.rbegin(), kValues - 1);
}

// root.

TEST(Root, BehavesLikeAPointer) {
  root<Derived> empty, r = make<Derived>();
  EXPECT_TRUE(!empty && empty == nullptr && empty.get() == nullptr && empty.load() == nullptr);
  EXPECT_TRUE(r && r != nullptr);
  EXPECT_EQ(&*r, r.get());
  EXPECT_EQ(r->derived, 2);
  EXPECT_EQ(r.load().get(), r.get());
  ptr<Derived> p = r;
  EXPECT_TRUE(p == r && r == p && r == r && r != empty);
  EXPECT_EQ(std::hash<root<Derived>>()(r), std::hash<ptr<Derived>>()(p));
  EXPECT_EQ((std::set<root<Derived>>{r, r, empty}.size()), 2u);
  r = nullptr;
  EXPECT_FALSE(r);
}

TEST(Root, CopiesAreIndependent) {
  root<int> a = make<int>(1);
  root<int> b = a, c;
  c = a;
  a.reset();
  EXPECT_TRUE(!a && *b == 1 && *c == 1);
  c = make<int>(2);
  EXPECT_TRUE(*b == 1 && *c == 2);
}

TEST(Root, MovingEmptiesTheSource) {
  root<int> a = make<int>(1);
  root<int> b = std::move(a);
  EXPECT_TRUE(!a && *b == 1);
  root<int> c = make<int>(2);
  c = std::move(b);
  EXPECT_TRUE(!b && *c == 1);
  a = make<int>(3);  // a source can be used again
  b = make<int>(4);
  EXPECT_TRUE(*a == 3 && *b == 4 && *c == 1);
}

// Move assignment once swapped: the source kept the old object of the target alive and readable.
TEST(Root, MoveAssignmentLetsTheOldObjectGo) {
  static root<int> target, source;
  Hidden old;
  elsewhere([&] {
    target = make<int>(1);
    source = make<int>(2);
    old = Hidden(target.get());
    target = std::move(source);
  });
  EXPECT_FALSE(source);
  lull::collect();
  lull::collect();
  EXPECT_FALSE(is_allocated(old));
}

TEST(Root, SelfAssignmentAndSelfSwapChangeNothing) {
  root<int> a = make<int>(1);
  root<int>& alias = a;
  a = alias;
  EXPECT_EQ(*a, 1);
  a = std::move(alias);
  EXPECT_EQ(*a, 1);
  swap(a, alias);
  EXPECT_EQ(*a, 1);
}

TEST(Root, SwapExchangesWithEmptyOnesToo) {
  root<int> a = make<int>(1), b;
  swap(a, b);
  EXPECT_TRUE(!a && *b == 1);
  a.swap(b);
  EXPECT_TRUE(*a == 1 && !b);
}

TEST(Root, ConvertsAndCasts) {
  root<Both> both = make<Both>();
  root<Right> right = both;
  EXPECT_EQ(right->right, 0x2222u);
  EXPECT_EQ(lull::static_pointer_cast<Both>(right), both);
  EXPECT_EQ(lull::dynamic_pointer_cast<Left>(right), both);
  root<Left> left;
  left = both;
  EXPECT_EQ(left->left, 0x1111u);
  left = make<Both>();
  EXPECT_NE(left, both);
  root<const Both> constant = both;
  EXPECT_EQ(lull::const_pointer_cast<Both>(constant), both);
}

TEST(Root, HoldsArrays) {
  root<int[]> a = make_array<int>(3);
  a[2] = 7;
  EXPECT_EQ(a.size(), 3u);
  EXPECT_EQ(a.end()[-1], 7);
  int sum = 0;
  for (int x : a) sum += x;
  EXPECT_EQ(sum, 7);
  EXPECT_EQ((root<int[]>().size()), 0u);
}

TEST(Root, CellsAreUsedAgain) {
  std::vector<root<int>> roots;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10'000; ++i) roots.push_back(make<int>(i));
    lull::collect();
    for (int i = 0; i < 10'000; ++i) ASSERT_EQ(*roots[static_cast<std::size_t>(i)], i);
    roots.clear();
  }
}

// atomic_root.

TEST(AtomicRoot, StoresLoadsAndExchanges) {
  ptr<int> one = make<int>(1), two = make<int>(2), expected = two;
  atomic_root<int> slot(one);
  EXPECT_EQ(slot.load(), one);
  EXPECT_EQ(slot.exchange(two), one);
  EXPECT_TRUE(slot.compare_exchange(expected, one));
  EXPECT_FALSE(slot.compare_exchange(expected, two));
  EXPECT_EQ(expected, one);
  slot.store(nullptr);
  EXPECT_EQ(slot.load(), nullptr);
}

TEST(AtomicRoot, IsEmptyAtFirstAlsoInACellThatWasUsedBefore) {
  EXPECT_EQ(atomic_root<int>().load(), nullptr);
  for (int i = 0; i < 3; ++i) {
    root<int> first = make<int>(1), second = make<int>(2);
  }
  EXPECT_EQ(atomic_root<int>().load(), nullptr);
}

// What a black stack takes out of the heap atomically is kept like what it takes by a plain store: the old value is
// shaded.
struct Slots {
  atomic_ptr<Pair> exchanged, compared;
  void trace(lull::tracer& t) const { t(exchanged, compared); }
};
root<Slots> slots;
atomic_root<Pair>* root_slot = nullptr;

[[gnu::noinline]] Hidden take_by_exchange() { return Hidden(slots->exchanged.exchange(nullptr).get()); }
[[gnu::noinline]] Hidden take_by_compare_exchange() {
  ptr<Pair> seen = slots->compared.load();
  EXPECT_TRUE(slots->compared.compare_exchange(seen, nullptr));
  return Hidden(seen.get());
}
[[gnu::noinline]] Hidden take_out_of_root() { return Hidden(root_slot->exchange(nullptr).get()); }

TEST(AtomicPtr, WhatABlackStackTakesOutAtomicallyIsKept) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  lull::attach_thread();
  elsewhere([] {
    slots = make<Slots>();
    slots->exchanged.store(make<Pair>());
    slots->compared.store(make<Pair>());
    root_slot = new atomic_root<Pair>(make<Pair>());
  });
  lull::gc::Stepper stepper;
  stepper.run_to(lull::gc::Step::stacks_scanned);
  const Hidden taken[] = {take_by_exchange(), take_by_compare_exchange(), take_out_of_root()};
  clear_stack_below();
  stepper.finish();
  for (const Hidden& object : taken) {
    ASSERT_TRUE(is_allocated(object));
    EXPECT_EQ(object.as<Pair>()->second, 2u);
  }
  delete root_slot;
}

// Two threads hand the only reference to an object back and forth through one cell.
TEST(AtomicRoot, HandsObjectsFromThreadToThread) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  static atomic_root<Pair> cell;
  std::atomic<bool> stop{false};
  std::atomic<int> taken{0};
  const auto check = [&](const ptr<Pair>& p) { return !p || (p->first == 1 && p->second == 2); };
  std::thread maker([&] {
    while (!stop) EXPECT_TRUE(check(cell.exchange(make<Pair>())));
  });
  std::thread taker([&] {
    while (!stop) {
      const ptr<Pair> p = cell.exchange(nullptr);
      EXPECT_TRUE(check(p));
      taken += p ? 1 : 0;
    }
  });
  for (int i = 0; i < scaled(100); ++i) lull::collect();
  stop = true;
  lull::blocking_region joining;
  maker.join();
  taker.join();
  EXPECT_GT(taken, 0);
}

}  // namespace

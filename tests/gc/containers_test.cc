// lull/containers.h, lull/allocator.h and lull/element_ptr.h: containers of managed memory against the standard library's as
// models, with collections in between; and pointers that die while their memory lives on.
#include "lull/containers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::element_ptr;
using lull::make;
using lull::ptr;
using lull::root;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::clear_stack_below;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

struct Item {
  explicit Item(int v) : value(v) {}
  int value;
  void trace(lull::tracer&) const {}
};

static_assert(std::random_access_iterator<element_ptr<int>>);
static_assert(std::is_convertible_v<element_ptr<int>, element_ptr<const int>> && !std::is_convertible_v<element_ptr<const int>, element_ptr<int>>);
static_assert(std::is_same_v<std::pointer_traits<element_ptr<int>>::rebind<long>, element_ptr<long>>);
static_assert(lull::droppable<lull::vector<int>>::value && lull::droppable<lull::vector<lull::vector<ptr<Item>>>>::value);
static_assert(!lull::droppable<lull::vector<std::string>>::value);

// Everything under the mode that collects at every allocation's slow path.
class Containers : public testing::Test {
 protected:
  void SetUp() override { lull::gc::options.stress = 1; }
  void TearDown() override { lull::gc::options.stress = 0; }
  std::mt19937 random_{1 + static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed())};
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
};

TEST_F(Containers, AVectorOfReferencesIsWhatItsModelIs) {
  root<lull::vector<ptr<Item>>> v = make<lull::vector<ptr<Item>>>();
  std::vector<int> model;
  for (int i = 0; i < scaled(2000); ++i) {
    const int at = model.empty() ? 0 : below(static_cast<int>(model.size()));
    switch (below(5)) {
      case 0:
      case 1: v->push_back(make<Item>(i)); model.push_back(i); break;
      case 2: v->insert(v->begin() + at, make<Item>(i)); model.insert(model.begin() + at, i); break;
      case 3: if (!model.empty()) { v->erase(v->begin() + at); model.erase(model.begin() + at); } break;
      case 4: if (!model.empty()) { (*v)[static_cast<std::size_t>(at)] = make<Item>(-i); model[static_cast<std::size_t>(at)] = -i; } break;
    }
    ASSERT_EQ(v->size(), model.size());
      }
  for (std::size_t k = 0; k < model.size(); ++k) ASSERT_EQ((*v)[k]->value, model[k]);
}

template <class Managed, class Model>
void compare_maps(const Managed& managed, const Model& model) {
  ASSERT_EQ(managed.size(), model.size());
  for (const auto& [key, value] : model) {
    auto found = managed.find(key);
    ASSERT_NE(found, managed.end());
    ASSERT_EQ(found->second->value, value);
  }
}

template <class Map>
void fill_and_compare(std::mt19937& random, int steps) {
  root<Map> m = make<Map>();
  std::map<int, int> model;
  for (int i = 0; i < steps; ++i) {
    const int key = static_cast<int>(random() % 256);
    if (random() % 3 == 0) {
      m->erase(key);
      model.erase(key);
    } else {
      (*m)[key] = make<Item>(i);
      model[key] = i;
    }
    if (i % 128 == 0) compare_maps(*m, model);
  }
  compare_maps(*m, model);
}

TEST_F(Containers, MapsAreWhatTheirModelsAre) {
  fill_and_compare<lull::map<int, ptr<Item>>>(random_, scaled(2000));
  fill_and_compare<lull::unordered_map<int, ptr<Item>>>(random_, scaled(2000));
  fill_and_compare<lull::flat_map<int, ptr<Item>>>(random_, scaled(2000));
}

TEST_F(Containers, SetsListsAndDequesAreWhatTheirModelsAre) {
  root<lull::set<int>> s = make<lull::set<int>>();
  root<lull::unordered_set<int>> u = make<lull::unordered_set<int>>();
  root<lull::list<int>> l = make<lull::list<int>>();
  root<lull::deque<int>> d = make<lull::deque<int>>();
  std::set<int> set_model;
  std::vector<int> model;
  for (int i = 0; i < scaled(2000); ++i) {
    const int value = below(500);
    s->insert(value), u->insert(value), set_model.insert(value);
    l->push_back(value), d->push_back(value), model.push_back(value);
    if (i % 3 == 0) {
      s->erase(i % 500), u->erase(i % 500), set_model.erase(i % 500);
      l->pop_front(), d->pop_front(), model.erase(model.begin());
    }
  }
  EXPECT_TRUE(std::equal(s->begin(), s->end(), set_model.begin(), set_model.end()));
  EXPECT_EQ(std::set<int>(u->begin(), u->end()), set_model);
  EXPECT_TRUE(std::equal(l->begin(), l->end(), model.begin(), model.end()));
  EXPECT_TRUE(std::equal(d->begin(), d->end(), model.begin(), model.end()));
}

TEST_F(Containers, StringsShortAndLongKeepTheirText) {
  root<lull::vector<lull::string>> v = make<lull::vector<lull::string>>();
  std::vector<std::string> model;
  for (int i = 0; i < scaled(500); ++i) {
    const std::string text(static_cast<std::size_t>(below(60)), static_cast<char>('a' + i % 26));
    v->push_back(lull::string(text.c_str()));
    model.push_back(text);
    const auto a = static_cast<std::size_t>(below(i + 1)), b = static_cast<std::size_t>(below(i + 1));
    (*v)[a].swap((*v)[b]);
    std::swap(model[a], model[b]);
    (*v)[a] += "tail";
    model[a] += "tail";
  }
  for (std::size_t k = 0; k < model.size(); ++k) ASSERT_STREQ((*v)[k].c_str(), model[k].c_str());
}

struct Tree {
  lull::map<int, lull::vector<ptr<Tree>>> children;
  lull::string name;
  void trace(lull::tracer& t) const { t(children, name); }
};

TEST_F(Containers, AreMembersOfTracedTypes) {
  root<Tree> tree = make<Tree>();
  for (int i = 0; i < 30; ++i) {
    ptr<Tree> child = make<Tree>();
    child->name = "a name that is too long for the object itself";
    tree->children[i % 7].push_back(child);
  }
  lull::collect();
  int seen = 0;
  for (const auto& [key, list] : tree->children)
    for (const auto& child : list) seen += child->name == "a name that is too long for the object itself";
  EXPECT_EQ(seen, 30);
}

TEST_F(Containers, HashPointersAsKeys) {
  const ptr<Item> one = make<Item>(1), two = make<Item>(2);
  lull::unordered_map<ptr<Item>, int> m;
  m[one] = 10;
  m[two] = 20;
  lull::unordered_set<lull::root<Item>> s;
  s.insert(lull::root<Item>(one));
  lull::collect();
  EXPECT_EQ(10, m.at(one));
  EXPECT_EQ(20, m.at(two));
  EXPECT_EQ(1u, s.count(lull::root<Item>(one)));
  EXPECT_EQ(0u, s.count(lull::root<Item>(two)));
}

TEST_F(Containers, OnAStackAreSeenThere) {
  lull::vector<ptr<Item>> v;
  lull::unordered_map<int, ptr<Item>> m;
  for (int i = 0; i < scaled(500); ++i) {
    v.push_back(make<Item>(i));
    m[i] = v.back();
  }
  lull::collect();
  for (int i = 0; i < scaled(500); ++i) ASSERT_EQ(v[static_cast<std::size_t>(i)]->value + m.at(i)->value, 2 * i);
}

// Room for more elements keeps nothing of those that were there.
struct Pair {
  ptr<Item> first;
  int second = 0;
  void trace(lull::tracer& t) const { t(first); }
};

struct Plain {
  ptr<Item> first;
  long second = 0;
};
static_assert(!lull::detail::leaves_references<std::pair<long, double>>() && lull::detail::leaves_references<std::pair<long, ptr<Item>>>());
static_assert(!lull::droppable<lull::map<int, int, std::function<bool(int, int)>>>::value && lull::droppable<lull::map<int, int>>::value);

template <class Container>
struct Holder {
  Container items;
  void trace(lull::tracer& t) const { t(items); }
};

// `fill(container, item)` puts ten items in, `take(container)` some out again; `left` of them are there afterwards.
template <class Container, class Fill, class Take>
void expect_gone(const char* what, std::size_t left, Fill fill, Take take) {
  root<Holder<Container>> holder = make<Holder<Container>>();
  std::vector<Hidden> items;
  lull::testing::elsewhere([&] {
    for (int i = 0; i < 10; ++i) {
      const ptr<Item> item = make<Item>(i);
      items.emplace_back(item.get());
      fill(holder->items, item);
    }
    take(holder->items);
  });
  clear_stack_below();
  lull::collect();
  const auto there = std::count_if(items.begin(), items.end(), [](const Hidden& item) { return is_allocated(item); });
  EXPECT_EQ(left, static_cast<std::size_t>(there)) << what;
}

TEST(ContainersWithRoom, KeepNothingOfWhatWasTakenOut) {
  const auto append = [](auto& to, const ptr<Item>& item) { to.push_back(item); };
  using Vector = lull::vector<ptr<Item>>;
  expect_gone<Vector>("pop_back", 9, append, [](Vector& v) { v.pop_back(); });
  expect_gone<Vector>("erase one", 9, append, [](Vector& v) { v.erase(v.begin() + 3); });
  expect_gone<Vector>("erase some", 6, append, [](Vector& v) { v.erase(v.begin() + 3, v.begin() + 7); });
  expect_gone<Vector>("clear", 0, append, [](Vector& v) { v.clear(); });
  expect_gone<Vector>("resize", 2, append, [](Vector& v) { v.resize(2); });
  expect_gone<Vector>("assign", 0, append, [](Vector& v) { v = Vector(); });
  expect_gone<Vector>("swap and drop", 0, append, [](Vector& v) { Vector().swap(v); });
  using Deque = lull::deque<ptr<Item>>;
  expect_gone<Deque>("deque: both ends", 8, append, [](Deque& d) { d.pop_back(), d.pop_front(); });
  expect_gone<Deque>("deque: clear", 0, append, [](Deque& d) { d.clear(); });
  using Map = lull::flat_map<int, ptr<Item>>;
  const auto enter = [](Map& to, const ptr<Item>& item) { to.emplace(item->value, item); };
  expect_gone<Map>("flat_map: erase", 9, enter, [](Map& m) { m.erase(3); });
  using Set = lull::flat_set<ptr<Item>>;
  expect_gone<Set>("flat_set: erase", 9, [](Set& to, const ptr<Item>& item) { to.insert(item); }, [](Set& s) { s.erase(s.begin()); });
  using Traced = lull::vector<Pair>;
  expect_gone<Traced>("traced elements", 9, [](Traced& to, const ptr<Item>& item) { to.push_back({item, 1}); }, [](Traced& v) { v.pop_back(); });
  using Untraced = lull::vector<Plain>;
  expect_gone<Untraced>("elements without trace()", 9, [](Untraced& to, const ptr<Item>& item) { to.push_back({item, 1}); }, [](Untraced& v) { v.pop_back(); });
  using Pairs = lull::vector<std::pair<int, ptr<Item>>>;
  expect_gone<Pairs>("pairs", 9, [](Pairs& to, const ptr<Item>& item) { to.emplace_back(1, item); }, [](Pairs& v) { v.pop_back(); });
}

// Of a few words the compiler leaves those out that the constructors overwrite.
struct Wide {
  long before[3];
  ptr<Item> first;
  long after[3];
};

// A class without a constructor of its own begins with zeroes, which no barrier sees: what was there before has to be gone by then.
TEST(ContainersWithRoom, BeginNewElementsWhereNothingIs) {
  root<Holder<lull::vector<Wide>>> holder = make<Holder<lull::vector<Wide>>>();
  Hidden item;
  lull::testing::elsewhere([&] {
    holder->items.reserve(4);
    holder->items.push_back({{}, make<Item>(1), {}});
    item = Hidden(holder->items.back().first.get());
  });
  clear_stack_below();
  lull::collect();
  {
    Stepper stepper;
    stepper.run_to(Step::stacks_scanned);
    lull::testing::elsewhere([&] {
      holder->items.resize(0);
      holder->items.resize(1);
    });
    clear_stack_below();
    stepper.finish();
  }
  EXPECT_TRUE(is_allocated(item));
}

TEST(Ptr, IsShadedWhenAnotherBeginsInItsMemory) {
  root<Plain> holder = make<Plain>();
  Hidden item;
  lull::testing::elsewhere([&] {
    holder->first = make<Item>(1);
    item = Hidden(holder->first.get());
  });
  clear_stack_below();
  lull::collect();
  {
    Stepper stepper;
    stepper.run_to(Step::stacks_scanned);
    lull::testing::elsewhere([&] { ::new (static_cast<void*>(&holder->first)) ptr<Item>(); });
    clear_stack_below();
    stepper.finish();
  }
  EXPECT_TRUE(is_allocated(item));
}

struct OtherBase {
  long padding = 1;
};
struct Second {
  long own = 2;
};
struct Both : OtherBase, Second {};

TEST(Ptr, OrdersBasesAndDerivedAsOne) {
  const ptr<Both> both = make<Both>();
  const ptr<Second> second = both;
  EXPECT_TRUE(second == both && second <= both && second >= both && !(second < both));
}

// As OfAVariantIsShadedWhenTheVariantGoesOverToANumber, below.
TEST(ContainersWithRoom, ShadeWhatIsTakenOut) {
  root<Holder<lull::vector<ptr<Item>>>> holder = make<Holder<lull::vector<ptr<Item>>>>();
  Hidden item;
  lull::testing::elsewhere([&] {
    holder->items.push_back(make<Item>(1));
    item = Hidden(holder->items.back().get());
  });
  clear_stack_below();
  lull::collect();
  {
    Stepper stepper;
    stepper.run_to(Step::stacks_scanned);
    lull::testing::elsewhere([&] { holder->items.pop_back(); });
    clear_stack_below();
    stepper.finish();
  }
  EXPECT_TRUE(is_allocated(item));
}

TEST(StdVector, KeepsNothingOfWhatWasTakenOut) {
  root<std::vector<ptr<Item>, lull::allocator<ptr<Item>>>> v = make<std::vector<ptr<Item>, lull::allocator<ptr<Item>>>>();
  Hidden item;
  lull::testing::elsewhere([&] {
    v->push_back(make<Item>(1));
    item = Hidden(v->back().get());
    v->pop_back();
  });
  clear_stack_below();
  lull::collect();
  EXPECT_FALSE(is_allocated(item));
}

TEST(StdVector, TakesTheAllocator) {
  std::vector<ptr<Item>, lull::allocator<ptr<Item>>> v;
  for (int i = 0; i < 100; ++i) v.push_back(make<Item>(i));
  lull::collect();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(v[static_cast<std::size_t>(i)]->value, i);
  EXPECT_THROW(v.reserve(std::size_t{1} << 60), std::length_error);
}

TEST(Allocator, RefusesLengthsThatNothingCanHave) {
  EXPECT_THROW(lull::allocator<long>().allocate(std::size_t{1} << 60), std::bad_array_new_length);
}

// A container of trivial elements has no destructor to run; one whose elements have destructors runs them.
int destroyed = 0;
struct Counted {
  ~Counted() { ++destroyed; }
};
struct Owner {
  lull::list<Counted> counted;
};

[[gnu::noinline]] void make_owners(int n) {
  for (int i = 0; i < n; ++i) make<Owner>()->counted.emplace_back();
}

TEST(DroppedContainers, RunTheDestructorsOfTheirElements) {
  destroyed = 0;
  make_owners(100);
  clear_stack_below();
  lull::collect();
  lull::run_finalizers();
  EXPECT_GE(destroyed, 95);
}

// The pointer of a variant. The defect that it is there for: a plain ptr has no destructor, so a variant that goes over to a
// number overwrites the reference without a barrier, and an object that a black thread has just loaded from there is lost.
using Either = std::variant<element_ptr<Item>, std::uintptr_t>;
struct Box {
  Either value;
  void trace(lull::tracer& t) const { t.visit_words(this, sizeof(*this)); }
};
root<Box> box;

[[gnu::noinline]] Hidden fill_box() {
  box = make<Box>();
  box->value = element_ptr<Item>(make<Item>(7));
  return Hidden(std::get<0>(box->value).get());
}

TEST(MortalPointer, OfAVariantIsShadedWhenTheVariantGoesOverToANumber) {
  const Hidden item = fill_box();
  clear_stack_below();
  lull::collect();  // the item is old and marked by nobody in the next cycle
  {
    Stepper stepper;
    stepper.run_to(Step::stacks_scanned);  // this thread is black
    box->value = std::uintptr_t{0};        // the only reference goes; the item is in the snapshot
    clear_stack_below();
    stepper.finish();
  }
  EXPECT_TRUE(is_allocated(item)) << "the deletion was not shaded";
  box.reset();
}

TEST(MortalPointer, DoesNotKeepItsObjectAfterItsDeath) {
  const Hidden item = fill_box();
  box->value = std::uintptr_t{1};
  clear_stack_below();
  lull::collect();
  EXPECT_FALSE(is_allocated(item));
  box.reset();
}

TEST(ElementPtr, WalksAnArray) {
  lull::ptr<int[]> array = lull::make_array<int>(100);
  element_ptr<int> p(array.get());
  for (int i = 0; i < 100; ++i) *p++ = i;
  EXPECT_EQ(p - element_ptr<int>(array.get()), 100);
  EXPECT_EQ(*--p, 99);
  EXPECT_EQ(p[-99], 0);
  EXPECT_EQ(*(p - 50), 49);
  EXPECT_LT(element_ptr<int>(array.get()), p);
  EXPECT_TRUE(element_ptr<const int>(p) == p);
  EXPECT_EQ(element_ptr<int>::pointer_to(array[5]), element_ptr<int>(array.get()) + 5);
}

}  // namespace

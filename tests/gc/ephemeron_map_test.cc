// ephemeron_map: a value lives while its key does, whatever leads back to the key, whenever the last reference moves, at
// any step of a cycle of either kind.
//
// Objects that are to die are made on threads that end; see collect_test.cc.
#include "lull/ephemeron_map.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <vector>

#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

namespace {

using lull::ephemeron_map;
using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::gc::CycleKind;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::announced_seed;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::kIntact;
using lull::testing::Node;
using lull::testing::scaled;

using Map = ephemeron_map<Node, Node>;
root<Map> map;
root<ptr<Node>[]> keys;

class EphemeronMap : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::gc::options.verify = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
    elsewhere([] {
      map = make<Map>();
      keys = make_array<ptr<Node>>(8);
    });
  }
  void TearDown() override {
    elsewhere([] {
      map = nullptr;
      keys = nullptr;
    });
  }
};

std::size_t live_entries() {
  std::size_t n = 0;
  elsewhere([&] {
    map->for_each([&](const ptr<Node>& key, const ptr<Node>& value) {
      EXPECT_EQ(key->value, kIntact);
      if (value) {
        EXPECT_EQ(value->value, kIntact);
      }
      ++n;
    });
  });
  return n;
}

// A key that `keys` holds, and its value, both made on a thread that ends. `link` may tie them together.
template <class Link>
Hidden add_entry(std::size_t i, Link&& link) {
  Hidden value_at;
  elsewhere([&] {
    keys[i] = make<Node>();
    const ptr<Node> value = make<Node>();
    link(keys[i], value);
    EXPECT_TRUE(map->insert(keys[i], value));
    value_at = Hidden(value.get());
  });
  return value_at;
}
Hidden add_entry(std::size_t i) {
  return add_entry(i, [](const ptr<Node>&, const ptr<Node>&) {});
}
void drop_key(std::size_t i) {
  elsewhere([&] { keys[i] = nullptr; });
}

TEST_F(EphemeronMap, IsAMap) {
  elsewhere([] {
    Map m;
    const ptr<Node> a = make<Node>(), b = make<Node>(), v = make<Node>(), w = make<Node>();
    EXPECT_EQ(m.find(a), nullptr);
    EXPECT_EQ(m.find(nullptr), nullptr);
    EXPECT_FALSE(m.erase(a));
    EXPECT_TRUE(m.insert(a, v));
    EXPECT_FALSE(m.insert(a, w));
    EXPECT_EQ(m.find(a), v);
    EXPECT_FALSE(m.contains(b));
    EXPECT_FALSE(m.insert_or_assign(a, w));
    EXPECT_TRUE(m.insert_or_assign(b, nullptr));
    EXPECT_TRUE(m.contains(b));
    EXPECT_EQ(m.find(a), w);
    EXPECT_EQ(m.find(b), nullptr);
    EXPECT_EQ(m.size(), 2u);
    EXPECT_TRUE(m.erase(a));
    EXPECT_FALSE(m.contains(a));
    EXPECT_EQ(m.size(), 1u);
    EXPECT_TRUE(m.insert(a, v));
    EXPECT_EQ(m.find(a), v);
    Map moved(std::move(m));
    EXPECT_EQ(m.size(), 0u);
    EXPECT_EQ(moved.find(a), v);
    m = std::move(moved);
    EXPECT_EQ(m.find(a), v);
    m.clear();
    EXPECT_EQ(m.size(), 0u);
    EXPECT_FALSE(m.contains(a));
  });
}

using EphemeronMapDeathTest = EphemeronMap;
TEST_F(EphemeronMapDeathTest, ANullKey) { EXPECT_DEATH(map->insert(nullptr, nullptr), "lull::ephemeron_map: a null key"); }

// Against std::map, with cycles now and then.
TEST_F(EphemeronMap, AgreesWithAMap) {
  std::mt19937_64 random(announced_seed());
  elsewhere([&] {
    constexpr std::size_t kKeys = 500;
    root<ptr<Node>[]> held = make_array<ptr<Node>>(kKeys);
    for (ptr<Node>& key : held) key = make<Node>();
    root<Map> mine = make<Map>();
    std::map<std::size_t, std::uint64_t> expected;
    for (int i = 0; i < scaled(50'000); ++i) {
      const std::size_t k = random() % kKeys;
      const std::uint64_t number = random();
      const auto make_value = [&] {
        ptr<Node> value = make<Node>();
        value->value = number;
        return value;
      };
      switch (random() % 4) {
        case 0: ASSERT_EQ(mine->insert(held[k], make_value()), expected.emplace(k, number).second); break;
        case 1: ASSERT_EQ(mine->insert_or_assign(held[k], make_value()), expected.insert_or_assign(k, number).second); break;
        case 2: ASSERT_EQ(mine->erase(held[k]), expected.erase(k) == 1); break;
        default:
          const ptr<Node> found = mine->find(held[k]);
          ASSERT_EQ(found != nullptr, expected.contains(k));
          if (found) {
            ASSERT_EQ(found->value, expected[k]);
          }
      }
      ASSERT_EQ(mine->size(), expected.size());
      if (i % 1000 == 0) lull::collect_young();
      if (i % 5000 == 0) lull::collect();
    }
    std::size_t visited = 0;
    mine->for_each([&](const ptr<Node>&, const ptr<Node>&) { ++visited; });
    EXPECT_EQ(visited, expected.size());
  });
}

TEST_F(EphemeronMap, AValueLivesWhileItsKeyDoes) {
  const Hidden value = add_entry(0);
  for (int i = 0; i < 3; ++i) {
    lull::collect();
    EXPECT_TRUE(is_allocated(value));
    EXPECT_EQ(live_entries(), 1u);
  }
  drop_key(0);
  lull::collect();
  EXPECT_EQ(live_entries(), 0u);
  EXPECT_FALSE(is_allocated(value));
}

TEST_F(EphemeronMap, AValueThatRefersToItsKeyDoesNotKeepIt) {
  const Hidden value = add_entry(0, [](const ptr<Node>& key, const ptr<Node>& v) {
    v->next = make<Node>();
    v->next->next = key;
  });
  lull::collect();
  EXPECT_TRUE(is_allocated(value));
  drop_key(0);
  lull::collect();
  EXPECT_FALSE(is_allocated(value));
}

TEST_F(EphemeronMap, EntriesThatLeadToEachOthersKeysDieTogether) {
  const Hidden first = add_entry(0), second = add_entry(1);
  elsewhere([] {
    map->find(keys[0])->next = keys[1];
    map->find(keys[1])->next = keys[0];
  });
  drop_key(0);
  lull::collect();
  EXPECT_EQ(live_entries(), 2u);
  drop_key(1);
  lull::collect();
  EXPECT_EQ(live_entries(), 0u);
  EXPECT_FALSE(is_allocated(first));
  EXPECT_FALSE(is_allocated(second));
}

TEST_F(EphemeronMap, MapsOnStacksAndWithinValuesCount) {
  elsewhere([] {
    Map local;
    const ptr<Node> key = make<Node>();
    local.insert(key, make<Node>());
    lull::collect();
    EXPECT_EQ(local.find(key)->value, kIntact);
  });
  struct Nested {
    ephemeron_map<Node, Nested> inner;
    std::uint64_t value = kIntact;
    void trace(lull::tracer& t) const { t(inner); }
  };
  static root<Nested> outermost;
  elsewhere([] {  // each map is found only once its own entry's key is known to live
    outermost = make<Nested>();
    ptr<Nested> at = outermost;
    for (int i = 0; i < 100; ++i) {
      ptr<Nested> next = make<Nested>();
      at->inner.insert(keys[0] = make<Node>(), next);
      keys[0]->next = keys[1];
      keys[1] = keys[0];
      at = next;
    }
    keys[0] = nullptr;
  });
  lull::collect();
  elsewhere([] {
    std::size_t depth = 0;
    for (ptr<Nested> at = outermost, next; at; at = next, next = nullptr) {
      ASSERT_EQ(at->value, kIntact);
      at->inner.for_each([&](const ptr<Node>&, const ptr<Nested>& n) { next = n; });
      ++depth;
    }
    EXPECT_EQ(depth, 101u);
    outermost = nullptr;
  });
}

TEST_F(EphemeronMap, AKeyOutOfTheHeapNeverDies) {
  static int outside = 1;
  static root<ephemeron_map<int, Node>> by_address;
  elsewhere([] {
    by_address = make<ephemeron_map<int, Node>>();
    by_address->insert(ptr<int>(&outside), make<Node>());
  });
  lull::collect();
  elsewhere([] {
    EXPECT_EQ(by_address->find(ptr<int>(&outside))->value, kIntact);
    by_address = nullptr;
  });
}

// Dead entries make room for new ones, and the count follows.
TEST_F(EphemeronMap, TheTableDoesNotGrowWithDeadEntries) {
  for (int round = 0; round < 50; ++round) {
    elsewhere([] {
      for (int i = 0; i < 100; ++i) map->insert(make<Node>(), make<Node>());
    });
    EXPECT_LE(map->size(), 400u);
    lull::collect();
    EXPECT_EQ(live_entries(), 0u);
  }
}

// Each value is the next key: only when one is marked is the next one known to live. Rounds over all that wait would take
// 100,000 times 100,000 looks when the order is the wrong one.
void make_chain(int length, bool backwards) {
  elsewhere([&] {
    root<ptr<Node>[]> links = make_array<ptr<Node>>(static_cast<std::size_t>(length) + 1);
    for (ptr<Node>& link : links) link = make<Node>();
    for (int i = 0; i < length; ++i) {
      const auto at = static_cast<std::size_t>(backwards ? length - 1 - i : i);
      map->insert(links[at], links[at + 1]);
    }
    keys[0] = links[0];
  });
}

TEST_F(EphemeronMap, AChainCostsWhatItsLengthSays) {
  lull::gc::options.verify = 0;
  const int length = scaled(100'000);
  for (const bool backwards : {false, true}) {
    elsewhere([] { map->clear(); });
    make_chain(length, backwards);
    for (int i = 0; i < 2; ++i) {
      const auto start = std::chrono::steady_clock::now();
      if (i == 0) lull::collect_young();
      else lull::collect();
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));  // 0.03 s here
      EXPECT_EQ(live_entries(), static_cast<std::size_t>(length));
    }
    drop_key(0);
    lull::collect();
    EXPECT_EQ(live_entries(), 0u);
  }
}

// Keys that are marked together, late: an object that only the end of a chain leads to refers to them all, and their entries
// have been found and wait by then. (Some links of the chain may be followed at once, in the order of the table; not all.)
TEST_F(EphemeronMap, KeysOfWaitingEntriesMayBeMarkedInOneBatch) {
  constexpr std::size_t kKeys = 200, kLinks = 100;
  struct Many {
    ptr<Node> all[kKeys];
    void trace(lull::tracer& t) const {
      for (const ptr<Node>& one : all) t(one);
    }
  };
  static root<ephemeron_map<Node, Many>> last;
  elsewhere([] {
    const ptr<Many> many = make<Many>();
    for (ptr<Node>& key : many->all) {
      key = make<Node>();
      map->insert(key, make<Node>());
    }
    ptr<Node> link = keys[0] = make<Node>();
    for (std::size_t i = 0; i < kLinks; ++i) {
      const ptr<Node> next = make<Node>();
      map->insert(link, next);
      link = next;
    }
    last = make<ephemeron_map<Node, Many>>();
    last->insert(link, many);
  });
  for (int i = 0; i < 2; ++i) {
    lull::collect();
    EXPECT_EQ(live_entries(), kKeys + kLinks);
  }
  drop_key(0);
  lull::collect();
  EXPECT_EQ(live_entries(), 0u);
  elsewhere([] { last = nullptr; });
}

TEST_F(EphemeronMap, ManyMapsMayHaveOneKey) {
  static root<Map[]> maps;
  constexpr std::size_t kMaps = 1000;
  elsewhere([] {
    maps = make_array<Map>(kMaps);
    keys[0] = make<Node>();
    for (Map& m : maps) m.insert(keys[0], make<Node>());
  });
  lull::collect();
  elsewhere([] {
    for (Map& m : maps) ASSERT_EQ(m.find(keys[0])->value, kIntact);
  });
  drop_key(0);
  lull::collect();
  elsewhere([] {
    for (Map& m : maps) m.for_each([](const ptr<Node>&, const ptr<Node>&) { ADD_FAILURE(); });
    maps = nullptr;
  });
}

// What a destructor can still look at has no weak entries for what has gone, and whole ones for what it keeps itself.
struct Owner {
  Map own;
  ptr<Node> kept;
  ~Owner() {
    EXPECT_EQ(own.find(kept)->value, kIntact);
    own.for_each([&](const ptr<Node>& key, const ptr<Node>& value) {
      EXPECT_EQ(key, kept);
      EXPECT_EQ(value->value, kIntact);
      ++seen;
    });
  }
  static inline std::atomic<int> seen{0};
  void trace(lull::tracer& t) const { t(own, kept); }
};

TEST_F(EphemeronMap, OfAnUnreachableObjectServesItsDestructor) {
  elsewhere([] {
    const ptr<Owner> owner = make<Owner>();
    owner->kept = make<Node>();
    owner->own.insert(owner->kept, make<Node>());
    owner->own.insert(make<Node>(), make<Node>());
  });
  lull::collect();
  lull::wait_for_finalizers();
  EXPECT_EQ(Owner::seen, 1);
}

// The entry's key is unreachable but for a destructor: like a weak_ptr, the map does not find it any more.
TEST_F(EphemeronMap, DoesNotFindWhatIsKeptForADestructorOnly) {
  lull::gc::options.manual_finalizers = 1;
  elsewhere([] {
    const ptr<Owner> owner = make<Owner>();
    owner->kept = make<Node>();
    owner->own.insert(owner->kept, make<Node>());
    map->insert(owner->kept, make<Node>());
  });
  lull::collect();
  EXPECT_EQ(live_entries(), 0u);
  elsewhere([] { lull::run_finalizers(); });
}

// Generations.

TEST_F(EphemeronMap, YoungEntriesOfAnOldMapFollowTheirKeys) {
  lull::collect();  // the map is old
  const Hidden lives = add_entry(0), dies = add_entry(1);
  drop_key(1);
  lull::collect_young();
  EXPECT_TRUE(is_allocated(lives));
  EXPECT_FALSE(is_allocated(dies));
  EXPECT_EQ(live_entries(), 1u);
  elsewhere([] { map->insert_or_assign(keys[0], make<Node>()); });  // old key, young value
  lull::collect_young();
  EXPECT_EQ(live_entries(), 1u);
  drop_key(0);
  lull::collect_young();  // the key is old: it stays until the next full cycle
  EXPECT_EQ(live_entries(), 1u);
  lull::collect();
  EXPECT_EQ(live_entries(), 0u);
}

class EphemeronStep : public EphemeronMap, public testing::WithParamInterface<std::tuple<Step, CycleKind>> {
 protected:
  void run_to_step(Stepper& stepper) {
    stepper.use(std::get<CycleKind>(GetParam()));
    stepper.run_to(std::get<Step>(GetParam()));
  }
};

// A black stack takes the only reference to a key: the store that deletes it from the heap releases the value.
[[gnu::noinline]] Node* take(std::size_t i) { return keys[i].get(); }

TEST_P(EphemeronStep, TheLastReferenceToAKeyMovesToAStack) {
  const Hidden value = add_entry(0);
  Stepper stepper;
  run_to_step(stepper);
  Node* key = take(0);
  keys[0] = nullptr;
  stepper.finish();
  EXPECT_TRUE(is_allocated(value));
  EXPECT_EQ(map->find(ptr<Node>(key))->value, kIntact);
  EXPECT_EQ(key->value, kIntact);
}

// Nobody but the map refers to the key: whoever finds it there has it, and its value.
[[gnu::noinline]] Node* take_from_map(Node*& value) {
  Node* found = nullptr;
  map->for_each([&](const ptr<Node>& key, const ptr<Node>& v) {
    found = key.get();
    value = v.get();
  });
  return found;
}

TEST_P(EphemeronStep, WhatIterationFindsIsWhole) {
  add_entry(0, [](const ptr<Node>&, const ptr<Node>& value) { value->next = make<Node>(); });
  drop_key(0);
  Stepper stepper;
  run_to_step(stepper);
  Node* value = nullptr;
  Node* key = take_from_map(value);
  stepper.finish();
  if (key != nullptr) {
    EXPECT_TRUE(is_allocated(Hidden(key)));
    EXPECT_TRUE(is_allocated(Hidden(value)));
    EXPECT_EQ(key->value, kIntact);
    EXPECT_EQ(value->next->value, kIntact);
    EXPECT_EQ(map->find(ptr<Node>(key)).get(), value);
  } else {
    EXPECT_GE(std::get<Step>(GetParam()), Step::done);
    EXPECT_EQ(live_entries(), 0u);
  }
}

// Inserted, assigned and erased while a cycle runs, by a thread that is there from its start and by one that comes.
TEST_P(EphemeronStep, EntriesMadeMeanwhileAreKept) {
  add_entry(0);
  add_entry(1);
  Stepper stepper;
  run_to_step(stepper);
  const auto change = [](std::size_t i) {
    keys[i] = make<Node>();
    map->insert(keys[i], make<Node>());
    map->insert_or_assign(keys[0], make<Node>());
    map->erase(keys[1]);
  };
  change(2);
  elsewhere([&] { change(3); });
  stepper.finish();
  clear_stack_below();
  EXPECT_EQ(live_entries(), 3u);
  for (int i = 0; i < 3; ++i) {
    lull::collect_young();
    EXPECT_EQ(live_entries(), 3u);
  }
  drop_key(2);
  drop_key(3);
  lull::collect();
  lull::collect();
  EXPECT_LE(live_entries(), 2u);  // one may still be on this stack
}

// A thread that was there before the cycle is grey until it is scanned: an entry whose key it drops at once.
TEST_P(EphemeronStep, AKeyDroppedAtOnceLeavesNoStaleEntry) {
  Stepper stepper;
  run_to_step(stepper);
  elsewhere([] {
    for (int i = 0; i < 100; ++i) map->insert(make<Node>(), make<Node>());
  });
  stepper.finish();
  live_entries();  // checks that what is there is whole
  lull::collect_young();
  live_entries();
  lull::collect();
  EXPECT_EQ(live_entries(), 0u);
}

INSTANTIATE_TEST_SUITE_P(AtEveryStep, EphemeronStep,
                         testing::Combine(testing::Values(Step::cycle_begins, Step::barriers_on, Step::stacks_scanned, Step::roots_marked,
                                                          Step::marked, Step::terminating, Step::flushed, Step::done,
                                                          Step::weak_cleared, Step::destructors_queued, Step::barriers_off,
                                                          Step::sweep_opened, Step::swept),
                                          testing::Values(CycleKind::full, CycleKind::young)),
                         [](const auto& named) {
                           return std::string(name_of(std::get<0>(named.param))) +
                                  (std::get<1>(named.param) == CycleKind::full ? "_full" : "_young");
                         });

// A black stack copies a key out of a local variable of a thread whose stack is grey, and the variable ends, which is no store. The
// cycle does not look at the new entry, which is born black: were the key not shaded, the entry would keep the address of a freed one.
TEST_F(EphemeronMap, AKeyOutOfAVariableOfAGreyStackLeavesNoStaleEntry) {
  lull::gc::options.noasync = 1;
  std::atomic<const ptr<Node>*> variable{nullptr};
  std::atomic<int> stage{0};
  std::thread grey([&] {
    lull::attach_thread();
    stage = 1;
    while (lull::gc::self().pending != lull::gc::HandshakeOp::barriers_on) {
    }
    {
      lull::gc::RuntimeSection later(lull::gc::self());  // make() must not answer handshake 2
      [&]() __attribute__((noinline)) {
        const ptr<Node> mine = make<Node>();
        variable = &mine;
        lull::gc::self().runtime_depth = 0;
        lull::gc::poll(lull::gc::self());  // handshake 1
        lull::gc::self().runtime_depth = 1;
        while (stage != 2) {  // does not poll: grey
        }
      }();
      clear_stack_below();
    }
    while (lull::gc::mark_state != lull::gc::MarkState::off) lull::safepoint();
  });
  while (stage != 1) std::this_thread::yield();
  lull::gc::request_full_cycle();
  while (variable == nullptr || lull::gc::self().scanned_cycle != lull::gc::current_cycle.load()) {
    lull::blocking_region scanned_on_behalf;
    std::this_thread::yield();
  }
  map->insert(*variable, make<Node>());  // this stack is black
  clear_stack_below();
  stage = 2;
  {
    lull::blocking_region joining;
    grey.join();
  }
  Stepper().finish();
  live_entries();  // checks that what is there is whole
}

TEST_F(EphemeronMap, AnAbortedCycleForgetsWhatWaited) {
  const Hidden value = add_entry(0);
  drop_key(0);
  Stepper stepper;
  stepper.run_to(Step::terminating);
  lull::gc::cycle_must_abort = true;
  stepper.finish();
  EXPECT_EQ(live_entries(), 0u);  // the cycle after it has run
  EXPECT_FALSE(is_allocated(value));
}

// Threads with a map each and one that all read; keys come and go, are found by iteration, move through the heap.
TEST_F(EphemeronMap, ThreadsRaceWithCycles) {
  lull::gc::options.verify = 0;
  const std::uint64_t seed = announced_seed();
  std::atomic<bool> stop{false};
  static root<ptr<Map>[]> maps;
  maps = make_array<ptr<Map>>(3);
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      constexpr std::size_t kKeys = 64;
      root<ptr<Node>[]> held = make_array<ptr<Node>>(kKeys);
      const ptr<Map> mine = make<Map>();
      maps[t] = mine;
      while (!stop) {
        const std::size_t i = random() % kKeys;
        // Seldom: iteration while a cycle marks keeps every key it finds.
        switch (random() % 20'000 == 0 ? 3 : random() % 3) {
          case 0: {
            if (mine->size() > 5000) mine->clear();
            held[i] = make<Node>();
            ptr<Node> value = make<Node>();
            value->next = random() % 2 == 0 ? held[i] : held[random() % kKeys];
            mine->insert(held[i], value);
            break;
          }
          case 1: held[i] = nullptr; break;
          case 2:
            if (held[i]) {
              const ptr<Node> value = mine->find(held[i]);
              if (value) {  // or the map was cleared
                ASSERT_EQ(value->value, kIntact);
              }
              if (value && value->next) {
                ASSERT_EQ(value->next->value, kIntact);
                held[random() % kKeys] = value->next;
              }
            }
            break;
          default: {
            std::size_t n = 0;
            mine->for_each([&](const ptr<Node>& key, const ptr<Node>& value) {
              ASSERT_EQ(key->value, kIntact);
              ASSERT_EQ(value->value, kIntact);
              if (n++ == i) held[i] = key;
            });
          }
        }
      }
    });
  for (int i = 0; i < scaled(200); ++i) {
    if (i % 3 == 0) lull::collect();
    else lull::collect_young();
  }
  stop = true;
  {
    lull::blocking_region joining;
    for (std::thread& t : threads) t.join();
  }
  lull::collect();
  elsewhere([] {
    for (const ptr<Map>& m : maps) m->for_each([](const ptr<Node>&, const ptr<Node>&) { ADD_FAILURE() << "a key that nobody holds"; });
  });
  maps = nullptr;
}

// Each allocation, the table's own among them, runs a full cycle: what is not held by then is lost.
TEST_F(EphemeronMap, CollectingAtEveryAllocation) {
  lull::gc::options.verify = 0;
  lull::gc::options.stress = 1;
  elsewhere([] {
    for (std::size_t i = 0; i < static_cast<std::size_t>(scaled(200)); ++i) {
      keys[i % 8] = make<Node>();
      const ptr<Node> value = make<Node>();
      value->next = keys[i % 8];
      EXPECT_TRUE(map->insert(keys[i % 8], value));
      for (std::size_t k = 0; k < 8; ++k) {
        if (!keys[k]) continue;
        const ptr<Node> found = map->find(keys[k]);
        ASSERT_NE(found, nullptr) << i;
        ASSERT_EQ(found->value, kIntact);
        ASSERT_EQ(found->next, keys[k]);
      }
    }
  });
  lull::gc::options.stress = 0;
  lull::collect();
  EXPECT_LE(live_entries(), 8u);
  EXPECT_GE(live_entries(), static_cast<std::size_t>(scaled(200) < 8 ? scaled(200) : 8));
}

}  // namespace

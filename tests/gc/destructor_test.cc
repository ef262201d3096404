// Destructors of managed objects: once, after the object became unreachable, on the finalizer thread or where
// run_finalizers() is called, with everything the object refers to still there.
//
// Objects that are to die are made on threads that end; see collect_test.cc.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/model/colour.h"
#include "gc/model/delay.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"

namespace {

using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::weak_ptr;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::kIntact;
using lull::testing::kThreadSanitizer;
using lull::testing::Node;
using lull::testing::scaled;

class Destructor : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};
class ManualDestructor : public Destructor {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.manual_finalizers = 1;
    Destructor::SetUp();
  }
};

std::uint64_t objects() { return lull::read_mem_stats().heap_objects; }

// Counts by number, so that a second run shows.
constexpr int kMost = 200'000;
std::atomic<int> runs[kMost] = {};

int destroyed_once() {
  int n = 0;
  for (const auto& r : runs) {
    EXPECT_LE(r, 1);
    n += r;
  }
  return n;
}

struct Counted {
  explicit Counted(int n) : number(n) {}
  ~Counted() { ++runs[number]; }
  int number;
  std::uint64_t value = kIntact;
};

void make_counted(int from, int to) {
  elsewhere([&] {
    for (int i = from; i < to; ++i) make<Counted>(i);
  });
}

void collect_and_destroy() {
  lull::collect();
  lull::wait_for_finalizers();
}

TEST_F(Destructor, RunsOnceAndTheMemoryGoesWithTheNextCycle) {
  collect_and_destroy();
  const std::uint64_t before = objects();
  make_counted(0, 1000);
  EXPECT_EQ(destroyed_once(), 0);
  collect_and_destroy();
  EXPECT_EQ(destroyed_once(), 1000);
  EXPECT_EQ(objects(), before + 1000);
  // The finalizer thread's stack may still hold the one it destroyed last.
  for (int i = 0; i < 3; ++i) collect_and_destroy();
  EXPECT_LE(objects(), before + 1);
  EXPECT_EQ(destroyed_once(), 1000);
}

TEST_F(Destructor, DoesNotRunWhileTheObjectIsReachable) {
  static root<Counted> kept;
  elsewhere([] { kept = make<Counted>(0); });
  for (int i = 0; i < 3; ++i) collect_and_destroy();
  EXPECT_EQ(runs[0], 0);
  EXPECT_EQ(kept->value, kIntact);
  elsewhere([] { kept = nullptr; });
  collect_and_destroy();
  EXPECT_EQ(runs[0], 1);
}

struct Element {
  Element() : number(made++) {}
  ~Element() { ++runs[number]; }
  static inline int made = 0;
  int number;
};

TEST_F(Destructor, RunsForEveryElementOfAnArray) {
  elsewhere([] {
    make_array<Element>(0);
    make_array<Element>(1);
    make_array<Element>(99);
    make_array<Element>(50'000);  // a span of its own
  });
  collect_and_destroy();
  EXPECT_EQ(Element::made, 50'100);
  EXPECT_EQ(destroyed_once(), 50'100);
}

struct Enormous {
  explicit Enormous(int n) : number(n) {}
  ~Enormous() { ++runs[number]; }
  int number;
  char bytes[100'000] = {};
};
struct alignas(1024) Wide {
  explicit Wide(int n) : number(n) {}
  ~Wide() {
    if (reinterpret_cast<std::uintptr_t>(this) % 1024 == 0) ++runs[number];
  }
  int number;
};

TEST_F(Destructor, RunsForObjectsOfAllSizes) {
  elsewhere([] {
    for (int i = 0; i < 50; ++i) {
      make<Enormous>(i);
      make<Wide>(50 + i);
      make<Counted>(100 + i);
    }
  });
  collect_and_destroy();
  EXPECT_EQ(destroyed_once(), 150);
}

// A virtual destructor through the type that make() was told.
struct Animal {
  virtual ~Animal() { ++runs[0]; }
};
struct Dog : Animal {
  ~Dog() override { ++runs[1]; }
};

TEST_F(Destructor, IsThatOfTheMostDerivedType) {
  elsewhere([] {
    [[maybe_unused]] ptr<Animal> animal = make<Dog>();
    make<Animal>();
  });
  collect_and_destroy();
  EXPECT_EQ(runs[0], 2);
  EXPECT_EQ(runs[1], 1);
}

TEST_F(Destructor, CostsNothingForTriviallyDestructibleTypes) {
  static root<Node> trivial;
  static root<Counted> not_trivial;
  trivial = make<Node>();
  not_trivial = make<Counted>(0);
  const auto& of_trivial = *lull::gc::resolve(reinterpret_cast<std::uintptr_t>(trivial.get())).span;
  const auto& of_other = *lull::gc::resolve(reinterpret_cast<std::uintptr_t>(not_trivial.get())).span;
  EXPECT_EQ(lull::gc::kind_of(of_trivial).destroy, nullptr);
  EXPECT_FALSE(lull::gc::class_of(of_trivial).with_destroy_bits);
  EXPECT_TRUE(lull::gc::class_of(of_other).with_destroy_bits);
  EXPECT_EQ(of_trivial.cells, lull::pages::cells_for(of_trivial.slots, 3));
}

// Which thread.

std::mutex seen_lock;
std::set<std::thread::id> seen;

struct TellsItsThread {
  ~TellsItsThread() {
    const std::lock_guard guard(seen_lock);
    seen.insert(std::this_thread::get_id());
  }
};

TEST_F(Destructor, RunsOnOneThreadThatIsNoneOfTheProgram) {
  std::thread::id maker;
  for (int round = 0; round < 3; ++round) {
    elsewhere([&] {
      maker = std::this_thread::get_id();
      for (int i = 0; i < 100; ++i) make<TellsItsThread>();
    });
    collect_and_destroy();
  }
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_FALSE(seen.contains(std::this_thread::get_id()) || seen.contains(maker));
}

TEST_F(ManualDestructor, RunsInRunFinalizersOnly) {
  elsewhere([] {
    for (int i = 0; i < 100; ++i) make<TellsItsThread>();
  });
  lull::collect();
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(lull::read_mem_stats().destructors_pending, 100u);
  EXPECT_EQ(lull::run_finalizers(), 100u);
  EXPECT_EQ(seen, std::set<std::thread::id>{std::this_thread::get_id()});
  EXPECT_EQ(lull::run_finalizers(), 0u);
  EXPECT_EQ(lull::read_mem_stats().destructors_pending, 0u);
  EXPECT_EQ(lull::read_mem_stats().destructors_run, 100u);
}

TEST_F(ManualDestructor, RunsOnceThoughManyThreadsRunFinalizers) {
  make_counted(0, 20'000);
  lull::collect();
  std::atomic<std::size_t> ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { ran += lull::run_finalizers(); });
  {
    lull::blocking_region joining;
    for (std::thread& t : threads) t.join();
  }
  EXPECT_EQ(ran, 20'000u);
  EXPECT_EQ(destroyed_once(), 20'000);
}

TEST_F(Destructor, RunFinalizersHelpsTheFinalizerThread) {
  make_counted(0, 20'000);
  lull::collect();
  while (lull::read_mem_stats().destructors_pending > 0) lull::run_finalizers();
  lull::wait_for_finalizers();
  EXPECT_EQ(destroyed_once(), 20'000);
}

// What a destructor sees.

struct OwnsList {
  OwnsList() {
    for (int i = 0; i < 10; ++i) {
      ptr<Node> node = make<Node>();
      node->next = list;
      list = node;
    }
  }
  ~OwnsList() {
    int length = 0;
    for (const Node* n = list.get(); n != nullptr && n->value == kIntact; n = n->next.get()) ++length;
    if (length == 10) ++intact;
    else ++broken;
  }
  static inline std::atomic<int> intact{0}, broken{0};
  ptr<Node> list;
  void trace(lull::tracer& t) const { t(list); }
};

void make_owners(int n) {
  elsewhere([&] {
    for (int i = 0; i < n; ++i) make<OwnsList>();
  });
}

TEST_F(ManualDestructor, FindsWhatItsObjectRefersToHoweverLateItRuns) {
  make_owners(1000);
  for (int i = 0; i < 5; ++i) {
    lull::collect();
    make_owners(10);  // new objects in whatever became free
  }
  EXPECT_EQ(lull::run_finalizers(), 1000u + 40u);
  EXPECT_EQ(OwnsList::intact, 1040);
}

TEST_F(Destructor, FindsWhatItsObjectRefersToWhileCyclesRun) {
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop) lull::collect();
  });
  for (int i = 0; i < 20; ++i) make_owners(scaled(500));
  stop = true;
  {
    lull::blocking_region joining;
    collector.join();
  }
  collect_and_destroy();
  EXPECT_EQ(OwnsList::intact, 20 * scaled(500));
  EXPECT_EQ(OwnsList::broken, 0);
}

// Taking an object out of the queue deletes a root. Here a black stack does, before the marker has seen the queue, and
// holds the object until the cycle is over.
lull::gc::Stepper* stepper = nullptr;
struct OutlivesACycle {
  ptr<Node> part = make<Node>();
  ~OutlivesACycle() {
    stepper->finish();
    if (part->value == kIntact) ++runs[0];
  }
  void trace(lull::tracer& t) const { t(part); }
};

TEST_F(ManualDestructor, FindsWhatItsObjectRefersToWhenTakenFromTheQueueWhileMarking) {
  elsewhere([] { make<OutlivesACycle>(); });
  lull::collect();
  lull::gc::Stepper held;
  stepper = &held;
  held.run_to(lull::gc::Step::stacks_scanned);
  EXPECT_EQ(lull::run_finalizers(), 1u);
  EXPECT_EQ(runs[0], 1);
}

// Whoever ran destructors while a cycle queued more of them could take one at once, before the cycle had marked what it refers to.
// In state done a shade does nothing, so the sweep freed the object and its parts under the running destructor.
std::atomic<bool> is_queueing{false}, may_go_on{false}, has_collected{false};
struct OutlivesItsOwnCycle {
  ptr<Node> part = make<Node>();
  ~OutlivesItsOwnCycle() {
    may_go_on = true;
    while (!has_collected) lull::safepoint();
    if (part->value == kIntact) ++runs[0];
  }
  void trace(lull::tracer& t) const { t(part); }
};

TEST_F(ManualDestructor, DoesNotRunBeforeItsCycleHasMarkedWhatItRefersTo) {
  elsewhere([] { make<OutlivesItsOwnCycle>(); });
  lull::gc::delay_hook_for_testing = [](const char* where) {
    if (std::string_view(where) != "destructor queued") return;
    is_queueing = true;
    while (!may_go_on) std::this_thread::yield();
  };
  lull::gc::options.delay = 1;  // of the hook
  std::thread collector([] {
    lull::collect();
    has_collected = true;
  });
  {
    lull::blocking_region waiting;
    while (!is_queueing) std::this_thread::yield();
  }
  lull::run_finalizers();
  EXPECT_EQ(lull::read_mem_stats().destructors_pending, 0u);  // it wrapped: one had run that did not count as queued yet
  may_go_on = true;
  {
    lull::blocking_region joining;
    collector.join();
  }
  lull::run_finalizers();
  EXPECT_EQ(runs[0], 1);
}

// Objects that refer to each other are destroyed in no particular order; both are still memory of their type.
struct Partner {
  ptr<Partner> partner;
  std::uint64_t value = kIntact;
  volatile bool destroyed = false;  // volatile: read after the destructor has run
  ~Partner() {
    if (partner->value == kIntact) ++runs[partner->destroyed ? 1 : 0];
    destroyed = true;
  }
  void trace(lull::tracer& t) const { t(partner); }
};

TEST_F(Destructor, OfObjectsThatReferToEachOtherRunInOneGo) {
  elsewhere([] {
    for (int i = 0; i < 100; ++i) {
      ptr<Partner> a = make<Partner>(), b = make<Partner>();
      a->partner = b;
      b->partner = a;
    }
  });
  collect_and_destroy();
  EXPECT_EQ(runs[0], 100);
  EXPECT_EQ(runs[1], 100);
}

// Weak references are cleared before, those to the object and those to what only it refers to.
struct Watched {
  ptr<Node> part = make<Node>();
  ~Watched();
  void trace(lull::tracer& t) const { t(part); }
};
struct Watcher {
  weak_ptr<Watched> whole;
  weak_ptr<Node> part;
  void trace(lull::tracer& t) const { t(whole, part); }
};
root<Watcher> watcher;
Watched::~Watched() {
  if (watcher->whole.expired() && watcher->part.expired() && part->value == kIntact) ++runs[0];
}

TEST_F(Destructor, RunsAfterWeakReferencesWereCleared) {
  elsewhere([] {
    watcher = make<Watcher>();
    ptr<Watched> watched = make<Watched>();
    watcher->whole = watched;
    watcher->part = watched->part;
  });
  lull::collect();
  EXPECT_TRUE(watcher->whole.expired());
  lull::wait_for_finalizers();
  EXPECT_EQ(runs[0], 1);
}

TEST_F(ManualDestructor, RunsLongAfterWeakReferencesWereCleared) {
  elsewhere([] {
    watcher = make<Watcher>();
    ptr<Watched> watched = make<Watched>();
    watcher->whole = watched;
    watcher->part = watched->part;
  });
  for (int i = 0; i < 3; ++i) {
    lull::collect();
    EXPECT_TRUE(watcher->whole.expired());
    EXPECT_TRUE(watcher->part.expired());
  }
  EXPECT_EQ(runs[0], 0);
  EXPECT_EQ(lull::run_finalizers(), 1u);
  EXPECT_EQ(runs[0], 1);
}

// What a destructor does.

root<Node> left_behind;

struct Allocates {
  ~Allocates() {
    for (int i = 0; i < 100; ++i) {
      ptr<Node> node = make<Node>();
      node->next = left_behind;
      left_behind = node;
    }
  }
};

TEST_F(Destructor, MayAllocateAndStoreRoots) {
  elsewhere([] {
    for (int i = 0; i < 100; ++i) make<Allocates>();
  });
  for (int i = 0; i < 3; ++i) collect_and_destroy();
  int length = 0;
  for (ptr<Node> n = left_behind; n && n->value == kIntact; n = n->next) ++length;
  EXPECT_EQ(length, 10'000);
}

struct Collects {
  ~Collects() {
    lull::collect();
    ++runs[0];
  }
};

TEST_F(Destructor, MayCollect) {
  elsewhere([] {
    for (int i = 0; i < 5; ++i) make<Collects>();
  });
  collect_and_destroy();
  EXPECT_EQ(runs[0], 5);
}

// The object it makes reachable again stays, as a destroyed one: what comes after the destructor is the program's.
struct Resurrected;
root<Resurrected> resurrected;
struct Resurrected {
  ~Resurrected() {
    ++runs[0];
    resurrected = ptr<Resurrected>(this);
  }
  volatile std::uint64_t value = kIntact;  // volatile: read after the destructor has run
};

TEST_F(Destructor, RunsOnceThoughItStoresItsObjectAway) {
  elsewhere([] { make<Resurrected>(); });
  for (int i = 0; i < 3; ++i) collect_and_destroy();
  EXPECT_EQ(runs[0], 1);
  const Hidden object(resurrected.get());
  EXPECT_TRUE(is_allocated(object));
  EXPECT_EQ(resurrected->value, kIntact);
  elsewhere([] { resurrected = nullptr; });
  for (int i = 0; i < 3; ++i) collect_and_destroy();
  EXPECT_EQ(runs[0], 1);
}

struct Slow {
  ~Slow() {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ++runs[0];
  }
};

TEST_F(Destructor, IsWaitedForByWaitForFinalizers) {
  elsewhere([] {
    for (int i = 0; i < 5; ++i) make<Slow>();
  });
  collect_and_destroy();
  EXPECT_EQ(runs[0], 5);
}

// It counted destructors: when another thread had run ones that were queued later, it took them for those that it waited for.
std::atomic<bool> may_end{false}, is_at_it{false}, has_ended{false};
struct TakesLong {
  ~TakesLong() {
    is_at_it = true;
    lull::blocking_region waiting;
    while (!may_end) std::this_thread::yield();
    has_ended = true;
  }
};

TEST_F(Destructor, IsWaitedForThoughOthersOvertakeIt) {
  elsewhere([] { make<TakesLong>(); });
  lull::collect();
  while (!is_at_it) lull::safepoint();
  std::atomic<bool> is_back{false};
  bool had_ended = false;
  std::thread waiter([&] {
    lull::wait_for_finalizers();
    had_ended = has_ended;
    is_back = true;
  });
  for (int i = 0; i < 20 && !is_back; ++i) {  // once is enough if the waiter has begun to wait
    make_counted(i, i + 1);
    lull::collect();
    lull::run_finalizers();
    lull::blocking_region napping;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  may_end = true;
  {
    lull::blocking_region joining;
    waiter.join();
  }
  EXPECT_TRUE(had_ended);
}

// The finalizer thread once blocked the handshake signal, like every thread the library starts: the second cycle below
// waited for the destructor, which waited for the cycle.
std::atomic<bool> spinning{false}, cycle_over{false};
struct Spins {
  ~Spins() {
    spinning = true;
    while (!cycle_over) {
    }
  }
};

TEST_F(Destructor, ThatComputesForLongHoldsNoCycleUp) {
  if (kThreadSanitizer) GTEST_SKIP() << "threads that do not poll need the signal";
  elsewhere([] { make<Spins>(); });
  lull::collect();
  while (!spinning) std::this_thread::yield();
  lull::collect();
  cycle_over = true;
  lull::wait_for_finalizers();
}

struct Throws {
  ~Throws() noexcept(false) { throw std::runtime_error("on purpose"); }
};

TEST(DestructorDeathTest, ThatThrowsEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH((elsewhere([] { make<Throws>(); }), lull::collect(), lull::wait_for_finalizers()), "on purpose");
}

// It waited for itself, for ever and without a word, on the finalizer thread and on any other.
struct Waits {
  ~Waits() { lull::wait_for_finalizers(); }
};

TEST(DestructorDeathTest, ThatWaitsForDestructorsStopsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto make_one = [] { elsewhere([] { make<Waits>(); }), lull::collect(); };
  EXPECT_DEATH((alarm(20), make_one(), lull::wait_for_finalizers()), "wait_for_finalizers: called by a destructor or callback");
  EXPECT_DEATH((alarm(20), lull::gc::read_options(), lull::gc::options.manual_finalizers = 1, make_one(), lull::run_finalizers()),
               "wait_for_finalizers: called by a destructor or callback");
}

TEST_F(Destructor, OfAHundredThousandIsNoBurden) {
  const int n = scaled(100'000);
  make_counted(0, n);
  const auto start = std::chrono::steady_clock::now();
  collect_and_destroy();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // 0.05 s here
  EXPECT_EQ(destroyed_once(), n);
}

// Objects made and dropped by many threads while cycles run one after another.
TEST_F(Destructor, RunsOnceForEveryObjectUnderLoad) {
  constexpr int kThreads = 4;
  const int each = scaled(20'000);
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop) lull::collect();
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([=] {
      ptr<Counted> held;
      for (int i = 0; i < each; ++i) {
        ptr<Counted> fresh = make<Counted>(t * each + i);
        if (i % 100 == 0) held = fresh;
        EXPECT_EQ(held->value, kIntact);
      }
    });
  {
    lull::blocking_region joining;
    for (std::thread& t : threads) t.join();
    stop = true;
    collector.join();
  }
  for (int i = 0; i < 2; ++i) collect_and_destroy();
  EXPECT_EQ(destroyed_once(), kThreads * each);
  EXPECT_EQ(lull::read_mem_stats().destructors_run, static_cast<std::uint64_t>(kThreads * each));
}

// A static variable that destructors of objects use, as a registry of names.
struct Registry {
  std::atomic<bool> is_there{true};
  ~Registry() {
    is_there = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that who comes now is seen
  }
};
constexpr int kTooLate = 3, kNone = 4;

Registry& registry() {
  static Registry only;
  return only;
}

struct Registered {
  Registered() { registry(); }
  ~Registered() {
    std::this_thread::sleep_for(std::chrono::microseconds(100));  // so that many are left when the program ends
    ++destroyed;
    if (!registry().is_there) std::_Exit(kTooLate);
  }
  static inline std::atomic<int> destroyed{0};
};

[[noreturn]] void exit_with_destructors_due(bool asks_for_the_rest) {
  registry();
  if (asks_for_the_rest) std::atexit([] {  // runs behind the collector's handler
    lull::wait_for_finalizers();
    if (Registered::destroyed < 2900) std::_Exit(kNone);
  });
  std::thread([objects = asks_for_the_rest ? 3000 : 20'000] {  // more than a second's, or exit might wait for them all
    for (int i = 0; i < objects; ++i) make<Registered>();
  }).join();
  lull::collect();
  while (Registered::destroyed == 0) std::this_thread::yield();
  std::exit(0);
}

using DestructorExitTest = Destructor;

TEST_F(DestructorExitTest, NoneBeginsWhenStaticVariablesGo) { EXPECT_EXIT(exit_with_destructors_due(false), testing::ExitedWithCode(0), ""); }

TEST_F(DestructorExitTest, TheRestRunsForWhoAsksForIt) { EXPECT_EXIT(exit_with_destructors_due(true), testing::ExitedWithCode(0), ""); }

// Its own thread would wait for itself.
TEST_F(DestructorExitTest, ADestructorMayEndTheProgram) {
  struct Last {
    ~Last() { std::exit(7); }
  };
  EXPECT_EXIT(
      {
        std::thread([] { make<Last>(); make<Last>(); }).join();
        lull::collect();
        std::this_thread::sleep_for(std::chrono::seconds(30));
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace

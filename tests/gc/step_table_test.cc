// Every named step of a cycle times every adversarial action, in full and in young cycles: the driver is held at the
// step, the action moves, drops or makes references as a program might just then, and what is reachable has to be whole
// afterwards. An action is a row below; steps and kinds are filled in.
//
// In each row the victim is an object that is young and candidate when the cycle begins, with a tail behind it that only the victim
// refers to. Its holder is old. No stack but those that the action means to ever sees an address.
#include <gtest/gtest.h>

#include <memory>

#include <sys/wait.h>
#include <unistd.h>

#include "gc/cycle/driver.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/plugin.h"

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
  std::uint64_t value = 0;
  void trace(lull::tracer& t) const { t(next); }
};
constexpr std::uint64_t kVictim = 0xf1c71a, kTail = 0x7a11;

struct Destroyed {
  std::uint64_t value = kVictim;
  ~Destroyed() { count.fetch_add(1); }
  static inline std::atomic<int> count{0};
};

constexpr std::size_t kLong = 6000;  // 48 KB: scanned in slices

lull::root<Node> left, right;
lull::root<lull::ptr<Node>[]> array;
lull::root<lull::weak_ptr<Node>> weak;
lull::root<lull::ephemeron_map<Node, Node>> map;
lull::root<lull::atomic_ptr<Node>> shared_slot;
Hidden victim, tail;

[[gnu::noinline]] lull::ptr<Node> make_victim() {
  auto made = lull::make<Node>();
  made->value = kVictim;
  made->next = lull::make<Node>();
  made->next->value = kTail;
  victim = Hidden(made.get());
  tail = Hidden(made->next.get());
  return made;
}

// Old holders, then a young victim where `put` says.
template <class Put>
void set_up(Put put) {
  elsewhere([] {
    left = lull::make<Node>();
    right = lull::make<Node>();
    array = lull::make_array<lull::ptr<Node>>(kLong);
    weak = lull::make<lull::weak_ptr<Node>>();
    map = lull::make<lull::ephemeron_map<Node, Node>>();
    shared_slot = lull::make<lull::atomic_ptr<Node>>();
    lull::collect();
    lull::collect_young();
  });
  elsewhere([&] { put(make_victim()); });
}
void put_left() {
  set_up([](const lull::ptr<Node>& v) { left->next = v; });
}

[[gnu::noinline]] void take_to(lull::ptr<Node>& from, lull::ptr<Node>& to) {
  to = from;
  from = nullptr;
}

void expect_whole(const char* when) {
  ASSERT_TRUE(is_allocated(victim)) << when;
  ASSERT_TRUE(is_allocated(tail)) << when;
  ASSERT_EQ(victim.as<Node>()->value, kVictim) << when;
  ASSERT_EQ(tail.as<Node>()->value, kTail) << when;
}

// The driver, held at a step.
class Held {
 public:
  Held(Stepper& stepper, Step step) : stepper_(stepper), step_(step) {}
  bool is_before(Step other) const { return step_ < other; }
  void go_on() {
    clear_stack_below();
    stepper_.finish();
    clear_stack_below();
  }
  // The next step of the same cycle, or its end.
  void go_one_step() {
    clear_stack_below();
    if (step_ == Step::cycle_ends) return stepper_.finish();
    stepper_.run_to(static_cast<Step>(static_cast<std::uint32_t>(step_) + 1));
  }

 private:
  Stepper& stepper_;
  Step step_;
};

// The actions. Each is entered with the driver held at the step, and leaves when the cycle is over.

// The classical lost object: behind one that may have been scanned, its old place cut.
void hides_behind_another(Held& held) {
  [&]() __attribute__((noinline)) { take_to(left->next, right->next); }();
  held.go_on();
  expect_whole("behind the other");
}

void moves_within_an_array(Held& held) {
  [&]() __attribute__((noinline)) { take_to(array[kLong - 1], array[0]); }();
  held.go_one_step();
  [&]() __attribute__((noinline)) { take_to(array[0], array[kLong / 2]); }();
  held.go_on();
  expect_whole("in the array");
}

// From the heap to a stack, and one step later back.
void visits_a_stack(Held& held) {
  [&]() __attribute__((noinline)) {
    Node* volatile local = left->next.get();
    left->next = nullptr;
    held.go_one_step();
    right->next = lull::ptr<Node>(local);
    local = nullptr;
  }();
  held.go_on();
  expect_whole("back from the stack");
}

void stays_on_a_stack(Held& held) {
  [&]() __attribute__((noinline)) {
    Node* volatile local = left->next.get();
    left->next = nullptr;
    held.go_on();
    EXPECT_EQ(local->value, kVictim);
    local = nullptr;
  }();
  expect_whole("on the stack");
}

void goes_behind_a_new_object(Held& held) {
  [&]() __attribute__((noinline)) {
    auto fresh = lull::make<Node>();
    take_to(left->next, fresh->next);
    right->next = fresh;
  }();
  held.go_on();
  expect_whole("behind a new object");
}

void moves_to_a_new_root(Held& held) {
  lull::root<Node> other;
  [&]() __attribute__((noinline)) {
    other = left->next;
    left->next = nullptr;
  }();
  held.go_on();
  expect_whole("in a root");
}

void is_exchanged_out_of_a_slot(Held& held) {
  [&]() __attribute__((noinline)) { right->next = shared_slot->exchange(nullptr); }();
  held.go_on();
  expect_whole("out of the atomic slot");
}

// Weak references: locked before the end of marking, it stays; later there is nothing to lock.
void is_locked(Held& held) {
  [&]() __attribute__((noinline)) { right->next = weak->lock(); }();
  const bool found = right->next != nullptr;
  EXPECT_EQ(found, held.is_before(Step::done));
  held.go_on();
  if (found) return expect_whole("locked");
  EXPECT_FALSE(is_allocated(victim));
}

// Through an ephemeron map: a value that was on a stack only, and one that is only there.
void becomes_a_value(Held& held) {
  [&]() __attribute__((noinline)) {
    map->insert(left.load(), left->next);
    left->next = nullptr;
  }();
  held.go_on();
  expect_whole("in the map");
  EXPECT_EQ(map->find(left.load()).get(), victim.as<Node>());
}

void is_found_in_a_map(Held& held) {
  [&]() __attribute__((noinline)) {
    right->next = map->find(left.load());
    map->erase(left.load());
  }();
  held.go_on();
  expect_whole("out of the map");
}

// Threads.
void is_taken_by_a_thread_that_starts(Held& held) {
  std::atomic<bool> taken{false}, give_back{false};
  std::thread other([&] {
    [&]() __attribute__((noinline)) {
      Node* volatile local = left->next.get();
      left->next = nullptr;
      taken = true;
      {
        lull::blocking_region waiting;
        while (!give_back) std::this_thread::yield();
      }
      right->next = lull::ptr<Node>(local);
    }();
  });
  {
    lull::blocking_region waiting;
    while (!taken) std::this_thread::yield();
  }
  held.go_on();
  give_back = true;
  {
    lull::blocking_region joining;
    other.join();
  }
  expect_whole("back from the other thread");
}

void is_passed_on_by_a_thread_that_ends(Held& held) {
  elsewhere([] {
    auto fresh = lull::make<Node>();
    take_to(left->next, fresh->next);
    right->next = fresh;
    for (int i = 0; i < 100; ++i) lull::make<Node>();
  });
  held.go_on();
  expect_whole("from a thread that ended");
}

// The oracle stress lost objects in rage mode: of a thread that ended after its stack had been copied, and before the driver took
// the words, they were forgotten. This one holds the victim on its stack when the cycle begins, and leaves it behind an object that
// was born black.
class Holder {
 public:
  Holder() : thread_([this] { hold(); }) {
    lull::blocking_region waiting;
    while (!holds_) std::this_thread::yield();
  }
  void pass_on_and_end() {
    passes_on_ = true;
    lull::blocking_region joining;
    thread_.join();
  }

 private:
  void hold() {
    [&]() __attribute__((noinline)) {
      Node* volatile local = left->next.get();
      left->next = nullptr;
      clear_stack_below();
      {
        lull::blocking_region waiting;
        holds_ = true;
        while (!passes_on_) std::this_thread::yield();
      }
      auto fresh = lull::make<Node>();
      fresh->next = lull::ptr<Node>(local);
      right->next = fresh;
    }();
  }
  std::atomic<bool> holds_{false}, passes_on_{false};
  std::thread thread_;
};
std::unique_ptr<Holder> holder;

void is_passed_on_by_its_holder_that_ends(Held& held) {
  holder->pass_on_and_end();
  holder.reset();
  held.go_on();
  expect_whole("from a thread that held it");
}

// A fork waits for the end of the cycle, whoever forks; the child finds everything, also after cycles of its own.
int child_finds_all() {
  const bool whole = victim.as<Node>()->value == kVictim && left->next->next->value == kTail;
  for (int i = 0; i < 1000; ++i)
    if (lull::make<Node>()->value != 0) return 2;
  return whole ? 0 : 1;
}
void is_there_after_a_fork(Held& held) {
  std::thread forker([] {
    const pid_t child = ::fork();
    if (child == 0) {
      const int wrong = child_finds_all();
      lull::attach_thread();
      lull::collect();
      lull::collect_young();
      ::_exit(wrong != 0 ? wrong : 10 * child_finds_all());
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  });
  held.go_on();
  {
    lull::blocking_region joining;
    forker.join();
  }
  expect_whole("in the parent");
}

// Exceptions: the victim is in the exception object while the stack unwinds over the step. (A root holds it there: the memory of
// exceptions belongs to the C++ library.)
struct Thrown {
  lull::root<Node> node;
};
struct WhileUnwinding {
  Held& held;
  ~WhileUnwinding() { held.go_one_step(); }
};
void is_in_an_exception(Held& held) {
  try {
    const WhileUnwinding unwinding{held};
    [&]() __attribute__((noinline)) {
      Thrown thrown{left->next};
      left->next = nullptr;
      throw thrown;
    }();
  } catch (const Thrown& thrown) {
    right->next = thrown.node.load();
  }
  held.go_on();
  expect_whole("out of the exception");
}

// Libraries that come and go (lull/library.h). What the plugin holds is seen by threads only that end before anything is closed.
std::unique_ptr<lull::testing::Plugin> plugin;

void move_to_the_plugin() {
  elsewhere([] {
    (*plugin)->hold(left->next.get());
    left->next = nullptr;
  });
}
void take_back_from_the_plugin() {
  elsewhere([] {
    right->next = lull::ptr<Node>(const_cast<Node*>(static_cast<const Node*>((*plugin)->target())));
    (*plugin)->drop();
  });
}

void goes_behind_an_object_of_a_library_that_is_loaded(Held& held) {
  plugin = std::make_unique<lull::testing::Plugin>();
  move_to_the_plugin();
  held.go_on();
  expect_whole("in the library's object");
  take_back_from_the_plugin();
  EXPECT_EQ(plugin->close(), 0u);
  expect_whole("after the library");
}

// Closing waits for the end of the cycle, in which the objects may have been found already, and for those in which they go.
void is_handed_back_by_a_library_that_is_closed(Held& held) {
  take_back_from_the_plugin();
  std::size_t left_over = 1;
  std::thread closer([&] { left_over = plugin->close(); });
  held.go_on();
  {
    lull::blocking_region joining;
    closer.join();
  }
  EXPECT_EQ(left_over, 0u);
  EXPECT_FALSE(plugin->is_loaded());
  expect_whole("after the library");
}

// No type of the library's has objects: dlclose() as ever, which destroys its global roots at the step.
void outlives_the_root_of_a_library_that_is_unloaded(Held& held) {
  [&]() __attribute__((noinline)) {
    Node* volatile local = victim.as<Node>();
    plugin->close_without_lull();
    EXPECT_FALSE(plugin->is_loaded());
    right->next = lull::ptr<Node>(local);
    local = nullptr;
  }();
  held.go_on();
  expect_whole("after the root");
}

// The collector knows types of a library that is gone, but no objects of them.
void is_beside_a_library_that_is_unloaded(Held& held) {
  plugin->close_without_lull();
  EXPECT_FALSE(plugin->is_loaded());
  held.go_on();
  lull::collect();
  expect_whole("in its place");
}

// Explicit destruction: the destructor runs once, and what is made afterwards never takes a slot that is still referred to.
void is_beside_one_that_is_destroyed(Held& held) {
  Destroyed::count = 0;
  [&]() __attribute__((noinline)) {
    const auto doomed = lull::make<Destroyed>();
    lull::destroy(doomed);
    for (int i = 0; i < 300; ++i) {
      const auto fresh = lull::make<Destroyed>();
      ASSERT_NE(fresh.get(), doomed.get());
      ASSERT_EQ(fresh->value, kVictim);
      lull::destroy(fresh);
    }
  }();
  EXPECT_EQ(Destroyed::count, 301);
  held.go_on();
  lull::collect();
  lull::wait_for_finalizers();
  EXPECT_EQ(Destroyed::count, 301);
  expect_whole("in its place");
}

// A callback registered at the step runs once, after the victim has gone, and not before.
void is_awaited(Held& held) {
  static std::atomic<int> ran;
  ran = 0;
  [&]() __attribute__((noinline)) { lull::on_unreachable(left->next, [] { ++ran; }); }();
  held.go_on();
  expect_whole("awaited");
  EXPECT_EQ(ran, 0);
  elsewhere([] { left->next = nullptr; });
  elsewhere([] {
    lull::collect();
    lull::wait_for_finalizers();
  });
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(is_allocated(victim));
}

// Nobody holds it from the step on: the second cycle at the latest takes it.
void is_dropped(Held& held) {
  [&]() __attribute__((noinline)) { left->next = nullptr; }();
  held.go_on();
  elsewhere([] { lull::collect(); });
  EXPECT_FALSE(is_allocated(victim));
  EXPECT_FALSE(is_allocated(tail));
}

struct Action {
  const char* name;
  void (*act)(Held& held);
  void (*prepare)() = put_left;
};

const Action kActions[] = {
    {"HidesBehindAnother", hides_behind_another},
    {"MovesWithinAnArray", moves_within_an_array, [] { set_up([](const lull::ptr<Node>& v) { array[kLong - 1] = v; }); }},
    {"VisitsAStack", visits_a_stack},
    {"StaysOnAStack", stays_on_a_stack},
    {"GoesBehindANewObject", goes_behind_a_new_object},
    {"MovesToANewRoot", moves_to_a_new_root},
    {"IsExchangedOutOfASlot", is_exchanged_out_of_a_slot, [] { set_up([](const lull::ptr<Node>& v) { shared_slot->store(v); }); }},
    {"IsLocked", is_locked, [] { set_up([](const lull::ptr<Node>& v) { *weak = v; }); }},
    {"BecomesAValue", becomes_a_value},
    {"IsFoundInAMap", is_found_in_a_map, [] { set_up([](const lull::ptr<Node>& v) { map->insert(left.load(), v); }); }},
    {"IsTakenByAThreadThatStarts", is_taken_by_a_thread_that_starts},
    {"IsPassedOnByAThreadThatEnds", is_passed_on_by_a_thread_that_ends},
    {"IsPassedOnByItsHolderThatEnds", is_passed_on_by_its_holder_that_ends, [] {
       put_left();
       holder = std::make_unique<Holder>();
     }},
    {"IsThereAfterAFork", is_there_after_a_fork},
    {"IsInAnException", is_in_an_exception},
    {"GoesBehindAnObjectOfALibraryThatIsLoaded", goes_behind_an_object_of_a_library_that_is_loaded},
    {"IsHandedBackByALibraryThatIsClosed", is_handed_back_by_a_library_that_is_closed, [] {
       put_left();
       plugin = std::make_unique<lull::testing::Plugin>();
       move_to_the_plugin();
     }},
    {"OutlivesTheRootOfALibraryThatIsUnloaded", outlives_the_root_of_a_library_that_is_unloaded, [] {
       put_left();
       plugin = std::make_unique<lull::testing::Plugin>();
       elsewhere([] {
         (*plugin)->hold_of_others(left->next.get());
         left->next = nullptr;
       });
     }},
    {"IsBesideALibraryThatIsUnloaded", is_beside_a_library_that_is_unloaded, [] {
       plugin = std::make_unique<lull::testing::Plugin>();
       elsewhere([] {
         (*plugin)->hold_many(nullptr);
         (*plugin)->drop();
       });
       put_left();  // collects
     }},
    {"IsBesideOneThatIsDestroyed", is_beside_one_that_is_destroyed},
    {"IsAwaited", is_awaited},
    {"IsDropped", is_dropped},
};

class StepTable : public testing::TestWithParam<Action> {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

TEST_P(StepTable, AtEveryStepOfBothKinds) {
  const Action& action = GetParam();
#if defined(__SANITIZE_THREAD__)
  if (action.act == is_there_after_a_fork) GTEST_SKIP() << "TSan does not support a fork of a threaded process";
#endif
  for (const CycleKind kind : {CycleKind::full, CycleKind::young})
    for (std::uint32_t s = 0; s < lull::gc::kSteps; ++s) {
      const auto step = static_cast<Step>(s);
      SCOPED_TRACE(std::string(name_of(step)) + (kind == CycleKind::full ? ", full" : ", young"));
      action.prepare();
      Stepper stepper;
      stepper.use(kind);
      stepper.run_to(step);
      Held held(stepper, step);
      action.act(held);
      if (HasFatalFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(Victim, StepTable, testing::ValuesIn(kActions), [](const auto& named) { return std::string(named.param.name); });

}  // namespace

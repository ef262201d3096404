// lull/leak_watch.h in a running program: the planted leak is named, its neighbours are not.
#include "lull/leak_watch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace lull {
namespace {

using testing::elsewhere;

struct Leaked {
  ptr<Leaked> next;
  char payload[248];
  void trace(tracer& t) const { t(next); }
};
struct Saw {
  ptr<Saw> next;
  char payload[1000];
  void trace(tracer& t) const { t(next); }
};
struct Steady {
  char payload[500];
};

root<Leaked> leaked;
root<Saw> saw;
root<Steady> steady[50];

template <class Node>
void add(root<Node>& list, int count) {
  elsewhere([&] {
    for (int i = 0; i < count; ++i) {
      ptr<Node> node = make<Node>();
      node->next = list;
      list = node;
    }
  });
}

// A cycle of the program: 1 KiB more that leaks, a sawtooth of six cycles, and a steady turnover.
void one_cycle(int i) {
  add(leaked, 4);
  if (i % 6 == 0) saw = nullptr;
  add(saw, 20);
  elsewhere([&] {
    for (int k = 0; k < 20; ++k) steady[(i * 20 + k) % 50] = make<Steady>();
  });
  collect();
}

TEST(LeakWatch, NamesAPlantedLeakWithinTenCyclesAndNothingElse) {
  static std::atomic<int> calls{0};
  static std::string told;
  set_gc_percent(-1);
  attach_thread();
  ASSERT_TRUE(leak_watch::start({.on_leak = [](const leak& l, void* context) {
                                   if (calls == 0) told = l.type;
                                   *static_cast<std::uint64_t*>(context) = l.live_bytes;
                                   ++calls;
                                 },
                                 .context = [] { static std::uint64_t bytes; return &bytes; }()}));
  std::vector<leak> found(8);
  for (int i = 0; i < 10; ++i) one_cycle(i);
  ASSERT_EQ(leak_watch::find(found), 1u);
  EXPECT_TRUE(found[0].type.ends_with("Leaked")) << found[0].type;
  EXPECT_NEAR(found[0].bytes_per_cycle, 1024, 1);
  EXPECT_GT(found[0].bytes_per_second, 100);
  EXPECT_EQ(found[0].live_objects, 40u);
  EXPECT_EQ(found[0].live_bytes, 10'240u);
  EXPECT_GE(found[0].cycles, 8u);
  {
    blocking_region waiting;
    while (calls == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(told.ends_with("Leaked")) << told;
  for (int i = 10; i < 13; ++i) one_cycle(i);
  EXPECT_EQ(calls, 1);  // not again before it has doubled

  // It stops: the watch is silent once the window has passed.
  for (int i = 0; i < 12; ++i) collect();
  EXPECT_EQ(leak_watch::find(found), 0u);
  leak_watch::stop();
  for (int i = 0; i < 12; ++i) one_cycle(i);
  EXPECT_EQ(leak_watch::find(found), 0u);
}

struct OtherLeaked {
  ptr<OtherLeaked> next;
  char payload[500];
  void trace(tracer& t) const { t(next); }
};

TEST(LeakWatch, PutsTheFastestFirst) {
  static root<OtherLeaked> other;
  set_gc_percent(-1);
  attach_thread();
  ASSERT_TRUE(leak_watch::start());
  for (int i = 0; i < 9; ++i) {
    add(leaked, 4);
    add(other, 4);
    collect();
  }
  leak found[2];
  ASSERT_EQ(leak_watch::find(found), 2u);
  EXPECT_TRUE(found[0].type.ends_with("OtherLeaked"));
  EXPECT_FALSE(found[1].type.ends_with("OtherLeaked"));
  ASSERT_EQ(leak_watch::find(std::span(found).first(1)), 1u);
  EXPECT_TRUE(found[0].type.ends_with("OtherLeaked"));
  EXPECT_EQ(leak_watch::find({}), 0u);
  ASSERT_TRUE(leak_watch::start());  // anew: what was seen before is forgotten
  EXPECT_EQ(leak_watch::find(found), 0u);
}

root<OtherLeaked> other;
std::atomic<int> calls{0};
std::atomic<bool> is_inside{false};

void wait_until(bool (*is_so)()) {
  blocking_region waiting;
  for (int i = 0; i < 10'000 && !is_so(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(is_so());
}

void leak_both(int cycles) {
  for (int i = 0; i < cycles; ++i) {
    add(leaked, 4);
    add(other, 4);
    collect();
  }
}

void start_and_leak_both(void (*on_leak)(const leak&, void*)) {
  calls = 0;
  set_gc_percent(-1);
  attach_thread();
  ASSERT_TRUE(leak_watch::start({.on_leak = on_leak}));
  leak_both(8);  // the last one finds two
}

void expect_one_call() {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for one that should not come
  EXPECT_EQ(calls, 1);
}

// stop() returned while a callback went on with a context that was thought to be free, and others were still to come.
TEST(LeakWatch, StopWaitsForACallAndForgetsWhatWasNotToldYet) {
  start_and_leak_both([](const leak&, void*) {
    is_inside = true;
    ++calls;
    leak found;
    while (leak_watch::find({&found, 1}) != 0) std::this_thread::yield();  // until somebody stops it
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    is_inside = false;
  });
  wait_until([] { return is_inside.load(); });
  leak_watch::stop();
  EXPECT_FALSE(is_inside);
  expect_one_call();
}

TEST(LeakWatch, MayBeStoppedByItsCall) {
  start_and_leak_both([](const leak&, void*) {
    leak_watch::stop();
    ++calls;
  });
  wait_until([] { return calls == 1; });
  expect_one_call();
}

// It was silent in the child, and said nothing of it.
TEST(LeakWatch, GoesOnInAForkedChild) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "TSan does not support threads after a fork of a threaded process";
  calls = 0;
  set_gc_percent(-1);
  attach_thread();
  ASSERT_TRUE(leak_watch::start({.on_leak = [](const leak&, void*) { ++calls; }}));
  leak_both(7);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    leak_both(1);
    wait_until([] { return calls == 2; });
    ::_exit(calls == 2 ? 0 : 1);
  }
  int status = -1;
  {
    blocking_region waiting;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
  }
  EXPECT_EQ(status, 0);
  leak_watch::stop();
}

}  // namespace
}  // namespace lull

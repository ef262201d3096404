// lull/guardian.h: scripted metrics give exact logs; in a running program it acts.
#include "lull/guardian.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "gc/model/delay.h"
#include "gc/report/guardian_engine.h"
#include "lull/lull.h"
#include "tests/support/scale.h"

namespace lull::guardian {
namespace {

using Log = std::vector<std::string>;

std::string line_of(const entry& e) {
  char text[200];
  format(e, text, sizeof text);
  return text;
}

// Plays a script of values, one row a second, from second 0 on; the percentage is what the engine makes it.
Log play(std::span<const rule> rules, const options& with, unsigned seconds, const std::function<std::vector<double>(unsigned)>& script,
         int percent = 100) {
  gc::GuardianEngine engine;
  engine.start(rules, with);
  Log log;
  for (unsigned s = 0; s < seconds; ++s) {
    const std::vector<double> values = script(s);
    const entry* e = engine.look(s, values, percent);
    if (e == nullptr) continue;
    log.push_back(line_of(*e));
    if (e->percent_after != e->percent_before) percent = e->percent_after;
  }
  return log;
}

std::uint64_t cycles() {
  metrics::sample s{"/gc/cycles/total:gc-cycles"};
  metrics::read({&s, 1});
  return s.u;
}

constexpr rule kHeap = {.name = "heap", .metric = "", .above = 0.8, .until = 0.6, .every_seconds = 10, .then = action::collect};

TEST(Guardian, ActsAtOnceAndAgainWhileItLasts) {
  const Log log = play({&kHeap, 1}, {}, 60, [](unsigned s) { return std::vector{s >= 5 && s < 30 ? 0.85 : 0.5}; });
  EXPECT_EQ(log, (Log{"@5.000s heap: 0.85: collect", "@15.000s heap: 0.85: collect", "@25.000s heap: 0.85: collect"}));
}

TEST(Guardian, IsStillBrokenBetweenTheBounds) {
  // Down to 0.7 and up again is one stretch, down to 0.6 ends it; between the bounds nothing is done.
  const double script[] = {0.9, 0.7, 0.9, 0.9, 0.6, 0.9};
  rule r = kHeap;
  r.every_seconds = 0;
  r.for_seconds = 2;
  const Log log = play({&r, 1}, {.least_pause_seconds = 0}, 6, [&](unsigned s) { return std::vector{script[s]}; });
  EXPECT_EQ(log, (Log{"@2.000s heap: 0.9: collect", "@3.000s heap: 0.9: collect"}));
}

TEST(Guardian, AConditionMustHoldForItsTime) {
  rule r = {.name = "pause", .metric = "", .above = 0.001, .until = 0.0005, .for_seconds = 60, .every_seconds = 60, .then = action::tell};
  // 59 seconds too long, a good second, then for ever.
  const Log log = play({&r, 1}, {}, 200, [](unsigned s) { return std::vector{s == 60 ? 0.0001 : 0.002}; });
  EXPECT_EQ(log, (Log{"@121.000s pause: 0.002: tell", "@181.000s pause: 0.002: tell"}));
}

TEST(Guardian, FlappingIsRateLimited) {
  const Log log = play({&kHeap, 1}, {}, 35, [](unsigned s) { return std::vector{s % 2 == 0 ? 0.9 : 0.1}; });
  EXPECT_EQ(log, (Log{"@0.000s heap: 0.9: collect", "@10.000s heap: 0.9: collect", "@20.000s heap: 0.9: collect", "@30.000s heap: 0.9: collect"}));
}

TEST(Guardian, RulesTogetherActRarely) {
  const rule rules[] = {{.name = "a", .metric = "", .above = 1, .every_seconds = 1, .then = action::raise_percent},
                        {.name = "b", .metric = "", .above = 1, .every_seconds = 1, .then = action::lower_percent}};
  const Log log = play(rules, {.least_pause_seconds = 10, .least_percent = 50, .most_percent = 200}, 50,
                       [](unsigned s) { return std::vector{s < 25 ? 2.0 : 0.0, 3.0}; });
  EXPECT_EQ(log, (Log{"@0.000s a: 2: raise_percent 100 -> 151", "@10.000s a: 2: raise_percent 151 -> 200", "@20.000s b: 3: lower_percent 200 -> 133",
                      "@30.000s b: 3: lower_percent 133 -> 88", "@40.000s b: 3: lower_percent 88 -> 58"}));
}

TEST(Guardian, LeavesAPercentageThatIsOff) {
  const rule r = {.name = "a", .metric = "", .above = 1, .then = action::raise_percent};
  EXPECT_EQ(play({&r, 1}, {}, 20, [](unsigned) { return std::vector{2.0}; }, -1), Log{});
}

TEST(Guardian, KeepsTheNewestOfItsLog) {
  gc::GuardianEngine engine;
  rule r = kHeap;
  r.every_seconds = 0;
  engine.start({&r, 1}, {.least_pause_seconds = 0});
  const double value = 1;
  for (int s = 0; s < 300; ++s) engine.look(s, {&value, 1}, 100);
  std::vector<entry> log(200);
  ASSERT_EQ(engine.read_log(log), gc::GuardianEngine::kLog);
  EXPECT_EQ(log.front().seconds, 300 - 128);
  EXPECT_EQ(log[127].seconds, 299);
  ASSERT_EQ(engine.read_log(std::span(log).first(2)), 2u);
  EXPECT_EQ(log[1].seconds, 299);
}

TEST(Guardian, RefusesRulesThatMakeNoSense) {
  const auto accepts = [](const rule& r) { return start({&r, 1}); };
  EXPECT_FALSE(accepts({.name = "x", .metric = "/no/such:metric"}));
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/heap/live:bytes", .per = "/no/such:metric"}));
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/heap/live:bytes", .above = 1, .until = 2}));
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/pauses:seconds", .above = 1}));  // which quantile?
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/heap/live:bytes", .quantile = 0.5, .above = 1}));  // of a number
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/heap/live:bytes", .per = "/gc/pauses:seconds", .above = 1}));
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN(), kInfinite = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/heap/live:bytes", .above = kNone}));
  EXPECT_FALSE(accepts({.name = "x", .metric = "/gc/heap/live:bytes", .above = 1, .for_seconds = kNone}));
  EXPECT_FALSE(start(usual_rules(), {.period_seconds = kNone}));
  EXPECT_FALSE(start(usual_rules(), {.period_seconds = kInfinite}));
  const std::vector<rule> many(most_rules + 1, {.name = "x", .metric = "/gc/heap/live:bytes"});
  EXPECT_FALSE(start(many));
  EXPECT_TRUE(start(usual_rules()));
  stop();
}

TEST(Guardian, ActsInARunningProgram) {
  set_gc_percent(-1);
  for (int i = 0; i < 30; ++i) make_array<char>(100'000);
  const rule rules[] = {
      {.name = "objects", .metric = "/gc/heap/objects:objects", .above = 5, .every_seconds = 1000, .then = action::collect},
      {.name = "slow", .metric = "/gc/allocs/slow:seconds", .quantile = 0.5, .above = 1e-9, .every_seconds = 1000, .then = action::tell}};
  static std::atomic<int> told{0};
  static std::atomic<bool> attached{false};
  ASSERT_TRUE(start(rules, {.period_seconds = 0.005, .least_pause_seconds = 0, .on_action = [](const entry&, void*) {
                              attached = make_array<char>(10) != nullptr;  // a callback may use managed objects
                              ++told;
                            }}));
  entry log[4];
  {
    blocking_region waiting;
    for (int i = 0; read_log(log) == 0 || told < 2 || cycles() == 0; ++i) {
      ASSERT_LT(i, 10'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  stop();
  EXPECT_EQ(log[0].rule, "objects");
  EXPECT_EQ(log[0].what, action::collect);
  EXPECT_GE(log[0].value, 30);
  EXPECT_TRUE(attached);
  EXPECT_EQ(read_mem_stats().num_forced_gc, 1u);
}

// The quotient of two sums is that of what was added since the last look: objects of 48 bytes, whatever had been before.
TEST(Guardian, DividesWhatWasAddedAndChangesThePercentage) {
  set_gc_percent(100);
  make_array<char>(10'000'000);
  const rule rules[] = {{.name = "size", .metric = "/gc/heap/allocs:bytes", .per = "/gc/heap/allocs:objects", .above = 40, .every_seconds = 1000,
                         .then = action::raise_percent},
                        {.name = "few", .metric = "/gc/heap/objects:objects", .per = "/gc/gogc:percent", .above = 0.001, .every_seconds = 1000,
                         .then = action::return_memory}};
  ASSERT_TRUE(start(rules, {.period_seconds = 0.005, .least_pause_seconds = 0}));
  entry log[4];
  for (int i = 0; read_log(log) < 2; ++i) {
    ASSERT_LT(i, 10'000);
    for (int k = 0; k < 1000; ++k) make_array<char>(48);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  stop();
  const entry& size = log[0].rule == "size" ? log[0] : log[1];
  EXPECT_EQ(size.rule, "size");
  EXPECT_EQ(size.percent_before, 100);
  EXPECT_GT(size.percent_after, 100);
  EXPECT_EQ(set_gc_percent(100), size.percent_after);
}

// Within ten seconds.
template <class Condition>
bool comes_true(Condition&& condition) {
  blocking_region waiting;
  for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

constexpr rule kAlways = {.name = "always", .metric = "/gc/cycles/total:gc-cycles", .above = 0.5, .every_seconds = 0};
constexpr options kOften = {.period_seconds = 0.001, .least_pause_seconds = 0};

options often(void (*on_action)(const entry&, void*)) {
  options with = kOften;
  with.on_action = on_action;
  return with;
}

std::atomic<int> told{0};
std::atomic<bool> is_inside{false};

class ARunningGuardian : public ::testing::Test {
 protected:
  void SetUp() override {
    told = 0;
    is_inside = false;
    collect();
  }
  void TearDown() override { stop(); }
};

// A look that began with the old rules gave their values to the new ones when there were as many.
std::atomic<int> looks{0};
std::atomic<bool> is_started_anew{false};

TEST_F(ARunningGuardian, JudgesNoValuesOfOldRulesByNewOnes) {
  const rule bytes = {.name = "bytes", .metric = "/gc/heap/allocs:bytes", .above = 1e18}, few = {.name = "few", .metric = kAlways.metric, .above = 1e5};
  make_array<char>(1'000'000);
  gc::delay_hook_for_testing = [](const char* where) {
    if (std::string_view(where) != "guardian looks" || looks++ != 0) return;
    while (!is_started_anew) std::this_thread::yield();
  };
  gc::options.delay = 1;
  const options with = often([](const entry&, void*) { ++told; });
  ASSERT_TRUE(start({&bytes, 1}, with));
  ASSERT_TRUE(comes_true([] { return looks != 0; }));
  ASSERT_TRUE(start({&few, 1}, with));
  is_started_anew = true;
  ASSERT_TRUE(comes_true([] { return looks > 2; }));
  EXPECT_EQ(told, 0);
}

TEST_F(ARunningGuardian, WhatWasSeenIsForgottenWhenItIsStartedAnew) {
  make_array<char>(10'000'000);
  const rule size = {.name = "size", .metric = "/gc/heap/allocs:bytes", .per = "/gc/heap/allocs:objects", .above = 40};
  for (int i = 1; i <= 2; ++i) {  // nothing is added in between
    ASSERT_TRUE(start({&size, 1}, often([](const entry&, void*) { ++told; })));
    EXPECT_TRUE(comes_true([&] { return told == i; })) << i;
  }
}

// stop() returned while the callback went on with a context that was thought to be free.
TEST_F(ARunningGuardian, StopAndStartWaitForACall) {
  const options with = often([](const entry&, void*) {
    is_inside = true;
    collect();  // needs an answer of the thread that waits
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    is_inside = false;
  });
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(start({&kAlways, 1}, with));
    ASSERT_TRUE(comes_true([] { return is_inside.load(); }));
    if (i == 0) EXPECT_TRUE(start({&kAlways, 1}, kOften));
    else stop();
    EXPECT_FALSE(is_inside);
  }
}

TEST_F(ARunningGuardian, MayBeStoppedByItsCall) {
  ASSERT_TRUE(start({&kAlways, 1}, often([](const entry&, void*) {
                      stop();
                      ++told;
                    })));
  EXPECT_TRUE(comes_true([] { return told == 1; }));
  ASSERT_TRUE(start({&kAlways, 1}, often([](const entry&, void*) { ++told; })));
  EXPECT_TRUE(comes_true([] { return told > 1; }));
}

class AGuardianInAForkedChild : public ARunningGuardian {
 protected:
  void SetUp() override {
    if (testing::kThreadSanitizer) GTEST_SKIP() << "TSan does not support threads after a fork of a threaded process";
    ARunningGuardian::SetUp();
  }
};

int wait_for(pid_t child) {
  blocking_region waiting;
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

template <class Live>
int status_of_child(Live&& live) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(live() ? 0 : 1);
  }
  return wait_for(child);
}

// The library's threads block all signals.
void let_alarm_through() {
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm_only, nullptr);
}

int watch_threads() {
  int found = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    found += name == "lull-watch";
  }
  return found;
}

// It was silent in the child, and said nothing of it.
TEST_F(AGuardianInAForkedChild, ActsThereFromTheFirstCycleOn) {
  ASSERT_TRUE(start({&kAlways, 1}, often([](const entry&, void*) { ++told; })));
  ASSERT_TRUE(comes_true([] { return told > 0; }));
  EXPECT_EQ(status_of_child([] {
              const bool none = watch_threads() == 0;  // until there is a cycle: most children call exec
              told = 0;
              collect();
              return none && comes_true([] { return told > 5; }) && watch_threads() == 1;
            }), 0);
}

TEST_F(AGuardianInAForkedChild, ThatWasStoppedStaysSo) {
  ASSERT_TRUE(start({&kAlways, 1}, kOften));
  stop();
  EXPECT_EQ(status_of_child([] {
              collect();
              return watch_threads() == 0;
            }), 0);
}

TEST_F(AGuardianInAForkedChild, IsStoppedWithoutWaitingForTheCallOfALostThread) {
  static std::atomic<bool> may_go{false};
  ASSERT_TRUE(start({&kAlways, 1}, often([](const entry&, void*) {
                      is_inside = true;
                      while (!may_go) std::this_thread::yield();
                    })));
  ASSERT_TRUE(comes_true([] { return is_inside.load(); }));
  EXPECT_EQ(status_of_child([] {
              stop();
              return true;
            }), 0);
  may_go = true;
}

TEST_F(AGuardianInAForkedChild, GoesOnOnTheThreadThatForkedInACall) {
  static std::atomic<pid_t> child{0};
  ASSERT_TRUE(start({&kAlways, 1}, often([](const entry&, void*) {
                      const int before = told++;
                      if (before == 1) ::_exit(watch_threads() == 1 ? 0 : 1);  // the child's second
                      if (before != 0) return;  // forks once, whatever is wrong
                      const pid_t forked = ::fork();
                      child = forked;
                      if (forked != 0) return stop();
                      let_alarm_through();
                      ::alarm(20);
                      collect();
                    })));
  ASSERT_TRUE(comes_true([] { return child != 0; }));
  EXPECT_EQ(wait_for(child), 0);
}

}  // namespace
}  // namespace lull::guardian

// The environment's options and the checking modes (gc/model/options.h, docs/tuning.md): that each one does what it is
// for, and that the program is right under each.
//
// Options are read once and modes are set before the first object, so every case needs a process of its own (ctest).
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "gc/cycle/stepper.h"
#include "gc/mark/trace_check.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/random_graph.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

namespace {

using lull::blocking_region;
using lull::make;
using lull::make_array;
using lull::mem_stats;
using lull::ptr;
using lull::read_mem_stats;
using lull::root;
using lull::gc::Options;
using lull::gc::options;
using lull::gc::parse_debug_options;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::announced_seed;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::kIntact;
using lull::testing::kThreadSanitizer;
using lull::testing::Node;
using lull::testing::RandomGraph;
using lull::testing::scaled;

// What `body` writes to standard error.
template <class Body>
std::string errors_of(Body&& body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

// Options of which nothing but what the text says is set.
Options parsed(const char* text) {
  Options into;
  EXPECT_EQ(errors_of([&] { EXPECT_TRUE(parse_debug_options(text, into)) << text; }), "") << text;
  return into;
}

// Reading options.

TEST(DebugOptions, ANameAloneMeansOne) {
  EXPECT_EQ(parsed("gctrace").gctrace, 1);
  EXPECT_EQ(parsed("verify").verify, 1);
  EXPECT_EQ(parsed("scribble").scribble, 1);
  EXPECT_EQ(parsed("stress").stress, 1);
  EXPECT_EQ(parsed("stw").stw, 1);
  EXPECT_EQ(parsed("noconcurrent").noconcurrent, 1);
  EXPECT_EQ(parsed("rage").rage, 1);
  EXPECT_EQ(parsed("check_trace").check_trace, 1);
  EXPECT_EQ(parsed("check_ptr_location").check_ptr_location, 1);
  EXPECT_EQ(parsed("noasync").noasync, 1);
  EXPECT_EQ(parsed("tiny").tiny, 1);
  EXPECT_EQ(parsed("delay").delay, 1);
}

TEST(DebugOptions, SeveralAreSeparatedByCommas) {
  const Options all = parsed("verify=2,scribble,stress=100,noasync=0");
  EXPECT_EQ(all.verify, 2);
  EXPECT_EQ(all.scribble, 1);
  EXPECT_EQ(all.stress, 100);
  EXPECT_EQ(all.noasync, 0);
  EXPECT_EQ(all.gctrace, 0);
  EXPECT_EQ(parsed("stress=1,stress=7").stress, 7);  // the last one counts
}

TEST(DebugOptions, EmptyItemsAreNothing) {
  for (const char* text : {"", ",", ",,,"}) EXPECT_EQ(parsed(text).verify, 0);
  const Options both = parsed(",stw,,rage,");
  EXPECT_EQ(both.stw, 1);
  EXPECT_EQ(both.rage, 1);
}

TEST(DebugOptions, AnUnknownNameIsReportedAndTheOthersCount) {
  Options into;
  const std::string errors = errors_of([&] { EXPECT_FALSE(parse_debug_options("stw,verfy=1,stress=3", into)); });
  EXPECT_EQ(errors, "lull: LULL_DEBUG: cannot make sense of 'verfy=1'\n");
  EXPECT_EQ(into.stw, 1);
  EXPECT_EQ(into.stress, 3);
}

TEST(DebugOptions, NamesAreMatchedToTheirEnd) {
  for (const char* name : {"st", "stwx", "stress1", "gctrac", "GCTRACE", " stw", "check"}) {
    Options into;
    const std::string errors = errors_of([&] { EXPECT_FALSE(parse_debug_options(name, into)) << name; });
    EXPECT_EQ(errors, "lull: LULL_DEBUG: cannot make sense of '" + std::string(name) + "'\n");
    EXPECT_FALSE(into.stops_world()) << name;
  }
}

TEST(DebugOptions, ComeFromTheEnvironmentBeforeTheFirstObject) {
  setenv("LULL_DEBUG", "stress=50,gctrace,bogus", 1);
  const std::string errors = errors_of([] {
    make<Node>();
    options.gctrace = 0;
  });
  EXPECT_EQ(errors, "lull: LULL_DEBUG: cannot make sense of 'bogus'\n");
  EXPECT_EQ(options.stress, 50);
  setenv("LULL_DEBUG", "stress=1", 1);
  lull::gc::read_options();
  EXPECT_EQ(options.stress, 50);  // read once
}

struct PercentCase {
  const char* name;
  const char* text;  // null: not set
  int percent;
  bool is_refused = false;
};
class GcPercent : public testing::TestWithParam<PercentCase> {};

TEST_P(GcPercent, ComesFromTheEnvironment) {
  const PercentCase& c = GetParam();
  unsetenv("LULL_GC_PERCENT");
  if (c.text != nullptr) setenv("LULL_GC_PERCENT", c.text, 1);
  const std::string errors = errors_of([&] { EXPECT_EQ(lull::set_gc_percent(100), c.percent); });
  EXPECT_EQ(errors, c.is_refused ? "lull: LULL_GC_PERCENT: '" + std::string(c.text) + "' is neither a number nor 'off'\n" : "");
}

INSTANTIATE_TEST_SUITE_P(Values, GcPercent,
                         testing::Values(PercentCase{"NotSet", nullptr, 100}, PercentCase{"Number", "250", 250},
                                         PercentCase{"Zero", "0", 0}, PercentCase{"Off", "off", -1},
                                         PercentCase{"Negative", "-3", -1},
                                         PercentCase{"NegativeBeyondInt", "-4294967246", -1},
                                         PercentCase{"NegativeBeyondLong", "-99999999999999999999", -1},
                                         PercentCase{"Largest", "1000000", 1'000'000},
                                         PercentCase{"TooLarge", "1000001", 100, true},
                                         PercentCase{"BeyondLong", "99999999999999999999", 100, true},
                                         PercentCase{"Empty", "", 100, true}, PercentCase{"Word", "on", 100, true},
                                         PercentCase{"Unit", "50%", 100, true}),
                         [](const auto& instance) { return std::string(instance.param.name); });

void make_garbage(std::size_t mib) {
  for (std::size_t i = 0; i < mib * 1024; ++i) make_array<char>(1000);
}

TEST(GcPercentOff, LeavesTheCollectorAloneUntilItIsAsked) {
  setenv("LULL_GC_PERCENT", "off", 1);
  make_garbage(32);
  EXPECT_EQ(read_mem_stats().num_gc, 0u);
  EXPECT_FALSE(read_mem_stats().enable_gc);
  lull::collect();
  EXPECT_EQ(read_mem_stats().num_gc, 1u);
}

TEST(GcPercentOn, CollectsByItself) {
  make_garbage(32);
  EXPECT_GT(read_mem_stats().num_gc, 0u);
  EXPECT_EQ(read_mem_stats().num_forced_gc, 0u);
  EXPECT_TRUE(read_mem_stats().enable_gc);
}

struct CountsItsEnd {
  ~CountsItsEnd() { ++ended; }
  static inline std::atomic<int> ended{0};
};

TEST(Finalizers, AreTheProgramsMatterIfItSaysManual) {
  setenv("LULL_FINALIZERS", "manual", 1);
  elsewhere([] {
    for (int i = 0; i < 10; ++i) make<CountsItsEnd>();
  });
  lull::collect();
  EXPECT_EQ(read_mem_stats().destructors_pending, 10u);
  EXPECT_EQ(CountsItsEnd::ended, 0);
  EXPECT_EQ(lull::run_finalizers(), 10u);
  EXPECT_EQ(CountsItsEnd::ended, 10);
}

TEST(Finalizers, RunOnAThreadIfTheSettingIsNotUnderstood) {
  setenv("LULL_FINALIZERS", "never", 1);
  EXPECT_EQ(errors_of([] { lull::gc::read_options(); }), "lull: LULL_FINALIZERS: 'never' is neither 'thread' nor 'manual'\n");
  elsewhere([] { make<CountsItsEnd>(); });
  lull::collect();
  lull::wait_for_finalizers();
  EXPECT_EQ(CountsItsEnd::ended, 1);
}

TEST(Finalizers, RunOnAThreadIfTheSettingSaysSo) {
  setenv("LULL_FINALIZERS", "thread", 1);
  EXPECT_EQ(errors_of([] { lull::gc::read_options(); }), "");
  EXPECT_EQ(options.manual_finalizers, 0);
}

// A program under each mode.

class Mode : public testing::Test {
 protected:
  // Cases set what else they need before they touch anything managed.
  void SetUp() override {
    lull::gc::read_options();
    options.gc_percent = -1;
  }
};

void change_and_check(std::uint64_t seed) {
  RandomGraph graph(seed, 10);
  for (int round = 0; round < 10; ++round) {
    graph.batch(scaled(1000));
    lull::collect();
    graph.forget_unreachable();
    ASSERT_EQ(graph.check(), 0u) << "round " << round;
  }
}

class ProgramUnderMode : public testing::TestWithParam<const char*> {};

TEST_P(ProgramUnderMode, IsRightAndTheModeHasNothingToReport) {
  lull::gc::read_options();
  ASSERT_TRUE(parse_debug_options(GetParam(), options));
  lull::attach_thread();
  const std::uint64_t seed = announced_seed();
  const std::string errors = errors_of([&] {
    std::thread other([&] { change_and_check(seed); });
    elsewhere([&] { change_and_check(seed + 1); });
    blocking_region joining;
    other.join();
  });
  EXPECT_EQ(errors, "");
  EXPECT_EQ(read_mem_stats().verifier_errors, 0u);
  EXPECT_EQ(lull::gc::forgotten_fields_reported(), 0u);
  EXPECT_GE(read_mem_stats().num_gc, 10u);
}

INSTANTIATE_TEST_SUITE_P(Modes, ProgramUnderMode,
                         testing::Values("verify=2", "scribble", "stress=16", "stw", "noconcurrent", "rage", "noasync", "delay=20",
                                         "check_trace", "check_ptr_location", "stw,verify=2,scribble",
                                         "noconcurrent,verify=2,stress=64", "rage,verify=2,scribble,noasync",
                                         "check_trace,check_ptr_location,verify=2,rage"),
                         [](const auto& instance) {
                           return std::regex_replace(std::string(instance.param), std::regex("[^a-z0-9]"), "_");
                         });

TEST_F(Mode, NoneStopsTheWorld) {
  make_garbage(1);
  for (int i = 0; i < 5; ++i) lull::collect();
  EXPECT_EQ(read_mem_stats().global_stops, 0u);
}

// gctrace: the line's format is gctrace_test.cc's matter.

TEST_F(Mode, TraceWritesALineForEveryCycle) {
  options.gctrace = 1;
  const std::string errors = errors_of([] {
    for (int i = 0; i < 3; ++i) lull::collect();
  });
  EXPECT_TRUE(read_mem_stats().debug_gc);
  std::istringstream lines(errors);
  std::string line;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_TRUE(line.starts_with("gc " + std::to_string(i) + " @")) << line;
    EXPECT_NE(line.find(" P (forced) | "), std::string::npos) << line;
    EXPECT_TRUE(line.ends_with(", 0 stops")) << line;
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
}

// verify. A fault is arranged: while marking, trace() names nothing; once marking is over it does.

std::atomic<bool> names_its_field{true};
struct Forgets {
  ptr<Node> field;
  void trace(lull::tracer& t) const {
    if (names_its_field) t(field);
  }
};

void lose_an_object() {
  static root<Forgets> holder;
  elsewhere([] {
    holder = make<Forgets>();
    holder->field = make<Node>();
  });
  names_its_field = false;
  Stepper stepper;
  stepper.run_to(Step::done);
  names_its_field = true;
  stepper.finish();
}

TEST_F(Mode, VerifyCountsWhatACycleWouldLose) {
  options.verify = 2;
  const std::string errors = errors_of([] { lose_an_object(); });
  EXPECT_EQ(read_mem_stats().verifier_errors, 1u);
  EXPECT_TRUE(std::regex_search(errors, std::regex("^lull: verify: cycle 1 would free a reachable object\n"
                                                   "lull: verify:   lost: .*Node at 0x[0-9a-f]+\n"
                                                   "lull: verify:   held by .*Forgets at 0x[0-9a-f]+\n"
                                                   "lull: verify:   held by a root\n$")))
      << errors;
}

TEST_F(Mode, VerifyStopsTheProcessWhenACycleWouldLoseAnObject) {
  EXPECT_DEATH(
      {
        options.verify = 1;
        lose_an_object();
      },
      "would free a reachable object(.|\n)*lull: verify: reachable object not marked");
}

TEST_F(Mode, VerifyStopsTheWorldOnceACycle) {
  options.verify = 1;
  lull::collect();
  const std::uint64_t before = read_mem_stats().global_stops;
  for (int i = 0; i < 5; ++i) lull::collect();
  EXPECT_EQ(read_mem_stats().global_stops, before + 5);
  EXPECT_EQ(read_mem_stats().verifier_errors, 0u);
}

// scribble.

// Bytes 0xdb in the slot of an object that died while its neighbour in the same span stayed.
template <class T>
std::size_t scribbled_bytes() {
  static root<T> neighbour;
  Hidden dead;
  elsewhere([&] {
    neighbour = make<T>();
    dead = Hidden(make<T>().get());
  });
  lull::collect();
  EXPECT_EQ(dead.address() / 4096, reinterpret_cast<std::uintptr_t>(neighbour.get()) / 4096);
  std::size_t n = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) n += dead.as<const volatile unsigned char>()[i] == 0xdb;
  return n;
}

struct Block {
  std::uint64_t words[30];
  ptr<Block> link;
  void trace(lull::tracer& t) const { t(link); }
};

TEST_F(Mode, ScribbleFillsFreedSlots) {
  options.scribble = 1;
  EXPECT_EQ(scribbled_bytes<Node>(), sizeof(Node));
  EXPECT_EQ(scribbled_bytes<Block>(), sizeof(Block));
}

TEST_F(Mode, WithoutScribbleFreedSlotsStayAsTheyWere) {
  EXPECT_EQ(scribbled_bytes<Node>(), 0u);
  EXPECT_EQ(scribbled_bytes<Block>(), 0u);
}

TEST_F(Mode, ScribbledMemoryIsZeroWhenItIsAllocatedAgain) {
  options.scribble = 1;
  for (int round = 0; round < 5; ++round) {
    elsewhere([] {
      for (int i = 0; i < 1000; ++i) {
        ptr<std::uint64_t[]> words = make_array<std::uint64_t>(20);
        for (std::size_t w = 0; w < 20; ++w) ASSERT_EQ(words[w], 0u);
      }
    });
    lull::collect();
  }
}

// stress.

class Stress : public testing::TestWithParam<int> {};

TEST_P(Stress, CollectsAtEveryNthAllocationOfAThread) {
  lull::gc::read_options();
  options.gc_percent = -1;
  options.stress = GetParam();
  constexpr int kCycles = 40;
  elsewhere([] {
    lull::attach_thread();
    const mem_stats before = read_mem_stats();
    ptr<Node> list;
    for (int i = 0; i < kCycles * GetParam(); ++i) {
      ptr<Node> node = make<Node>();
      node->next = list;
      list = node;
    }
    EXPECT_EQ(read_mem_stats().num_gc, before.num_gc + kCycles);
    int length = 0;
    for (ptr<Node> n = list; n; n = n->next, ++length) ASSERT_EQ(n->value, kIntact);
    EXPECT_EQ(length, kCycles * GetParam());
  });
}
INSTANTIATE_TEST_SUITE_P(Every, Stress, testing::Values(1, 2, 7, 100));

TEST(StressAll, CountsAllocationsOfEverySizeAndShape) {
  lull::gc::read_options();
  options.gc_percent = -1;
  options.stress = 1;
  lull::attach_thread();
  const std::uint32_t before = read_mem_stats().num_gc;
  make<Node>();
  make<Block>();
  make_array<char>(3);
  make_array<Node>(10);
  make_array<ptr<Node>>(100'000);
  EXPECT_EQ(read_mem_stats().num_gc, before + 5);
}

// stw and noconcurrent. Does a program move while trace() runs?

std::atomic<std::uint64_t> moves{0};
std::atomic<std::uint64_t> moves_seen_while_marking{0};
std::atomic<int> looks{0};

struct Probe {
  std::uint64_t value = kIntact;
  void trace(lull::tracer&) const {
    const std::uint64_t before = moves;
    // Long enough for the other thread to get a processor; a stopped one gets 2 ms to show that it is not.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(options.stops_world() ? 2 : 5000);
    while (std::chrono::steady_clock::now() < until && moves == before) {
    }
    moves_seen_while_marking += moves - before;
    ++looks;
  }
};

void move_while_cycles_run(int cycles) {
  static root<Probe> probe;
  probe = make<Probe>();
  std::atomic<bool> over{false};
  std::thread moving([&] {
    ptr<Node> node = make<Node>();
    while (!over) {
      ++moves;
      if (kThreadSanitizer) lull::safepoint();
    }
    EXPECT_EQ(node->value, kIntact);
  });
  while (moves == 0) std::this_thread::yield();
  for (int i = 0; i < cycles; ++i) lull::collect();
  over = true;
  blocking_region joining;
  moving.join();
}

TEST_F(Mode, WithoutOneTheProgramGoesOnWhileItIsMarked) {
  move_while_cycles_run(10);
  EXPECT_GE(looks, 10);
  EXPECT_GT(moves_seen_while_marking, 0u);
}

TEST_F(Mode, StwMarksWithTheWorldStopped) {
  options.stw = 1;
  const std::uint64_t before = read_mem_stats().global_stops;
  move_while_cycles_run(10);
  EXPECT_GE(looks, 10);
  EXPECT_EQ(moves_seen_while_marking, 0u);
  EXPECT_EQ(read_mem_stats().global_stops, before + 10);
}

TEST_F(Mode, NoconcurrentMarksWithTheWorldStopped) {
  options.noconcurrent = 1;
  const std::uint64_t before = read_mem_stats().global_stops;
  move_while_cycles_run(10);
  EXPECT_GE(looks, 10);
  EXPECT_EQ(moves_seen_while_marking, 0u);
  EXPECT_EQ(read_mem_stats().global_stops, before + 10);
}

// rage.

TEST_F(Mode, RageRunsCyclesWithoutBeingAsked) {
  options.rage = 1;
  ptr<Node> list = make<Node>();
  const std::uint32_t before = read_mem_stats().num_gc;
  int length = 1;
  while (read_mem_stats().num_gc < before + 30) {
    ptr<Node> node = make<Node>();
    node->next = list;
    list = node;
    ++length;
  }
  EXPECT_EQ(read_mem_stats().num_forced_gc, 0u);
  for (ptr<Node> n = list; n; n = n->next, --length) ASSERT_EQ(n->value, kIntact);
  EXPECT_EQ(length, 0);
}

// noasync.

TEST_F(Mode, NoasyncWaitsForAThreadUntilItPolls) {
  options.noasync = 1;
  lull::attach_thread();  // while a handshake is under way this would wait for the stubborn one, which waits for us
  std::atomic<int> stage{0};
  std::thread stubborn([&] {
    make<Node>();
    stage = 1;
    while (stage == 1) {
    }
    lull::safepoint();
    while (stage == 2) lull::safepoint();
  });
  while (stage != 1) std::this_thread::yield();
  std::atomic<bool> collected{false};
  std::thread collecting([&] {
    lull::collect();
    collected = true;
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  blocking_region waiting;
  while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_FALSE(collected);  // a signal would have gone out after 0.1 ms
  stage = 2;
  collecting.join();
  stage = 3;
  stubborn.join();
}

TEST_F(Mode, NoasyncAnswersNothingBySignal) {
  options.noasync = 1;
  std::atomic<bool> over{false};
  std::thread polling([&] {
    make<Node>();
    while (!over) lull::safepoint();
  });
  for (int i = 0; i < 10; ++i) lull::collect();
  EXPECT_EQ(read_mem_stats().async_answers, 0u);
  over = true;
  blocking_region joining;
  polling.join();
}

// check_trace.

struct TracesAll {
  ptr<Node> first;
  std::uint64_t number = 0;
  ptr<Node> second;
  void trace(lull::tracer& t) const { t(first, second); }
};
struct ForgetsTheSecond : TracesAll {
  void trace(lull::tracer& t) const { t(first); }
};

template <class T>
std::string reports_about(int objects) {
  return errors_of([&] {
    static std::vector<root<T>> holders;
    static root<Node> target;
    target = make<Node>();
    for (int i = 0; i < objects; ++i) {
      holders.emplace_back(make<T>());
      holders.back()->first = target;
      holders.back()->second = target;
    }
    for (int i = 0; i < 3; ++i) lull::collect();
  });
}

TEST_F(Mode, CheckTraceNamesTypeAndOffsetOfAForgottenFieldOnce) {
  options.check_trace = 1;
  const std::string errors = reports_about<ForgetsTheSecond>(50);
  EXPECT_TRUE(std::regex_match(
      errors, std::regex("lull: check_trace: trace\\(\\) of .*ForgetsTheSecond forgets the pointer at offset 16\n")))
      << errors;
  EXPECT_EQ(lull::gc::forgotten_fields_reported(), 1u);
}

TEST_F(Mode, CheckTraceIsContentWithTypesThatTraceAllTheirFields) {
  options.check_trace = 1;
  EXPECT_EQ(reports_about<TracesAll>(50), "");
  EXPECT_EQ(lull::gc::forgotten_fields_reported(), 0u);
}

// A short std::string points into itself.
struct HasAName : TracesAll {
  std::string name = "short";
};

TEST_F(Mode, CheckTraceIsContentWithPointersIntoTheObjectItself) {
  options.check_trace = 1;
  EXPECT_EQ(reports_about<HasAName>(50), "");
}

TEST_F(Mode, WithoutCheckTraceNothingIsReported) { EXPECT_EQ(reports_about<ForgetsTheSecond>(50), ""); }

// check_ptr_location.

struct Holder {
  ptr<Node> field;
  ptr<Node> array[3];
};

TEST_F(Mode, CheckPtrLocationStopsAtAPtrInAGlobal) {
  static ptr<Node> global;
  EXPECT_DEATH(
      {
        options.check_ptr_location = 1;
        global = make<Node>();
      },
      "lull: check_ptr_location: the ptr at 0x[0-9a-f]+ lies in a global or in malloc memory.*use lull::root");
}

TEST_F(Mode, CheckPtrLocationStopsAtAPtrInMallocMemory) {
  EXPECT_DEATH(
      {
        options.check_ptr_location = 1;
        auto* holder = new Holder;
        holder->array[1] = make<Node>();
      },
      "lull: check_ptr_location: the ptr at 0x[0-9a-f]+ lies in a global or in malloc memory");
}

TEST_F(Mode, CheckPtrLocationStopsAtAPtrInAVector) {
  EXPECT_DEATH(
      {
        options.check_ptr_location = 1;
        std::vector<ptr<Node>> nodes;
        nodes.push_back(make<Node>());
      },
      "lull: check_ptr_location: the ptr at 0x[0-9a-f]+ lies in a global or in malloc memory");
}

TEST_F(Mode, CheckPtrLocationAcceptsStacksRootsAndManagedObjects) {
  options.check_ptr_location = 1;
  static root<Node> global_root;
  auto root_in_malloc_memory = std::make_unique<root<Node>>();
  ptr<Node> local = make<Node>();
  Holder on_stack;
  ptr<Holder> managed = make<Holder>();
  global_root = local;
  *root_in_malloc_memory = local;
  on_stack.array[2] = local;
  managed->array[2] = local;
  ptr<ptr<Node>[]> elements = make_array<ptr<Node>>(10);
  elements[9] = local;
  std::thread other([&] { local = make<Node>(); });  // a slot on another thread's stack
  blocking_region joining;
  other.join();
}

TEST_F(Mode, CheckPtrLocationAcceptsNullAnywhere) {
  options.check_ptr_location = 1;
  static ptr<Node> global;
  global = nullptr;
  auto holder = std::make_unique<Holder>();
  holder->field = nullptr;
  lull::collect();
}

}  // namespace

// What the environment may say (gc/model/options.h).
#include "gc/model/options.h"
#include "gc/report/object_samples.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "lull/lull.h"

namespace lull::gc {
namespace {

TEST(GcOptions, NogenTurnsYoungCyclesOff) {
  Options options;
  EXPECT_EQ(options.generational, 1);
  EXPECT_TRUE(parse_debug_options("nogen", options));
  EXPECT_EQ(options.generational, 0);
  EXPECT_TRUE(parse_debug_options("verify,nogen=0", options));
  EXPECT_EQ(options.generational, 1);
  EXPECT_EQ(options.verify, 1);
  EXPECT_FALSE(parse_debug_options("nogenx", options));
}

// LULL_DEBUG=delay=2305843009213693952 divided by zero: its microseconds in nanoseconds are 0, modulo 2^64. And stress=-1 or
// verify=yes meant something that nobody can have wanted. Found by reading what tests/fuzz/options.cc should check.
TEST(GcOptions, NumbersOutOfBoundsHaveNoEffect) {
  Options options;
  for (const char* text : {"delay=2305843009213693952", "delay=1000001", "delay=-1", "stress=-1", "stress=1e3", "alloctrace=99999999999999999999",
                           "verify=yes", "verify=3", "verify=", "verify= 1", "nogen=2", "gctrace==1"})
    EXPECT_FALSE(parse_debug_options(text, options)) << text;
  EXPECT_EQ(options.delay, 0);
  EXPECT_EQ(options.stress, 0);
  EXPECT_EQ(options.verify, 0);
  EXPECT_EQ(options.generational, 1);
  EXPECT_FALSE(parse_debug_options("stress=-1,delay=1000000,,verify", options));
  EXPECT_EQ(options.delay, 1'000'000);
  EXPECT_EQ(options.verify, 1) << "the rest counts";
}

// They went to the terminal as they were: one that a script takes from elsewhere cleared the screen, or coloured it.
TEST(GcOptions, ComplaintsAreHarmlessToATerminal) {
  Options options;
  for (const char* name : {"LULL_DEBUG", "LULL_AUTO_TUNE", "LULL_GC_PERCENT", "LULL_FINALIZERS"}) {
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse_variable(name, "\x1b[2Jx\r\n\x9b", options));
    EXPECT_EQ(testing::internal::GetCapturedStderr().find_first_of("\x1b\r\x9b"), std::string::npos) << name;
  }
}

TEST(GcOptions, VariablesThatMakeNoSenseHaveNoEffect) {
  Options options;
  for (const char* text : {"", "x", "1000001", "99999999999999999999", "50%", " 50", "Off"})
    EXPECT_FALSE(parse_variable("LULL_GC_PERCENT", text, options)) << text;
  EXPECT_EQ(options.gc_percent, 100);
  EXPECT_TRUE(parse_variable("LULL_GC_PERCENT", "off", options));
  EXPECT_EQ(options.gc_percent, -1);
  EXPECT_TRUE(parse_variable("LULL_GC_PERCENT", "0", options));
  EXPECT_EQ(options.gc_percent, 0);
  for (const char* text : {"", "-1", "1000000001", "5s"}) EXPECT_FALSE(parse_variable("LULL_IDLE_SECONDS", text, options)) << text;
  EXPECT_EQ(options.idle_seconds, 120);
  for (const char* text : {"", "0", "-1", "4 M", "many"}) EXPECT_FALSE(parse_variable("LULL_MIN_HEAP", text, options)) << text;
  EXPECT_EQ(options.min_heap_bytes, 4u << 20);
  EXPECT_TRUE(parse_variable("LULL_MIN_HEAP", "64M", options));
  EXPECT_EQ(options.min_heap_bytes, 64u << 20);
  for (const char* text : {"", "2", "yes"}) EXPECT_FALSE(parse_variable("LULL_GENERATIONAL", text, options)) << text;
  EXPECT_EQ(options.generational, 1);
  EXPECT_FALSE(parse_variable("LULL_FINALIZERS", "both", options));
  EXPECT_EQ(options.manual_finalizers, 0);
  EXPECT_FALSE(parse_variable("LULL_UNKNOWN", "1", options));
}

// "min=30x" complained and set the minimum all the same; a target longer than 63 characters was cut and then believed.
TEST(GcOptions, TargetsThatMakeNoSenseHaveNoEffect) {
  tune_targets targets;
  const std::string padded = "max=" + std::string(60, '0') + "5000";
  for (const char* text : {"min=30x", "max=2e10", "cpu=-1", "cpu=nan", "cpu=inf", "cpu=5ms", "latency=5", "latency=5s", "memory=5 ", "=", "cpu", "cpu=", padded.c_str()})
    EXPECT_FALSE(parse_tune_targets(text, targets)) << text;
  EXPECT_EQ(targets.min_percent, 25);
  EXPECT_EQ(targets.max_percent, 400);
  EXPECT_EQ(targets.cpu_share, 0);
  EXPECT_EQ(targets.latency_ns, 0u);
  EXPECT_TRUE(parse_tune_targets("cpu=2.5%,latency=1.5ms,,memory=2G,min=30", targets));
  EXPECT_EQ(targets.cpu_share, 0.025);
  EXPECT_EQ(targets.latency_ns, 1'500'000u);
  EXPECT_EQ(targets.min_percent, 30);
}

// "64K" was 64.
TEST(GcOptionsDeathTest, TheRateOfTheObjectProfileIsANumberOfBytes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ::setenv("LULL_OBJECT_PROFILE", "/dev/null", 1);
  const auto expect = [](const char* rate, std::size_t mean, const char* complaint) {
    ::setenv("LULL_OBJECT_PROFILE_RATE", rate, 1);
    EXPECT_EXIT({
      lull::make<int>();
      std::exit(lull::gc::object_sampling_mean() == mean ? 0 : 1);
    }, ::testing::ExitedWithCode(0), complaint) << rate;
  };
  expect("64K", 64 * 1024, "^$");
  expect("8192", 8192, "^$");
  expect("", 512 * 1024, "^$");
  expect("64Q", 512 * 1024, "LULL_OBJECT_PROFILE_RATE: '64Q' is no number of bytes");
  ::unsetenv("LULL_OBJECT_PROFILE");
  ::unsetenv("LULL_OBJECT_PROFILE_RATE");
}

// A whole program under each: it may say what it thinks of the text, and has to run.
TEST(GcOptionsDeathTest, NoTextInTheEnvironmentKeepsAProgramFromRunning) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ::setenv("LULL_OBJECT_PROFILE_RATE", "-1", 1);  // read where there is a profile
  const std::pair<const char*, const char*> texts[] = {
      {"LULL_DEBUG", "delay=2305843009213693952,stress=-1,alloctrace=-9223372036854775808"}, {"LULL_DEBUG", "=,==,,%s%n,\x1b[2J"},
      {"LULL_DEBUG", "rage,verify=1,scribble,tiny"}, {"LULL_GC_PERCENT", "-99999999999999999999"}, {"LULL_GC_PERCENT", "1000000"},
      {"LULL_GC_PERCENT", "0"}, {"LULL_AUTO_TUNE", "min=4000,max=3"}, {"LULL_AUTO_TUNE", "cpu=1e9,latency=1e9ms,memory=16777215T"},
      {"LULL_AUTO_TUNE", "memory=1"}, {"LULL_IDLE_SECONDS", "-1"}, {"LULL_FINALIZERS", "nobody"}, {"LULL_GENERATIONAL", "maybe"},
      {"LULL_MIN_HEAP", "16777215T"}, {"LULL_MIN_HEAP", "1"}, {"LULL_MIN_HEAP", "?"},
      {"LULL_MEMORY_LIMIT", "1"}, {"LULL_MEMORY_LIMIT", "5 "}, {"LULL_MEMORY_LIMIT", "99999999999999999999999"}, {"LULL_HUGE_PAGES", "??"},
      {"LULL_TIMELINE", "/dev/null,2305843009213693952"}, {"LULL_TIMELINE", ",,,"}, {"LULL_TIMELINE", "/no/such/folder/%p%p%"},
      {"LULL_OBJECT_PROFILE", "/no/such/folder/%p%p%"}, {"LULL_OBJECT_PROFILE", "/dev/null"}, {"LULL_OBJECT_PROFILE", "/dev/full"},
      {"LULL_MALLOC", "secure,guard=99999999999,=,secure=2"}};
  for (const auto& [variable, text] : texts) {
    ::setenv(variable, text, 1);
    EXPECT_EXIT({
      for (int i = 0; i < 1000; ++i) lull::make_array<char>(100);
      lull::collect();
      std::exit(0);
    }, ::testing::ExitedWithCode(0), "") << variable << '=' << text;
    ::unsetenv(variable);
  }
}

}  // namespace
}  // namespace lull::gc

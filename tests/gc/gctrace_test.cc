#include "gc/report/gctrace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <regex>
#include <string>

namespace lull::gc {
namespace {

std::string format(const CycleReport& report) {
  char line[kGctraceLineSize];
  const std::size_t length = format_gctrace(report, line, sizeof line);
  EXPECT_EQ(std::strlen(line), length);
  return line;
}

std::string clock_of(double ms) {
  const std::string line = format({.handshake_on_ms = ms});
  const std::size_t begin = line.find("%: ") + 3;
  return line.substr(begin, line.find('+') - begin);
}

CycleReport example() {
  constexpr std::uint64_t kMiB = 1u << 20;
  return {.number = 12,
          .start_seconds = 3.456,
          .gc_cpu_percent = 2.9,
          .handshake_on_ms = 0.018,
          .mark_clock_ms = 1.3,
          .terminate_ms = 0.076,
          .handshake_on_cpu_ms = 0.054,
          .assist_cpu_ms = 0.35,
          .background_cpu_ms = 1.2,
          .idle_cpu_ms = 0,
          .terminate_cpu_ms = 0.23,
          .heap_start = 4 * kMiB + 5,
          .heap_end = 6 * kMiB - 1,
          .heap_marked = 2 * kMiB,
          .goal = 5 * kMiB,
          .workers = 2,
          .handshake_p999_ns = 12000,
          .handshake_max_ns = 19001,
          .flush_rounds = 1,
          .reason = "old has grown"};
}

const char* const kExample =
    "gc 12 @3.456s 2%: 0.018+1.3+0.076 ms clock, 0.054+0.35/1.2/0+0.23 ms cpu, 4->5->2 MB, 5 MB goal, "
    "0 MB stacks, 0 MB globals, 2 P | full (old has grown), hs p99.9 12us max 20us, 1 flush, 0 stops\n";

// Go's part accepts real lines of Go 1.19; the rest is ours.
const std::string kMs = "(?:0|0\\.\\d{3}|0\\.\\d{2}|\\d\\.\\d|\\d{2,})";
const std::string kGoPart =
    "gc \\d+ @\\d+\\.\\d{3}s \\d+%: " + kMs + "\\+" + kMs + "\\+" + kMs + " ms clock, " + kMs + "\\+" + kMs +
    "/" + kMs + "/" + kMs + "\\+" + kMs +
    " ms cpu, \\d+->\\d+->\\d+ MB, \\d+ MB goal, \\d+ MB stacks, \\d+ MB globals, \\d+ P"
    "(?: \\(forced\\))?";
const std::string kOwnPart = " \\| (?:full|young) \\([a-z ]*\\), hs p99\\.9 \\d+us max \\d+us, \\d+ flush(?:es)?, \\d+ stops?";

TEST(Gctrace, LineIsGolden) { EXPECT_EQ(kExample, format(example())); }

TEST(Gctrace, ForcedCyclesSaySoWhereGoDoes) {
  CycleReport report = example();
  report.forced = report.young = true;
  report.reason = "asked for";
  report.flush_rounds = 2;
  report.global_stops = 1;
  EXPECT_EQ(
      "gc 12 @3.456s 2%: 0.018+1.3+0.076 ms clock, 0.054+0.35/1.2/0+0.23 ms cpu, 4->5->2 MB, 5 MB goal, "
      "0 MB stacks, 0 MB globals, 2 P (forced) | young (asked for), hs p99.9 12us max 20us, 2 flushes, 1 stop\n",
      format(report));
}

TEST(Gctrace, EmptyReportIsGolden) {
  EXPECT_EQ(
      "gc 0 @0.000s 0%: 0+0+0 ms clock, 0+0/0/0+0 ms cpu, 0->0->0 MB, 0 MB goal, 0 MB stacks, 0 MB globals, "
      "0 P"
      " | full (), hs p99.9 0us max 0us, 0 flushes, 0 stops\n",
      format({}));
}

TEST(Gctrace, MillisecondsAreWrittenAsGoWritesThem) {
  EXPECT_EQ("0", clock_of(0.0009));
  EXPECT_EQ("0.001", clock_of(0.001));
  EXPECT_EQ("0.099", clock_of(0.099));
  EXPECT_EQ("0.35", clock_of(0.35));
  EXPECT_EQ("0.99", clock_of(0.999));
  EXPECT_EQ("1.0", clock_of(1.0));
  EXPECT_EQ("9.9", clock_of(9.999));
  EXPECT_EQ("10", clock_of(10.0));
  EXPECT_EQ("1234", clock_of(1234.9));
}

TEST(Gctrace, EveryMicrosecondBelowTenMillisecondsKeepsItsFirstTwoDigits) {
  for (unsigned us = 1; us < 10000; us++) {
    const double shown = std::stod(clock_of(us * 1000 * 1e-6)) * 1000;  // some factors are below us / 1000
    const double unit = us >= 1000 ? 100 : us >= 100 ? 10 : 1;
    ASSERT_NEAR(std::floor(us / unit) * unit, shown, 1e-6) << us << " us";
  }
}

TEST(Gctrace, StartIsShownToTheMillisecond) {
  for (unsigned ms = 0; ms < 10000; ms++) {
    char expected[32];
    std::snprintf(expected, sizeof expected, "gc 0 @%u.%03us 0%%", ms / 1000, ms % 1000);
    ASSERT_EQ(0u, format({.start_seconds = ms * 1e6 / 1e9}).find(expected)) << expected;
  }
}

TEST(Gctrace, PausesAreRoundedUp) {
  const std::string line = format({.handshake_p999_ns = 1, .handshake_max_ns = 12001});
  EXPECT_NE(std::string::npos, line.find("hs p99.9 1us max 13us"));
}

TEST(Gctrace, NonsenseIsWrittenAsZeroOrAsTheLargest) {
  EXPECT_EQ("0", clock_of(-1));
  EXPECT_EQ("0", clock_of(std::nan("")));
  EXPECT_EQ("18446744073709551", clock_of(HUGE_VAL));
}

TEST(Gctrace, LinesMatchTheFormatWhateverTheNumbers) {
  const std::regex whole("^" + kGoPart + kOwnPart + "\n$");
  std::mt19937_64 random(1);
  const auto bytes = [&] { return random() >> (random() % 64); };
  const auto ms = [&] { return static_cast<double>(bytes()) / 1e6; };
  for (int i = 0; i < 2000; i++) {
    const CycleReport report{bytes(),    ms(),    ms(),    ms(),    ms(),    ms(),
                             ms(),       ms(),    ms(),    ms(),    ms(),    bytes(),
                             bytes(),    bytes(), bytes(), bytes(), bytes(), static_cast<unsigned>(bytes()),
                             i % 2 == 0, bytes(), bytes(), bytes(), bytes()};
    const std::string line = format(report);
    ASSERT_TRUE(std::regex_match(line, whole)) << line;
    ASSERT_LT(line.size() + 1, kGctraceLineSize);
  }
}

TEST(Gctrace, GoPartIsWhatGoPrints) {
  const std::regex go("^" + kGoPart + "$");
  for (const char* const line : {"gc 14 @0.058s 11%: 0.84+0.54+0.084 ms clock, 1.6+0.032/0.35/0+0.16 ms cpu, "
                                 "39->41->21 MB, 45 MB goal, "
                                 "0 MB stacks, 0 MB globals, 2 P",
                                 "gc 19 @0.094s 7%: 0.008+8.6+0.002 ms clock, 0.017+0/0.031/0.45+0.005 ms "
                                 "cpu, 36->36->30 MB, 61 MB goal, "
                                 "0 MB stacks, 0 MB globals, 2 P (forced)"}) {
    EXPECT_TRUE(std::regex_match(line, go)) << line;
  }
  const std::string ours = kExample;
  EXPECT_TRUE(std::regex_match(ours.substr(0, ours.find(" | ")), go));
}

TEST(Gctrace, LocaleWithACommaChangesNothing) {
  const char* comma = nullptr;
  for (const char* const name : {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8"}) {
    if (comma == nullptr) comma = std::setlocale(LC_ALL, name);
  }
  if (comma == nullptr) GTEST_SKIP() << "no such locale is installed";
  EXPECT_EQ(kExample, format(example()));
  std::setlocale(LC_ALL, "C");
}

TEST(Gctrace, LongestLineFits) {
  const double d = HUGE_VAL;
  const std::uint64_t n = ~std::uint64_t{0};
  const std::string line = format({n, d, d, d, d, d, d, d, d, d, d, n, n, n, n, n, n, ~0u, true, n, n, n, n});
  EXPECT_LT(line.size() + 1, kGctraceLineSize);
  EXPECT_NE(std::string::npos, line.find(" stops\n"));
}

TEST(Gctrace, SmallBuffersGetAShorterLine) {
  const std::string whole = kExample;
  for (std::size_t size = 0; size <= whole.size() + 2; size++) {
    std::string guarded(size + 2, '#');
    const std::size_t length = format_gctrace(example(), guarded.data() + 1, size);
    EXPECT_EQ('#', guarded.front()) << "written before the buffer";
    EXPECT_EQ('#', guarded.back()) << "written past the end";
    const std::string buffer = guarded.substr(1, size);
    if (size == 0) continue;
    EXPECT_EQ('\0', buffer[length]);
    EXPECT_EQ(std::min(size - 1, whole.size()), length);
    if (size < 2) continue;
    EXPECT_EQ(whole.substr(0, length - 1) + "\n", buffer.substr(0, length));
  }
}

}  // namespace
}  // namespace lull::gc

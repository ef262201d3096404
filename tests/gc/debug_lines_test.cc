// The lines of LULL_DEBUG=pacertrace, scavtrace and alloctrace, to the letter, and that programs write them.
#include "gc/report/debug_lines.h"

#include <gtest/gtest.h>

#include <atomic>
#include <clocale>
#include <cstdlib>
#include <regex>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "alloc/pages/page_heap.h"
#include "gc/model/options.h"
#include "lull/lull.h"
#include "lull/lull_c.h"
#include "tests/support/hidden.h"

namespace lull::gc {
namespace {

template <class Report>
std::string text_of(std::size_t (*format)(const Report&, char*, std::size_t), const Report& report, std::size_t size = kDebugLineSize) {
  std::string line(size, '#');
  line.resize(format(report, line.data(), size));
  return line;
}

PacerReport pacer_report() {
  return {.cycle = 12,
          .seen = {.goal = 5'000'000, .trigger = 4'194'304, .heap_live_at_end = 4'800'000, .expected_scan_work = 1'200'000,
                   .scan_work = 1'234'567, .utilisation = 0.269, .cons_mark = 1.23},
          .trigger = 7'000'000, .goal = 8'000'000, .reason = "young_is_enough"};
}

TEST(DebugLines, Pacer) {
  std::setlocale(LC_ALL, "de_DE.UTF-8");
  EXPECT_EQ(text_of(format_pacertrace, pacer_report()),
            "pacer 12: 26% CPU for 1234567 B work (1200000 B expected) in 4194304 B -> 4800000 B (goal 5000000 B, -200000 B), "
            "cons/mark 1.230; next: full at 7000000 B, goal 8000000 B (young_is_enough)\n");
  PacerReport r = pacer_report();
  r.young = true;
  r.next = CycleKind::young;
  r.seen.heap_live_at_end = 5'000'001;
  r.seen.utilisation = 1;
  r.seen.cons_mark = 0.0009;
  r.trigger = r.goal = ~std::uint64_t{0};
  EXPECT_EQ(text_of(format_pacertrace, r),
            "pacer 12 young: 100% CPU for 1234567 B work (1200000 B expected) in 4194304 B -> 5000001 B (goal 5000000 B, +1 B), "
            "cons/mark 0.000; next: young at none, goal none (young_is_enough)\n");
}

TEST(DebugLines, MemoryGivenBack) {
  EXPECT_EQ(text_of(format_scavtrace, {.seconds = 3.456, .given_back = 1 << 20, .given_back_total = 20 << 20, .idle = 300 << 10,
                                       .inuse = 8 << 20, .committed = 32 << 20}),
            "scav @3.456s: 1024 KiB given back, 20480 KiB since the start, 300 KiB idle, 8192 KiB of 32768 KiB in use\n");
}

TEST(DebugLines, Allocation) {
  const std::uintptr_t stack[] = {0x401234, 0x405678};
  EXPECT_EQ(text_of(format_alloctrace, {.number = 1000, .thread = 77, .type = "Node", .bytes = 32, .address = 0x7f0ab5000000, .stack = stack}),
            "alloc 1000: thread 77, 32 B at 0x7f0ab5000000, Node; from 0x401234 0x405678\n");
  const std::vector<std::uintptr_t> deep(64, ~std::uintptr_t{0});
  const std::string name(2000, 'x');
  const std::string line = text_of(format_alloctrace, {.number = ~std::uint64_t{0}, .thread = -1, .type = name, .bytes = ~std::uint64_t{0},
                                                       .address = ~std::uint64_t{0}, .stack = deep});
  EXPECT_LT(line.size(), kDebugLineSize);
  EXPECT_EQ(line.back(), '\n');
}

TEST(DebugLines, ThatDoNotFitAreCut) {
  const std::string whole = text_of(format_pacertrace, pacer_report());
  for (std::size_t size = 2; size <= whole.size() + 1; ++size) {
    const std::string line = text_of(format_pacertrace, pacer_report(), size);
    EXPECT_EQ(line, size > whole.size() ? whole : whole.substr(0, size - 2) + "\n") << size;
  }
  char nothing[1] = {'#'};
  EXPECT_EQ(format_scavtrace({}, nothing, 1), 0u);
  EXPECT_EQ(nothing[0], '\0');
}

struct Node {
  ptr<Node> next;
  std::uint64_t value = 0;
  void trace(tracer& t) const { t(next); }
};

// Options are read once, so each of these needs a process of its own (ctest).
std::string output_of(const char* debug, void (*run)()) {
  ::setenv("LULL_DEBUG", debug, 1);
  ::testing::internal::CaptureStderr();
  run();
  return ::testing::internal::GetCapturedStderr();
}

TEST(DebugTraces, PacerWritesALineACycle) {
  const std::string out = output_of("pacertrace", [] {
    for (int i = 0; i < 3; ++i) collect();
  });
  static const std::regex line(R"(pacer \d+: \d+% CPU for \d+ B work \(\d+ B expected\) in \d+ B -> \d+ B \(goal \d+ B, [+-]\d+ B\), cons/mark \d+\.\d{3}; next: (full|young) at \d+ B, goal \d+ B \(.+\)\n)");
  EXPECT_EQ(std::distance(std::sregex_iterator(out.begin(), out.end(), line), {}), 3) << out;
  EXPECT_EQ(std::regex_replace(out, line, ""), "");
  EXPECT_EQ(out.find("pacer 1: "), 0u) << out;
}

std::ptrdiff_t lines_with(const std::string& out, const char* what) {
  const std::regex line(std::string("(^|\\n)") + what);
  return std::distance(std::sregex_iterator(out.begin(), out.end(), line), {});
}

TEST(DebugTraces, AreTurnedOnAndOffWhileTheProgramRuns) {
  const std::string out = output_of("", [] {
    collect();
    EXPECT_TRUE(set_debug("pacertrace,gctrace=1"));
    EXPECT_TRUE(read_mem_stats().debug_gc);
    collect();
    collect();
    EXPECT_EQ(1, lull_set_debug("gctrace=0"));
    collect();
    EXPECT_TRUE(set_debug("pacertrace=0"));
    collect();
    EXPECT_TRUE(set_debug(""));
    EXPECT_FALSE(read_mem_stats().debug_gc);
  });
  EXPECT_EQ(2, lines_with(out, "gc [0-9]")) << out;
  EXPECT_EQ(3, lines_with(out, "pacer [0-9]")) << out;
}

TEST(DebugTraces, WhatCannotChangeWhileTheProgramRunsIsRefused) {
  for (const char* text : {"verify", "gctrace=1,rage=1", "gctrace=2", "nogen=1", "poison=0", "nothing", "late=-1"}) {
    const std::string out = output_of("", [] {});
    ::testing::internal::CaptureStderr();
    EXPECT_FALSE(set_debug(text)) << text;
    EXPECT_EQ(1, lines_with(::testing::internal::GetCapturedStderr(), "lull: set_debug: ")) << text;
    EXPECT_EQ(0, options.gctrace | options.verify | options.rage) << text;
  }
  EXPECT_EQ(10'000, options.late);
}

TEST(DebugTraces, MayChangeWhileThreadsCollect) {
  const std::string out = output_of("", [] {
    std::atomic<bool> stop{false};
    std::thread collecting([&] {
      while (!stop.load()) collect();
    });
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(set_debug(i % 2 == 0 ? "scavtrace=1,gctrace=1,late=5000" : "scavtrace=0,gctrace=0"));
    stop = true;
    blocking_region joining;
    collecting.join();
  });
  EXPECT_EQ(5000, options.late);
}

TEST(DebugTraces, EveryNthAllocationIsTold) {
  const std::string out = output_of("alloctrace=10", [] {
    for (int i = 0; i < 100; ++i) make<Node>();
    make_array<char>(100'000);
  });
  static const std::regex line(R"(alloc \d+: thread \d+, 16 B at 0x[0-9a-f]+, \S.*Node; from( 0x[0-9a-f]+)+\n)");
  EXPECT_EQ(std::distance(std::sregex_iterator(out.begin(), out.end(), line), {}), 10) << out;
  EXPECT_NE(out.find("alloc 100: "), out.npos);
}

TEST(DebugTraces, MemoryGivenBackIsTold) {
  const std::string out = output_of("scavtrace", [] {
    testing::elsewhere([] { make_array<char>(8 << 20); });
    set_memory_limit(1);  // so that pages go back at once
    collect();
    blocking_region waiting;
    while (pages::page_heap.stats().purged_total == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  static const std::regex line(R"(scav @\d+\.\d{3}s: \d+ KiB given back, \d+ KiB since the start, \d+ KiB idle, \d+ KiB of \d+ KiB in use\n)");
  EXPECT_GE(std::distance(std::sregex_iterator(out.begin(), out.end(), line), {}), 1) << out;
}

}  // namespace
}  // namespace lull::gc

// The arithmetic of sampling, and the table of stacks.
#include "alloc/sample/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "alloc/sample/poisson.h"
#include "tests/alloc/support.h"

namespace lull::sample {
namespace {

using lull::testing::run_together;

TEST(Poisson, LogarithmAndProbabilityAreThoseOfLibm) {
  for (double x = 1e-15; x < 1e15; x *= 1.37) {
    EXPECT_NEAR(std::log(x), logarithm(x), 1e-11) << x;
    EXPECT_NEAR(1, probability(x) / -std::expm1(-x), 1e-12) << x;
  }
}

TEST(Poisson, DistancesAreExponential) {
  std::uint64_t state = lull::testing::seed_of_this_run() | 1;
  constexpr int kDraws = 1'000'000;
  double sum = 0, squares = 0;
  int beyond_mean = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = exponential(state);
    ASSERT_GE(x, 0);
    sum += x;
    squares += x * x;
    beyond_mean += x > 1;
  }
  EXPECT_NEAR(1, sum / kDraws, 0.01);
  EXPECT_NEAR(2, squares / kDraws, 0.05);
  EXPECT_NEAR(std::exp(-1), static_cast<double>(beyond_mean) / kDraws, 0.005);
}

// Both ways to count estimate the same: what the samples stand for is what was allocated.
TEST(Sampler, SamplesStandForWhatWasAllocated) {
  constexpr std::size_t kMean = 4096;
  start_sampling(kMean);
  for (const std::size_t bytes : {16u, 1000u, 4096u, 100'000u}) {
    constexpr int kBlocks = 300'000;
    double by_bytes = 0, by_blocks = 0;
    const double counts_for = 1 / probability(static_cast<double>(bytes) / kMean);
    for (int i = 0; i < kBlocks; ++i)
      if (falls_on_sample(bytes)) by_bytes += counts_for;
    for (int i = static_cast<int>(blocks_before_sample(bytes)); i < kBlocks; i += 1 + static_cast<int>(blocks_before_sample(bytes)))
      by_blocks += counts_for;
    // Six standard deviations of a count of kBlocks / counts_for.
    const double tolerance = 6 * std::sqrt(counts_for / kBlocks);
    EXPECT_NEAR(1, by_bytes / kBlocks, tolerance) << bytes;
    EXPECT_NEAR(1, by_blocks / kBlocks, tolerance) << bytes;
  }
  stop_sampling();
}

StackTrace trace_of(std::uintptr_t first, std::uint32_t depth) {
  StackTrace trace;
  trace.depth = depth;
  for (std::uint32_t i = 0; i < depth; ++i) trace.frames[i] = first + i;
  return trace;
}

TEST(StackTable, HoldsEveryStackOnce) {
  const std::size_t before = stack_count();
  Stack* one = intern_stack(trace_of(0x1000, 5));
  EXPECT_EQ(one, intern_stack(trace_of(0x1000, 5)));
  EXPECT_NE(one, intern_stack(trace_of(0x1000, 6)));
  EXPECT_NE(one, intern_stack(trace_of(0x1001, 5)));
  EXPECT_EQ(5u, one->depth);
  EXPECT_EQ(0x1004u, one->frames[4]);
  EXPECT_EQ(before + 3, stack_count());
  EXPECT_EQ(0u, intern_stack(StackTrace{})->depth);
}

TEST(StackTable, ThreadsThatAddTheSameStackGetTheSameEntry) {
  constexpr unsigned kThreads = 4, kStacks = 2000;
  static Stack* found[kThreads][kStacks];
  run_together(kThreads, [](unsigned t) {
    for (std::uint32_t i = 0; i < kStacks; ++i) {
      found[t][i] = intern_stack(trace_of(0x10000 + i * 16, 8));
      found[t][i]->count_allocated({1u << kObjectShift, 100});
    }
  });
  for (std::uint32_t i = 0; i < kStacks; ++i) {
    for (unsigned t = 1; t < kThreads; ++t) ASSERT_EQ(found[0][i], found[t][i]);
    ASSERT_EQ(kThreads * 100u, found[0][i]->allocated_bytes.load());
  }
  std::multiset<const Stack*> all;
  for_each_stack([&](const Stack& s) { all.insert(&s); });
  for (std::uint32_t i = 0; i < kStacks; ++i) ASSERT_EQ(1u, all.count(found[0][i]));
}

}  // namespace
}  // namespace lull::sample

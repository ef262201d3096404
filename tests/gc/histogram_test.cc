#include "gc/model/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

namespace lull::gc {
namespace {

constexpr std::uint64_t kMax = ~std::uint64_t{0};

constinit HistogramRecorder global;  // usable before main and in signal handlers

unsigned seed_of_this_run() {
  const char* given = std::getenv("LULL_TEST_SEED");
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
}

TEST(Histogram, BucketsTileAllValues) {
  EXPECT_EQ(0u, histogram::bucket_low(0));
  EXPECT_EQ(kMax, histogram::bucket_high(histogram::bucket_count - 1));
  for (std::size_t i = 0; i < histogram::bucket_count; i++) {
    EXPECT_EQ(i, histogram::bucket_of(histogram::bucket_low(i)));
    EXPECT_EQ(i, histogram::bucket_of(histogram::bucket_high(i)));
    if (i > 0) {
      EXPECT_EQ(histogram::bucket_low(i), histogram::bucket_high(i - 1) + 1);
    }
  }
}

TEST(Histogram, BucketsAreAtMostASixteenthOfTheirValueWide) {
  for (std::size_t i = 1; i < histogram::bucket_count; i++) {
    const std::uint64_t width = histogram::bucket_high(i) - histogram::bucket_low(i);
    EXPECT_LE(width, histogram::bucket_low(i) / 16) << "bucket " << i;
    if (i < 32) {
      EXPECT_EQ(0u, width) << "bucket " << i;
    }
  }
}

TEST(Histogram, EmptyHasNoQuantiles) {
  const histogram h = HistogramRecorder().snapshot();
  EXPECT_EQ(0u, h.count);
  for (const double q : {-1.0, 0.0, 0.5, 1.0, 2.0}) EXPECT_EQ(0u, h.quantile_ns(q));
  EXPECT_EQ(0, h.mean_ns());
}

TEST(Histogram, ZeroAndTheLargestValueAreRecorded) {
  HistogramRecorder r;
  r.record(0);
  EXPECT_EQ(1u, r.count());
  EXPECT_EQ(0u, r.quantile(1));
  r.record(kMax);
  EXPECT_EQ(2u, r.count());
  EXPECT_EQ(kMax, r.sum());
  EXPECT_EQ(kMax, r.max());
  EXPECT_EQ(0u, r.quantile(0.5));
  EXPECT_EQ(kMax, r.quantile(0.51));
  EXPECT_EQ(kMax, r.quantile(1));
}

TEST(Histogram, QuantileOfOneValueIsExact) {
  HistogramRecorder r;
  r.record(123456789);
  for (const double q : {-1.0, 0.0, 0.001, 0.5, 0.999, 1.0, 2.0, std::nan("")})
    EXPECT_EQ(123456789u, r.quantile(q));
}

TEST(Histogram, RankIsNotPushedUpByRounding) {
  HistogramRecorder r;
  for (std::uint64_t i = 0; i < 10; i++) r.record(i);
  for (int i = 1; i <= 10; i++) EXPECT_EQ(static_cast<std::uint64_t>(i - 1), r.quantile(i / 10.0)) << i;
  EXPECT_EQ(6u, r.quantile(0.1 * 7));  // 0.1 * 7 > 0.7
}

TEST(Histogram, QuantilesAreNeverTooLowAndAtMostASixteenthTooHigh) {
  const unsigned seed = seed_of_this_run();
  std::printf("LULL_TEST_SEED=%u\n", seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; round++) {
    HistogramRecorder r;
    std::vector<std::uint64_t> values(1 + random() % 5000);
    for (std::uint64_t& v : values) r.record(v = random() >> (random() % 64));
    std::sort(values.begin(), values.end());
    const histogram h = r.snapshot();
    for (const double q : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const double rank = std::max(1.0, std::ceil(q * static_cast<double>(values.size()) - 1e-6));
      const std::uint64_t exact = values[static_cast<std::size_t>(rank) - 1];
      EXPECT_GE(h.quantile_ns(q), exact) << q;
      EXPECT_LE(h.quantile_ns(q) - exact, exact / 16) << q;
    }
    EXPECT_EQ(values.back(), h.max_ns);
    EXPECT_EQ(values.back(), h.quantile_ns(1));
  }
}

TEST(Histogram, MergedIsAsIfRecordedInOne) {
  std::mt19937_64 random(1);
  HistogramRecorder a, b, both;
  for (int i = 0; i < 1000; i++) {
    const std::uint64_t v = random() >> 30;
    (i % 3 == 0 ? a : b).record(v);
    both.record(v);
  }
  histogram merged = a.snapshot();
  merged.merge(b.snapshot());
  const histogram expected = both.snapshot();
  EXPECT_EQ(expected.count, merged.count);
  EXPECT_EQ(expected.sum_ns, merged.sum_ns);
  EXPECT_EQ(expected.max_ns, merged.max_ns);
  EXPECT_EQ(expected.buckets, merged.buckets);
  EXPECT_DOUBLE_EQ(static_cast<double>(expected.sum_ns) / 1000, merged.mean_ns());
}

std::uint64_t lowest_possible_maximum(const histogram& h) {
  for (std::size_t i = histogram::bucket_count; i-- > 0;) {
    if (h.buckets[i] != 0) return histogram::bucket_low(i);
  }
  return 0;
}

TEST(Histogram, ConcurrentRecordsAreAllCounted) {
  constexpr unsigned kThreads = 4;
  constexpr std::uint64_t kRecords = 200000;
  const histogram before = global.snapshot();
  std::atomic<unsigned> waiting{kThreads};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; t++) {
    threads.emplace_back([t, &waiting] {
      waiting.fetch_sub(1);
      while (waiting.load() != 0) std::this_thread::yield();
      for (std::uint64_t i = 0; i < kRecords; i++) {
        global.record(i * kThreads + t);
        global.record(42);  // contended
      }
    });
  }
  std::uint64_t last = 0;
  for (int i = 0; i < 100; i++) {  // beside the recorders: only grows, and has the maximum of what it counts
    const histogram now = global.snapshot();
    EXPECT_GE(now.count, last);
    EXPECT_GE(now.max_ns, lowest_possible_maximum(now));
    last = now.count;
  }
  for (std::thread& t : threads) t.join();
  constexpr std::uint64_t kAll = kThreads * kRecords;
  EXPECT_EQ(before.count + 2 * kAll, global.count());
  EXPECT_EQ(before.sum_ns + kAll * (kAll - 1) / 2 + 42 * kAll, global.sum());
  EXPECT_EQ(kAll - 1, global.max());
}

}  // namespace
}  // namespace lull::gc

// lull_profile_*: samples of lull_malloc's blocks, their totals against the truth, and what becomes of sampled blocks.
#include "lull/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "alloc/front/heap.h"
#include "alloc/front/large_block.h"
#include "alloc/front/sampling.h"
#include "alloc/front/thread_bins.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::run_in_child;
using lull::testing::run_together;
using lull::testing::scaled;

// Sampling with this mean in the scope; totals count from its beginning.
class Profiled {
 public:
  explicit Profiled(std::size_t mean) {
    lull_profile_read_totals(&before_);
    lull_profile_start(mean);
  }
  ~Profiled() { lull_profile_stop(); }
  lull_profile_totals totals() const {
    lull_profile_totals now;
    lull_profile_read_totals(&now);
    return {now.live_objects - before_.live_objects, now.live_bytes - before_.live_bytes,
            now.allocated_objects - before_.allocated_objects, now.allocated_bytes - before_.allocated_bytes, now.stacks};
  }

 private:
  lull_profile_totals before_;
};

bool is_sampled(const void* block) {
  const auto word = reinterpret_cast<std::uintptr_t>(block);
  const LargeBlock large = large_block_of(word);
  if (!large || large.start != word) return false;
  const PageIndex page = pages::page_of(word);
  return sample::sample_of(pages::span_with(static_cast<SpanId>(pages::reservation.owners[page.value].load()))).stack != nullptr;
}

struct Truth { double objects = 0, bytes = 0; };
void expect_near(double truth, std::size_t estimate, double tolerance, const char* what) {
  EXPECT_NEAR(1, static_cast<double>(estimate) / truth, tolerance) << what << ": " << estimate << " instead of " << truth;
}

// A million blocks of mixed sizes, small ones mostly, some of each kept. One seed, but for the sampler's own.
TEST(Profile, TotalsAreNearTheTruth) {
  std::mt19937_64 random(lull::testing::seed_of_this_run());
  Profiled profiled(4096);
  Truth allocated, live;
  std::vector<void*> kept, passing(1000, nullptr);
  const int rounds = scaled(1'000'000);
  for (int i = 0; i < rounds; ++i) {
    const double exponent = std::uniform_real_distribution<>(3, i % 1000 == 0 ? 18 : 11)(random);
    const auto size = static_cast<std::size_t>(std::exp2(exponent));
    void* block = lull_malloc(size);
    allocated.objects += 1;
    allocated.bytes += static_cast<double>(size);
    if (i % 20 == 0) {
      kept.push_back(block);
      live.objects += 1;
      live.bytes += static_cast<double>(size);
    } else {
      lull_free(std::exchange(passing[random() % passing.size()], block));
    }
  }
  for (void* block : passing) lull_free(block);
  const lull_profile_totals t = profiled.totals();
  // Standard deviations of a million are below 1 % of bytes and 1.5 % of objects with this mean, of what is left 2 and 5 %.
  const double more = std::sqrt(1'000'000.0 / rounds);
  expect_near(allocated.bytes, t.allocated_bytes, 0.05 * more, "allocated bytes");
  expect_near(allocated.objects, t.allocated_objects, 0.05 * more, "allocated objects");
  expect_near(live.bytes, t.live_bytes, 0.10 * more, "live bytes");
  expect_near(live.objects, t.live_objects, 0.30 * more, "live objects");
  for (void* block : kept) lull_free(block);
  EXPECT_EQ(0u, profiled.totals().live_bytes);
}

// The loop whose fast path sees nothing: one block, again and again.
TEST(Profile, SeesABlockThatIsAllocatedAndFreedInTurns) {
  Profiled profiled(16 * 1024);
  const int rounds = scaled(1'000'000);
  for (int i = 0; i < rounds; ++i) lull_free(lull_malloc(64));
  expect_near(64.0 * rounds, profiled.totals().allocated_bytes, 0.10 * std::sqrt(1'000'000.0 / rounds), "allocated bytes");
  EXPECT_EQ(0u, profiled.totals().live_bytes);
}

// Distances that a counter does not hold at once, counted in the bin's turn: the fast path, the slow one when the bin is empty.
TEST(Profile, SeesSmallBlocksOfWhichThousandsAreNoSamples) {
  Profiled profiled(64 * 1024);
  std::vector<void*> blocks(100);
  const int rounds = scaled(40'000);
  for (int i = 0; i < rounds; ++i) {
    for (void*& block : blocks) block = lull_malloc(16);
    for (void* block : blocks) lull_free(block);
  }
  const double bytes = 1600.0 * rounds;
  // Six standard deviations.
  expect_near(bytes, profiled.totals().allocated_bytes, 6 * std::sqrt(65536 / bytes), "allocated bytes");
}

// Also those that find their bin empty, and those for which a counter is filled anew.
TEST(Profile, CountsEachAllocationOfABinOnce) {
  lull_profile_start(std::size_t{1} << 40);  // the sample is a long way off
  std::thread([] {
    constexpr std::size_t kSize = 64;
    std::vector<void*> blocks(3 * kMostUnseen);
    lull_free(lull_malloc(kSize));  // drawn
    ThreadBins& own = *current_bins();
    const auto to_sample = [&] { return own.until_sample[bin_of(kSize)] - counted(own.bins[kBins + bin_of(kSize)]) - 1; };
    const std::intptr_t before = to_sample();
    for (void*& block : blocks) block = lull_malloc(kSize);
    for (void* block : blocks) lull_free(block);
    for (int i = 0; i < 3 * static_cast<int>(kMostUnseen); ++i) lull_free(i % 2 == 0 ? lull_malloc(kSize) : lull_calloc(kSize, 1));
    EXPECT_EQ(before - to_sample(), 6 * std::intptr_t{kMostUnseen});
  }).join();
  lull_profile_stop();
}

TEST(Profile, ANewMeanCountsAtOnceInEveryThread) {
  std::atomic<int> step{0};
  const auto wait_for = [&](int wanted) {
    while (step != wanted) std::this_thread::yield();
  };
  lull_profile_start(std::size_t{1} << 50);
  std::thread other([&] {
    lull_free(lull_malloc(100));  // drawn: a long way to go
    step = 1;
    wait_for(2);
    void* block = lull_malloc(100);
    EXPECT_TRUE(is_sampled(block));
    lull_free(block);
  });
  wait_for(1);
  lull_profile_start(1);
  step = 2;
  other.join();
  lull_profile_stop();
}

TEST(Profile, SeesLargeBlocksAndTheirGrowth) {
  Profiled profiled(1 << 20);
  double bytes = 0;
  for (int i = 0; i < 3000; ++i) {
    void* block = lull_malloc(100'000);
    bytes += 100'000;
    for (const std::size_t size : {200'000u, 500'000u}) {
      block = lull_realloc(block, size);
      bytes += static_cast<double>(size);
    }
    lull_free(block);
  }
  expect_near(bytes, profiled.totals().allocated_bytes, 0.12, "allocated bytes");
  EXPECT_EQ(0u, profiled.totals().live_bytes);
}

TEST(Profile, SamplesEverythingWithAMeanOfOneByte) {
  Profiled profiled(1);
  std::vector<void*> blocks;
  for (std::size_t size = 1; size < 100'000; size += 1 + size / 8) {
    blocks.push_back(lull_malloc(size));
    ASSERT_TRUE(is_sampled(blocks.back())) << size;
    EXPECT_EQ(lull_good_size(size), lull_malloc_usable_size(blocks.back()));
    std::memset(blocks.back(), 1, lull_malloc_usable_size(blocks.back()));
  }
  EXPECT_EQ(blocks.size(), profiled.totals().live_objects);
  for (void* block : blocks) lull_free(block);
  EXPECT_EQ(0u, profiled.totals().live_objects);
}

// Sampled blocks behave like others.
TEST(Profile, SampledBlocksCanBeResizedAlignedAndFreedInEveryWay) {
  Profiled profiled(1);
  char* block = static_cast<char*>(lull_malloc(100));
  std::strcpy(block, "moved along");
  for (const std::size_t size : {112u, 60u, 5000u, 50'000u, 500'000u, 40'000u, 20u}) {
    block = static_cast<char*>(lull_realloc(block, size));
    ASSERT_STREQ("moved along", block);
    ASSERT_TRUE(is_sampled(block));
  }
  lull_free_sized(block, 20);
  for (std::size_t alignment = 16; alignment <= 64 * 1024; alignment *= 2) {
    void* aligned = lull_aligned_alloc(alignment, 100);
    EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(aligned) % alignment);
    lull_free_aligned_sized(aligned, alignment, 100);
  }
  auto* zeroed = static_cast<unsigned char*>(lull_calloc(7, 100));
  EXPECT_TRUE(std::all_of(zeroed, zeroed + 700, [](unsigned char c) { return c == 0; }));
  lull_free(zeroed);
  EXPECT_EQ(0u, profiled.totals().live_objects);
}

// A sample that is freed leaves its page to the next one; nobody else gets it, and it looks free meanwhile.
TEST(Profile, ASampleTakesThePageOfOneThatWasFreed) {
  lull_malloc_trim(0);
  Profiled profiled(1);
  void* first = lull_malloc(100);
  lull_free(first);
  EXPECT_EQ(kPageSize, spare_bytes());
  EXPECT_FALSE(large_block_of(reinterpret_cast<std::uintptr_t>(first)));
  void* second = lull_malloc(3000);
  EXPECT_EQ(first, second);
  EXPECT_EQ(0u, spare_bytes());
  ASSERT_TRUE(is_sampled(second));
  EXPECT_EQ(lull_good_size(3000), lull_malloc_usable_size(second));
  std::memset(second, 1, lull_malloc_usable_size(second));
  for (const std::size_t size : {kPageSize + 1, kSmallMost}) {
    void* larger = lull_malloc(size);
    const std::size_t bytes = round_up(size, kPageSize);
    lull_free(larger);
    EXPECT_EQ(bytes, spare_bytes());
    EXPECT_EQ(larger, lull_malloc(size));
    std::memset(larger, 1, bytes);
    lull_free(larger);
    lull_malloc_trim(0);
    EXPECT_EQ(0u, spare_bytes());
  }
  lull_free(lull_malloc(kSmallMost + 1));  // a span of its own in any case
  EXPECT_EQ(0u, spare_bytes());
  lull_free(second);
  const auto outcome = run_in_child([&] {
    LULL_CHILD_EXPECT(spare_bytes() == 0);
    void* block = lull_malloc(100);
    LULL_CHILD_EXPECT(block != second && is_sampled(block));
    lull_free(block);
  });
  EXPECT_TRUE(outcome.exited_well()) << outcome.errors;
  lull_malloc_trim(0);
  EXPECT_EQ(0u, spare_bytes());
}

TEST(Profile, ADoubleFreeOfASampleIsToldWhileItsPageIsSpare) {
  const auto outcome = run_in_child([] {
    lull_profile_start(1);
    void* block = lull_malloc(100);
    lull_free(block);
    LULL_CHILD_EXPECT(spare_bytes() != 0);
    lull_free(block);
  });
  EXPECT_FALSE(outcome.exited_well());
  EXPECT_NE(std::string::npos, outcome.errors.find("double free")) << outcome.errors;
}

TEST(Profile, BlocksOutliveTheProfile) {
  std::vector<void*> blocks;
  lull_profile_totals before, t;
  lull_profile_read_totals(&before);
  {
    Profiled profiled(1);
    for (int i = 0; i < 100; ++i) blocks.push_back(lull_malloc(100));
  }
  void* after = lull_malloc(100);
  EXPECT_FALSE(is_sampled(after));
  lull_free(after);
  for (void* block : blocks) lull_free(block);
  lull_profile_read_totals(&t);
  EXPECT_EQ(before.live_objects, t.live_objects);
  EXPECT_EQ(before.allocated_objects + 100, t.allocated_objects);
}

// Each thread its bins, and some go to and fro between threads; some start when sampling is on, and end.
TEST(Profile, OfManyThreads) {
  Profiled profiled(8192);
  constexpr unsigned kThreads = 4;
  const int rounds = scaled(400'000);
  run_together(kThreads, [&](unsigned t) {
    std::vector<void*> kept;
    for (int i = 0; i < rounds; ++i) {
      kept.push_back(lull_malloc(16 + static_cast<std::size_t>(i) % 16 * 16));
      if (kept.size() == 100) {
        for (void* block : kept) lull_free(block);
        kept.clear();
      }
      if (t == 0 && i % 10'000 == 0) std::thread([] { lull_free(lull_malloc(1000)); }).join();
    }
    for (void* block : kept) lull_free(block);
  });
  expect_near(136.0 * rounds * kThreads, profiled.totals().allocated_bytes, 0.10 * std::sqrt(400'000.0 / rounds), "allocated bytes");
  EXPECT_NEAR(0, static_cast<double>(static_cast<std::ptrdiff_t>(profiled.totals().live_bytes)), 1e5);
}

// Starting, stopping and other means while threads allocate; nothing but that it goes on is expected.
TEST(Profile, MayStartAndStopAtAnyTime) {
  std::atomic<bool> stop{false};
  std::thread switcher([&] {
    for (int i = 0; i < 300; ++i) {
      lull_profile_start(static_cast<std::size_t>(1) << (i % 16));
      if (i % 3 == 0) lull_profile_stop();
      std::this_thread::yield();
    }
    lull_profile_stop();
    stop = true;
  });
  run_together(2, [&](unsigned t) {
    std::deque<void*> kept;
    for (std::size_t i = 0; !stop; ++i) {
      const std::size_t size = (i * 48 + t) % 3000;
      char* block = static_cast<char*>(lull_malloc(size + 1));
      block[0] = block[size] = 1;
      kept.push_back(block);
      if (kept.size() == 200) {
        lull_free(kept.front());
        kept.pop_front();
      }
    }
    for (void* block : kept) lull_free(block);
  });
  switcher.join();
}

TEST(Profile, GoesOnInAChild) {
  Profiled profiled(1);
  void* before = lull_malloc(100);
  const auto outcome = run_in_child([&] {
    lull_free(before);
    void* block = lull_malloc(100);
    LULL_CHILD_EXPECT(is_sampled(block));
    lull_free(block);
    LULL_CHILD_EXPECT(lull_profile_write("/dev/null", LULL_PROFILE_PPROF) == 0);
  });
  EXPECT_TRUE(outcome.exited_well()) << outcome.errors;
  lull_free(before);
}

// Files.

std::string contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Profile, WritesBothFormats) {
  Profiled profiled(1);
  void* block = lull_malloc(123);
  const std::string path = ::testing::TempDir() + "lull_profile_" + std::to_string(::getpid());
  ASSERT_EQ(0, lull_profile_write(path.c_str(), LULL_PROFILE_TEXT));
  const std::string text = contents_of(path);
  EXPECT_EQ(0u, text.find("heap profile: "));
  EXPECT_NE(std::string::npos, text.find(" @ heap_v2/1\n"));
  EXPECT_NE(std::string::npos, text.find("\n1: 123 [")) << text.substr(0, 2000);
  EXPECT_NE(std::string::npos, text.find("\nMAPPED_LIBRARIES:\n"));
  EXPECT_NE(std::string::npos, text.find("sampling_test"));
  ASSERT_EQ(0, lull_profile_write(path.c_str(), LULL_PROFILE_PPROF));
  EXPECT_EQ(0u, contents_of(path).find("\x1f\x8b\x08"));
  std::remove(path.c_str());
  lull_free(block);
}

TEST(Profile, SaysWhyAFileCannotBeWritten) {
  EXPECT_EQ(-1, lull_profile_write("/no/such/folder/file", LULL_PROFILE_PPROF));
  EXPECT_EQ(ENOENT, errno);
  EXPECT_EQ(-1, lull_profile_write("/dev/full", LULL_PROFILE_PPROF));
  EXPECT_EQ(ENOSPC, errno);
}

}  // namespace
}  // namespace lull::front

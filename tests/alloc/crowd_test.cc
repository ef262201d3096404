// Many more threads than processors. An allocator whose threads wait for one that was preempted, or take over what another has just left, costs a
// crowd many times what it costs a few (mimalloc 920: 20 times; gperftools 1549).
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <sched.h>
#include <time.h>

#include "alloc/front/statistics.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::scaled;

constexpr unsigned kCrowd = 64;

// A block that says what it is at both ends; whoever frees it looks.
void* make(std::mt19937_64& random) {
  const std::size_t bytes = random() % 500 == 0 ? 33'000 + random() % 100'000 : 16 + random() % (random() % 8 == 0 ? 4000 : 200);
  auto* block = static_cast<unsigned char*>(lull_malloc(bytes));
  std::memcpy(block, &bytes, sizeof bytes);
  block[bytes - 1] = static_cast<unsigned char>(bytes | 1);
  return block;
}
void drop(void* at) {
  if (at == nullptr) return;
  auto* block = static_cast<unsigned char*>(at);
  std::size_t bytes;
  std::memcpy(&bytes, block, sizeof bytes);
  ASSERT_LE(bytes, lull_malloc_usable_size(block));
  ASSERT_EQ(static_cast<unsigned char>(bytes | 1), block[bytes - 1]);
  lull_free(block);
}

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// As much work together whatever the number of threads.
double work_together(unsigned threads, std::uint64_t seed) {
  const double before = processor_seconds();
  std::array<std::atomic<void*>, 256> exchange{};
  const int replacements = scaled(3'200'000) / static_cast<int>(threads);
  lull::testing::run_together(threads, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    std::vector<void*> own(64'000 / threads);
    for (int i = 0; i < replacements; ++i) {
      if (i % 10'000 == 0) sched_yield();  // each takes long where others want the processors, too
      void*& slot = own[random() % own.size()];
      if (i % 8 == 0) slot = exchange[random() % exchange.size()].exchange(slot);
      drop(slot);
      slot = make(random);
    }
    for (void* block : own) drop(block);
  });
  for (auto& block : exchange) drop(block);
  return processor_seconds() - before;
}

TEST(Crowd, CostsLittleMoreThanAFewThreads) {
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  const std::size_t before = read_figures().used_bytes;
  work_together(2, seed);  // whatever is done once
  double ratio = 1e9;
  for (int attempt = 0; attempt < 3 && ratio > 4; ++attempt) {
    const double few = work_together(2, seed), many = work_together(kCrowd, seed);
    ratio = many / few;
    std::printf("processor time of %u threads / of 2: %.2f / %.2f s\n", kCrowd, many, few);
  }
  if (!lull::testing::kSanitized) {
    EXPECT_LT(ratio, 4);
  }
  EXPECT_LE(read_figures().used_bytes, before + (1u << 20));  // everybody has ended
}

}  // namespace
}  // namespace lull::front

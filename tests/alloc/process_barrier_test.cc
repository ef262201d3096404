// os::process_barrier() is the fence that the other side of a Dekker handshake leaves out.
#include "alloc/os/process_barrier.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/alloc/support.h"

namespace lull::os {
namespace {

TEST(ProcessBarrier, KeepsErrno) {
  errno = 4711;
  process_barrier();
  EXPECT_EQ(4711, errno);
}

// Both write and then look at the other's word; without any barrier both miss the other's within a few thousand rounds.
TEST(ProcessBarrier, OneOfTwoSeesTheOtherThoughTheFastSideHasNoFence) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "knows no membarrier";
  const int rounds = lull::testing::scaled(5000);
  alignas(64) static std::atomic<int> fast{0}, fast_saw{0};
  alignas(64) static std::atomic<int> slow{0}, slow_saw{0};
  static std::atomic<int> arrived{0};
  const auto meet = [](int n) {
    arrived.fetch_add(1);
    while (arrived.load() < n) {
    }
  };
  int missed = 0;
  lull::testing::run_together(2, [&](unsigned side) {
    for (int i = 1; i <= rounds; ++i) {
      meet(4 * i - 2);
      if (side == 0) {
        fast.store(i, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        fast_saw.store(slow.load(std::memory_order_relaxed), std::memory_order_relaxed);
      } else {
        slow.store(i, std::memory_order_relaxed);
        process_barrier();
        slow_saw.store(fast.load(std::memory_order_relaxed), std::memory_order_relaxed);
      }
      meet(4 * i);
      if (side == 0) missed += fast_saw.load(std::memory_order_relaxed) != i && slow_saw.load(std::memory_order_relaxed) != i;
    }
  });
  EXPECT_EQ(0, missed);
}

}  // namespace
}  // namespace lull::os

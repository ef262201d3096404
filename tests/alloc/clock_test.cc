#include "alloc/os/clock.h"

#include <chrono>

#include "tests/alloc/support.h"

namespace lull::os {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

// Burns at least `nanoseconds` of this thread's processor time.
void work_for(std::uint64_t nanoseconds) {
  const std::uint64_t start = thread_cpu_ns();
  while (thread_cpu_ns() - start < nanoseconds) {
  }
}

TEST(Clock, MonotonicTimeNeverGoesBack) {
  std::uint64_t last = monotonic_ns();
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t now = monotonic_ns();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Clock, MonotonicTimeCountsSleepInNanoseconds) {
  const std::uint64_t start = monotonic_ns();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(monotonic_ns() - start, kSecond / 50);
  EXPECT_LT(monotonic_ns() - start, 60 * kSecond);
}

TEST(Clock, WallTimeIsThatOfTheSystem) {
  const auto system = static_cast<std::uint64_t>(std::time(nullptr)) * kSecond;
  EXPECT_LT(wall_ns() - system + 5 * kSecond, 10 * kSecond);
}

TEST(Clock, ProcessorTimeCountsWorkAndNotSleep) {
  const std::uint64_t thread_start = thread_cpu_ns(), process_start = process_cpu_ns();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_LT(thread_cpu_ns() - thread_start, kSecond / 20);
  work_for(kSecond / 50);
  EXPECT_GE(thread_cpu_ns() - thread_start, kSecond / 50);
  EXPECT_GE(process_cpu_ns() - process_start, kSecond / 50);
}

TEST(Clock, AThreadsTimeIsItsOwnAndTheProcessHasThatOfAllThreads) {
  const std::uint64_t thread_start = thread_cpu_ns(), process_start = process_cpu_ns();
  std::thread([] { work_for(kSecond / 20); }).join();
  EXPECT_LT(thread_cpu_ns() - thread_start, kSecond / 20);
  EXPECT_GE(process_cpu_ns() - process_start, kSecond / 20);
}

}  // namespace
}  // namespace lull::os

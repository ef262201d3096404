#include "alloc/os/futex.h"

#include <cerrno>
#include <chrono>

#include "alloc/os/clock.h"
#include "tests/alloc/support.h"

namespace lull::os {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;

TEST(Futex, WaitReturnsAtOnceWhenTheWordIsDifferent) {
  std::atomic<std::uint32_t> word{1};
  futex_wait(word, std::uint32_t{0});
  EXPECT_TRUE(futex_wait_for(word, std::uint32_t{0}, 3600'000 * kMillisecond));
}

TEST(Futex, ATimedWaitEndsAfterItsTime) {
  std::atomic<std::uint32_t> word{0};
  const std::uint64_t start = monotonic_ns();
  while (futex_wait_for(word, std::uint32_t{0}, 30 * kMillisecond)) {  // a signal may end a wait early
  }
  EXPECT_GE(monotonic_ns() - start, 30 * kMillisecond);
}

TEST(Futex, ATimeOfMoreThanASecondIsUnderstood) {
  std::atomic<std::uint32_t> word{0};
  std::thread waker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    word.store(1);
    futex_wake_all(word);
  });
  EXPECT_TRUE(futex_wait_for(word, std::uint32_t{0}, 100'999'999'999));
  EXPECT_EQ(1u, word.load()) << "nanoseconds beyond 10^9 are invalid and would end the wait at once";
  waker.join();
}

// Threads that sleep until the word says 1.
class Sleepers {
 public:
  explicit Sleepers(int n) {
    for (int i = 0; i < n; ++i)
      threads_.emplace_back([this] {
        sleeping_.fetch_add(1);
        while (word.load() == 0) {
          futex_wait(word, std::uint32_t{0});
          returns_.fetch_add(1);
        }
      });
    while (sleeping_.load() != n) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // let them fall asleep; no result depends on it
  }
  ~Sleepers() {
    for (std::thread& thread : threads_) thread.join();
  }
  int returns() const { return returns_.load(); }

  std::atomic<std::uint32_t> word{0};

 private:
  std::atomic<int> sleeping_{0}, returns_{0};
  std::vector<std::thread> threads_;
};

TEST(Futex, WakeAllWakesEverySleeper) {
  Sleepers sleepers(4);
  sleepers.word.store(1);
  futex_wake_all(sleepers.word);
}

TEST(Futex, WakeOneWakesOneAtATime) {
  Sleepers sleepers(3);
  futex_wake_one(sleepers.word);  // it finds the word unchanged and sleeps again
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_LE(sleepers.returns(), 1);
  sleepers.word.store(1);
  for (int i = 0; i < 3; ++i) futex_wake_one(sleepers.word);
}

TEST(Futex, WordsMayBeEnumerations) {
  enum class Door : std::uint32_t { closed, open };
  std::atomic<Door> door{Door::closed};
  std::thread visitor([&] {
    while (door.load() == Door::closed) futex_wait(door, Door::closed);
  });
  door.store(Door::open);
  futex_wake_all(door);
  visitor.join();
}

TEST(Futex, ErrnoIsKept) {
  std::atomic<std::uint32_t> word{0};
  errno = EXDEV;
  futex_wait(word, std::uint32_t{1});
  futex_wait_for(word, std::uint32_t{0}, 1000);
  futex_wake_all(word);
  EXPECT_EQ(EXDEV, errno);
}

}  // namespace
}  // namespace lull::os

// When the purger's thread is started, and what becomes of an attempt that fails.
#include <gtest/gtest.h>

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "alloc/pages/purger.h"
#include "lull/malloc.h"
#include "tests/alloc/purger_threads.h"
#include "tests/alloc/support.h"

namespace {

std::atomic<bool> refuses{false};
std::atomic<int> attempts{0};

using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

}  // namespace

// In place of the C library's. Sanitizers have put theirs there.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && !__has_feature(thread_sanitizer) && !__has_feature(address_sanitizer)
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*), void* argument) {
  ++attempts;
  static auto* const create = reinterpret_cast<Create*>(dlsym(RTLD_NEXT, "pthread_create"));
  return refuses ? EAGAIN : create(thread, attributes, entry, argument);
}
#endif

namespace lull::pages {
namespace {

using lull::testing::purger_threads;

void give_much_back() {
  constexpr std::size_t kMuch = std::size_t{8} << 20;
  void* block = lull_malloc(kMuch);
  std::memset(block, 1, kMuch);
  lull_free(block);
}
void wait_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// Each failed attempt makes a stack: it was one for each block that went back.
TEST(PurgerStart, AttemptsThatFailBecomeRareAndThenOneSucceeds) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "threads are started all the same";
  testing::expect_success_in_new_process([] {
    refuses = true;
    attempts = 0;
    for (int i = 0; i < 300; ++i) {
      give_much_back();
      wait_ms(1);
    }
    LULL_CHILD_EXPECT(attempts >= 2 && attempts <= 9);  // after 0, 50, 150, 350 ... ms
    refuses = false;
    for (int i = 0; i < 500 && purger_threads() == 0; ++i) {
      give_much_back();
      wait_ms(10);
    }
    LULL_CHILD_EXPECT(purger_threads() == 1);
  });
}

TEST(PurgerStart, IsLeftOutIfTheProgramWishes) {
  ::setenv("LULL_MALLOC", "purger=0", 1);
  testing::expect_success_in_new_process([] {
    for (int i = 0; i < 50; ++i) give_much_back();
    std::thread([] { give_much_back(); }).join();
    give_much_back();
    LULL_CHILD_EXPECT(purger_threads() == 0);
    LULL_CHILD_EXPECT(lull_malloc_trim(0) == 1);
  });
  ::unsetenv("LULL_MALLOC");
}

TEST(PurgerStart, IsAtTheVeryStartIfTheProgramWishes) {
  ::setenv("LULL_MALLOC", "purger", 1);
  testing::expect_success_in_new_process([] { LULL_CHILD_EXPECT(purger_threads() == 1); });
  ::unsetenv("LULL_MALLOC");
}

std::string processors_of(const std::filesystem::path& task) {
  std::ifstream status(task / "status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Cpus_allowed:")) return line;
  return {};
}

// It ran where the thread did that started it, which may have a processor for itself.
TEST(PurgerStart, ByAPinnedThreadIsPinnedToNothing) {
  cpu_set_t may;
  ASSERT_EQ(0, sched_getaffinity(0, sizeof may, &may));
  if (CPU_COUNT(&may) < 2) GTEST_SKIP() << "one processor";
  testing::expect_success_in_new_process([] {
    std::thread([] {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(sched_getcpu(), &one);
      LULL_CHILD_EXPECT(sched_setaffinity(0, sizeof one, &one) == 0);
      for (int i = 0; i < 100 && purger_threads() == 0; ++i) give_much_back();
    }).join();
    wait_ms(100);
    int found = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::ifstream(task.path() / "comm") >> name;
      if (name != "lull-purge") continue;
      ++found;
      LULL_CHILD_EXPECT(processors_of(task.path()) == processors_of("/proc/self"));
    }
    LULL_CHILD_EXPECT(found == 1);
  });
}

}  // namespace
}  // namespace lull::pages

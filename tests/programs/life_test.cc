// The whole life of a program whose malloc is lull's: before main, after exit, with little address space, and with many
// threads that do nothing.
#include <gtest/gtest.h>

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/alloc/support.h"
#include "tests/programs/heap_extent.h"

namespace {

using lull::testing::heap_extent;

// clang leaves out a malloc whose block nobody sees and its free; a loop of nothing else had no body then, nor an end.
void take_and_free(std::size_t bytes) {
  void* volatile block = std::malloc(bytes);
  std::free(block);
}
void make_and_delete() {
  int* volatile number = new int;
  delete number;
}

void* before_constructors;
void* in_constructor;
void take_early(int, char**, char**) { before_constructors = std::malloc(100); }
__attribute__((section(".preinit_array"), used)) void (*const early)(int, char**, char**) = take_early;
__attribute__((constructor(101))) void take_in_constructor() { in_constructor = std::calloc(10, 1000); }

TEST(Life, BlocksFromBeforeMainAreOursAndCanBeFreed) {
  EXPECT_TRUE(heap_extent().contains(before_constructors));
  EXPECT_TRUE(heap_extent().contains(in_constructor));
  std::free(before_constructors);
  std::free(in_constructor);
}

// The first block is handed out before the C library has the environment: LULL_MALLOC was not seen then, for good.
TEST(Life, TheEnvironmentIsSeenBeforeMain) {
  const char* modes = std::getenv("LULL_MALLOC");
  if (modes == nullptr || std::strcmp(modes, "secure") != 0) GTEST_SKIP() << "in secure mode only";
  EXPECT_DEATH({
    auto* block = static_cast<char*>(std::malloc(40));
    char* again = block;
    asm volatile("" : "+r"(again)::"memory");  // the compiler knows of a double free
    std::free(block);
    std::memset(again, 1, 40);
    std::free(again);
  }, "lull: double free of 0x");
}

// Whatever runs at the end may still allocate and free; the first registered runs last.
void* last_block;
void end_last() {
  void* large = std::malloc(1 << 20);
  LULL_CHILD_EXPECT(large != nullptr && last_block != nullptr);
  std::free(large);
  std::free(last_block);
  take_and_free(10);
  ::_exit(41);
}
struct OfThread {
  std::vector<std::string> words;
  ~OfThread() { words.emplace_back(1000, 'x'); }
};
thread_local OfThread of_thread;

TEST(Life, HandlersAtExitMayAllocateAndFree) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT({
    std::atexit(end_last);
    last_block = std::malloc(100);
    of_thread.words.emplace_back(1000, 'y');
    std::atexit([] { take_and_free(70'000); });
    std::exit(0);
  }, ::testing::ExitedWithCode(41), "");
}

TEST(Life, ExitsWhileThreadsAllocate) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (int i = 0; i < 5; ++i)
    EXPECT_EXIT({
      for (int t = 0; t < 4; ++t)
        std::thread([] {
          for (;;) take_and_free(100'000), make_and_delete();
        }).detach();
      for (int n = 0; n < 1000; ++n) take_and_free(5000);
      std::exit(0);
    }, ::testing::ExitedWithCode(0), "");
}

// Wherever in malloc a signal arrives: a handler that does not allocate does no harm.
std::atomic<unsigned> signals{0};
TEST(Signals, ArriveInsideMallocWithoutHarm) {
  struct sigaction action {};
  action.sa_handler = [](int) { signals.fetch_add(1); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval often{{0, 50}, {0, 50}};
  setitimer(ITIMER_REAL, &often, nullptr);
  lull::testing::run_together(2, [](unsigned t) {
    std::vector<std::unique_ptr<char[]>> held(500);
    for (unsigned i = 0; signals < 5000 || i < 100'000; ++i) {
      const std::size_t size = i % 1000 == 0 ? 200'000 : 1 + i * 7 % 3000;
      auto& place = held[i * 31 % held.size()];
      place.reset(new char[size]);
      errno = 4711;
      std::memset(place.get(), static_cast<int>(t), std::min<std::size_t>(size, 3000));
      ASSERT_EQ(4711, errno);
    }
  });
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  signal(SIGALRM, SIG_DFL);
}

// Threads that end in all ways in the midst of their work give back what they had cached.
void* busy_until_cancelled(void*) {
  for (unsigned i = 0;; ++i) {
    take_and_free(1 + i * 7 % 3000);
    take_and_free(i % 100 == 0 ? 100'000 : 10);
    pthread_testcancel();
  }
}
TEST(Threads, CancelledOrExitedOnesLoseNothing) {
  const std::size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 200; ++i) {
    pthread_t cancelled, exited;
    ASSERT_EQ(0, pthread_create(&cancelled, nullptr, busy_until_cancelled, nullptr));
    ASSERT_EQ(0, pthread_create(&exited, nullptr, [](void*) -> void* {
      for (unsigned n = 0; n < 1000; ++n) take_and_free(n * 3);
      pthread_exit(nullptr);
    }, nullptr));
    sched_yield();
    pthread_cancel(cancelled);
    pthread_join(cancelled, nullptr);
    pthread_join(exited, nullptr);
  }
  EXPECT_LT(mallinfo2().uordblks, before + (8u << 20));
}

// The C library frees in their names when their last key destructor has run.
TEST(Threads, ThatNeverAllocateLeaveNothingBehind) {
  constexpr unsigned kThreads = 60;  // more stacks than the C library keeps
  pthread_barrier_t all_there;
  pthread_barrier_init(&all_there, nullptr, kThreads + 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (unsigned i = 0; i < kThreads; ++i) {
    pthread_t thread;
    ASSERT_EQ(0, pthread_create(&thread, &attributes, [](void* barrier) -> void* {
      pthread_barrier_wait(static_cast<pthread_barrier_t*>(barrier));
      return nullptr;
    }, &all_there));
  }
  pthread_barrier_wait(&all_there);
  while (std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}) > 2) std::this_thread::yield();  // the purger
  std::vector<void*> blocks(50'000);
  for (int round = 0; round < 30; ++round) {  // the purger looks for threads that sleep once a second, and wrote to their stacks
    for (void*& block : blocks) block = std::malloc(100);
    for (void* block : blocks) std::free(block);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  pthread_attr_destroy(&attributes);
}

// The C library holds the lock of its stacks while it frees; to start a thread under it is to wait for ever.
TEST(Threads, AreJoinedWhereThereIsMuchToGiveBack) {
  const std::unique_ptr<char[]> much(new char[40 << 20]);
  std::memset(much.get(), 1, 40 << 20);
  constexpr unsigned kThreads = 150;
  pthread_barrier_t all_there;
  pthread_barrier_init(&all_there, nullptr, kThreads);
  std::vector<pthread_t> threads(kThreads);
  for (pthread_t& thread : threads)
    ASSERT_EQ(0, pthread_create(&thread, nullptr, [](void* barrier) -> void* {
      pthread_barrier_wait(static_cast<pthread_barrier_t*>(barrier));
      return nullptr;
    }, &all_there));
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
}

TEST(Locked, BlocksMayBeFreed) {
  void* block = std::calloc(1, 4 << 20);
  if (mlock(block, 1 << 14) != 0) {
    std::free(block);
    GTEST_SKIP() << "no memory may be locked";
  }
  std::free(block);
  malloc_trim(0);
}

// Really strict, where the system is so; `ulimit -d` counts in the same way elsewhere.
TEST(Limits, StrictOvercommit) {
  int mode = 0;
  if (std::FILE* file = std::fopen("/proc/sys/vm/overcommit_memory", "r")) {
    EXPECT_EQ(1, std::fscanf(file, "%d", &mode));
    std::fclose(file);
  }
  if (mode != 2) GTEST_SKIP() << "vm.overcommit_memory is not 2";
  struct Link { Link* next; };
  Link* all = nullptr;
  std::size_t got = 0;
  while (auto* link = static_cast<Link*>(std::malloc(1 << 20))) {
    all = new (link) Link{all};
    got += 1 << 20;
  }
  EXPECT_EQ(ENOMEM, errno);
  std::printf("%zu MiB under vm.overcommit_memory=2\n", got >> 20);
  EXPECT_GT(got, 16u << 20);
  while (all != nullptr) std::free(std::exchange(all, all->next));
  void* block = std::malloc(1 << 20);
  EXPECT_NE(nullptr, block);
  std::free(block);
}

// Run again by the cases below under a limit.
TEST(Small, ProgramOfSomeThreadsAndMegabytes) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 10; ++t)
    threads.emplace_back([] {
      std::vector<std::unique_ptr<char[]>> held;
      for (int i = 0; i < 200; ++i) {
        held.emplace_back(new char[50'000]);
        std::memset(held.back().get(), 1, 50'000);
      }
    });
  for (auto& thread : threads) thread.join();
  char* large = static_cast<char*>(std::malloc(100 << 20));
  ASSERT_NE(nullptr, large);
  std::memset(large, 1, 100 << 20);
  std::free(large);
}

int run_small(const std::string& limits) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  return std::system((limits + " && exec '" + self + "' --gtest_filter=Small.* >/dev/null").c_str());
}

TEST(Limits, AddressSpace) {
  EXPECT_EQ(0, run_small("ulimit -v 2000000"));
  EXPECT_EQ(0, run_small("ulimit -v 1000000"));
}
// Run again below: takes all there is, and reports how much of its limit that was, in per cent.
TEST(Greedy, Program) {
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) GTEST_SKIP() << "without a limit";
  std::size_t got = 0;
  struct Link { Link* next; };
  Link* all = nullptr;
  for (const std::size_t size : {100'000u, 10'000u, 1000u})
    while (auto* link = static_cast<Link*>(std::malloc(size))) {
      all = new (link) Link{all};
      got += malloc_usable_size(link);
    }
  std::_Exit(static_cast<int>(got / (limit.rlim_cur / 100)));
}

// It was about half: the heap's range was a power of two, reserved at once.
TEST(Limits, OfAddressSpaceAtLeast85PerCentCanBeHad) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  for (const int kib : {300'000, 500'000, 1'100'000, 2'000'000}) {
    const int status = std::system(("ulimit -v " + std::to_string(kib) + " && exec '" + self + "' --gtest_filter=Greedy.* >/dev/null").c_str());
    std::printf("ulimit -v %d: %d %%\n", kib, WEXITSTATUS(status));
    // Guard pages are address space, too.
    const int wanted = std::getenv("LULL_MALLOC") == nullptr ? 85 : 65;
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) >= wanted && WEXITSTATUS(status) <= 100) << kib;
  }
}
// Counts what is writable, touched or not: what strict overcommit (vm.overcommit_memory=2) charges.
TEST(Limits, WritableMemory) {
  EXPECT_EQ(0, run_small("ulimit -d 1000000"));
  EXPECT_EQ(0, run_small("ulimit -d 400000"));
}
TEST(Limits, OfBothKinds) { EXPECT_EQ(0, run_small("ulimit -v 2000000 && ulimit -d 500000")); }

// Prints the figure, to be compared with other mallocs: run this program without the library.
TEST(Idle, AThousandThreadsThatWereBusyOnceHoldLittle) {
  constexpr int kThreads = 1000;
  std::mutex lock;
  std::condition_variable changed;
  int idle = 0;
  bool over = false;
  const std::size_t before = lull::testing::resident_bytes();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      void* blocks[200];
      for (int round = 0; round < 5; ++round) {
        for (std::size_t i = 0; i < 200; ++i) std::memset(blocks[i] = std::malloc(16 + i * 5), 1, 16 + i * 5);
        for (void* block : blocks) std::free(block);
      }
      std::unique_lock guard(lock);
      ++idle;
      changed.notify_all();
      changed.wait(guard, [&] { return over; });
    });
  {
    std::unique_lock guard(lock);
    changed.wait(guard, [&] { return idle == kThreads; });
  }
  const std::size_t held = lull::testing::resident_bytes() - before;
  {
    std::lock_guard guard(lock);
    over = true;
  }
  changed.notify_all();
  for (auto& thread : threads) thread.join();
  std::printf("%s: 1000 idle threads: %zu KiB each, stacks and all\n", heap_extent().size() != 0 ? "lull" : "another malloc",
              held / 1024 / kThreads);
  EXPECT_LT(held / kThreads, 400u * 1024);  // each had 100 KiB at a time
}

}  // namespace

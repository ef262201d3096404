// Threads that sleep give back what they cache, and nothing that they use.
#include "alloc/front/sleepers.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <set>

#include "alloc/front/fork_gate.h"
#include "alloc/front/statistics.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/futex.h"
#include "alloc/os/thread_state.h"
#include "lull/malloc.h"
#include "lull/profile.h"
#include "tests/alloc/purger_threads.h"
#include "tests/alloc/support.h"

namespace {

using lull::front::empty_sleepers;
using lull::front::When;

// A thread that does what it is told and sleeps in between. It stands on a stack of its own and has bins.
class Servant {
 public:
  Servant() : thread_([this] { serve(); }) {}
  ~Servant() {
    tell([this] { done_ = true; });
    thread_.join();
  }
  void tell(std::function<void()> order) {
    std::unique_lock lock(mutex_);
    order_ = std::move(order);
    changed_.notify_all();
    changed_.wait(lock, [this] { return order_ == nullptr; });
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    while (!done_) {
      changed_.wait(lock, [this] { return order_ != nullptr; });
      order_();
      order_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> order_;
  bool done_ = false;
  std::thread thread_;  // the last: it uses the others
};

std::size_t cached_or_used() { return lull::front::read_figures().used_bytes; }

class SleepersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "nothing can be proved there";
    lull_free(lull_malloc(1));
  }
  // Until everybody who was told to sleep does; the kernel may take its time.
  template <class Condition>
  static bool empties_until(When when, Condition&& condition) {
    for (int i = 0; i < 2000; ++i) {
      empty_sleepers(when);
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
};

constexpr std::size_t kBlock = 1000;
constexpr int kBlocks = 30;

void fill_cache() {
  std::vector<void*> blocks(kBlocks);
  for (void*& block : blocks) block = lull_malloc(kBlock);
  for (void* block : blocks) lull_free(block);
}

TEST_F(SleepersTest, AThreadThatSleepsGivesItsBlocksBackAndGoesOnAfterwards) {
  Servant servant;
  void* kept = nullptr;
  const std::size_t before = cached_or_used();
  servant.tell([&] {
    fill_cache();
    kept = std::memset(lull_malloc(kBlock), 7, kBlock);
  });
  ASSERT_GT(cached_or_used(), before + 8 * kBlock);
  EXPECT_TRUE(empties_until(When::when_idle, [&] { return cached_or_used() < before + 4 * kBlock; }));
  servant.tell([&] {
    EXPECT_TRUE(std::all_of(static_cast<char*>(kept), static_cast<char*>(kept) + kBlock, [](char c) { return c == 7; }));
    lull_free(kept);
    fill_cache();
  });
  ASSERT_GT(cached_or_used(), before + 8 * kBlock);
  EXPECT_TRUE(empties_until(When::when_idle, [&] { return cached_or_used() < before + 4 * kBlock; }));
}

// Its first block comes when malloc's own key destructor can have no turn any more.
namespace last_round {

pthread_key_t key;
std::function<void()>* body = nullptr;
thread_local int rounds = 0;

void destroy(void* set) {
  if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) pthread_setspecific(key, set);
  else (*body)();
}
void* run(void*) {
  pthread_setspecific(key, &key);
  return nullptr;
}

// On a stack that is unmapped when the thread has ended.
void play(std::function<void()> what, std::function<void()> meanwhile = [] {}) {
  static const int made = pthread_key_create(&key, destroy);
  ASSERT_EQ(0, made);
  constexpr std::size_t kStack = 1 << 20;
  void* stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  body = &what;
  pthread_t thread;
  ASSERT_EQ(0, pthread_create(&thread, &attributes, run, nullptr));
  meanwhile();
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  ASSERT_EQ(0, ::munmap(stack, kStack));
}

}  // namespace last_round

TEST_F(SleepersTest, WhatAThreadHadThatEndsUnnoticedIsGivenBack) {
  const std::size_t bins = lull::front::thread_bins_in_use(), before = cached_or_used();
  last_round::play([] { fill_cache(); });
  ASSERT_EQ(bins + 1, lull::front::thread_bins_in_use()) << "somebody noticed";
  ASSERT_GT(cached_or_used(), before + 8 * kBlock);
  empty_sleepers(When::at_once);  // wrote to the unmapped stack
  EXPECT_EQ(bins, lull::front::thread_bins_in_use());
  EXPECT_LT(cached_or_used(), before + 4 * kBlock);
}

TEST_F(SleepersTest, OfAThreadThatEndsUnnoticedAfterItWasAskedToo) {
  const std::size_t bins = lull::front::thread_bins_in_use();
  std::atomic<int> step{0};
  last_round::play(
      [&] {
        fill_cache();
        step = 1;
        while (step != 2) {  // runs: nothing is proved
        }
      },
      [&] {
        while (step != 1) std::this_thread::yield();
        empty_sleepers(When::at_once);
        step = 2;
      });
  EXPECT_EQ(bins + 1, lull::front::thread_bins_in_use());
  empty_sleepers(When::at_once);
  EXPECT_EQ(bins, lull::front::thread_bins_in_use());
}

// Such as one in whose name the C library frees when it has ended.
TEST_F(SleepersTest, AThreadThatFreesAFewBlocksTakesNoBins) {
  std::array<void*, 20> blocks;
  for (void*& block : blocks) block = lull_malloc(100);
  std::thread([&] {
    for (int i = 0; i < 3; ++i) lull_free(blocks[static_cast<std::size_t>(i)]);
    EXPECT_FALSE(lull::front::has_bins());
    for (std::size_t i = 3; i < blocks.size(); ++i) lull_free(blocks[i]);
    EXPECT_TRUE(lull::front::has_bins());
  }).join();
}

using lull::testing::purger_threads;

// The C library calls free() with a lock for which pthread_create() waits, once threads have ended.
TEST(PurgerOfMallocDeathTest, IsNotStartedByAFreeOfAThreadedProgramButByTheNextMalloc) {
  lull::testing::expect_success_in_new_process([] {
    std::thread([] {}).join();
    void* block = lull_malloc(4 << 20);
    std::memset(block, 1, 4 << 20);
    lull_free(block);
    LULL_CHILD_EXPECT(purger_threads() == 0);
    lull_free(lull_malloc(100));
    LULL_CHILD_EXPECT(purger_threads() == 1);
  });
}

TEST(PurgerOfMallocDeathTest, IsStartedByAFreeOfAProgramOfOneThread) {
  lull::testing::expect_success_in_new_process([] {
    void* block = lull_malloc(4 << 20);
    std::memset(block, 1, 4 << 20);
    lull_free(block);
    LULL_CHILD_EXPECT(purger_threads() == 1);
  });
}

// Freed blocks tell it who may read them.
TEST(Secret, IsNotTheStackProtectorsCanary) {
  lull_free(lull_malloc(1));
  std::uintptr_t random;
  std::memcpy(&random, reinterpret_cast<const void*>(::getauxval(AT_RANDOM)), sizeof random);
  EXPECT_NE(random >> 8, lull::front::free_view.secret >> 8);
}

// As if the purger had meant the thread that had this stack before.
TEST_F(SleepersTest, AThreadIsAskedInPlaceOfAnother) {
  std::thread([] {
    lull::front::thread_bins = &lull::front::asleep_bins;
    fill_cache();
    EXPECT_TRUE(lull::front::has_bins());
  }).join();
}

TEST_F(SleepersTest, AThreadKeepsItsBlocksInTheFirstRoundAfterItUsedThem) {
  Servant servant;
  servant.tell(fill_cache);
  empty_sleepers(When::when_idle);
  servant.tell([] { lull_free(lull_malloc(16)); fill_cache(); lull_malloc(16); });
  const std::size_t before = cached_or_used();
  EXPECT_TRUE(empty_sleepers(When::when_idle));
  EXPECT_EQ(cached_or_used(), before);
}

// As a context that a signal has interrupted would be.
TEST_F(SleepersTest, WhoeverHasTheAddressOfItsBinsAndACodeSegmentOnTheStackIsLeftAlone) {
  std::atomic<std::uint32_t> word{0};
  std::atomic<bool> ready{false};
  std::thread thread([&] {
    fill_cache();
    lull::front::ThreadBins* volatile address = lull::front::current_bins();
    volatile std::uintptr_t segments = 0x2b000000000033;
    EXPECT_TRUE(lull::os::may_be_of_signal_frame(segments));
    ready = true;
    while (word.load() == 0) lull::os::futex_wait(word, std::uint32_t{0});
    static_cast<void>(address);
    static_cast<void>(segments);
  });
  while (!ready) std::this_thread::yield();
  const std::size_t before = cached_or_used();
  for (int i = 0; i < 20; ++i) {
    empty_sleepers(When::at_once);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(cached_or_used(), before);
  word = 1;
  lull::os::futex_wake_all(word);
  thread.join();
}

TEST_F(SleepersTest, AVisitorOfTheCentralStoreIsLeftAloneThoughItSleeps) {
  std::atomic<std::uint32_t> word{0};
  std::atomic<bool> ready{false};
  std::thread thread([&] {
    fill_cache();
    const lull::front::Visiting visiting(lull::front::own_bins_or_null());
    ready = true;
    while (word.load() == 0) lull::os::futex_wait(word, std::uint32_t{0});
  });
  while (!ready) std::this_thread::yield();
  const std::size_t before = cached_or_used();
  for (int i = 0; i < 20; ++i) {
    empty_sleepers(When::at_once);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(cached_or_used(), before);
  word = 1;
  lull::os::futex_wake_all(word);
  thread.join();
}

// The purger may ask between a thread's look at its bins and its visit.
TEST_F(SleepersTest, AVisitTakesTheBinsBack) {
  Servant servant;
  servant.tell([] {
    fill_cache();
    lull::front::ThreadBins* own = lull::front::current_bins();
    empty_sleepers(When::at_once);  // leaves out the caller's
    std::thread([] { empty_sleepers(When::at_once); }).join();
    EXPECT_EQ(lull::front::current_bins(), &lull::front::asleep_bins);
    const lull::front::Visiting visiting(own);
    EXPECT_EQ(lull::front::current_bins(), own);
    EXPECT_EQ(own->sleeper.state.load(), lull::front::Sleep::awake);
  });
}

// The thread's store to thread_bins, when it takes its bins back, may come after the purger's next one. Then it went on using
// bins that the purger emptied.
TEST_F(SleepersTest, AThreadWhoseStoreCameLaterThanThePurgersIsLeftAlone) {
  Servant servant;
  servant.tell([] {
    fill_cache();
    lull::front::ThreadBins* own = lull::front::current_bins();
    std::atomic<bool> asked{false};
    std::thread asker([&] {
      empty_sleepers(When::at_once);
      asked = true;
    });
    while (!asked) {  // awake: nothing can be proved
    }
    asker.join();
    ASSERT_EQ(lull::front::current_bins(), &lull::front::asleep_bins);
    lull::front::thread_bins = own;
  });
  const std::size_t before = cached_or_used();
  for (int i = 0; i < 10; ++i) {
    empty_sleepers(When::at_once);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(cached_or_used(), before);
  servant.tell([] { lull_malloc_trim(0); });
}

// The processor's trap flag stops a thread after its n-th instruction, in a handler that sleeps in a system call.
struct Stepping {
  int stop_at = 0, steps = 0;
  std::atomic<std::uint32_t> state{0};  // 1 stopped, 2 go on
  bool stopped = false;
};
Stepping* stepping = nullptr;

void on_trap(int) {
  if (stepping->steps++ != stepping->stop_at) return;
  stepping->stopped = true;
  stepping->state = 1;
  lull::os::futex_wake_all(stepping->state);
  while (stepping->state == 1) lull::os::futex_wait(stepping->state, std::uint32_t{1});
}
// The red zone below the stack pointer may be in use, hence the detour by lea.
inline void start_stepping() {
  asm volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "cc", "memory");
}
inline void stop_stepping() {
  asm volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "cc", "memory");
}

// Stops a thread after instruction `n` of a malloc and a free, and tries to empty its bins. Whatever the bins held and
// others can get now, the thread must not get. False: they have no n-th instruction.
bool survives_a_stop_after(int n) {
  Stepping s;
  s.stop_at = n;
  stepping = &s;
  void *got = nullptr, *next = nullptr;
  std::thread thread([&] {
    fill_cache();
    void* freed = lull_malloc(kBlock);
    start_stepping();
    got = lull_malloc(kBlock);
    lull_free(freed);
    stop_stepping();
    next = lull_malloc(kBlock);  // may be `freed`
    s.state = 1;
    lull::os::futex_wake_all(s.state);
  });
  while (s.state == 0) lull::os::futex_wait(s.state, std::uint32_t{0});
  std::set<void*> others;
  if (s.stopped) {
    for (int i = 0; i < 3; ++i) {  // the handler may not be asleep yet
      empty_sleepers(When::at_once);
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    for (int i = 0; i < 4 * kBlocks; ++i) EXPECT_TRUE(others.insert(lull_malloc(kBlock)).second);
  }
  s.state = 2;
  lull::os::futex_wake_all(s.state);
  thread.join();
  EXPECT_NE(got, next) << "instruction " << n;
  EXPECT_EQ(others.count(got) + others.count(next), 0u) << "instruction " << n;
  lull_free(got);
  lull_free(next);
  for (void* block : others) lull_free(block);
  return s.stopped;
}

// The same of a free of another thread's block, which goes into a parcel (strangers.h).
bool survives_a_stop_of_a_stranger_after(int n) {
  constexpr std::size_t kSmall = 32;  // whose spans are held
  Stepping s;
  s.stop_at = n;
  stepping = &s;
  std::array<void*, 3> strangers;
  for (void*& block : strangers) block = lull_malloc(kSmall);
  std::thread thread([&] {
    lull_free(lull_malloc(kSmall));
    lull_free(strangers[0]);
    lull_free(strangers[1]);
    const auto& parcels = lull::front::current_bins()->strangers.parcels;
    EXPECT_TRUE(std::any_of(std::begin(parcels), std::end(parcels), [](auto* parcel) { return parcel != nullptr && parcel->count != 0; }));
    start_stepping();
    lull_free(strangers[2]);
    stop_stepping();
    s.state = 1;
    lull::os::futex_wake_all(s.state);
  });
  while (s.state == 0) lull::os::futex_wait(s.state, std::uint32_t{0});
  std::set<void*> others;
  const auto take_many = [&] {
    for (int i = 0; i < 4 * kBlocks; ++i) EXPECT_TRUE(others.insert(lull_malloc(kSmall)).second) << "instruction " << n;
  };
  if (s.stopped) {
    for (int i = 0; i < 3; ++i) {
      empty_sleepers(When::at_once);
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    take_many();
  }
  s.state = 2;
  lull::os::futex_wake_all(s.state);
  thread.join();
  take_many();
  for (void* block : others) lull_free(block);
  return s.stopped;
}

void stop_after_each_instruction(bool (*survives_a_stop_after)(int)) {
  struct sigaction action {}, before;
  action.sa_handler = on_trap;
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  int n = 0;
  while (n < 1000 && survives_a_stop_after(n) && !::testing::Test::HasFailure()) ++n;
  EXPECT_GT(n, 30);  // malloc and free have more
  sigaction(SIGTRAP, &before, nullptr);
}

TEST_F(SleepersTest, AFastPathThatAHandlerInterruptsAndSleepsInFindsItsBinsAsTheyWere) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "looks at machine code of a plain build";
  stop_after_each_instruction(survives_a_stop_after);
}

TEST_F(SleepersTest, SoDoesOneThatCountsForAProfile) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "looks at machine code of a plain build";
  lull_profile_start(std::size_t{1} << 50);
  stop_after_each_instruction(survives_a_stop_after);
  lull_profile_stop();
}

TEST_F(SleepersTest, SoDoesOneThatKeepsAStranger) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "looks at machine code of a plain build";
  stop_after_each_instruction(survives_a_stop_of_a_stranger_after);
}

// Threads that work and sleep, asked all the time: no block is handed out twice, none lost.
TEST_F(SleepersTest, ThreadsThatAreAskedAtAnyMomentKeepWhatTheyUse) {
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  std::atomic<int> at_work{3};
  std::thread asker([&] {
    while (at_work > 0) {
      empty_sleepers(When::at_once);
      std::this_thread::yield();
    }
  });
  lull::testing::run_together(3, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    std::vector<std::pair<unsigned char*, std::size_t>> live;
    for (int i = 0; i < lull::testing::scaled(200'000); ++i) {
      if (live.size() < 200 && random() % 2 == 0) {
        const std::size_t bytes = 16 + random() % 2000;
        auto* block = static_cast<unsigned char*>(lull_malloc(bytes));
        block[0] = block[bytes - 1] = static_cast<unsigned char>(t + 1);
        live.emplace_back(block, bytes);
      } else if (!live.empty()) {
        std::swap(live[random() % live.size()], live.back());
        auto [block, bytes] = live.back();
        ASSERT_EQ(block[0], t + 1);
        ASSERT_EQ(block[bytes - 1], t + 1);
        lull_free(block);
        live.pop_back();
      }
      if (random() % 500 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    }
    for (auto [block, bytes] : live) lull_free(block);
    --at_work;
  });
  asker.join();
}

// The end of a thread, a fork, and being asked, in any order.
TEST_F(SleepersTest, ThreadsMayEndAndForkWhileTheyAreAsked) {
  std::atomic<bool> stop{false};
  std::thread asker([&] {
    while (!stop) empty_sleepers(When::at_once);
  });
  for (int i = 0; i < lull::testing::scaled(300); ++i) {
    std::thread([&] {
      fill_cache();
      if (i % 20 != 0) return;
      const auto child = lull::testing::run_in_child([] {
        fill_cache();
        Servant servant;
        servant.tell(fill_cache);
        LULL_CHILD_EXPECT(empties_until(When::at_once, [] { return !empty_sleepers(When::at_once); }));
        servant.tell(fill_cache);
      });
      EXPECT_TRUE(child.exited_well()) << child.errors;
    }).join();
  }
  stop = true;
  asker.join();
}

TEST(ThreadState, TellsWhoWaitsInASystemCall) {
  std::atomic<std::uint32_t> word{0};
  std::atomic<int> tid{0};
  std::atomic<std::uintptr_t> frame{0};
  std::thread waiter([&] {
    frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    tid = gettid();
    while (word.load() == 0) lull::os::futex_wait(word, std::uint32_t{0});
  });
  while (tid == 0) std::this_thread::yield();
  std::uintptr_t stack = 0;
  for (int i = 0; i < 1000 && stack == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stack = lull::os::stack_of_waiting_thread(tid);
  }
  ASSERT_NE(stack, 0u);
  EXPECT_LT(stack, frame.load());
  EXPECT_GT(stack, frame.load() - 100'000);
  const std::uint64_t time = lull::os::cpu_ns_of_thread(tid);
  EXPECT_NE(time, 0u);
  EXPECT_EQ(lull::os::cpu_ns_of_thread(tid), time);
  word = 1;
  lull::os::futex_wake_all(word);
  waiter.join();
}

TEST(ThreadState, AThreadThatRunsDoesNotWait) {
  std::atomic<int> tid{0};
  std::atomic<bool> stop{false};
  std::thread runner([&] {
    tid = gettid();
    while (!stop) {
    }
  });
  while (tid == 0) std::this_thread::yield();
  const std::uint64_t time = lull::os::cpu_ns_of_thread(tid);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(lull::os::stack_of_waiting_thread(tid), 0u);
  while (lull::os::cpu_ns_of_thread(tid) <= time) std::this_thread::yield();  // on a busy machine it may wait for a processor
  stop = true;
  runner.join();
}

TEST(ThreadState, NothingIsKnownOfAThreadThatIsNotThere) {
  EXPECT_EQ(lull::os::stack_of_waiting_thread(1 << 22), 0u);
  EXPECT_EQ(lull::os::cpu_ns_of_thread(1 << 22), 0u);
}

TEST(OwnMemory, IsReadAsFarAsItIsThere) {
  const lull::os::OwnMemory memory;
  const int there = 42;
  int copy = 0;
  EXPECT_TRUE(memory.read(reinterpret_cast<std::uintptr_t>(&there), &copy, sizeof copy));
  EXPECT_EQ(copy, 42);
  EXPECT_FALSE(memory.read(16, &copy, sizeof copy));
}

}  // namespace

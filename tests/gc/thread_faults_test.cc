// What threads do that collectors forget about: they are cancelled, jump over frames, run out of stack, sit in system calls for long,
// block every signal, run handlers elsewhere. Objects that they hold stay, those that they held go, and cycles end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

#include "gc/model/options.h"
#include "lull/heap_dump.h"
#include "lull/lull_c.h"
#include "lull/timeline.h"
#include "tests/support/collecting.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"

namespace {

using lull::blocking_region;
using lull::make;
using lull::ptr;
using lull::testing::clear_stack_below;
using lull::testing::Collecting;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::kAddressSanitizer;
using lull::testing::kIntact;
using lull::testing::kThreadSanitizer;
using lull::testing::Node;
using lull::testing::scaled;
using lull::testing::wait_for;

class ThreadFault : public testing::Test {
 protected:
  void SetUp() override {
    if (kThreadSanitizer) GTEST_SKIP() << "needs signals that arrive at once, and forced unwinding";
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

std::uint32_t attached() { return lull::read_mem_stats().threads; }

// A thread of the C library's, so that its end can be asked for: PTHREAD_CANCELED.
template <class Body>
class PosixThread {
 public:
  explicit PosixThread(Body body) : body_(std::move(body)) { EXPECT_EQ(pthread_create(&thread_, nullptr, &PosixThread::run, this), 0); }
  void cancel() { EXPECT_EQ(pthread_cancel(thread_), 0); }
  void kill(int signal) { EXPECT_EQ(pthread_kill(thread_, signal), 0); }
  void* join() {
    void* result = nullptr;
    blocking_region joining;
    EXPECT_EQ(pthread_join(thread_, &result), 0);
    return result;
  }

 private:
  static void* run(void* self) {
    static_cast<PosixThread*>(self)->body_();
    return nullptr;
  }
  Body body_;
  pthread_t thread_;
};

// ---- Cancellation ----

TEST_F(ThreadFault, CancelledWhileItAllocatesItDetachesAndItsObjectsGo) {
  if (kAddressSanitizer) GTEST_SKIP() << "its runtime finds the stack of a cancelled thread still poisoned";
  const std::uint32_t before = attached();
  std::atomic<std::uintptr_t> held{0};
  PosixThread thread([&] {
    ptr<Node> node = make<Node>();
    held = Hidden(node.get()).address() ^ ~std::uintptr_t{0};
    for (;;) {
      for (int i = 0; i < 100; ++i) make<Node>();
      lull::keep_alive(node);  // clang sees that nobody reads it otherwise
      pthread_testcancel();  // unwinds; destructors of frames run
    }
  });
  wait_for([&] { return held != 0; });
  lull::collect();
  const Hidden object(reinterpret_cast<void*>(~held.load()));
  EXPECT_EQ(object.as<Node>()->value, kIntact);
  thread.cancel();
  EXPECT_EQ(thread.join(), PTHREAD_CANCELED);
  EXPECT_EQ(attached(), before);
  clear_stack_below();
  lull::collect();
  lull::collect();
  EXPECT_FALSE(is_allocated(object));
}

TEST_F(ThreadFault, CancelledInABlockingRegionItLeavesItWhileCyclesRun) {
  if (kAddressSanitizer) GTEST_SKIP() << "its runtime finds the stack of a cancelled thread still poisoned";
  const std::uint32_t before = attached();
  {
    Collecting collecting;
    for (int i = 0; i < scaled(100); ++i) {
      std::atomic<bool> blocks{false};
      PosixThread thread([&] {
        [[maybe_unused]] ptr<Node> node = make<Node>();
        blocking_region region;
        blocks = true;
        for (;;) pause();
      });
      wait_for([&] { return blocks.load(); });
      thread.cancel();
      EXPECT_EQ(thread.join(), PTHREAD_CANCELED);
    }
  }
  EXPECT_EQ(attached(), before);
}

// The C interface's region has no destructor: the thread ends inside of it.
[[noreturn, gnu::noinline]] void spin_natively(std::atomic<bool>& runs) {
  runs = true;
  for (;;) asm volatile("");
}

TEST_F(ThreadFault, CancelledAsynchronouslyInNativeCodeItDetachesWhileCyclesRun) {
  if (kAddressSanitizer) GTEST_SKIP() << "its runtime finds the stack of a cancelled thread still poisoned";
  const std::uint32_t before = attached();
  {
    Collecting collecting;
    for (int i = 0; i < scaled(50); ++i) {
      std::atomic<bool> runs{false};
      PosixThread thread([&] {
        make<Node>();
        lull_enter_native();
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);  // allowed where nothing of lull's is called
        spin_natively(runs);
      });
      wait_for([&] { return runs.load(); });
      thread.cancel();
      EXPECT_EQ(thread.join(), PTHREAD_CANCELED);
    }
  }
  EXPECT_EQ(attached(), before);
}

// lull opens files (a memory limit, profiles, dumps), asks the kernel for random numbers and writes lines. In each of these the C library
// ended a thread that had been asked to end, with locks held or the world stopped.
TEST_F(ThreadFault, ACancellationIsNotNoticedInsideLull) {
  if (kAddressSanitizer) GTEST_SKIP() << "its runtime finds the stack of a cancelled thread still poisoned";
  bool survived = false;
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  PosixThread thread([&] {
    pthread_cancel(pthread_self());
    ptr<Node> node;
    for (int i = 0; i < 50'000; ++i) {
      ptr<Node> next = make<Node>();
      next->next = node;
      node = i % 100 == 0 ? nullptr : next;
    }
    lull::make_array<char>(1 << 20);
    lull::collect();
    lull::collect_young();
    lull::wait_for_finalizers();
    lull::read_mem_stats();
    lull::set_memory_limit(std::size_t{1} << 40);
    lull::set_memory_limit(0);
    lull::timeline::start();
    lull::collect();
    lull::timeline::stop();
    EXPECT_TRUE(lull::timeline::write("/dev/null"));
    EXPECT_TRUE(lull::dump_heap("/dev/null"));
    EXPECT_TRUE(lull::dump_heap("/dev/null", lull::dump_mode::stopped));
    EXPECT_TRUE(lull::dump_heap_to(nowhere));
    survived = true;
    pthread_testcancel();
    ADD_FAILURE() << "there was no cancellation to be noticed";
  });
  EXPECT_EQ(thread.join(), PTHREAD_CANCELED);
  EXPECT_TRUE(survived);
  ::close(nowhere);
  lull::collect();  // no lock was left held
}

// ---- Jumps ----

[[noreturn, gnu::noinline]] void jump_from_below(std::jmp_buf& back, int depth) {
  [[maybe_unused]] ptr<Node> node = make<Node>();
  if (depth == 0) std::longjmp(back, 1);
  jump_from_below(back, depth - 1);
}

// C++ asks that no destructor is skipped that does something; those of ptr do nothing.
TEST_F(ThreadFault, LongjmpOverManagedFramesLosesNothing) {
  Collecting collecting;
  elsewhere([] {
    ptr<Node> kept = make<Node>();
    for (int i = 0; i < scaled(2000); ++i) {
      std::jmp_buf back;
      if (setjmp(back) == 0) jump_from_below(back, i % 20);
      ASSERT_EQ(kept->value, kIntact);
    }
  });
}

TEST(ThreadFaultDeathTest, AllocatingAfterALongjmpOutOfABlockingRegion) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    static std::jmp_buf back;
    make<Node>();
    if (setjmp(back) == 0) {
      lull_enter_native();
      std::longjmp(back, 1);
    }
    for (int i = 0; i < 100'000; ++i) make<Node>();
  }, "allocated in a blocking region, or after a longjmp out of one");
}

TEST(ThreadFaultDeathTest, StoringAPointerInABlockingRegionWhileACycleMarks) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    const lull::root<Node> node = make<Node>();
    std::thread collecting([] {
      for (;;) lull::collect();
    });
    blocking_region here;
    for (;;) {
      node->next = nullptr;
      node->next = node;
    }
  }, "stored in a blocking region, or after a longjmp out of one");
}

// The barrier is always on there.
TEST(ThreadFaultDeathTest, StoringAPointerInABlockingRegionWherePointersAreChecked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    lull::gc::read_options();
    lull::gc::options.check_ptr_location = 1;
    const lull::root<Node> node = make<Node>();
    blocking_region here;
    node->next = node;
  }, "stored in a blocking region, or after a longjmp out of one");
}

// ---- The stack's end ----

std::atomic<int> stage{0};

// Goes down until `left` bytes of the stack are left, and spins there, holding `node`.
[[gnu::noinline]] void spin_near(std::uintptr_t low, std::size_t left, Node* node) {
  volatile char padding[256] = {};
  if (reinterpret_cast<std::uintptr_t>(&padding) - low > left + 512) {
    spin_near(low, left, node);
    padding[1] = padding[0];  // no tail call
    return;
  }
  stage = 1;
  while (stage == 1) asm volatile("");
  EXPECT_EQ(node->value, kIntact);
}

// The handshake's handler runs on the thread's own stack. The kernel's frame takes up to 3.5 KiB of it (with AVX-512), the handler less
// than 4: 16 KiB are enough, and are asked for in docs/guide.md.
TEST_F(ThreadFault, SixteenKilobytesOfStackAreEnoughToAnswer) {
  if (kAddressSanitizer) GTEST_SKIP() << "frames are larger";
  stage = 0;
  PosixThread thread([] {
    spin_near(lull::gc::self().stack.low, 16 * 1024, make<Node>().get());
  });
  wait_for([] { return stage == 1; });
  const std::uint64_t before = lull::read_mem_stats().async_answers;
  for (int i = 0; i < 5; ++i) lull::collect();
  EXPECT_GT(lull::read_mem_stats().async_answers, before);
  stage = 2;
  thread.join();
}

// Less than that: the kernel cannot deliver the signal, and the program ends like one whose stack has overflown. It does not hang.
TEST(ThreadFaultDeathTest, AStackThatIsFullEndsTheProgramLikeAnOverflow) {
  if (kThreadSanitizer || kAddressSanitizer) GTEST_SKIP() << "have handlers of their own";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT({
    stage = 0;
    PosixThread thread([] { spin_near(lull::gc::self().stack.low, 64, make<Node>().get()); });
    wait_for([] { return stage == 1; });
    std::fputs("it spins\n", stderr);
    lull::collect();
  }, testing::KilledBySignal(SIGSEGV), "it spins");
}

// A handler of the program for overflows runs on an alternate stack and may leave by siglongjmp: the collector goes on.
sigjmp_buf after_overflow;
[[gnu::noinline]] int recurse(volatile const bool& further) {
  volatile char padding[1024] = {};
  return (further ? recurse(further) : 0) + padding[0];
}

TEST_F(ThreadFault, AnOverflowThatTheProgramRecoversFromHurtsNothing) {
  if (kAddressSanitizer) GTEST_SKIP() << "has a handler of its own";
  Collecting collecting;
  PosixThread thread([] {
    static char alternate[64 * 1024];
    stack_t stack{};
    stack.ss_sp = alternate;
    stack.ss_size = sizeof alternate;
    ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
    struct sigaction action {}, before {};
    action.sa_handler = [](int) { siglongjmp(after_overflow, 1); };
    action.sa_flags = SA_ONSTACK;
    ASSERT_EQ(sigaction(SIGSEGV, &action, &before), 0);
    ptr<Node> node = make<Node>();
    {
      // The handshake's signal must not find the stack full: the thread promises to touch nothing meanwhile.
      blocking_region region;
      const volatile bool for_ever = true;
      if (sigsetjmp(after_overflow, 1) == 0) recurse(for_ever);
    }
    sigaction(SIGSEGV, &before, nullptr);
    for (int i = 0; i < 1000; ++i) make<Node>();
    EXPECT_EQ(node->value, kIntact);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, nullptr);
  });
  thread.join();
}

// ---- System calls, signals ----

TEST_F(ThreadFault, InASystemCallOutsideOfARegionItIsAnsweredByItsSignalHandler) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<bool> reads{false};
  PosixThread thread([&] {
    ptr<Node> node = make<Node>();
    char byte = 0;
    reads = true;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);  // for as long as the test's other threads like
    EXPECT_EQ(node->value, kIntact);
  });
  wait_for([&] { return reads.load(); });
  for (int i = 0; i < 20; ++i) lull::collect();
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  thread.join();
  close(ends[0]);
  close(ends[1]);
}

// System calls that are never started again (poll, nanosleep) end with EINTR, as with any signal; inside a region they are left alone.
TEST_F(ThreadFault, ASleepInARegionIsNotInterrupted) {
  std::atomic<bool> sleeps{false};
  int result = -1;
  PosixThread thread([&] {
    make<Node>();
    blocking_region region;
    sleeps = true;
    const timespec time{0, 50'000'000};
    result = nanosleep(&time, nullptr);
  });
  wait_for([&] { return sleeps.load(); });
  for (int i = 0; i < 20; ++i) lull::collect();
  thread.join();
  EXPECT_EQ(result, 0);
}

// Blocked after it attached, which docs/guide.md asks not to do: its polls answer, and so do blocking regions.
TEST_F(ThreadFault, WithEverySignalBlockedItAnswersWhenItAllocatesOrBlocks) {
  std::atomic<bool> over{false}, runs{false};
  PosixThread thread([&] {
    ptr<Node> node = make<Node>();
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    runs = true;
    while (!over) {
      for (int i = 0; i < 100; ++i) make<Node>();
      blocking_region region;
      usleep(100);
    }
    EXPECT_EQ(node->value, kIntact);
  });
  wait_for([&] { return runs.load(); });
  for (int i = 0; i < 10; ++i) lull::collect();
  over = true;
  thread.join();
}

// Handlers on an alternate stack that is on the heap and goes with the thread; the storm hits allocations, stores and blocking alike.
TEST_F(ThreadFault, SignalStormsOnAnAlternateStackLoseNothing) {
  struct sigaction action {}, before {};
  static std::atomic<int> handled;
  handled = 0;
  action.sa_handler = [](int) { handled.fetch_add(1); };
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  {
    Collecting collecting;
    std::atomic<bool> over{false}, runs{false};
    PosixThread thread([&] {
      std::vector<char> alternate(64 * 1024);
      stack_t stack{};
      stack.ss_sp = alternate.data();
      stack.ss_size = alternate.size();
      ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
      ptr<Node> list = make<Node>();
      runs = true;
      while (!over) {
        ptr<Node> node = make<Node>();
        node->next = list;
        ASSERT_EQ(node->next->value, kIntact);
        list = node;
        if (list->next->next) list->next->next = nullptr;
        blocking_region region;
      }
      stack.ss_flags = SS_DISABLE;
      sigaltstack(&stack, nullptr);
    });
    wait_for([&] { return runs.load(); });
    for (int i = 0; i < scaled(3000); ++i) thread.kill(SIGUSR1);
    over = true;
    thread.join();
  }
  EXPECT_GT(handled, 0);
  sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace

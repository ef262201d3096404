#include "alloc/os/thread.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <sched.h>
#include <sys/mman.h>

#include "tests/alloc/support.h"

namespace lull::os {
namespace {

std::uintptr_t address_of(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }

// Is a local of the `depth`-th frame below within the bounds?
[[gnu::noinline]] bool contains_locals(const StackBounds& bounds, int depth) {
  volatile char local[512];
  local[0] = 0;
  const bool here = bounds.contains(address_of(const_cast<char*>(local)));
  return here && (depth == 0 || contains_locals(bounds, depth - 1)) && local[0] == 0;
}

TEST(StackBounds, OfTheFirstThreadContainItsLocals) { EXPECT_TRUE(contains_locals(current_stack(), 100)); }

TEST(StackBounds, OfAnotherThreadContainItsLocalsAndNotOurs) {
  int ours = 0;
  const StackBounds first = current_stack();
  std::thread([&] {
    const StackBounds bounds = current_stack();
    EXPECT_TRUE(contains_locals(bounds, 100));
    EXPECT_FALSE(bounds.contains(address_of(&ours)));
    EXPECT_FALSE(first.contains(address_of(&bounds)));
  }).join();
}

TEST(StackBounds, OfAStackTheProgramMadeAreThatStack) {
  constexpr std::size_t kBytes = std::size_t{1} << 20;
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(0, pthread_attr_setstack(&attributes, memory, kBytes));
  StackBounds bounds;
  pthread_t thread;
  const auto entry = [](void* out) -> void* {
    *static_cast<StackBounds*>(out) = current_stack();
    return nullptr;
  };
  ASSERT_EQ(0, pthread_create(&thread, &attributes, entry, &bounds));
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(address_of(memory), bounds.low);
  EXPECT_EQ(address_of(memory) + kBytes, bounds.high);
  ::munmap(memory, kBytes);
}

TEST(StackBounds, DoNotContainWhatLiesElsewhere) {
  const auto on_heap = std::make_unique<int>();
  static int global;
  const StackBounds bounds = current_stack();
  EXPECT_FALSE(bounds.contains(address_of(on_heap.get())));
  EXPECT_FALSE(bounds.contains(address_of(&global)));
  EXPECT_FALSE(bounds.contains(bounds.high));
  EXPECT_FALSE(StackBounds{}.contains(0));
}

StackBounds bounds_in_handler;
bool local_in_bounds, handler_ran;

void record_signal_stack(int) {
  int local = 0;
  bounds_in_handler = active_signal_stack();
  local_in_bounds = bounds_in_handler.contains(address_of(&local));
  handler_ran = true;
}

// Raises a signal whose handler runs with `flags` while an alternate stack is installed.
void raise_with(int flags, const stack_t& alternate) {
  stack_t previous_stack;
  ::sigaltstack(&alternate, &previous_stack);
  struct sigaction action{}, previous;
  action.sa_handler = record_signal_stack;
  action.sa_flags = flags;
  ::sigaction(SIGUSR1, &action, &previous);
  handler_ran = false;
  ::raise(SIGUSR1);
  ::sigaction(SIGUSR1, &previous, nullptr);
  ::sigaltstack(&previous_stack, nullptr);
}

class SignalStack : public ::testing::Test {
 protected:
  std::vector<char> memory_ = std::vector<char>(256 * 1024);
  stack_t alternate_ = [this] {
    stack_t stack{};
    stack.ss_sp = memory_.data();
    stack.ss_size = memory_.size();
    return stack;
  }();
};

TEST_F(SignalStack, IsFoundByAHandlerThatRunsOnIt) {
  raise_with(SA_ONSTACK, alternate_);
  ASSERT_TRUE(handler_ran);
  EXPECT_TRUE(local_in_bounds);
  EXPECT_EQ(address_of(memory_.data()), bounds_in_handler.low);
  EXPECT_EQ(address_of(memory_.data()) + memory_.size(), bounds_in_handler.high);
}

TEST_F(SignalStack, IsNotReportedWhereNothingRunsOnIt) {
  raise_with(0, alternate_);
  ASSERT_TRUE(handler_ran);
  EXPECT_EQ(0u, bounds_in_handler.high);
  EXPECT_EQ(0u, active_signal_stack().high);
}

TEST(Threads, HaveTheKernelsIds) {
  EXPECT_EQ(::getpid(), current_thread_id());
  std::thread([] { EXPECT_NE(::getpid(), current_thread_id()); }).join();
}

TEST(Threads, ThatYieldLetOthersFinish) {
  std::atomic<bool> done{false};
  std::thread other([&] { done.store(true); });
  while (!done.load()) yield();
  other.join();
}

TEST(Threads, ProcessorsAreThoseTheThreadMayRunOn) {
  EXPECT_GE(processors(), 1u);
  EXPECT_LE(processors(), std::max(1u, static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_CONF))));
  std::thread([] {
    cpu_set_t all, one;
    ASSERT_EQ(0, ::sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
      if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    ASSERT_EQ(0, ::sched_setaffinity(0, sizeof one, &one));
    EXPECT_EQ(1u, processors());
  }).join();
}

struct Seen {
  sigset_t blocked;
  char name[32] = {};
  int scheduling = -1;
};

void* look_around(void* argument) {
  auto& seen = *static_cast<Seen*>(argument);
  pthread_sigmask(SIG_SETMASK, nullptr, &seen.blocked);
  make_background();
  seen.scheduling = ::sched_getscheduler(0);
  return argument;
}

TEST(Threads, StartWithAllSignalsBlockedAndLeaveTheStartersMaskAlone) {
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  pthread_t thread;
  Seen seen;
  ASSERT_TRUE(start_thread(thread, look_around, &seen, "lull-test"));
  void* result = nullptr;
  pthread_join(thread, &result);
  EXPECT_EQ(&seen, result);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGURG, SIGPROF, SIGCHLD})
    EXPECT_EQ(1, sigismember(&seen.blocked, signal)) << signal;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < SIGRTMIN; ++signal)
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
}

TEST(Threads, InTheBackgroundStandBackForOthersAndOthersDoNot) {
  pthread_t thread;
  Seen seen;
  ASSERT_TRUE(start_thread(thread, look_around, &seen, "lull-test"));
  pthread_join(thread, nullptr);
  EXPECT_EQ(SCHED_BATCH, seen.scheduling);
  EXPECT_NE(SCHED_BATCH, ::sched_getscheduler(0));
}

TEST(Threads, HaveTheNameTheyWereGiven) {
  std::atomic<bool> done{false};
  const auto wait = [](void* flag) -> void* {
    while (!static_cast<std::atomic<bool>*>(flag)->load()) std::this_thread::yield();
    return nullptr;
  };
  pthread_t thread;
  ASSERT_TRUE(start_thread(thread, wait, &done, "lull-named"));
  char name[32] = {};
  EXPECT_EQ(0, pthread_getname_np(thread, name, sizeof name));
  done.store(true);
  pthread_join(thread, nullptr);
  EXPECT_STREQ("lull-named", name);
}

TEST(Threads, ThatCannotBeStartedAreAValue) {
  pthread_attr_t usual, impossible;
  ASSERT_EQ(0, pthread_getattr_default_np(&usual));
  pthread_attr_init(&impossible);
  pthread_attr_setstacksize(&impossible, std::size_t{1} << 50);
  ASSERT_EQ(0, pthread_setattr_default_np(&impossible));
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  pthread_t thread;
  Seen seen;
  EXPECT_FALSE(start_thread(thread, look_around, &seen, "lull-test"));
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
  pthread_setattr_default_np(&usual);
  EXPECT_TRUE(start_thread(thread, look_around, &seen, "lull-test"));
  pthread_join(thread, nullptr);
}

}  // namespace
}  // namespace lull::os

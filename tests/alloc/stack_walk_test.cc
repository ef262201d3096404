// Stacks as lull walks them, against the walk of the C++ runtime (backtrace()).
#include "alloc/sample/stack_walk.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <dlfcn.h>
#include <execinfo.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "alloc/sample/frame_rules.h"
#include "tests/alloc/support.h"

namespace lull::sample {
namespace {

struct Both {
  StackTrace ours;
  void* theirs[kMostFrames + 8];
  int depth = 0;
};

[[gnu::noinline]] void walk_both(Both& both) {
  capture_stack(both.ours);
  both.depth = backtrace(both.theirs, static_cast<int>(std::size(both.theirs)));
  // A sanitizer's backtrace() begins with itself.
  void** end = both.theirs + both.depth;
  void** second = std::find(both.theirs, end, reinterpret_cast<void*>(both.ours.frames[1]));
  if (second > both.theirs + 1 && second != end) {
    std::copy(second - 1, end, both.theirs);
    both.depth -= static_cast<int>(second - 1 - both.theirs);
  }
}

// The innermost frame differs by the place of the two calls, one that a signal interrupted by 1 (capture_context).
void expect_same(const Both& both) {
  ASSERT_GE(both.depth, 2);
  // backtrace() goes on into frames behind the outermost one in some versions: the end is compared where ours ends.
  ASSERT_GE(both.ours.depth + 1, std::min<std::uint32_t>(static_cast<std::uint32_t>(both.depth), kMostFrames));
  const auto common = std::min<std::size_t>(both.ours.depth, static_cast<std::size_t>(both.depth));
  int interrupted = 0;
  for (std::size_t i = 1; i < common; ++i) {
    const auto theirs = reinterpret_cast<std::uintptr_t>(both.theirs[i]);
    if (theirs + 1 == both.ours.frames[i]) ++interrupted;
    else EXPECT_EQ(theirs, both.ours.frames[i]) << "frame " << i << " of " << both.depth;
  }
  EXPECT_LE(interrupted, 1);
}

[[gnu::noinline]] int recurse(int depth, Both& both) {
  volatile char frame[100];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) walk_both(both);
  else recurse(depth - 1, both);
  return frame[0];
}

[[gnu::noinline]] void with_variable_frame(std::size_t bytes, Both& both) {
  auto* memory = static_cast<volatile char*>(__builtin_alloca(bytes));
  memory[bytes - 1] = 1;
  walk_both(both);
  memory[0] = 1;
}

struct alignas(64) Wide { char bytes[128]; };
[[gnu::noinline]] void with_aligned_frame(Both& both) {
  Wide wide;
  volatile char* at = wide.bytes;
  at[0] = 1;
  ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(at) % 64);
  walk_both(both);
  at[1] = 1;
}

TEST(StackWalk, IsThatOfTheRuntime) {
  prepare_captures();
  for (int round = 0; round < 2; ++round) {  // rules found, and remembered
    Both plain, deep, variable, aligned;
    walk_both(plain);
    expect_same(plain);
    recurse(20, deep);
    expect_same(deep);
    EXPECT_GT(deep.ours.depth, 20u);
    with_variable_frame(1000, variable);
    expect_same(variable);
    with_aligned_frame(aligned);
    expect_same(aligned);
  }
}

TEST(StackWalk, CutsOffTheOuterEndOfDeepStacks) {
  Both deep;
  recurse(200, deep);
  EXPECT_EQ(kMostFrames, deep.ours.depth);
  expect_same(deep);
}

// qsort, std::function and a new thread: code of other libraries between our frames.
Both of_comparison;
int compare(const void* a, const void* b) {
  if (of_comparison.depth == 0) walk_both(of_comparison);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}
TEST(StackWalk, CrossesOtherLibraries) {
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof numbers[0], compare);
  expect_same(of_comparison);
  std::thread([] {
    Both in_thread;
    std::function<void()> f = [&] { walk_both(in_thread); };
    f();
    expect_same(in_thread);
  }).join();
}

TEST(StackWalk, OfDestructorsWhileAnExceptionIsThrown) {
  Both both;
  struct AtEnd {
    Both& both;
    ~AtEnd() { walk_both(both); }
  };
  try {
    AtEnd at_end{both};
    throw std::runtime_error("");
  } catch (const std::exception&) {
  }
  expect_same(both);
}

// Signals: through the kernel's frame, on an alternate stack, and of the interrupted code itself.
Both of_handler;
StackTrace of_context;
void on_signal(int, siginfo_t*, void* context) {
  walk_both(of_handler);
  capture_context(of_context, context);
}
[[gnu::noinline]] int raise_here() { return ::raise(SIGUSR1) + 1; }

TEST(StackWalk, GoesThroughSignalHandlers) {
  void* loads_the_unwinder[1];
  backtrace(loads_the_unwinder, 1);
  for (const bool alternate : {false, true}) {
    std::vector<char> stack(256 * 1024);
    stack_t signal_stack{stack.data(), 0, stack.size()}, before;
    ASSERT_EQ(0, ::sigaltstack(&signal_stack, &before));
    struct sigaction action = {}, old;
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | (alternate ? SA_ONSTACK : 0);
    ASSERT_EQ(0, ::sigaction(SIGUSR1, &action, &old));
    of_handler = {};
    of_context = {};
    raise_here();
    ::sigaction(SIGUSR1, &old, nullptr);
    ::sigaltstack(&before, nullptr);
    expect_same(of_handler);
    const auto here = object_of(reinterpret_cast<std::uintptr_t>(&raise_here));
    EXPECT_TRUE(std::any_of(of_context.frames, of_context.frames + of_context.depth, [&](std::uintptr_t pc) {
      return here.contains(pc) && pc - reinterpret_cast<std::uintptr_t>(&raise_here) < 64;
    }));
  }
}

// A stack of the program's own making, as coroutines have: the walk ends where nobody called.
ucontext_t main_context, coroutine;
StackTrace of_coroutine;
void run_coroutine() { capture_stack(of_coroutine); }
TEST(StackWalk, EndsWithACoroutine) {
  std::vector<char> stack(256 * 1024);
  ::getcontext(&coroutine);
  coroutine.uc_stack.ss_sp = stack.data();
  coroutine.uc_stack.ss_size = stack.size();
  coroutine.uc_link = &main_context;
  ::makecontext(&coroutine, run_coroutine, 0);
  ::swapcontext(&main_context, &coroutine);
  EXPECT_GE(of_coroutine.depth, 1u);
  EXPECT_LE(of_coroutine.depth, 3u);
}

// dlclose: code that lies where other code lay before. The rule is found anew.
TEST(StackWalk, ForgetsRules) {
  Both both;
  walk_both(both);
  forget_frame_rules();
  Both again;
  walk_both(again);
  expect_same(again);
}

// Every function that anything here was compiled to: the tables are understood, but for some of hand-written assembly.
TEST(FrameRules, AreUnderstoodThroughoutTheProgramAndTheCLibrary) {
  for (const void* in : {reinterpret_cast<const void*>(&recurse), reinterpret_cast<const void*>(&::qsort)}) {
    const CodeRange range = object_of(reinterpret_cast<std::uintptr_t>(in));
    ASSERT_TRUE(range.contains(reinterpret_cast<std::uintptr_t>(in)));
    std::size_t known = 0, unknown = 0;
    for (std::uintptr_t pc = range.start; pc < range.end; pc += 7) {
      const FrameRule rule = find_frame_rule(pc);
      if (rule.kind != FrameKind::unknown) ++known;
      else ++unknown;
    }
    std::printf("%zu places with a rule, %zu without\n", known, unknown);
    EXPECT_GT(known, 1000u);
  }
  EXPECT_EQ(FrameKind::unknown, find_frame_rule(0).kind);
  EXPECT_EQ(FrameKind::unknown, find_frame_rule(~std::uintptr_t{0}).kind);
  static char no_code[16];
  EXPECT_EQ(FrameKind::unknown, find_frame_rule(reinterpret_cast<std::uintptr_t>(no_code)).kind);
}

}  // namespace
}  // namespace lull::sample

// Where a conservative scan has to look: callee-saved registers, vector registers, deep frames, alternate signal stacks,
// and threads that are blocked, spinning, or in a signal handler.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <iterator>
#include <sys/mman.h>
#include <thread>
#include <ucontext.h>

#include "gc/model/options.h"
#include "gc/mutator/frames.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Node {
  std::uint64_t value = 7;
};

Hidden make_elsewhere() {
  Hidden made;
  elsewhere([&] { made = Hidden(lull::make<Node>().get()); });
  return made;
}

class StackScanTest : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

// Collects from another thread while this one is in `body`'s blocking region or spins.
std::atomic<int> stage{0};

[[gnu::noinline]] void collect_from_another_thread() {
  std::thread([] {
    lull::collect();
    lull::collect();
    stage = 2;
  }).detach();
}

TEST_F(StackScanTest, AnObjectNobodyHoldsIsFreed) {
  const Hidden object = make_elsewhere();
  clear_stack_below();
  lull::collect();
  EXPECT_FALSE(is_allocated(object));
}

// One test per callee-saved register: the only reference is in it while the thread is blocked.
#define HOLDS_IN_REGISTER(reg)                                                                     \
  TEST_F(StackScanTest, ABlockedThreadHoldsWithItsRegister_##reg) {                                \
    const Hidden object = make_elsewhere();                                                        \
    clear_stack_below();                                                                           \
    std::uintptr_t hidden = ~object.address();                                                     \
    asm volatile("mov %0, %%" #reg "\n\tnot %%" #reg ::"r"(hidden) : #reg);                        \
    asm volatile("call lull_test_collect_blocked" ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", \
                 #reg, "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",    \
                 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                            \
    EXPECT_TRUE(is_allocated(object));                                                             \
  }

extern "C" void lull_test_collect_blocked() {
  stage = 0;
  collect_from_another_thread();
  lull::blocking_region blocked;
  while (stage != 2) std::this_thread::yield();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
HOLDS_IN_REGISTER(rbx)
HOLDS_IN_REGISTER(r12)
HOLDS_IN_REGISTER(r13)
HOLDS_IN_REGISTER(r14)
HOLDS_IN_REGISTER(r15)

// A spinning thread answers by signal; its only reference is in a vector register.
TEST_F(StackScanTest, ASpinningThreadHoldsWithAVectorRegister) {
  const Hidden object = make_elsewhere();
  clear_stack_below();
  stage = 0;
  collect_from_another_thread();
  std::uintptr_t hidden = ~object.address();
  asm volatile(
      "not %0\n\tmovq %0, %%xmm9\n\txor %0, %0\n"
      "1: pause\n\tcmpl $2, %1\n\tjne 1b\n\tpxor %%xmm9, %%xmm9"
      : "+r"(hidden)
      : "m"(stage)
      : "xmm9", "memory", "cc");
  EXPECT_TRUE(is_allocated(object));
}
#endif

// The thread spins in a handler of its own on an alternate stack; the reference is in the interrupted function's frame.
std::atomic<bool> in_handler{false};

void spin_in_handler(int) {
  in_handler = true;
  while (stage != 2) {
  }
}

void handle_on_alternate_stack(void (*handler)(int)) {
  static char alternate[64 * 1024];
  stack_t stack{};
  stack.ss_sp = alternate;
  stack.ss_size = sizeof alternate;
  ASSERT_EQ(sigaltstack(&stack, nullptr), 0);
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
}

[[gnu::noinline]] void raise_holding(const Hidden& object) {
  Node* volatile held = object.as<Node>();
  raise(SIGUSR1);
  EXPECT_EQ(held->value, 7u);
}

void hold_under_a_handler_on_an_alternate_stack() {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "needs asynchronous answers";
#endif
  handle_on_alternate_stack(spin_in_handler);
  const Hidden object = make_elsewhere();
  clear_stack_below();
  stage = 0;
  std::thread([] {
    while (!in_handler) std::this_thread::yield();
    lull::collect();
    lull::collect();
    stage = 2;
  }).detach();
  raise_holding(object);
  EXPECT_TRUE(is_allocated(object));
}

// The collector answered for such a thread as if its handler ran on the collector's own alternate stack, which it does not
// have: both of the thread's stacks were left out.
[[gnu::noinline]] void collect_in_handler(int) { lull_test_collect_blocked(); }

TEST_F(StackScanTest, AThreadThatIsBlockedInAHandlerOnAnAlternateStackHidesNothing) {
  handle_on_alternate_stack(collect_in_handler);
  const Hidden object = make_elsewhere();
  clear_stack_below();
  raise_holding(object);
  EXPECT_TRUE(is_allocated(object));
}

// A stack that nobody told the collector of: references on it would be missed, so it says so.
ucontext_t main_context, fiber_context;
void collect_on_fiber() {
  lull::collect();
  setcontext(&main_context);
}

TEST(StackScanDeathTest, AnUnknownStackIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    static char stack[64 * 1024];
    lull::make<Node>();
    getcontext(&fiber_context);
    fiber_context.uc_stack.ss_sp = stack;
    fiber_context.uc_stack.ss_size = sizeof stack;
    makecontext(&fiber_context, collect_on_fiber, 0);
    swapcontext(&main_context, &fiber_context);
  }, "lull: this thread runs on a stack that is not its own");
}

// An answer on a fiber's stack, a quarter of a page above memory that nobody has touched: it had 2 KiB of room for frames that are not there,
// and their page fault took up to 32 us of it.
void copy_no_frames() {
  lull::gc::WordBuffer words;
  volatile char used[4096 - 1536];
  used[0] = 1;
  used[sizeof used - 1] = 1;
  EXPECT_TRUE(lull::gc::copy_frames(nullptr, words));
  setcontext(&main_context);
}

// Of a fresh stack.
std::ptrdiff_t pages_touched_by(void (*function)()) {
  constexpr std::size_t kPage = 4096, kBytes = 16 * kPage;
  void* const stack = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  getcontext(&fiber_context);
  fiber_context.uc_stack.ss_sp = stack;
  fiber_context.uc_stack.ss_size = kBytes;
  makecontext(&fiber_context, function, 0);
  swapcontext(&main_context, &fiber_context);
  unsigned char resident[kBytes / kPage];
  EXPECT_EQ(mincore(stack, kBytes, resident), 0);
  munmap(stack, kBytes);
  return std::count_if(std::begin(resident), std::end(resident), [](unsigned char page) { return (page & 1) != 0; });
}

TEST_F(StackScanTest, WhereThereAreNoFramesAnAnswerNeedsLittleStack) {
  if (lull::testing::kAddressSanitizer || lull::testing::kThreadSanitizer) GTEST_SKIP() << "frames are larger";
  pages_touched_by(copy_no_frames);  // at the first call of a function the loader puts all registers on the stack
  EXPECT_EQ(pages_touched_by(copy_no_frames), 1);
}

TEST_F(StackScanTest, AHandlerOnAnAlternateStackHidesNothing) { hold_under_a_handler_on_an_alternate_stack(); }

// The oracle stress lost objects with stopped worlds: a thread that parked in the handshake's handler, itself on an alternate
// stack, was scanned by the driver, which asked for the driver's own alternate stack, found none and scanned nothing.
TEST_F(StackScanTest, AHandlerOnAnAlternateStackHidesNothingWhereTheWorldIsStopped) {
  lull::gc::options.stw = 1;
  hold_under_a_handler_on_an_alternate_stack();
}

[[gnu::noinline]] bool hold_deep_down(const Hidden& object, int depth) {
  volatile char padding[512] = {};
  if (depth > 0) return hold_deep_down(object, depth - 1) && padding[0] == 0;
  Node* volatile held = object.as<Node>();
  lull_test_collect_blocked();
  return held->value == 7;
}

TEST_F(StackScanTest, AMegabyteOfStackIsScanned) {
  const Hidden object = make_elsewhere();
  clear_stack_below();
  EXPECT_TRUE(hold_deep_down(object, 1500));
  EXPECT_TRUE(is_allocated(object));
}

}  // namespace

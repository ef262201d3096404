// Fibers: stacks that threads run on by turns. The collector scans them while they are parked, beside the program, and none of it
// in a pause; a fiber may be left by one thread and resumed by another at any time (docs/fibers.md).
//
// Adapters do all of this: lull/boost_context.h for Boost.Context and whatever is built on it (Boost.Fiber, Boost.Coroutine2,
// Boost.Asio's spawn). What follows is for other ways of switching:
//
//   void resume(Task& t) {
//     lull::fiber_switch_to(t.stack);      // ... and then, in the same function:
//     swap_context(&here, &t.context);
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lull/histogram.h"

struct lull_fiber;  // a stack as the collector knows it; also in lull/lull_c.h

namespace lull {

enum class parked_stack : unsigned char {
  may_change,  // others may store into its variables while it is parked: every cycle scans it
  // The program promises that nobody does, not through references either: young cycles scan it only if it has run since the last cycle. A
  // broken promise loses objects. Right for fibers that hand things over through queues in managed memory or roots.
  stays,
};

namespace detail {
lull_fiber* register_stack(void* low, std::size_t bytes, parked_stack use) noexcept;  // nullptr: out of memory
void forget_stack(lull_fiber* stack) noexcept;
lull_fiber* stack_of_this_thread() noexcept;
extern "C" void lull_fiber_switch_to(lull_fiber* next);
}  // namespace detail

// Memory that fibers run on. What lies in it counts as roots from the time it is first left. Registers it with the collector while it exists:
// make it before the memory is used, and drop it before the memory is freed, while no thread runs on it.
class fiber_stack {
 public:
  fiber_stack() = default;
  // [low, low + bytes), without guard pages. get() is null when there was no memory for the collector's record.
  fiber_stack(void* low, std::size_t bytes, parked_stack use = parked_stack::may_change) noexcept
      : stack_(detail::register_stack(low, bytes, use)) {}
  fiber_stack(fiber_stack&& other) noexcept : stack_(std::exchange(other.stack_, nullptr)) {}
  fiber_stack& operator=(fiber_stack&& other) noexcept {
    std::swap(stack_, other.stack_);
    return *this;
  }
  ~fiber_stack() {
    if (stack_ != nullptr) detail::forget_stack(stack_);
  }
  lull_fiber* get() const { return stack_; }

 private:
  lull_fiber* stack_ = nullptr;
};

// The stack that the calling thread runs on, its own included: what to switch back to.
inline lull_fiber* this_stack() noexcept { return detail::stack_of_this_thread(); }

// The calling thread is about to leave the stack it runs on, for `next`, which no thread runs on. Call it in the very function that
// makes the switch (its frame and its callers' are what is scanned), just before: no managed memory may be touched between the two.
// Not in a blocking region. May scan `next` (16 KiB take about a microsecond), never waits for the collector. Exceptions that
// are being handled stay with the stack they are handled on.
[[gnu::always_inline]] inline void fiber_switch_to(lull_fiber* next) { detail::lull_fiber_switch_to(next); }
[[gnu::always_inline]] inline void fiber_switch_to(const fiber_stack& next) { detail::lull_fiber_switch_to(next.get()); }

struct fiber_stats {
  std::uint32_t stacks_read = 0;  // parked stacks that the last cycle read, and bytes of them
  std::uint64_t bytes_read = 0;
  histogram resume_scan;          // what threads took that came to run on a stack before the collector had read it
};
fiber_stats read_fiber_stats();  // stops nobody

}  // namespace lull

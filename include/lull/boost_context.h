// Boost.Context, and what is built on it: Boost.Fiber, Boost.Coroutine2, spawn of Boost.Asio. Link lull::boost_context, before Boost: it has the
// functions that switch stacks, and they tell the collector. Then fibers may hold references, park with them, and go on in other
// threads (docs/fibers.md).
//
//   lull::fiber_stack_allocator<> stacks(32 * 1024);
//   boost::context::fiber f(std::allocator_arg, stacks, [&](boost::context::fiber&& caller) { ... });
//   boost::fibers::fiber g(std::allocator_arg, stacks, [] { ... });
//
// Stacks of other allocators (those that Boost.Fiber makes for itself) are scanned too, but not what lies above them: the captures of a fiber's
// function. Every switch away from one copies what it refers to, and what it referred to last lives on until its memory is used for
// another stack.
#pragma once

#include <boost/context/fixedsize_stack.hpp>
#include <boost/context/stack_context.hpp>
#include <cstddef>
#include <new>
#include <utility>

#include "lull/fiber.h"

namespace lull {

namespace detail {
extern "C" void lull_fcontext_expect(lull_fiber* stack);
}

// A StackAllocator of Boost.Context's: stacks of `Stacks`, known to the collector.
template <class Stacks = boost::context::fixedsize_stack>
class fiber_stack_allocator {
 public:
  using traits_type = typename Stacks::traits_type;

  explicit fiber_stack_allocator(std::size_t bytes = traits_type::default_size(), parked_stack use = parked_stack::may_change)
      : stacks_(bytes), use_(use) {}
  explicit fiber_stack_allocator(Stacks stacks, parked_stack use = parked_stack::may_change) : stacks_(std::move(stacks)), use_(use) {}

  // As that of Boost's allocators; std::bad_alloc also when there is no memory for the collector's record.
  boost::context::stack_context allocate() {
    boost::context::stack_context memory = stacks_.allocate();
    char* const top = static_cast<char*>(memory.sp);
    lull_fiber* stack = detail::register_stack(top - memory.size, memory.size - kReserved, use_);
    if (stack == nullptr) {
      stacks_.deallocate(memory);
      throw std::bad_alloc();
    }
    memory.sp = top - kReserved;
    memory.size -= kReserved;
    *static_cast<lull_fiber**>(memory.sp) = stack;
    detail::lull_fcontext_expect(stack);
    return memory;
  }

  void deallocate(boost::context::stack_context& memory) noexcept {
    detail::forget_stack(*static_cast<lull_fiber**>(memory.sp));
    memory.sp = static_cast<char*>(memory.sp) + kReserved;
    memory.size += kReserved;
    stacks_.deallocate(memory);
  }

 private:
  static constexpr std::size_t kReserved = 64;  // above the stack: the collector's record of it; stacks stay aligned
  Stacks stacks_;
  parked_stack use_;
};

}  // namespace lull

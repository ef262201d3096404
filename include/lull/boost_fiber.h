// Boost.Fiber: threads that run many fibers, with any of its scheduling algorithms. Link lull::boost_context, before Boost, and give
// fibers stacks of lull::fiber_stack_allocator (lull/boost_context.h). Fibers may go on in other threads (work stealing).
//
//   boost::fibers::use_scheduling_algorithm<lull::blocking_algorithm<boost::fibers::algo::work_stealing>>(threads);
//   boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, stacks, [&] { ... }).detach();
//
// Boost keeps the values in its promises and buffered channels in malloc memory: put lull::root<T> there, not lull::ptr<T>. What lies on
// stacks (function arguments and captures, an unbuffered channel's values) may be either.
#pragma once

#include <boost/fiber/algo/algorithm.hpp>
#include <chrono>

#include "lull/boost_context.h"
#include "lull/thread.h"

namespace lull {

// A scheduling algorithm whose idle threads are in a blocking region, so that the collector answers for them.
template <class Algorithm>
class blocking_algorithm : public Algorithm {
 public:
  using Algorithm::Algorithm;

  void suspend_until(const std::chrono::steady_clock::time_point& until) noexcept override {
    blocking_region idle;
    Algorithm::suspend_until(until);
  }
};

}  // namespace lull

// A place where tests make memory run out. Costs a load and a branch where nobody does.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::os {

class InjectedFault {
 public:
  // The n-th next request is refused, counted from 0, and every later one when `sticky`; negative: none.
  void set_for_testing(std::int64_t n, bool sticky) {
    sticky_.store(sticky, std::memory_order_relaxed);
    countdown_.store(n, std::memory_order_relaxed);
  }
  bool hits() {
    std::int64_t left = countdown_.load(std::memory_order_relaxed);
    if (left < 0) [[likely]] return false;
    // Not by fetch_sub: of two threads that both see 0, one alone is hit, and a sticky fault is never away for a moment.
    while (!countdown_.compare_exchange_weak(left, left == 0 && sticky_.load(std::memory_order_relaxed) ? 0 : left - 1,
                                             std::memory_order_relaxed)) {
      if (left < 0) return false;
    }
    return left == 0;
  }
  // Requests that will be let through yet; negative: there is no fault, or it has been.
  std::int64_t remaining_for_testing() const { return countdown_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> countdown_{-1};
  std::atomic<bool> sticky_{false};
};

}  // namespace lull::os

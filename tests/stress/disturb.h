// What makes a run harder from outside of the graph: signals, mappings that fail, clocks that jump.
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>
#include <thread>

namespace lull::stress {

// While it exists the calling thread is interrupted every 50 us by the collector's signal, and every 170 us by one of the
// program, whose handler runs on an alternate stack.
class SignalStorm {
 public:
  SignalStorm();
  ~SignalStorm();
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;

 private:
  timer_t timers_[2];
  char* stack_;
};

// While it exists the system refuses mappings now and then.
class FailingMappings {
 public:
  explicit FailingMappings(std::uint64_t seed);
  ~FailingMappings();
  FailingMappings(const FailingMappings&) = delete;
  FailingMappings& operator=(const FailingMappings&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// While it exists the monotonic clock leaps ahead now and then, by up to an hour (a machine that was suspended), and the
// wall clock in both directions. Sanitizers have clocks of their own: nothing happens there.
class JumpingClocks {
 public:
  explicit JumpingClocks(std::uint64_t seed);
  ~JumpingClocks();
  JumpingClocks(const JumpingClocks&) = delete;
  JumpingClocks& operator=(const JumpingClocks&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace lull::stress

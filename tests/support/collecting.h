// Help for tests of threads beside cycles.
#pragma once

#include <atomic>
#include <thread>

#include "lull/lull.h"

namespace lull::testing {

// Spins in a blocking region: cycles go on without an answer of this thread's, also where it cannot be interrupted.
template <class Condition>
void wait_for(Condition&& holds) {
  blocking_region waiting;
  while (!holds()) std::this_thread::yield();
}

// Runs collect() over and over on a thread of its own.
class Collecting {
 public:
  Collecting() : thread_([this] {
    while (!stop_) {
      lull::collect();
      ++cycles_;
    }
  }) {}
  ~Collecting() {
    stop_ = true;
    blocking_region joining;
    thread_.join();
  }
  int cycles() const { return cycles_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> cycles_{0};
  std::thread thread_;
};

}  // namespace lull::testing

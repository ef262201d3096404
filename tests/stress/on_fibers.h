// Players on fibers: each has a stack of its own, and whatever thread comes first goes on with it, until all have played.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "tests/stress/player.h"
#include "tests/support/task.h"

namespace lull::stress {

class PlayersOnFibers {
 public:
  PlayersOnFibers(int players, std::uint64_t seed, const Habits& habits, int steps);
  void run_some();  // on each thread: returns when all have played

 private:
  test::Task* take();
  void give_back(test::Task& task);

  std::deque<std::unique_ptr<test::Task>> tasks_;
  std::mutex lock_;
  std::deque<test::Task*> ready_;  // lock_
  std::atomic<int> playing_;
};

}  // namespace lull::stress

#include "tests/stress/on_fibers.h"

#include <thread>

#include "lull/thread.h"

namespace lull::stress {

PlayersOnFibers::PlayersOnFibers(int players, std::uint64_t seed, const Habits& habits, int steps) : playing_(players) {
  constexpr std::size_t kStackBytes = 256 * 1024;  // hold_deep_down takes half of it under AddressSanitizer
  for (int i = 0; i < players; ++i) {
    const auto play = [=](test::Task& self) {
      Habits own = habits;
      own.pause = [&self] { self.pause(); };
      Player(seed + static_cast<std::uint64_t>(i), own).play(steps);
    };
    // Others store into no variable of these stacks.
    tasks_.push_back(std::make_unique<test::Task>(play, i % 2 == 0 ? parked_stack::stays : parked_stack::may_change, kStackBytes));
    ready_.push_back(tasks_.back().get());
  }
}

void PlayersOnFibers::run_some() {
  while (playing_.load() > 0) {
    if (test::Task* task = take()) {
      task->resume();
      give_back(*task);
    } else {
      blocking_region waiting;
      std::this_thread::yield();
    }
  }
}

test::Task* PlayersOnFibers::take() {
  std::lock_guard guard(lock_);
  if (ready_.empty()) return nullptr;
  test::Task* task = ready_.front();
  ready_.pop_front();
  return task;
}

void PlayersOnFibers::give_back(test::Task& task) {
  if (task.ended()) {
    playing_.fetch_sub(1);
    return;
  }
  std::lock_guard guard(lock_);
  ready_.push_back(&task);
}

}  // namespace lull::stress

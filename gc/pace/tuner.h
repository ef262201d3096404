// Moves the percentage so that the program meets a target: a share of the processors for collecting, a latency of allocations,
// or a size of the heap. Arithmetic only, like the pacer: told of every cycle, answers with an action now and then.
//
//   target    too much of it                      too little
//   memory    lower the percentage, at once       raise it (only where nothing else is asked for)
//   cpu       raise it in proportion              lower it in proportion
//   latency   raise it by half                    lower it by a fifth, but not below where it was when tuning began
//
// Rules, in this order:
//   1. Every kWindow cycles a decision; before that only where the heap would pass its memory.
//   2. What cpu and latency want: the highest percentage of those that want more, or else of those that want less.
//   3. Never above what memory allows: (target - next) / next, where next = live + what it grew by since the last full cycle. So
//      a heap that grows faster gets a lower percentage, whatever else is asked for (monotone), and time to react. It is raised only for the largest heap of the last two windows.
//   4. Within the bounds; by a factor of two at most, except down for memory; not at all for less than a tenth, which the
//      reserve below the memory covers.
//   5. Back in the direction that it came from only if two decisions running want it, except down for memory.
// Rules 4 and 5 keep noise and loads that swing from moving it to and fro.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "lull/tune.h"

namespace lull::gc {

struct TuneSample {         // one cycle
  bool full = true;         // a young one does not know what is live
  std::uint64_t live = 0;   // survived, bytes
  std::uint64_t elapsed_ns = 0, gc_ns = 0;  // since the last cycle's end: by the clock, and processor time of the collector and of assists
  unsigned processors = 1;
  std::uint64_t latency_ns = 0;  // 99 % of the allocations that left their span took no longer
};

class Tuner {
 public:
  static constexpr std::uint64_t kWindow = 4;     // cycles. Longer: calmer, and late
  static constexpr std::size_t kLogLength = 64;   // actions kept

  Tuner() = default;  // no target, no action
  Tuner(const tune_targets& targets, int percent)
      : targets_(targets), home_(percent), is_on_(targets.cpu_share > 0 || targets.latency_ns > 0 || targets.memory_bytes > 0) {}

  bool is_on() const { return is_on_; }
  const tune_targets& targets() const { return targets_; }
  // After each cycle. `percent`: what it was paced with. What is returned is in the log, too.
  std::optional<tune_action> add(const TuneSample& sample, int percent);

  // The newest `most` actions, the oldest of them first; returns how many.
  std::size_t copy_log(tune_action* out, std::size_t most) const;

 private:
  struct Wish {
    double percent;
    tune_reason reason;
    double seen, target;
  };
  Wish cpu_wish(int percent) const;
  Wish latency_wish(int percent) const;
  Wish wish(int percent) const;
  double memory_percent(std::uint64_t next) const;  // the most that memory allows; infinite without such a target
  bool is_wanted(const Wish& wish, int percent);
  void begin_window();

  tune_targets targets_;
  int home_ = 0;  // the percentage before tuning
  bool is_on_ = false;
  std::uint64_t cycles_ = 0, in_window_ = 0;
  std::uint64_t live_ = 0, growth_ = 0;  // of the last full cycle, and since the one before
  bool had_full_ = false;
  double available_ns_ = 0, gc_ns_ = 0;  // of the window
  std::uint64_t latency_ns_ = 0, next_of_window_ = 0;  // the largest of the window; next: live and growth
  std::uint64_t next_ = 0;                             // ... of the window before
  int direction_ = 0, turns_wanted_ = 0;  // of the last action; decisions running that wanted the other one
  std::array<tune_action, kLogLength> log_{};
  std::uint64_t logged_ = 0;
};

}  // namespace lull::gc

// Collects for a program that has stopped allocating before the next cycle was due: what it dropped last would stay as long as it
// is idle, and destructors with it. Go forces a cycle every two minutes; here one follows only if there may be something to
// find, so a program that stays idle costs a look at some counters now and then. It follows after ten seconds, or later as a full cycle costs more: what a
// program that allocates a little now and then pays is at most 1 % of a processor, and a program that grew for a moment has its memory
// back within seconds. Arithmetic only: the clock is the caller's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lull::gc {

class IdleCollection {
 public:
  static constexpr std::uint64_t kForever = ~std::uint64_t{0};

  // What has changed that a full cycle might find garbage in. The counts only grow.
  struct Activity {
    std::uint64_t allocated = 0;    // bytes handed out since the start
    std::uint64_t destructors = 0;  // run since the start: objects go a cycle after their destructor
    bool young = false;             // the last cycle was young: old garbage may be there
    bool holes = false;             // the last cycle left memory in holes
  };

  static constexpr std::uint64_t kSoonestNs = 10'000'000'000;
  static constexpr std::uint64_t kTimesItsCost = 100;

  // At the latest; 0: off.
  void set_period_ns(std::uint64_t ns) { period_ns_ = ns; }
  std::uint64_t period_ns() const { return period_ns_; }

  // A cycle has ended. Everything that comes later counts as new; what came while it ran does, too. `full_cost_ns`: processor time of the last full one.
  void end_cycle(std::uint64_t now_ns, const Activity& at_begin, std::uint64_t full_cost_ns) {
    last_ns_ = now_ns;
    full_cost_ns_ = full_cost_ns;
    seen_ = at_begin;
    had_cycle_ = true;
  }
  // How long from now the driver may sleep before it asks again: 0 when a cycle is due, kForever where none ever will be.
  std::uint64_t wait_ns(std::uint64_t now_ns, const Activity& now) const {
    if (period_ns_ == 0 || !had_cycle_) return kForever;
    const std::uint64_t due = std::min(period_ns_, std::max(kSoonestNs, full_cost_ns_ * kTimesItsCost));
    if (!may_gain(now)) return due;
    const std::uint64_t passed = now_ns > last_ns_ ? now_ns - last_ns_ : 0;
    return passed >= due ? 0 : due - passed;
  }

 private:
  bool may_gain(const Activity& now) const {
    return seen_.young || seen_.holes || now.allocated != seen_.allocated || now.destructors != seen_.destructors;
  }

  std::uint64_t period_ns_ = 0, last_ns_ = 0, full_cost_ns_ = 0;
  Activity seen_;
  bool had_cycle_ = false;
};

}  // namespace lull::gc

#include "gc/pace/tuner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace lull {

const char* name_of(tune_reason reason) {
  constexpr const char* kNames[] = {"memory high", "memory low", "cpu high", "cpu low", "latency high", "latency low", "bounds"};
  return kNames[static_cast<unsigned>(reason)];
}

}  // namespace lull

namespace lull::gc {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr double kMiB = 1 << 20;

// The smallest goal of the pacer at 100 %: a smaller heap is no reason to collect oftener. Keeps divisors from 0, too.
constexpr double kSmallestHeap = 4 * kMiB;
// A cycle may end so much past its goal (gc/pace/brake.h).
constexpr double kOvershoot = 1.1;
// Shares and latencies between these parts of their target are well: nothing is to be done.
constexpr double kEnough = 0.7, kTooMuch = 1.1;
constexpr double kLatencyEnough = 0.25;
constexpr double kMostChange = 2, kLeastChange = 1.1;  // factors, of one action
constexpr int kTurnsWanted = 2;  // decisions running before the direction changes

}  // namespace

double Tuner::memory_percent(std::uint64_t next_live) const {
  if (targets_.memory_bytes == 0) return kAny;
  const double largest = static_cast<double>(targets_.memory_bytes) / kOvershoot;
  const double next = static_cast<double>(next_live);
  const double by_goal = (largest - next) / std::max(next, 1.0) * 100;
  const double by_smallest = largest / kSmallestHeap * 100;  // the smallest goal grows with the percentage
  return std::max(0.0, std::min(by_goal, by_smallest));
}

Tuner::Wish Tuner::cpu_wish(int percent) const {
  const double share = available_ns_ > 0 ? gc_ns_ / available_ns_ : targets_.cpu_share;  // a clock that stands still says nothing
  const double part = share / targets_.cpu_share;
  const bool well = part >= kEnough && part <= kTooMuch;
  return {well ? percent : percent * part, part > 1 ? tune_reason::cpu_high : tune_reason::cpu_low, share, targets_.cpu_share};
}

Tuner::Wish Tuner::latency_wish(int percent) const {
  const double seen = static_cast<double>(latency_ns_), target = static_cast<double>(targets_.latency_ns);
  double wanted = percent;
  if (seen > target) wanted = percent * 1.5;
  else if (seen < target * kLatencyEnough && percent > home_) wanted = std::max(percent * 0.8, static_cast<double>(home_));
  return {wanted, seen > target ? tune_reason::latency_high : tune_reason::latency_low, seen, target};
}

// Rules 2 and 3.
Tuner::Wish Tuner::wish(int percent) const {
  const double now = memory_percent(live_ + growth_), calm = memory_percent(std::max(next_, next_of_window_));
  const double memory = now < percent ? now : std::max(calm, static_cast<double>(percent));
  const Wish by_memory{memory, memory < percent ? tune_reason::memory_high : tune_reason::memory_low,
                       static_cast<double>(live_ + growth_), static_cast<double>(targets_.memory_bytes)};
  Wish wanted = by_memory;
  if (targets_.cpu_share > 0 || targets_.latency_ns > 0) {
    wanted = {0, tune_reason::bounds, 0, 0};
    if (targets_.cpu_share > 0) wanted = cpu_wish(percent);
    if (targets_.latency_ns > 0)
      if (const Wish latency = latency_wish(percent); targets_.cpu_share == 0 || latency.percent > wanted.percent) wanted = latency;
    if (memory < wanted.percent) wanted = by_memory;
  }
  const double within = std::clamp(wanted.percent, static_cast<double>(targets_.min_percent), static_cast<double>(targets_.max_percent));
  if (percent < targets_.min_percent || percent > targets_.max_percent) wanted.reason = tune_reason::bounds;
  wanted.percent = within;
  return wanted;
}

// Rules 4 and 5.
bool Tuner::is_wanted(const Wish& wish, int percent) {
  if (wish.reason == tune_reason::bounds) return true;
  const bool up = wish.percent > percent;
  if (up ? wish.percent < percent * kLeastChange : wish.percent * kLeastChange > percent) {
    turns_wanted_ = 0;
    return false;
  }
  if (direction_ == 0 || (direction_ > 0) == up || wish.reason == tune_reason::memory_high) return true;
  return ++turns_wanted_ >= kTurnsWanted;
}

void Tuner::begin_window() {
  in_window_ = 0;
  available_ns_ = gc_ns_ = 0;
  latency_ns_ = 0;
  next_ = std::exchange(next_of_window_, 0);
}

std::optional<tune_action> Tuner::add(const TuneSample& sample, int percent) {
  if (!is_on_) return std::nullopt;
  ++cycles_;
  ++in_window_;
  available_ns_ += static_cast<double>(sample.elapsed_ns) * sample.processors;
  gc_ns_ += static_cast<double>(sample.gc_ns);
  latency_ns_ = std::max(latency_ns_, sample.latency_ns);
  if (sample.full) {
    growth_ = had_full_ && sample.live > live_ ? sample.live - live_ : 0;
    live_ = sample.live;
    next_of_window_ = std::max(next_of_window_, live_ + growth_);
    had_full_ = true;
  }
  if (percent < 0) begin_window();  // off
  const bool urgent = sample.full && memory_percent(live_ + growth_) * kLeastChange < percent && percent > targets_.min_percent;
  if (percent < 0 || !had_full_ || (in_window_ < kWindow && !urgent)) return std::nullopt;

  Wish wanted = wish(percent);
  const bool is_due = is_wanted(wanted, percent);
  begin_window();
  if (!is_due) return std::nullopt;
  if (wanted.reason != tune_reason::memory_high && wanted.reason != tune_reason::bounds)
    wanted.percent = std::clamp(wanted.percent, percent / kMostChange, percent * kMostChange);
  const int to = std::clamp(static_cast<int>(wanted.percent), targets_.min_percent, targets_.max_percent);
  if (to == percent) return std::nullopt;
  direction_ = to > percent ? 1 : -1;
  turns_wanted_ = 0;
  const tune_action action{cycles_, percent, to, wanted.reason, wanted.seen, wanted.target};
  log_[logged_++ % kLogLength] = action;
  return action;
}

std::size_t Tuner::copy_log(tune_action* out, std::size_t most) const {
  const std::size_t count = std::min({most, kLogLength, static_cast<std::size_t>(logged_)});
  for (std::size_t i = 0; i < count; ++i) out[i] = log_[(logged_ - count + i) % kLogLength];
  return count;
}

}  // namespace lull::gc

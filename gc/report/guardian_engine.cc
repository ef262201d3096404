#include "gc/report/guardian_engine.h"

#include <algorithm>

namespace lull::gc {

using guardian::action;

void GuardianEngine::start(std::span<const guardian::rule> rules, const guardian::options& options) {
  count_ = rules.size();
  std::copy(rules.begin(), rules.end(), rules_.begin());
  states_ = {};
  options_ = options;
  acted_ = false;
  logged_ = 0;
}

void GuardianEngine::judge(const guardian::rule& rule, State& state, double seconds, double value) {
  if (value > rule.above && !state.broken) state = {.broken = true, .since = seconds, .acted = state.acted, .acted_at = state.acted_at};
  else if (value <= rule.until) state.broken = false;
}

bool GuardianEngine::may_act(const guardian::rule& rule, const State& state, double seconds) {
  return state.broken && seconds - state.since >= rule.for_seconds && (!state.acted || seconds - state.acted_at >= rule.every_seconds);
}

// An action that would change nothing is none: the rule lets others act.
int GuardianEngine::percent_after(action what, int percent) const {
  if (percent < 0) return percent;  // off
  if (what == action::raise_percent) return std::max(percent, std::min(options_.most_percent, percent * 3 / 2 + 1));
  if (what == action::lower_percent) return std::min(percent, std::max(options_.least_percent, percent * 2 / 3));
  return percent;
}

const guardian::entry* GuardianEngine::look(double seconds, std::span<const double> values, int percent) {
  for (std::size_t i = 0; i < count_; ++i) judge(rules_[i], states_[i], seconds, values[i]);
  if (acted_ && seconds - acted_at_ < options_.least_pause_seconds) return nullptr;
  for (std::size_t i = 0; i < count_; ++i) {
    const guardian::rule& rule = rules_[i];
    if (values[i] <= rule.above || !may_act(rule, states_[i], seconds)) continue;
    const int after = percent_after(rule.then, percent);
    const bool retunes = rule.then == action::raise_percent || rule.then == action::lower_percent;
    if (retunes && after == percent) continue;
    states_[i].acted = acted_ = true;
    states_[i].acted_at = acted_at_ = seconds;
    guardian::entry& e = log_[logged_++ % kLog];
    e = {.seconds = seconds, .rule = rule.name, .what = rule.then, .value = values[i]};
    if (retunes) e.percent_before = percent, e.percent_after = after;
    return &e;
  }
  return nullptr;
}

std::size_t GuardianEngine::read_log(std::span<guardian::entry> out) const {
  const std::size_t kept = std::min({logged_, kLog, out.size()});
  for (std::size_t i = 0; i < kept; ++i) out[i] = log_[(logged_ - kept + i) % kLog];
  return kept;
}

}  // namespace lull::gc

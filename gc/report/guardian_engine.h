// The guardian's decisions, apart from clock and threads: who calls look() says what time it is and what the rules' metrics are.
#pragma once

#include <array>

#include "lull/guardian.h"

namespace lull::gc {

class GuardianEngine {
 public:
  static constexpr std::size_t kLog = 128;

  void start(std::span<const guardian::rule> rules, const guardian::options& options);
  std::span<const guardian::rule> rules() const { return std::span(rules_).first(count_); }
  const guardian::options& options() const { return options_; }

  // One look: values[i] belongs to rules()[i]; `percent` is the collector's now. At most one rule acts: the first that may. Returns
  // what was decided, and has written it to the log; nullptr: nothing.
  const guardian::entry* look(double seconds, std::span<const double> values, int percent);
  std::size_t read_log(std::span<guardian::entry> out) const;

 private:
  struct State {
    bool broken = false;         // above, and not down to `until` since
    double since = 0;            // when it broke
    bool acted = false;          // since then
    double acted_at = 0;
  };
  static void judge(const guardian::rule& rule, State& state, double seconds, double value);
  static bool may_act(const guardian::rule& rule, const State& state, double seconds);
  int percent_after(guardian::action what, int percent) const;

  std::array<guardian::rule, guardian::most_rules> rules_;
  std::array<State, guardian::most_rules> states_;
  std::size_t count_ = 0;
  guardian::options options_;
  bool acted_ = false;
  double acted_at_ = 0;
  std::array<guardian::entry, kLog> log_;
  std::size_t logged_ = 0;  // ever
};

}  // namespace lull::gc

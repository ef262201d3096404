#include "apps/index/utilisation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <istream>
#include <map>
#include <string>
#include <string_view>

namespace index_service {
namespace {

struct OfThread {
  bool answers = false;
  std::vector<Interruption> interruptions;
};

/// What follows `key` in a line of the trace; empty: it has no such key.
std::string_view after(std::string_view line, std::string_view key) {
  const std::size_t at = line.find(key);
  return at == line.npos ? std::string_view() : line.substr(at + key.size());
}

double number_after(std::string_view line, std::string_view key) {
  const std::string text(after(line, key).substr(0, 32));
  return std::strtod(text.c_str(), nullptr);
}

/// Overlapping ones, an answer within an assist say, become one.
void merge(std::vector<Interruption>& interruptions) {
  std::ranges::sort(interruptions, {}, &Interruption::begin);
  std::vector<Interruption> merged;
  for (const Interruption& i : interruptions) {
    if (merged.empty() || i.begin > merged.back().end) merged.push_back(i);
    else merged.back().end = std::max(merged.back().end, i.end);
  }
  interruptions = std::move(merged);
}

/// How much of [0, time) was interrupted. `before`: of all that ended before each interruption.
class InterruptedTime {
 public:
  explicit InterruptedTime(const std::vector<Interruption>& thread) : thread_(thread) {
    double sum = 0;
    for (const Interruption& i : thread) {
      before_.push_back(sum);
      sum += i.end - i.begin;
    }
  }
  double until(double time) const {
    const auto next = std::ranges::upper_bound(thread_, time, {}, &Interruption::begin);
    if (next == thread_.begin()) return 0;
    const auto at = static_cast<std::size_t>(next - thread_.begin()) - 1;
    return before_[at] + std::min(time, thread_[at].end) - thread_[at].begin;
  }

 private:
  const std::vector<Interruption>& thread_;
  std::vector<double> before_;
};

}  // namespace

std::vector<std::vector<Interruption>> read_interruptions(std::istream& trace) {
  std::map<long, OfThread> threads;
  for (std::string line; std::getline(trace, line);) {
    if (line.find("\"ph\":\"X\"") == line.npos) continue;
    OfThread& thread = threads[static_cast<long>(number_after(line, "\"tid\":"))];
    const std::string_view name = after(line, "\"name\":\"");
    const bool answers = name.starts_with("answer:");
    thread.answers |= answers;
    const bool interrupts = answers || name.starts_with("assist") || name.starts_with("nap") || name.starts_with("sweep for a span") ||
                            name.starts_with("wait");
    if (!interrupts) continue;
    const double begin = number_after(line, "\"ts\":") * 1e3;
    thread.interruptions.push_back({begin, begin + number_after(line, "\"dur\":") * 1e3});
  }
  std::vector<std::vector<Interruption>> of_program;
  for (auto& [number, thread] : threads) {
    if (!thread.answers) continue;
    merge(thread.interruptions);
    of_program.push_back(std::move(thread.interruptions));
  }
  return of_program;
}

// The worst window begins where an interruption begins or ends where one ends: moved away from there it only gains time.
double least_utilisation(const std::vector<Interruption>& thread, double window_ns) {
  if (thread.empty()) return 1;
  const InterruptedTime interrupted(thread);
  const double begin = thread.front().begin, end = thread.back().end;
  double most = 0;
  const auto look = [&](double from) {
    from = std::clamp(from, begin, std::max(begin, end - window_ns));
    most = std::max(most, interrupted.until(from + window_ns) - interrupted.until(from));
  };
  for (const Interruption& i : thread) {
    look(i.begin);
    look(i.end - window_ns);
  }
  return std::clamp(1 - most / window_ns, 0.0, 1.0);
}

std::vector<Utilisation> least_utilisation(const std::vector<std::vector<Interruption>>& threads) {
  std::vector<Utilisation> result;
  for (double window = 10e3; window < 1.1e10; window *= 1.7782794) {  // four steps a decade
    Utilisation u{window, 1};
    for (const auto& thread : threads) u.least = std::min(u.least, least_utilisation(thread, window));
    result.push_back(u);
  }
  return result;
}

}  // namespace index_service

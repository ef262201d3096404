// A simulated program for the tuner: it allocates at a rate, its cycles cost what it keeps alive, and what the tuner says is done.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "gc/pace/tuner.h"

namespace lull::gc {

struct TuneLoad {  // the conditions of one cycle
  double live_mib = 100;
  double alloc_mib_s = 1000;
  std::uint64_t latency_us = 0;  // at 100 %; a higher percentage makes it shorter in proportion
  bool full = true;
};

class TunePlant {
 public:
  explicit TunePlant(const tune_targets& targets, int percent_now = 100) : percent(percent_now), tuner(targets, percent_now) {}

  void cycle(const TuneLoad& load) {
    constexpr double kMarkMibPerSecond = 1000, kBytes = 1048576;
    constexpr unsigned kProcessors = 2;
    const double p = percent / 100.0;
    const double room = std::max(load.live_mib * p, 4 * p - load.live_mib);
    const double seconds = room / load.alloc_mib_s;
    const double gc_seconds = load.live_mib / kMarkMibPerSecond;
    peak_mib = std::max(peak_mib, load.live_mib + room);
    share = gc_seconds / (seconds * kProcessors);
    const auto action = tuner.add({.full = load.full,
                                   .live = static_cast<std::uint64_t>(load.live_mib * kBytes),
                                   .elapsed_ns = static_cast<std::uint64_t>(seconds * 1e9),
                                   .gc_ns = static_cast<std::uint64_t>(gc_seconds * 1e9),
                                   .processors = kProcessors,
                                   .latency_ns = static_cast<std::uint64_t>(static_cast<double>(load.latency_us) * 1000 / p)},
                                  percent);
    if (action) percent = action->to;
  }
  template <class LoadOf>
  void cycles(int count, LoadOf&& load_of) {
    for (int i = 0; i < count; ++i) cycle(load_of(i));
  }

  // "4: 100->200 cpu high; 8: ..."
  std::string log() const {
    std::vector<tune_action> actions(Tuner::kLogLength);
    actions.resize(tuner.copy_log(actions.data(), actions.size()));
    std::string text;
    for (const tune_action& a : actions) {
      char line[100];
      std::snprintf(line, sizeof line, "%s%llu: %d->%d %s", text.empty() ? "" : "; ", static_cast<unsigned long long>(a.cycle), a.from, a.to,
                    name_of(a.reason));
      text += line;
    }
    return text;
  }

  int percent;
  double peak_mib = 0, share = 0;  // largest since reset by the test; of the last cycle
  Tuner tuner;
};

}  // namespace lull::gc

// A simulated program for the pacer, as in Go's mgcpacer_test: allocates and scans at given rates, and does
// what the pacer says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "gc/pace/pacer.h"

namespace lull::gc {

using Bytes = std::uint64_t;
inline constexpr Bytes kMiB = 1u << 20;
inline constexpr Bytes kNever = ~Bytes{0};

// The conditions of one cycle.
struct Load {
  double alloc_rate = 33;   // KiB per CPU millisecond of mutators
  double scan_rate = 1024;  // KiB per CPU millisecond of markers
  Bytes live =
      64 * kMiB;  // found live, if the heap is that large; what is born while marking survives besides
  Bytes stacks = 8 << 10;
  Bytes roots = 32 << 10;
};

struct Machine {
  double cores = 8;
  double background_share = 0.25;  // what workers really get
  double noise = 0;                // each step's rates vary by up to this factor
  bool assists = true;
  Bytes start_delay = 64 << 10;  // allocated between the trigger and the start
};

struct Result {
  Bytes trigger, goal, peak, marked;
  double utilisation, worst_ratio;
  double goal_ratio() const { return static_cast<double>(peak) / static_cast<double>(goal); }
};

inline double as_double(Bytes b) { return static_cast<double>(b); }

inline unsigned seed_of_this_run() {
  const char* given = std::getenv("LULL_TEST_SEED");
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
}

class Plant {
 public:
  Plant(PacerConfig config, Machine machine, unsigned seed = 1)
      : pacer(config), machine_(machine), random_(seed) {}

  // Allocates up to the trigger (or to `forced_at`), then marks. `between_steps` sees each step of the mark.
  Result cycle(const Load& load, Bytes forced_at = kNever,
               const std::function<void(double)>& between_steps = {}) {
    begin(load, forced_at);
    while (done_ < work_) {
      step(load);
      if (between_steps) between_steps(as_double(done_) / as_double(work_));
    }
    return end();
  }

  std::vector<Result> cycles(int count, const std::function<Load(int)>& load_of) {
    std::vector<Result> results;
    for (int i = 0; i < count; i++) results.push_back(cycle(load_of(i)));
    return results;
  }

  Pacer pacer;

 private:
  void begin(const Load& load, Bytes forced_at) {
    result_ = {pacer.trigger(), pacer.goal(), 0, 0, 0, 0};
    EXPECT_LE(result_.trigger, result_.goal);
    live_ = std::max(live_, std::min(result_.trigger, forced_at)) + machine_.start_delay;
    began_at_ = live_;
    found_ = std::min(load.live, live_);
    work_ = found_ + load.stacks + load.roots;
    done_ = 0;
    wall_ms_ = assist_ms_ = background_ms_ = assisted_ = 0;
    pacer.begin_cycle({live_, load.stacks, load.roots});
  }

  // Go's idealised assists: over a step, ratio = scanned / allocated = scan * u / (alloc * (1 - u)), solved
  // for the share u of the machine that collects; below the workers' own share nobody assists.
  void step(const Load& load) {
    const double ratio = pacer.assist_ratio(live_, done_);
    ASSERT_TRUE(std::isfinite(ratio) && ratio >= 0 && ratio <= Pacer::kMaxAssistRatio) << ratio;
    result_.worst_ratio = std::max(result_.worst_ratio, ratio);
    const double alloc = load.alloc_rate * noise() * 1024, scan = load.scan_rate * noise() * 1024;
    const double assisting = ratio * alloc / (ratio * alloc + scan);
    const double used =
        machine_.assists ? std::max(machine_.background_share, assisting) : machine_.background_share;
    const double left_ms = as_double(work_ - done_) / (scan * machine_.cores * used);
    const double ms = std::min(0.05, left_ms);
    const double scanned = scan * machine_.cores * used * ms;
    done_ = left_ms <= 0.05 ? work_ : std::min(work_, done_ + static_cast<Bytes>(scanned) + 1);
    live_ += static_cast<Bytes>(alloc * machine_.cores * (1 - used) * ms);
    wall_ms_ += ms;
    background_ms_ += machine_.cores * machine_.background_share * ms;
    assist_ms_ += machine_.cores * (used - machine_.background_share) * ms;
    assisted_ += scanned * (used - machine_.background_share) / used;
  }

  Result end() {
    const Bytes born = live_ - began_at_;
    result_.peak = live_;
    result_.marked = found_ + born;
    result_.utilisation = (background_ms_ + assist_ms_) / (wall_ms_ * machine_.cores);
    result_.goal = std::max(result_.goal, pacer.goal());  // a late start moves it by the minimum runway
    pacer.end_cycle({live_, result_.marked, work_, static_cast<Bytes>(assisted_), born, wall_ms_ / 1e3,
                     assist_ms_ / 1e3, background_ms_ / 1e3});
    live_ = result_.marked;
    EXPECT_EQ(result_.marked, pacer.heap_marked());
    EXPECT_GE(pacer.trigger(), pacer.heap_marked());
    EXPECT_EQ(0, pacer.assist_ratio(live_, 0));
    return result_;
  }

  double noise() { return 1 + machine_.noise * std::uniform_real_distribution<>(-1, 1)(random_); }

  Machine machine_;
  std::mt19937 random_;
  Bytes live_ = 0, began_at_ = 0, found_ = 0, work_ = 0, done_ = 0;
  double wall_ms_ = 0, assist_ms_ = 0, background_ms_ = 0, assisted_ = 0;
  Result result_{};
};

}  // namespace lull::gc

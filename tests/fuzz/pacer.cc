// The policies, which are arithmetic only, told of programs that cannot be: whatever they are told, goals lie within their bounds,
// nothing overflows or divides by zero, and more of a percentage or a limit never makes a smaller goal.
#include <cmath>

#include "gc/pace/cpu_limiter.h"
#include "gc/pace/pacer.h"
#include "gc/pace/tuner.h"
#include "tests/fuzz/input.h"

namespace lull::gc {
namespace {

using fuzz::Input;

constexpr std::uint64_t kNever = ~std::uint64_t{0};

std::uint64_t plus(std::uint64_t a, std::uint64_t b) { return a > kNever - b ? kNever : a + b; }
std::uint64_t minus(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

// Mostly what a program may look like, else anything at all.
std::uint64_t bytes(Input& in) { return in.byte() % 4 != 0 ? in.number(4) : in.any_size(); }
double seconds(Input& in) { return in.byte() % 4 != 0 ? static_cast<double>(in.number(3)) * 1e-6 : in.any_double(); }
int percent(Input& in) { return in.byte() % 4 != 0 ? static_cast<int>(in.number(1)) * 4 : static_cast<int>(in.number(4)); }

class PacerPlayer {
 public:
  explicit PacerPlayer(Input& in)
      : in_(in), config_{percent(in), bytes(in), in.byte() % 2 != 0 ? bytes(in) : kNever, seconds(in), in.byte() % 2 != 0},
        limit_(config_.memory_limit), pacer_(config_) {}

  void step() {
    switch (in_.byte() % 8) {
      case 0: pacer_.set_gc_percent(percent(in_)); break;
      case 1: pacer_.set_memory_limit(limit_ = in_.byte() % 4 != 0 ? bytes(in_) : kNever); break;
      case 2: pacer_.set_non_heap_bytes(non_heap_ = bytes(in_)); break;
      case 3: case 4: case 5: in_cycle_ ? end() : begin(); break;
      case 6: in_cycle_ ? abort() : begin(); break;
      default: break;
    }
    check_bounds();
    check_monotone(percent(in_), bytes(in_));
    check_assists(bytes(in_), bytes(in_));
  }

 private:
  void begin() {
    const NextCycle next = pacer_.next_cycle();
    FUZZ_CHECK((next.kind == CycleKind::young) == (next.reason == CycleReason::young_is_enough));
    FUZZ_CHECK(next.kind == CycleKind::full || config_.generational);
    pacer_.begin_cycle({bytes(in_), bytes(in_), bytes(in_), next.kind});
    in_cycle_ = true;
  }
  void end() {
    const std::uint64_t marked = bytes(in_);
    pacer_.end_cycle({bytes(in_), marked, bytes(in_), bytes(in_), bytes(in_), seconds(in_), seconds(in_), seconds(in_)});
    in_cycle_ = false;
    FUZZ_CHECK(pacer_.heap_marked() == marked);
    const PacerObservation& seen = pacer_.last_cycle();
    FUZZ_CHECK(seen.utilisation >= 0 && seen.utilisation < 1);
    FUZZ_CHECK(seen.cons_mark >= 0 && std::isfinite(seen.cons_mark));
  }
  void abort() {
    const std::uint64_t marked = pacer_.heap_marked();
    pacer_.abort_cycle();
    in_cycle_ = false;
    FUZZ_CHECK(pacer_.heap_marked() == marked && (!config_.generational || pacer_.next_cycle().kind == CycleKind::full));
  }

  void check_bounds() {
    const std::uint64_t goal = pacer_.goal(), trigger = pacer_.trigger(), marked = pacer_.heap_marked();
    FUZZ_CHECK(trigger <= goal);
    if (marked <= goal) FUZZ_CHECK(trigger >= marked);
    if (limit_ != kNever) FUZZ_CHECK(goal <= std::max(minus(limit_, non_heap_), marked));
    if (!pacer_.is_limited()) FUZZ_CHECK(goal >= plus(marked, 1));
    if (pacer_.gc_percent() < 0 && limit_ == kNever) FUZZ_CHECK(goal == kNever && trigger == kNever);
    const Brake brake = pacer_.brake();
    FUZZ_CHECK(brake.from <= brake.full && (goal == kNever || brake.from >= goal));
    const std::uint64_t a = bytes(in_), b = plus(a, bytes(in_));
    FUZZ_CHECK(brake.hold_ns(a) <= brake.hold_ns(b) && brake.hold_ns(b) <= Brake::kMostNs);
    FUZZ_CHECK(goal == kNever || brake.hold_ns(goal) == 0 || brake.from == goal);
  }
  // A larger percentage, a larger limit: no smaller goal.
  void check_monotone(int more_percent, std::uint64_t more_limit) {
    Pacer other = pacer_;
    if (pacer_.gc_percent() >= 0) {
      other.set_gc_percent(more_percent);
      const bool more = more_percent < 0 || more_percent >= pacer_.gc_percent();
      FUZZ_CHECK(more ? other.goal() >= pacer_.goal() : other.goal() <= pacer_.goal());
    }
    other = pacer_;
    other.set_memory_limit(more_limit);
    FUZZ_CHECK(more_limit >= limit_ ? other.goal() >= pacer_.goal() : other.goal() <= pacer_.goal());
  }
  void check_assists(std::uint64_t live, std::uint64_t done) {
    const double ratio = pacer_.assist_ratio(live, done);
    FUZZ_CHECK(ratio >= 0 && ratio <= Pacer::kMaxAssistRatio);
    FUZZ_CHECK(in_cycle_ || ratio == 0);
  }

  Input& in_;
  PacerConfig config_;
  std::uint64_t limit_, non_heap_ = 0;
  Pacer pacer_;
  bool in_cycle_ = false;
};

// lull::auto_tune() refuses targets of other shapes.
tune_targets targets(Input& in) {
  tune_targets t{.cpu_share = in.byte() / 255.0, .latency_ns = bytes(in), .memory_bytes = bytes(in)};
  t.min_percent = static_cast<int>(in.number(4) % 0x7fffffff) + 1;
  t.max_percent = t.min_percent + static_cast<int>(in.number(4) % (0x80000000u - static_cast<unsigned>(t.min_percent)));
  return t;
}

void play_tuner(Input& in) {
  const tune_targets wanted = targets(in);
  int now = percent(in);
  Tuner tuner(wanted, now);
  std::size_t actions = 0;
  while (!in.is_empty()) {
    const auto action = tuner.add({in.byte() % 4 != 0, bytes(in), bytes(in), bytes(in), static_cast<unsigned>(in.number(2)), bytes(in)}, now);
    if (action) {
      FUZZ_CHECK(tuner.is_on() && now >= 0);
      FUZZ_CHECK(action->from == now && action->to != now);
      FUZZ_CHECK(action->to >= wanted.min_percent && action->to <= wanted.max_percent);
      FUZZ_CHECK(name_of(action->reason) != nullptr);
      now = action->to;
      ++actions;
    }
    if (in.byte() % 8 == 0) now = percent(in);  // somebody else sets it
  }
  tune_action log[Tuner::kLogLength + 1];
  FUZZ_CHECK(tuner.copy_log(log, Tuner::kLogLength + 1) == std::min(actions, Tuner::kLogLength));
}

void play_limiter(Input& in) {
  CpuLimiter limiter;
  std::uint64_t now = 1, used = 0;
  while (!in.is_empty()) {
    const std::uint64_t passed = in.number(5);
    now += passed;
    used += in.number(5);
    limiter.update(now, used, in.byte());
    FUZZ_CHECK(limiter.fill_ns() <= CpuLimiter::kCapacityNs);
    FUZZ_CHECK(!limiter.is_limiting() || limiter.fill_ns() > CpuLimiter::kCapacityNs / 2);
  }
}

}  // namespace
}  // namespace lull::gc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lull::gc;
  Input in(data, size);
  switch (in.byte() % 4) {
    case 0: play_tuner(in); break;
    case 1: play_limiter(in); break;
    default: {
      PacerPlayer player(in);
      while (!in.is_empty()) player.step();
    }
  }
  return 0;
}

#include "gc/cycle/stepper.h"

#include <atomic>

#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"
#include "gc/cycle/driver.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "lull/collect.h"
#include "lull/thread.h"

namespace lull::gc {
namespace {

constexpr std::uint32_t kNoStep = ~0u;
constexpr const char* kNames[kSteps] = {
    "cycle_begins", "sweep_closed", "barriers_on", "stacks_scanned", "roots_marked",       "marked",       "terminating", "flushed",
    "done",         "weak_cleared", "destructors_queued", "barriers_off", "sweep_opened", "swept", "cycle_ends"};

constinit std::atomic<std::uint32_t> hold_at{kNoStep};  // the driver stops here
constinit std::atomic<std::uint32_t> held_at{kNoStep};  // it has stopped here

// Rage mode: up to 200 us at a step, from a cheap generator; only the driver calls it.
void rage_delay() {
  static std::uint64_t state = 0x9e3779b97f4a7c15;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  const std::uint64_t until = os::monotonic_ns() + state % 200'000;
  while (os::monotonic_ns() < until) {
  }
}

}  // namespace

namespace {

// Steps as spans: each ends what the driver has done since the one before. Between cycles it sleeps.
void note_step(Step step) {
  constinit static std::uint64_t last_ns = 0;
  if (!trace::is_on()) {
    last_ns = 0;
    return;
  }
  const std::uint64_t now = os::monotonic_ns();
  const bool in_cycle = step != Step::cycle_begins && step != Step::cycle_ends;
  if (last_ns != 0 && in_cycle) trace::record(trace::What::step, last_ns, now, static_cast<std::uint64_t>(step));
  last_ns = now;
}

}  // namespace

const char* name_of(Step step) { return kNames[static_cast<std::uint32_t>(step)]; }

void reach(Step step) {
  if (options.rage != 0) rage_delay();
  delay_point();
  note_step(step);
  const auto here = static_cast<std::uint32_t>(step);
  LULL_PROBE1(step, here);
  if (hold_at.load(std::memory_order_acquire) != here) [[likely]] return;
  held_at.store(here, std::memory_order_release);
  os::futex_wake_all(held_at);
  while (hold_at.load(std::memory_order_acquire) == here) os::futex_wait(hold_at, here);
  held_at.store(kNoStep, std::memory_order_release);
}

void forget_stepper_after_fork() {
  hold_at.store(kNoStep, std::memory_order_relaxed);
  held_at.store(kNoStep, std::memory_order_relaxed);
}

Stepper::Stepper() { force_kind(ForcedKind::full); }

Stepper::~Stepper() {
  finish();
  force_kind(ForcedKind::pacer_decides);
}

void Stepper::use(CycleKind kind) { force_kind(kind == CycleKind::full ? ForcedKind::full : ForcedKind::young); }

void Stepper::run_to(Step step) {
  const auto wanted = static_cast<std::uint32_t>(step);
  hold_at.store(wanted, std::memory_order_release);
  os::futex_wake_all(hold_at);
  request_cycle();
  blocking_region waiting;
  for (;;) {
    const std::uint32_t seen = held_at.load(std::memory_order_acquire);
    if (seen == wanted) return;
    os::futex_wait(held_at, seen);
  }
}

void Stepper::finish() {
  hold_at.store(kNoStep, std::memory_order_release);
  os::futex_wake_all(hold_at);
  wait_until_idle();
}

}  // namespace lull::gc

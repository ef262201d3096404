#include "gc/cycle/driver.h"

#include <algorithm>
#include <cstdio>
#include <pthread.h>

#include "alloc/base/check.h"
#include "alloc/front/heap.h"
#include "alloc/front/large_block.h"
#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/os/thread.h"
#include "alloc/pages/huge_pages.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/purger.h"
#include "alloc/trace/timeline.h"
#include "alloc/pages/reservation.h"
#include "gc/cycle/crew.h"
#include "gc/cycle/cycle.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/events.h"
#include "gc/cycle/fork.h"
#include "gc/cycle/pacing.h"
#include "gc/cycle/stepper.h"
#include "gc/mark/assist.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "gc/pace/idle.h"
#include "gc/weak/destructors.h"
#include "lull/collect.h"
#include "lull/thread.h"

namespace lull::gc {
namespace {

// Cycles are numbered; a request names the number up to which cycles have to run. All three only grow.
struct DriverState {
  std::atomic<std::uint32_t> requested{0};  // futex word of the driver
  std::atomic<std::uint32_t> started{0};
  std::atomic<std::uint32_t> completed{0};  // futex word of those who wait
  std::atomic<std::uint32_t> forced{0}, forced_young{0}, aborted{0};  // forced: cycles up to this number were asked for by name
  std::atomic<std::uint32_t> returning{0};  // and these give memory back
  std::atomic<ForcedKind> kind{ForcedKind::pacer_decides};
  std::atomic<bool> thread_started{false};
  pthread_t thread{};
};
constinit DriverState driver;
constinit thread_local bool is_drivers = false;  // the thread is the driver

constinit os::Lock gate{os::LockRank::driver};  // held while a cycle runs

constexpr int kTriesAfterAbort = 3;
constinit bool last_was_aborted = false;  // driver
constinit bool threads_were_lost = false;  // driver; in a fork, and no cycle has completed since
constinit CycleKind last_kind = CycleKind::full;  // driver
constinit bool holes_are_left = false;            // driver; by the last cycle, perhaps

// Driver, but for the period.
constinit IdleCollection idle;
constinit std::atomic<std::uint64_t> idle_period_ns{0};
constinit bool idle_cycle_due = false;
constinit std::uint64_t full_cycle_ns = 0;  // processor time of the last full one
constinit std::uint64_t full_cycle_end_ns = 0;  // 0: there was none

// True if somebody asked for cycles up to a number that `number` does not exceed.
bool was_asked_for(const std::atomic<std::uint32_t>& up_to, std::uint32_t number) {
  const std::uint32_t asked = up_to.load(std::memory_order_relaxed);
  return asked != 0 && static_cast<std::int32_t>(asked - number) >= 0;
}

CycleKind kind_at_random() {
  static std::uint32_t state = 1;
  state = state * 1664525 + 1013904223;
  return state >> 30 == 0 ? CycleKind::full : CycleKind::young;
}

NextCycle cycle_to_run(std::uint32_t number) {
  if (was_asked_for(driver.forced, number)) return {CycleKind::full, CycleReason::asked_for};
  if (idle_cycle_due) return {CycleKind::full, CycleReason::idle};
  if (options.generational == 0) return {CycleKind::full, CycleReason::generations_off};
  if (mark_epoch.load(std::memory_order_relaxed) == 0) return {CycleKind::full, CycleReason::nothing_is_old};
  if (was_asked_for(driver.forced_young, number)) return {CycleKind::young, CycleReason::asked_for};
  const ForcedKind forced = driver.kind.load(std::memory_order_relaxed);
  if (forced == ForcedKind::full) return {CycleKind::full, CycleReason::test_asked_for};
  if (forced == ForcedKind::young) return {CycleKind::young, CycleReason::test_asked_for};
  return options.rage != 0 ? NextCycle{kind_at_random(), CycleReason::test_asked_for} : pacing.next_cycle();
}

bool another_cycle_is_due() {
  return driver.requested.load(std::memory_order_relaxed) != driver.started.load(std::memory_order_relaxed);
}

bool may_purge_holes() { return options.scribble == 0 && !pages::is_purger_forbidden(); }

// gc/sweep/hole_purge.h. A fork waits for the cycle, so it must not last for long.
HolePurgePlan holes_to_purge(CycleKind kind, std::uint32_t number) {
  using enum HolePurgePlan::Of;
  constexpr std::uint64_t kMostIdleNs = 200'000'000, kRageNs = 1'000'000, kShare = 64;
  if (was_asked_for(driver.returning, number) && options.scribble == 0) return {.of = all};
  if (!may_purge_holes()) return {};
  if (options.rage != 0) return {.of = all, .most_ns = kRageNs};
  if (kind == CycleKind::young || full_cycle_end_ns == 0) return {};
  if (idle_cycle_due) return {.of = all, .most_ns = kMostIdleNs, .has_to_stop = another_cycle_is_due};
  if (options.stops_world()) return {};
  return {.of = rested, .most_ns = (os::monotonic_ns() - full_cycle_end_ns) / kShare, .has_to_stop = another_cycle_is_due};
}

void run_cycle(std::uint32_t number) {
  os::Locked running(gate);
  adopt_lost_caches();
  for (int attempt = 0; attempt < kTriesAfterAbort; ++attempt) {
    // Rule 16: after an aborted cycle a full one.
    const NextCycle what = attempt > 0 || last_was_aborted ? NextCycle{CycleKind::full, CycleReason::last_was_aborted}
                           : threads_were_lost             ? NextCycle{CycleKind::full, CycleReason::threads_were_lost}
                                                           : cycle_to_run(number);
    Cycle cycle(what, holes_to_purge(what.kind, number));
    const std::uint64_t cpu = os::thread_cpu_ns() + crew.helper_ns();
    const CycleResult result = cycle.run();
    tell(Event::cycle_ends, cycle.kind());
    last_kind = cycle.kind();
    if (result == CycleResult::completed) {
      last_was_aborted = threads_were_lost = false;
      holes_are_left = may_purge_holes() && !cycle.purged_all_holes();
      if (last_kind == CycleKind::full) full_cycle_end_ns = os::monotonic_ns();
      log_cycle(cycle, {was_asked_for(driver.forced, number) || was_asked_for(driver.forced_young, number), os::thread_cpu_ns() + crew.helper_ns() - cpu});
      return;
    }
    last_was_aborted = true;
    driver.aborted.fetch_add(1, std::memory_order_relaxed);
  }
}

// Work for the driver with the world stopped, after a cycle. Lies on the stack of who waits for that cycle.
struct StoppedJob {
  void (*run)(void* data);
  void* data;
  StoppedJob* next;
  bool is_done = false;
};
constinit std::atomic<StoppedJob*> stopped_jobs{nullptr};

// What the thread waits for, if it does: in a child that it forks in a handler, it is still waiting.
constinit thread_local struct {
  bool waits;
  std::uint32_t number;
  StoppedJob* job;
} own{false, 0, nullptr};

void run_stopped_jobs() {
  // acquire: pairs with the release in collect_and_run_stopped
  StoppedJob* job = stopped_jobs.exchange(nullptr, std::memory_order_acquire);
  if (job == nullptr) return;
  WorldStopped stopped;
  for (; job != nullptr; job = job->next) {
    job->run(job->data);
    job->is_done = true;
  }
}

IdleCollection::Activity activity() {
  return {.allocated = heap_counters.handed.load(std::memory_order_relaxed), .destructors = destructor_counts().run};
}

// Nothing is asked for: sleeps until something is, or asks for a cycle itself because the program has been idle.
void sleep_or_collect(std::uint32_t requested) {
  idle.set_period_ns(pacing.gc_percent() < 0 ? 0 : idle_period_ns.load(std::memory_order_relaxed));
  const std::uint64_t wait = idle.wait_ns(os::monotonic_ns(), activity());
  if (wait == IdleCollection::kForever) return os::futex_wait(driver.requested, requested);
  if (wait != 0) return static_cast<void>(os::futex_wait_for(driver.requested, requested, wait));
  idle_cycle_due = true;
  request_cycle();
}

// Threads go on when the pacer has its report, before the cycle counts as over: what they asked for by then was this cycle. A heap that is at its
// trigger already would wait for the next thread that allocates, and all of them may be held. A heap that cannot get below its trigger, as beyond a
// memory limit, is not collected again before somebody allocates.
void request_if_due(std::uint64_t allocated_before_cycle) {
  if (heap_counters.live.load(std::memory_order_seq_cst) < pacing.trigger()) return;
  if (activity().allocated != allocated_before_cycle) request_cycle();
}

void* driver_main(void*) {
  is_drivers = true;
  for (;;) {
    const std::uint32_t requested = driver.requested.load(std::memory_order_acquire);
    const std::uint32_t done = driver.completed.load(std::memory_order_relaxed);
    if (static_cast<std::int32_t>(requested - done) <= 0 && options.rage == 0) {
      sleep_or_collect(requested);
      continue;
    }
    const std::uint32_t number = done + 1;
    driver.started.store(number, std::memory_order_seq_cst);
    IdleCollection::Activity before = activity();
    const std::uint64_t cpu = os::thread_cpu_ns() + crew.helper_ns();
    run_cycle(number);
    idle_cycle_due = false;
    before.young = last_kind == CycleKind::young;
    before.holes = holes_are_left;
    if (!before.young) full_cycle_ns = os::thread_cpu_ns() + crew.helper_ns() - cpu;
    idle.end_cycle(os::monotonic_ns(), before, full_cycle_ns);
    run_stopped_jobs();
    {
      os::Locked running(gate);
      stop_finalizer_at_exit();
    }
    start_finalizer_if_needed();
    reach(Step::cycle_ends);
    driver.completed.store(number, std::memory_order_seq_cst);  // and then the heap; request_cycle() the other way round
    os::futex_wake_all(driver.completed);
    request_if_due(before.allocated);
  }
  return nullptr;
}

void start_driver() {
  if (driver.thread_started.load(std::memory_order_acquire) || driver.thread_started.exchange(true)) return;
  LULL_CHECK(os::start_thread(driver.thread, driver_main, nullptr, "lull-gc"), "cannot start the collector's thread");
}

void request_up_to(std::uint32_t number) {
  start_driver();
  std::uint32_t requested = driver.requested.load(std::memory_order_relaxed);
  while (static_cast<std::int32_t>(number - requested) > 0)
    if (driver.requested.compare_exchange_weak(requested, number, std::memory_order_release)) {
      os::futex_wake_all(driver.requested);
      return;
    }
}

void wait_until(std::uint32_t number) {
  const trace::Span span(trace::What::wait);
  Mutator& m = self();
  own.number = number;
  own.waits = true;
  enter_blocked(m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  for (;;) {
    const std::uint32_t done = driver.completed.load(std::memory_order_acquire);
    if (static_cast<std::int32_t>(done - number) >= 0) break;
    os::futex_wait(driver.completed, done);
  }
  own.waits = false;
  leave_blocked(m);
  poll(m);
}

constinit pthread_once_t start_once = PTHREAD_ONCE_INIT;

// Two libraries may each have been linked with a collector.
void claim_kinds() {
  const void* other = nullptr;
  if (detail::collector_of_kinds.compare_exchange_strong(other, &driver)) return;
  fatal("two collectors in one process share what they know of types: link the libraries that use lull to one copy of it, or build each, lull included, with "
        "-fvisibility=hidden");
}

void start() {
  claim_kinds();
  read_options();
  LULL_CHECK(pages::reserve_heap(), "cannot reserve address space for the heap");
  pages::leave_fresh_chunks();
  install_signal_handler();
  pacing.set_gc_percent(static_cast<int>(options.gc_percent));
  idle_period_ns.store(static_cast<std::uint64_t>(options.idle_seconds) * 1'000'000'000, std::memory_order_relaxed);
  if (!pacing.tune(options.auto_tune)) std::fputs("lull: LULL_AUTO_TUNE: bounds or a share that make no sense\n", stderr);
  note_program_start();
  start_timeline_from_environment();
  start_object_profile_from_environment();
  start_debug_traces();
  install_fork_handlers();
}

}  // namespace

void request_cycle() {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // what was allocated, then this: pairs with request_if_due()
  const std::uint32_t done = driver.completed.load(std::memory_order_relaxed);
  request_up_to(done + 1);
}

void force_kind(ForcedKind kind) { driver.kind.store(kind, std::memory_order_relaxed); }

namespace {

void raise(std::atomic<std::uint32_t>& asked, std::uint32_t number) {
  std::uint32_t before = asked.load(std::memory_order_relaxed);
  while (static_cast<std::int32_t>(number - before) > 0 && !asked.compare_exchange_weak(before, number)) {
  }
}

// A cycle that starts after the call has this number or a higher one.
std::uint32_t next_number() { return driver.started.load(std::memory_order_seq_cst) + 1; }

// The number of a cycle that starts after the call and is of the kind, or full; it has been asked for.
std::uint32_t ask_for(CycleKind kind) {
  const std::uint32_t number = next_number();
  raise(kind == CycleKind::full ? driver.forced : driver.forced_young, number);
  request_up_to(number);
  return number;
}

}  // namespace

void request_full_cycle() { ask_for(CycleKind::full); }

void collect_and_wait(CycleKind kind) {
  wait_until(ask_for(kind));
}

// A job that an earlier cycle takes along runs after that one; its owner waits for its own cycle all the same.
void collect_and_run_stopped(void (*run)(void* data), void* data) {
  StoppedJob job{run, data, stopped_jobs.load(std::memory_order_relaxed)};
  while (!stopped_jobs.compare_exchange_weak(job.next, &job, std::memory_order_release)) {
  }
  own.job = &job;
  collect_and_wait(CycleKind::full);
  own.job = nullptr;
}

void collect_and_return_memory() {
  const std::uint32_t number = next_number();
  raise(driver.returning, number);
  raise(driver.forced, number);
  request_up_to(number);
  wait_until(number);
}

void wait_until_idle() {
  const std::uint32_t number = driver.requested.load(std::memory_order_acquire);
  if (driver.thread_started.load()) wait_until(number);
}

CycleCounts cycle_counts() {
  return {driver.completed.load(std::memory_order_acquire), driver.aborted.load(std::memory_order_relaxed)};
}

os::Lock& cycle_gate() { return gate; }

void forget_driver_after_fork(bool others_are_lost) {
  threads_were_lost |= others_are_lost;
  driver.thread_started.store(false, std::memory_order_relaxed);
  const std::uint32_t done = driver.completed.load(std::memory_order_relaxed);
  driver.requested.store(done, std::memory_order_relaxed);
  driver.started.store(done, std::memory_order_relaxed);
  stopped_jobs.store(nullptr, std::memory_order_relaxed);  // they lie on stacks that are gone
  forget_stepper_after_fork();
}

void resume_waiting_after_fork() {
  if (!own.waits) return;
  if (own.job != nullptr && !own.job->is_done) {
    own.job->next = nullptr;
    stopped_jobs.store(own.job, std::memory_order_release);
  }
  request_up_to(own.number);
}

bool is_driver() { return is_drivers; }

// Services to mutators (gc/mutator/services.h).

void start_runtime() { pthread_once(&start_once, start); }

void after_slow_allocation(Mutator& m) {
  m.silent.store(0, std::memory_order_relaxed);
  publish_handed(m);  // with the span just taken: four spans that nobody knows of are much beside a small goal
  if (m.block->barrier_on != 0 && mark_state.load(std::memory_order_acquire) == MarkState::marking) assist(m);
  else m.handed_bytes = 0;
  if (options.rage != 0) return request_cycle();
  if (options.stress != 0 && ++m.slow_allocations % static_cast<std::uint64_t>(options.stress) == 0) m.stress_due = true;
  const std::uint64_t live = heap_counters.live.load(std::memory_order_relaxed);
  if (live < pacing.trigger()) return;
  request_cycle();
  m.hold_due = pacing.hold_ns(live) != 0 && options.brake != 0;
}

void collect_for_memory() {
  static_cast<void>(front::give_all_large_back());
  collect_and_wait(CycleKind::full);
}

}  // namespace lull::gc

namespace lull {

void collect() {
  gc::self();  // attaches
  gc::collect_and_wait(gc::CycleKind::full);
}

void return_memory() {
  gc::self();
  gc::collect_and_return_memory();
  blocking_region giving_back;
  front::trim(0);
}

void collect_young() {
  gc::self();
  gc::collect_and_wait(gc::CycleKind::young);
}

std::uint64_t set_memory_limit(std::uint64_t bytes) {
  gc::RuntimeSection section(gc::self());
  const std::uint64_t previous = pages::set_memory_limit(bytes);
  gc::pacing.memory_limit_changed();
  return previous;
}

std::uint64_t set_idle_period_ms(std::uint64_t milliseconds) {
  gc::RuntimeSection section(gc::self());
  const std::uint64_t ns = std::min(milliseconds, ~std::uint64_t{0} / 1'000'000 - 1) * 1'000'000;
  const std::uint64_t previous = gc::idle_period_ns.exchange(ns, std::memory_order_relaxed);
  os::futex_wake_all(gc::driver.requested);  // the driver looks at the new period
  return previous / 1'000'000;
}

int set_gc_percent(int percent) {
  gc::RuntimeSection section(gc::self());
  return gc::pacing.set_gc_percent(percent);
}

std::uint64_t set_min_heap(std::uint64_t bytes) {
  gc::RuntimeSection section(gc::self());
  return gc::pacing.set_min_heap(bytes);
}

}  // namespace lull

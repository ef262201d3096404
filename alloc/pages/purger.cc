#include "alloc/pages/purger.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/os/lock.h"
#include "alloc/os/thread.h"
#include "alloc/pages/huge_pages.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"

extern "C" char __libc_single_threaded __attribute__((weak));

namespace lull::pages {
namespace {

constexpr std::uint64_t kTickNs = 100'000'000;
constexpr unsigned kIdleTicks = 10;                             // a second: shorter faults pages in again, longer holds memory
constexpr unsigned kLimitTicks = 100;                           // ten seconds: reading the container's limit takes about 50 us
constexpr std::size_t kMostPerTick = std::size_t{64} << 20;
constexpr std::size_t kWorthAThread = std::size_t{1} << 20;
constexpr PageCount kHeapWorthAThread = pages_for(std::size_t{32} << 20);  // for the hook and huge pages: that much was committed

enum State : std::uint32_t { kNone, kSleeping, kWorking };
constinit std::atomic<std::uint32_t> state{kNone};
constinit std::atomic<bool (*)()> hook{nullptr};
constinit std::atomic<void (*)(std::size_t)> purge_report{nullptr};
constinit pthread_t thread{};

constinit std::atomic<bool> start_is_due{false};

// No other thread has been started yet. What does not say so (musl) is taken for threaded.
bool is_single_threaded() { return &__libc_single_threaded != nullptr && __libc_single_threaded != 0; }

// True: there may be more to do at the next tick.
bool tick() {
  constinit static std::atomic<std::uint32_t> never{0};
  os::futex_wait_for(never, std::uint32_t{0}, kTickNs);
  page_heap.tick();
  {
    trace::Span span(trace::What::purge);
    const std::size_t given_back = page_heap.purge(memory_is_short() ? 0 : kIdleTicks, kMostPerTick);
    if (given_back == 0) span.drop();
    else report_purged(given_back);
    span.set_argument(given_back);
  }
  constinit static unsigned ticks = 0;
  if (++ticks % kLimitTicks == 0) {
    refresh_memory_limit();
    os::refresh_cpu_limit();
  }
  bool (*extra)() = hook.load(std::memory_order_acquire);
  bool more = extra != nullptr && extra();
  more |= make_dense_chunks_huge();
  return page_heap.dirty_bytes() > 0 || more;
}

void* run(void*) {
  os::make_background();
  for (;;) {
    state.store(kWorking, std::memory_order_seq_cst);
    while (tick()) {
    }
    state.store(kSleeping, std::memory_order_seq_cst);
    if (page_heap.dirty_bytes() == 0) os::futex_wait(state, std::uint32_t{kSleeping});
  }
  return nullptr;
}

// After one that failed (a limit, a sandbox) the next attempts wait, twice as long each time: each costs a stack.
constexpr std::uint64_t kFirstPauseNs = 50'000'000, kLongestPauseNs = 10'000'000'000;
constinit std::atomic<std::uint64_t> pause_ns{0}, next_attempt_ns{0};  // relaxed, all of these: whoever comes too early fails once more
constinit std::atomic<bool> is_forbidden{false};

void note_failed_start() {
  const std::uint64_t pause = std::clamp(pause_ns.load(std::memory_order_relaxed) * 2, kFirstPauseNs, kLongestPauseNs);
  pause_ns.store(pause, std::memory_order_relaxed);
  next_attempt_ns.store(os::monotonic_ns() + pause, std::memory_order_relaxed);
}

bool may_start() {
  const std::uint64_t next = next_attempt_ns.load(std::memory_order_relaxed);
  return !is_forbidden.load(std::memory_order_relaxed) && (next == 0 || os::monotonic_ns() >= next);
}

// Keeps errno. Not in a visit, nor with a lock of malloc's (front/fork_gate.h).
void start() {
  os::check_ranks_below(os::LockRank::caches);
  const int saved = errno;
  if (!os::start_thread(thread, run, nullptr, "lull-purge")) {
    note_failed_start();
    state.store(kNone, std::memory_order_seq_cst);
  }
  errno = saved;
}

bool is_worth_a_thread() {
  return page_heap.dirty_bytes() >= kWorthAThread ||
         (page_heap.end().value >= kHeapWorthAThread.value &&
          (hook.load(std::memory_order_relaxed) != nullptr || huge_pages_wanted()));
}

void wake_or_start(std::uint32_t seen) {
  std::uint32_t expected = seen;
  if (!state.compare_exchange_strong(expected, kWorking, std::memory_order_seq_cst)) return;
  if (seen == kSleeping) os::futex_wake_all(state);
  else start();
}

}  // namespace

void set_purger_hook(bool (*on_tick)()) { hook.store(on_tick, std::memory_order_release); }

void report_purged(std::size_t bytes) {
  LULL_PROBE1(purge, bytes);
  const auto report = purge_report.load(std::memory_order_relaxed);
  if (report != nullptr) report(bytes);
}

void set_purge_report(void (*report)(std::size_t bytes)) { purge_report.store(report, std::memory_order_relaxed); }

bool nudge_purger_from_free() {
  if (state.load(std::memory_order_seq_cst) != kNone || is_single_threaded()) return nudge_purger();
  if (is_worth_a_thread()) start_is_due.store(true, std::memory_order_relaxed);
  return false;
}

void start_purger_if_due() {
  if (start_is_due.load(std::memory_order_relaxed) && start_is_due.exchange(false, std::memory_order_relaxed)) nudge_purger();
}

bool nudge_purger() {
  const std::uint32_t seen = state.load(std::memory_order_seq_cst);
  if (seen == kWorking) return true;
  if (seen == kNone && !(is_worth_a_thread() && may_start())) return false;
  wake_or_start(seen);
  return true;
}

void start_purger() {
  if (may_start() && state.load(std::memory_order_seq_cst) == kNone) wake_or_start(kNone);
}

bool is_purger_forbidden() { return is_forbidden.load(std::memory_order_relaxed); }
void forbid_purger() { is_forbidden.store(true, std::memory_order_relaxed); }

void forget_purger_after_fork() { state.store(kNone, std::memory_order_relaxed); }

unsigned long purge_now(std::size_t keep) {
  const std::size_t idle = page_heap.dirty_bytes();
  return idle > keep ? page_heap.purge(0, idle - keep) : 0;
}

}  // namespace lull::pages

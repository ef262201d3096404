#include "gc/report/watch_thread.h"

#include <atomic>

#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/os/lock.h"
#include "alloc/os/thread.h"
#include "gc/cycle/cycle_events.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"

namespace lull::gc {
namespace {

constexpr unsigned kSlots = 2;

struct Slot {
  std::atomic<void (*)()> run{nullptr};
  std::atomic<std::uint64_t> period_ns{0};
  std::uint64_t last_ns = 0;  // the thread's
};
constinit Slot slots[kSlots];
constinit std::atomic<std::uint32_t> wakes{0};  // futex word
constinit std::atomic<bool> started{false};
constinit pthread_t thread{};

// Until something is due; never longer than a watcher's period. Blocked if a callback has attached the thread: it delays no
// handshake then.
void wait_for_wake(std::uint32_t seen, std::uint64_t most_ns) {
  Mutator* m = self_or_null();
  if (m != nullptr) enter_blocked(*m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  if (most_ns == ~std::uint64_t{0}) os::futex_wait(wakes, seen);
  else os::futex_wait_for(wakes, seen, most_ns);
  if (m != nullptr) {
    leave_blocked(*m);
    poll(*m);
  }
}

std::uint64_t time_to_next(std::uint64_t now) {
  std::uint64_t least = ~std::uint64_t{0};
  for (const Slot& slot : slots) {
    const std::uint64_t period = slot.period_ns.load(std::memory_order_relaxed);
    if (slot.run.load(std::memory_order_relaxed) == nullptr || period == 0) continue;
    const std::uint64_t due = slot.last_ns + period;
    least = due <= now ? 0 : due - now < least ? due - now : least;
  }
  return least;
}

[[gnu::noinline]] void run_all() {
  for (Slot& slot : slots) {
    // acquire: pairs with the release in set_watcher
    if (void (*run)() = slot.run.load(std::memory_order_acquire)) run();
    slot.last_ns = os::monotonic_ns();
  }
}

void* watch_main(void*) {
  std::uint32_t seen = wakes.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t wait = time_to_next(os::monotonic_ns());
    if (wait != 0) wait_for_wake(seen, wait);
    seen = wakes.load(std::memory_order_acquire);
    run_all();
  }
  return nullptr;
}

}  // namespace

bool set_watcher(WatcherSlot which, const Watcher& watcher) {
  Slot& slot = slots[static_cast<unsigned>(which)];
  slot.period_ns.store(watcher.period_ns, std::memory_order_relaxed);
  slot.run.store(watcher.run, std::memory_order_release);
  if (watcher.run == nullptr) return true;
  if (!started.exchange(true) && !os::start_thread(thread, watch_main, nullptr, "lull-watch")) {
    started.store(false);
    return false;
  }
  wake_watchers();
  return true;
}

void wake_watchers() {
  if (!started.load(std::memory_order_relaxed)) return;
  wakes.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in watch_main
  os::futex_wake_all(wakes);
}

void forget_watch_thread_after_fork() { started.store(false, std::memory_order_relaxed); }

}  // namespace lull::gc

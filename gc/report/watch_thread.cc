#include "gc/report/watch_thread.h"

#include <algorithm>
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
  std::atomic<std::uint32_t> calls{0};  // futex word; the thread's: + 1 when a call begins and when it ends
};
constinit Slot slots[kSlots];
constinit std::atomic<std::uint32_t> wakes{0};  // futex word
constinit std::atomic<bool> started{false};
constinit pthread_t thread{};
__thread bool is_watch_thread __attribute__((tls_model("initial-exec"))) = false;

Slot& slot_of(WatcherSlot which) { return slots[static_cast<unsigned>(which)]; }

bool anything_to_watch() {
  return std::any_of(slots, slots + kSlots, [](const Slot& slot) { return slot.run.load(std::memory_order_relaxed) != nullptr; });
}

constexpr bool is_under_way(std::uint32_t call) { return call % 2 != 0; }

// Blocked if the thread is attached: it delays no handshake then.
template <class Wait>
[[gnu::noinline]] void wait_blocked(Wait&& wait) {
  Mutator* m = self_or_null();
  if (m != nullptr) enter_blocked(*m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  wait();
  if (m != nullptr) {
    leave_blocked(*m);
    poll(*m);
  }
}

// Until something is due; never longer than a watcher's period. A callback may have attached the thread.
void wait_for_wake(std::uint32_t seen, std::uint64_t most_ns) {
  wait_blocked([=] {
    if (most_ns == ~std::uint64_t{0}) os::futex_wait(wakes, seen);
    else os::futex_wait_for(wakes, seen, most_ns);
  });
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
  is_watch_thread = true;
  for (;;) {
    const std::uint32_t seen = wakes.load(std::memory_order_acquire);
    run_all();
    const std::uint64_t wait = time_to_next(os::monotonic_ns());
    if (wait != 0) wait_for_wake(seen, wait);
  }
  return nullptr;
}

}  // namespace

bool start_watch_thread() {
  if (started.load(std::memory_order_relaxed) || started.exchange(true)) return true;
  if (os::start_thread(thread, watch_main, nullptr, "lull-watch")) return true;
  started.store(false);
  return false;
}

void set_watcher(WatcherSlot which, const Watcher& watcher) {
  Slot& slot = slot_of(which);
  slot.period_ns.store(watcher.period_ns, std::memory_order_relaxed);
  slot.run.store(watcher.run, std::memory_order_release);
}

// Where the system refuses the thread, the next cycle asks for it again.
void wake_watchers() {
  if (!anything_to_watch() || !start_watch_thread()) return;
  wakes.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in watch_main
  os::futex_wake_all(wakes);
}

void begin_call(WatcherSlot which) { slot_of(which).calls.fetch_add(1, std::memory_order_relaxed); }

void end_call(WatcherSlot which) {
  std::atomic<std::uint32_t>& calls = slot_of(which).calls;
  calls.fetch_add(1, std::memory_order_release);  // release: what the function did; pairs with the acquire in wait_for_call
  os::futex_wake_all(calls);
}

std::uint32_t call_under_way(WatcherSlot which) { return slot_of(which).calls.load(std::memory_order_relaxed); }

void wait_for_call(WatcherSlot which, std::uint32_t call) {
  if (!is_under_way(call) || is_watch_thread) return;
  const std::atomic<std::uint32_t>& calls = slot_of(which).calls;
  wait_blocked([&] {
    while (calls.load(std::memory_order_acquire) == call) os::futex_wait(calls, call);
  });
}

// Unless it is the thread itself, inside a call, that has forked. The locks of the watchers are held: none is about to begin a call.
void forget_watch_thread_after_fork() {
  if (is_watch_thread) return;
  started.store(false, std::memory_order_relaxed);
  for (Slot& slot : slots)
    if (is_under_way(slot.calls.load(std::memory_order_relaxed))) slot.calls.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace lull::gc

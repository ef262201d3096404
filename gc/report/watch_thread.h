// One thread for what looks at the program from time to time and may call it back: the leak watch, the guardian.
//
// The driver must not run code of the program, which may wait for a cycle; so it only wakes this thread (Dekker-free: a counter that
// is a futex word).
//
// In a forked child the thread is not there. The first cycle that ends there starts another one, if there is still something to watch; not the
// fork's handler, since most children call exec at once.
//
// Who takes a function of the program away waits until it does not run any more:
//
//   watcher                                  stop(), or start() with another function
//     lock; copy the function; begin_call;     lock; take it away; call = call_under_way; unlock
//     unlock; call it; end_call                wait_for_call(call): not for a later one, which has the new function
#pragma once

#include <cstdint>

namespace lull::gc {

// A watcher runs when a cycle is over and, if period_ns is not 0, that long after its last run, whatever comes first.
struct Watcher {
  void (*run)() = nullptr;
  std::uint64_t period_ns = 0;
};
enum class WatcherSlot : std::uint8_t { leak_watch, guardian };

[[nodiscard]] bool start_watch_thread();  // unless it runs; false when the system refuses
void set_watcher(WatcherSlot slot, const Watcher& watcher);  // with the watcher's lock. {}: no more; it may still be running once
void wake_watchers();  // driver, when a cycle is over, and who has set a watcher; no lock but the cycle gate: may start the thread

// Calls of a watcher's into the program, numbered.
void begin_call(WatcherSlot slot);  // the thread, with the watcher's lock
void end_call(WatcherSlot slot);    // the thread
std::uint32_t call_under_way(WatcherSlot slot);  // with the watcher's lock; an even number: none is
// Returns when that call is over, or at once inside it. No lock; an attached thread is blocked meanwhile.
void wait_for_call(WatcherSlot slot, std::uint32_t call);

}  // namespace lull::gc

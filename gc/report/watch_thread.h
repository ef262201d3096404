// One thread for what looks at the program from time to time and may call it back: the leak watch, the guardian.
//
// The driver must not run code of the program, which may wait for a cycle; so it only wakes this thread (Dekker-free: a counter that
// is a futex word).
#pragma once

#include <cstdint>

namespace lull::gc {

// A watcher runs when a cycle is over and, if period_ns is not 0, that long after its last run, whatever comes first.
struct Watcher {
  void (*run)() = nullptr;
  std::uint64_t period_ns = 0;
};
enum class WatcherSlot : std::uint8_t { leak_watch, guardian };

// Starts the thread at the first call; false when the system refuses. {}: no more; it may still be running once.
[[nodiscard]] bool set_watcher(WatcherSlot slot, const Watcher& watcher);
void wake_watchers();  // driver, when a cycle is over

}  // namespace lull::gc

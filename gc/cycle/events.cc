#include "gc/cycle/events.h"

#include <atomic>

#include "gc/mutator/runtime_section.h"

namespace lull::gc {
namespace {

constinit os::Lock lock{os::LockRank::reports};
constinit EventFunction listener;                  // lock
constinit std::atomic<bool> is_listened_to{false};  // written under lock

}  // namespace

os::Lock& event_lock_for_fork() { return lock; }

void set_event_function(const EventFunction& function) {
  RuntimeSection section(self());
  os::Locked locked(lock);
  listener = function;
  is_listened_to.store(function.call != nullptr, std::memory_order_relaxed);
}

// The lock is held over the call, which lets set_event_function wait for it; the function calls nothing of ours.
void tell(Event event, CycleKind kind) {
  if (!is_listened_to.load(std::memory_order_relaxed)) [[likely]] return;
  os::Locked locked(lock);
  if (listener.call != nullptr) listener.call(event, kind, listener.function, listener.data);
}

}  // namespace lull::gc

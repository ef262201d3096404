// What a program is told about cycles (lull_set_event_function in lull/lull_c.h).
#pragma once

#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/model/phase.h"

namespace lull::gc {

enum class Event : std::uint32_t { cycle_begins, mark_begins, mark_ends, sweep_begins, cycle_ends };

struct EventFunction {
  void (*call)(Event event, CycleKind kind, void* function, void* data) = nullptr;  // null: nobody listens
  void* function = nullptr;
  void* data = nullptr;
};
void set_event_function(const EventFunction& function);  // any thread; returns when the one before does not run any more

void tell(Event event, CycleKind kind);  // driver
os::Lock& event_lock_for_fork();

}  // namespace lull::gc

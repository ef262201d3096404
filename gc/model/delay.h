// Checking mode delay=n: whoever passes a step of a protocol between threads waits there now and then, up to n
// microseconds, so that what is rare becomes usual. Costs a load where it is off; in slow paths only.
#pragma once

#include <atomic>

#include "gc/model/options.h"

namespace lull::gc {

void pass_delay_point(const char* where);  // async-signal-safe

// Test hook, called at each point instead of the delay while `options.delay` is set.
extern std::atomic<void (*)(const char* where)> delay_hook_for_testing;

// `where`: for tests that wait for one of them.
inline void delay_point(const char* where = "") {
  if (options.delay != 0) [[unlikely]] pass_delay_point(where);
}

}  // namespace lull::gc

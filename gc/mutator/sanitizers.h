// What sanitizers are told of switches between stacks; nothing, in other builds.
#pragma once

#include "gc/mutator/fibers.h"

#if defined(__SANITIZE_ADDRESS__)
#define LULL_ADDRESS_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define LULL_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LULL_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define LULL_THREAD_SANITIZER 1
#endif
#endif

#ifdef LULL_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef LULL_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace lull::gc {

#if defined(LULL_ADDRESS_SANITIZER)
inline void start_switch(FiberStack& next, void** fake_stack) {
  __sanitizer_start_switch_fiber(fake_stack, reinterpret_cast<const void*>(next.bounds.low), next.bounds.high - next.bounds.low);
}
inline void finish_switch(void* fake_stack) { __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr); }
inline void note_left(FiberStack&) {}
inline void note_forgotten(FiberStack&) {}
#elif defined(LULL_THREAD_SANITIZER)
// Must be followed by nothing but the switch.
[[gnu::always_inline, gnu::no_sanitize_thread]] inline void start_switch(FiberStack& next, void**) {
  if (next.sanitizer == nullptr) next.sanitizer = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(next.sanitizer, 0);
}
inline void finish_switch(void*) {}
inline void note_left(FiberStack& left) { left.sanitizer = __tsan_get_current_fiber(); }
inline void note_forgotten(FiberStack& stack) {
  if (stack.sanitizer != nullptr) __tsan_destroy_fiber(stack.sanitizer);
  stack.sanitizer = nullptr;
}
#else
inline void start_switch(FiberStack&, void**) {}
inline void finish_switch(void*) {}
inline void note_left(FiberStack&) {}
inline void note_forgotten(FiberStack&) {}
#endif

}  // namespace lull::gc

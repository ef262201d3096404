#include "lull/thread.h"

#include "alloc/base/check.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"

namespace lull {

void attach_thread() { gc::self_or_throw(); }
void detail::attach_calling_thread() noexcept { gc::self(); }
void detach_thread() {
  if (const gc::Mutator* m = gc::self_or_null(); m != nullptr && m->blocked_depth > 0) fatal("lull::detach_thread: in a blocking region");
  gc::detach_self();
}

// Also clears a request that was answered elsewhere. Who runs allocator or barrier code has not asked for a safepoint.
void detail::answer_poll_request() noexcept {
  if (gc::Mutator* m = gc::self_or_null(); m != nullptr && m->runtime_depth == 0 && m->blocked_depth == 0) gc::answer_poll(*m);
}

// Not inlined: the frame that is saved must end at the caller's.
[[gnu::noinline]] blocking_region::blocking_region() noexcept {
  constexpr std::uintptr_t kReturnAddressAndFramePointer = 2 * sizeof(void*);
  gc::enter_blocked(gc::self(), reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) + kReturnAddressAndFramePointer);
}

blocking_region::~blocking_region() {
  gc::Mutator& m = gc::self();
  gc::leave_blocked(m);
  if (m.blocked_depth == 0) gc::poll(m);
}

}  // namespace lull

// lull/fiber.h, and the same for C.
#include "lull/fiber.h"

#include "gc/mark/parked_stacks.h"
#include "gc/mutator/fibers.h"
#include "gc/mutator/mutator.h"
#include "gc/mutator/registers.h"
#include "gc/mutator/sanitizers.h"
#include "lull/lull_c.h"

using namespace lull;

namespace {

lull_fiber* handle_of(gc::FiberStack* stack) { return reinterpret_cast<lull_fiber*>(stack); }
gc::FiberStack* stack_of(lull_fiber* handle) { return reinterpret_cast<gc::FiberStack*>(handle); }

}  // namespace

namespace lull::detail {

lull_fiber* register_stack(void* low, std::size_t bytes, parked_stack use) noexcept {
  const auto from = reinterpret_cast<std::uintptr_t>(low);
  return handle_of(gc::register_stack({from, from + bytes}, use == parked_stack::stays));
}

void forget_stack(lull_fiber* stack) noexcept { gc::forget_stack(*stack_of(stack)); }
lull_fiber* stack_of_this_thread() noexcept { return handle_of(gc::self().current); }

}  // namespace lull::detail

fiber_stats lull::read_fiber_stats() {
  fiber_stats stats;
  stats.stacks_read = gc::parked_stacks.stacks();
  stats.bytes_read = gc::parked_stacks.bytes();
  stats.resume_scan = gc::resume_scans.snapshot();
  return stats;
}

// Called by lull_fiber_switch_to of gc/mutator/registers.cc.
extern "C" [[gnu::no_sanitize_thread]] void lull_fiber_switch_with_registers(lull_fiber* next, std::uintptr_t sp) {
  gc::switch_stacks(gc::self(), stack_of(next), gc::callers_sp(sp), gc::pushed_registers(sp));
#ifdef LULL_THREAD_SANITIZER
  gc::start_switch(*stack_of(next), nullptr);
#endif
}

extern "C" lull_fiber* lull_fiber_new(void* low, size_t bytes, int stays) {
  return detail::register_stack(low, bytes, stays != 0 ? parked_stack::stays : parked_stack::may_change);
}
extern "C" void lull_fiber_free(lull_fiber* fiber) {
  if (fiber != nullptr) detail::forget_stack(fiber);
}
extern "C" lull_fiber* lull_fiber_self(void) { return detail::stack_of_this_thread(); }

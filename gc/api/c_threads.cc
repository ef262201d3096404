// lull/lull_c.h: threads and roots.
#include "alloc/base/check.h"
#include "gc/cycle/driver.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/roots.h"
#include "gc/mutator/runtime_section.h"
#include "lull/lull_c.h"
#include "lull/root.h"
#include "lull/thread.h"

using namespace lull;

namespace {

constexpr std::uintptr_t kReturnAddressAndFramePointer = 2 * sizeof(void*);

}  // namespace

extern "C" int lull_use_precise_roots(void) {
  gc::read_options();
  if (gc::options.precise_roots != 0) return 0;
  if (gc::mutators.count_now() != 0) return -1;
  gc::options.precise_roots = 1;
  gc::options.noasync = 1;  // between two instructions references are in registers
  return 0;
}

extern "C" void lull_attach_thread(void) { gc::self(); }

extern "C" void lull_detach_thread(void) {
  if (detail::thread_block.frames != nullptr) fatal("lull_detach_thread: the thread has frames");
  gc::detach_self();
}

extern "C" void lull_poll_slow_(void) { detail::answer_poll_request(); }

// Not inlined: the frame that is saved must end at the caller's.
extern "C" [[gnu::noinline]] void lull_enter_native(void) {
  gc::enter_blocked(gc::self(), reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) + kReturnAddressAndFramePointer);
}

extern "C" void lull_leave_native(void) {
  gc::Mutator& m = gc::self();
  if (m.blocked_depth == 0) fatal("lull_leave_native: the thread is in no native region");
  gc::leave_blocked(m);
  if (m.runtime_depth == 0 && m.blocked_depth == 0) gc::poll(m);
}

extern "C" lull_root* lull_root_new(const void* value) {
  try {
    detail::Word* cell = detail::acquire_root_cell();
    detail::store_word(cell, reinterpret_cast<detail::Word>(value));
    return reinterpret_cast<lull_root*>(cell);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

extern "C" void lull_root_free(lull_root* root) {
  if (root != nullptr) detail::release_root_cell(reinterpret_cast<detail::Word*>(root));
}

namespace {
// As kinds' trace functions: a tracer for C is the same object.
gc::RootFunction as_root_function(void (*trace)(void*, lull_tracer*)) {
  return reinterpret_cast<gc::RootFunction>(reinterpret_cast<void (*)()>(trace));
}
}  // namespace

extern "C" int lull_add_roots(void (*trace)(void* data, lull_tracer* t), void* data) {
  return gc::add_root_function(as_root_function(trace), data) ? 0 : -1;
}

extern "C" void lull_remove_roots(void (*trace)(void* data, lull_tracer* t), void* data) {
  if (!gc::remove_root_function(as_root_function(trace), data)) fatal("lull_remove_roots: no such roots");
}

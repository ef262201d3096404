// lull/coroutine.h, the part that no compiler need have coroutines for.
#include <cstddef>
#include <new>

#include "alloc/base/check.h"
#include "gc/model/colour.h"
#include "gc/mutator/coroutines.h"
#include "gc/mutator/handshake.h"
#include "lull/make.h"

using namespace lull;

namespace lull {

class coroutine_frame;
// What profiles and dumps call frames. No trace function: scanned conservatively.
struct alignas(16) coroutine_words {
  void* words[2];
};

}  // namespace lull

namespace {

gc::CoroutineFrame& head(coroutine_frame& frame) { return reinterpret_cast<gc::CoroutineFrame&>(frame); }

}  // namespace

namespace lull::detail {

void* allocate_frame(std::size_t bytes) {
  const std::size_t units = (sizeof(gc::CoroutineFrame) + bytes + sizeof(coroutine_words) - 1) / sizeof(coroutine_words);
  auto* memory = static_cast<char*>(allocate_array_of<coroutine_words>(units)) + array_offset<coroutine_words>;
  auto* frame = new (memory) gc::CoroutineFrame;
  frame->self = reinterpret_cast<std::uintptr_t>(frame);
  frame->link = {nullptr, nullptr, (units * sizeof(coroutine_words) - offsetof(gc::CoroutineFrame, self)) / sizeof(std::uintptr_t), &frame->self};
  frame->is_new = true;
  gc::enter(gc::self(), *frame);
  return frame + 1;
}

void retire_frame(void* memory) noexcept {
  gc::CoroutineFrame& frame = static_cast<gc::CoroutineFrame*>(memory)[-1];
  gc::forget_words(frame);  // whoever still points here keeps nothing by it
  gc::leave(gc::self(), frame);
}

void enter_frame(coroutine_frame& frame) noexcept { gc::enter(gc::self(), head(frame)); }
void leave_frame(coroutine_frame& frame) noexcept { gc::leave(gc::self(), head(frame)); }

coroutine_frame* new_frame_around(const void* promise) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(promise), newest = reinterpret_cast<std::uintptr_t>(gc::self().block->frames);
  const gc::ObjectRef object = gc::resolve(at);
  if (!object) return nullptr;  // on a stack
  auto* frame = reinterpret_cast<gc::CoroutineFrame*>(newest);
  if (newest - object.address() >= object.span->slot_bytes || !frame->is_new)
    fatal("a coroutine's frame lies in that of another one: let their owners destroy coroutines (lull/coroutine.h)");
  frame->is_new = false;
  return reinterpret_cast<coroutine_frame*>(frame);
}

}  // namespace lull::detail

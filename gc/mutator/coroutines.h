// Frames of C++20 coroutines (lull/coroutine.h): objects without a trace function, with this head. Rule 20 of docs/design/protocol_model.md;
// docs/design/fibers.md.
//
//              enter (resumed, or destroyed)
//   suspended --------------------------------> running
//       ^                                          |
//       +------------------ leave -----------------+
//
//   suspended  an object as any other: marked if it is reached, stored to through barriers
//   running    its words are variables of the thread, a frame of its list (gc/mutator/frames.h): nothing the thread does there passes a
//              barrier, so they are scanned with its stack
//
// What a thread does with the words while it runs deletes references, so they are shaded before it begins, and stores some, so the
// cards are dirty when it ends; a grey thread may have its cards cleaned under its hands, so it shades then, too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/mutator/frames.h"

namespace lull::gc {

struct alignas(16) CoroutineFrame {
  Frame link;                      // while it runs; slots and count: `self` and what the compiler has laid out
  std::uint32_t shaded_cycle = 0;  // all it holds was shaded in that cycle, and what came since came from black threads
  bool running = false;
  bool is_new = false;  // without its promise
  std::uintptr_t unused[2] = {};
  std::uintptr_t self = 0;  // running, it is kept, whether or not the thread still knows where it is

  std::uintptr_t begin() const { return reinterpret_cast<std::uintptr_t>(this + 1); }
  std::uintptr_t end() const { return reinterpret_cast<std::uintptr_t>(link.slots + link.count); }
};
static_assert(sizeof(CoroutineFrame) == 64 && offsetof(CoroutineFrame, self) == 56);

// By the calling thread. All but its head is written by one thread at a time, which the program sees to.
void enter(Mutator& m, CoroutineFrame& frame);
void leave(Mutator& m, CoroutineFrame& frame);
void forget_words(CoroutineFrame& frame);  // running

}  // namespace lull::gc

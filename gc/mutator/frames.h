// A thread's precise roots: the list of frames that lull_push_frame and lull_pop_frame keep (lull/lull_c.h).
//
// To the protocol a frame's slots are registers: stored to without a barrier, scanned with the thread's stack at handshake 2, black from then
// on. Only their thread writes them, so whoever scans them is the thread itself, or acts for it while it is blocked or parked.
#pragma once

#include <cstddef>

#include "gc/mutator/mutator.h"
#include "lull/tracer.h"

namespace lull::gc {

struct Frame {
  Frame* previous;
  void (*trace)(const Frame* frame, tracer& t);  // null: the slots
  std::size_t count;
  const std::uintptr_t* slots;
};

inline const Frame* newest_frame(const Mutator& m) { return static_cast<const Frame*>(m.block->frames); }

// Hands what the frames refer to to `take(to, begin, end)`, piece by piece; words that lead nowhere among it. Async-signal-safe if the program's
// trace functions are.
using TakeWords = bool (*)(void* to, const std::uintptr_t* begin, const std::uintptr_t* end);
bool trace_frames(const Frame* newest, TakeWords take, void* to);  // false: one of the calls was

// Appends what lies in the heap to `words`. False: out of memory.
[[nodiscard]] bool copy_frames(const Frame* newest, WordBuffer& words);
[[nodiscard]] inline bool copy_frames(Mutator& m) { return copy_frames(newest_frame(m), m.words); }

// A reference in a function of the collector's that runs code of the program.
class [[nodiscard]] FrameOfOne {
 public:
  explicit FrameOfOne(std::uintptr_t word) : word_(word), frame_{static_cast<Frame*>(detail::thread_block.frames), nullptr, 1, &word_} {
    detail::thread_block.frames = &frame_;
    asm volatile("" ::: "memory");
  }
  ~FrameOfOne() {
    asm volatile("" ::: "memory");
    detail::thread_block.frames = frame_.previous;
  }
  FrameOfOne(const FrameOfOne&) = delete;
  FrameOfOne& operator=(const FrameOfOne&) = delete;

 private:
  std::uintptr_t word_;
  Frame frame_;
};

}  // namespace lull::gc

#include "gc/mutator/frames.h"

namespace lull::gc {
namespace {

// Hands what a frame's trace function names on.
class FrameTracer : private tracer {
 public:
  FrameTracer(TakeWords take, void* to) : take_(take), to_(to) {
    next_ = words_;
    end_ = words_ + kWords;
    flush_ = [](tracer& t) { static_cast<FrameTracer&>(t).flush(); };
    ephemeron_ = [](tracer&, const std::uintptr_t*, const std::uintptr_t*) {};  // no frame holds one
  }

  void trace(const Frame& frame) {
    frame.trace(&frame, *this);
    flush();
  }
  bool complete() const { return complete_; }

 private:
  static constexpr std::size_t kWords = 256;

  void flush() {
    complete_ &= take_(to_, words_, next_);
    next_ = words_;
  }

  TakeWords take_;
  void* to_;
  bool complete_ = true;
  std::uintptr_t words_[kWords];
};

// Apart: the tracer takes 2 KiB of stack, which on a fiber's stack may be pages that nobody has touched yet.
[[gnu::noinline]] bool trace_some_frames(const Frame* newest, TakeWords take, void* to) {
  FrameTracer tracer(take, to);
  bool complete = true;
  for (const Frame* frame = newest; frame != nullptr; frame = frame->previous) {
    if (frame->trace != nullptr) tracer.trace(*frame);
    else complete &= take(to, frame->slots, frame->slots + frame->count);
  }
  return complete && tracer.complete();
}

}  // namespace

bool trace_frames(const Frame* newest, TakeWords take, void* to) { return newest == nullptr || trace_some_frames(newest, take, to); }

bool copy_frames(const Frame* newest, WordBuffer& words) {
  return trace_frames(newest, [](void* to, const std::uintptr_t* begin, const std::uintptr_t* end) {
    return static_cast<WordBuffer*>(to)->copy_range(reinterpret_cast<std::uintptr_t>(begin), reinterpret_cast<std::uintptr_t>(end));
  }, &words);
}

}  // namespace lull::gc

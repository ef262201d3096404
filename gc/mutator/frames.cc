#include "gc/mutator/frames.h"

namespace lull::gc {
namespace {

// Hands what a frame's trace function names to the thread's buffer of words.
class FrameTracer : private tracer {
 public:
  explicit FrameTracer(Mutator& m) : m_(m) {
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
    complete_ &= m_.words.copy_range(reinterpret_cast<std::uintptr_t>(words_), reinterpret_cast<std::uintptr_t>(next_));
    next_ = words_;
  }

  Mutator& m_;
  bool complete_ = true;
  std::uintptr_t words_[kWords];
};

}  // namespace

bool copy_frames(Mutator& m) {
  if (newest_frame(m) == nullptr) return true;
  FrameTracer tracer(m);
  bool complete = true;
  for (const Frame* frame = newest_frame(m); frame != nullptr; frame = frame->previous) {
    const auto slots = reinterpret_cast<std::uintptr_t>(frame->slots);
    if (frame->trace != nullptr) tracer.trace(*frame);
    else complete &= m.words.copy_range(slots, slots + frame->count * sizeof(std::uintptr_t));
  }
  return complete && tracer.complete();
}

}  // namespace lull::gc

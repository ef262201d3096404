#include "gc/mark/parked_stacks.h"

#include <algorithm>

#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/mutator/frames.h"

namespace lull::gc {

constinit ParkedStacks parked_stacks;

namespace {

// While it exists the stack's memory stays, and its frames as they are ([parked] in docs/design/memory_model.md).
class [[nodiscard]] ReadingStack {
 public:
  explicit ReadingStack(FiberStack& stack) : stack_(stack) {
    stack_.readers.fetch_add(1, std::memory_order_seq_cst);
    delay_point();
    // After the count: who comes to run on it, or gives it up, sees the one or is seen. What he left is acquired here.
    parked_ = stack_.state.load(std::memory_order_seq_cst) == StackState::parked;
  }
  ~ReadingStack() { stack_.readers.fetch_sub(1, std::memory_order_release); }  // release: pairs with wait_for_readers
  ReadingStack(const ReadingStack&) = delete;
  ReadingStack& operator=(const ReadingStack&) = delete;
  bool is_parked() const { return parked_; }

 private:
  FiberStack& stack_;
  bool parked_;
};

}  // namespace

// Stacks that are registered from now on are black: so are all threads.
void ParkedStacks::begin() {
  bytes_.store(0, std::memory_order_relaxed);
  stacks_.store(0, std::memory_order_relaxed);
  next_.store(0, std::memory_order_relaxed);
  stop_.store(fiber_stacks_end(), std::memory_order_relaxed);
}

bool ParkedStacks::read_some(Marker& marker, std::uint64_t budget) {
  const std::uint32_t stop = stop_.load(std::memory_order_relaxed);
  const std::uint64_t enough = marker.scanned_bytes() + budget;
  while (has_more()) {
    const std::uint32_t first = next_.fetch_add(kClaim, std::memory_order_relaxed);
    for (std::uint32_t i = first; i < std::min(first + kClaim, stop); ++i) read(fiber_stack_at(i), marker);
    if (marker.scanned_bytes() >= enough) return true;
  }
  return false;
}

void ParkedStacks::read(FiberStack& stack, Marker& marker) {
  if (stack.state.load(std::memory_order_relaxed) != StackState::parked || !is_unread(stack)) return;
  const ReadingStack reading(stack);
  // A thread that has come to run on it since has scanned it: all of them are black.
  if (!reading.is_parked() || !is_unread(stack)) return;
  const std::uintptr_t from = stack.sp.load(std::memory_order_relaxed);
  if (options.precise_roots == 0 && stack.guest) {
    marker.mark_words(stack.kept.begin(), stack.kept.end());
  } else if (options.precise_roots == 0) {
    marker.mark_stack(from, stack.bounds.high);
    marker.mark_words(stack.registers, stack.registers + FiberStack::kRegisters);
  }
  // acquire: pairs with swap_frames_and_exceptions
  trace_frames(stack.frames.load(std::memory_order_acquire), [](void* to, const std::uintptr_t* begin, const std::uintptr_t* end) {
    static_cast<Marker*>(to)->mark_words(begin, end);
    return true;
  }, &marker);
  // Black now, whoever has come to run on it meanwhile. release: it was read before; pairs with is_unread
  stack.scanned_cycle.store(current_cycle.load(std::memory_order_relaxed), std::memory_order_release);
  stacks_.fetch_add(1, std::memory_order_relaxed);
  bytes_.fetch_add(stack.bounds.high - from, std::memory_order_relaxed);
}

}  // namespace lull::gc

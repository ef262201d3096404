#include "gc/mutator/coroutines.h"

#include <cstring>

#include "alloc/base/check.h"
#include "gc/model/delay.h"
#include "gc/model/phase.h"
#include "gc/mutator/mutator.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/shade.h"
#include "lull/detail/barrier.h"

namespace lull::gc {
namespace {

bool is_marking() {
  const MarkState state = mark_state.load(std::memory_order_acquire);  // acquire: pairs with set_mark_state
  return state != MarkState::off && state != MarkState::done;
}

bool shades(const Mutator& m) { return m.block->barrier_on != 0 && is_marking(); }
bool is_black(const Mutator& m) { return m.scanned_cycle == current_cycle.load(std::memory_order_relaxed); }

void shade_words(Mutator& m, const CoroutineFrame& frame) {
  const detail::HeapRange& range = detail::heap_range;
  for (std::uintptr_t at = frame.begin(); at < frame.end(); at += sizeof(std::uintptr_t)) {
    const std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
    if (word - range.base < range.size) shade(m, word);
  }
}

void dirty_cards_of(const CoroutineFrame& frame) {
  constexpr std::uintptr_t kCard = std::uintptr_t{1} << detail::kCardShift;
  for (std::uintptr_t at = frame.begin() & ~(kCard - 1); at < frame.end(); at += kCard) detail::dirty_card(reinterpret_cast<const void*>(at));
}

}  // namespace

void enter(Mutator& m, CoroutineFrame& frame) {
  const RuntimeSection refuse(m);
  if (frame.running) fatal("a coroutine is resumed that a thread runs in");
  if (shades(m) && frame.shaded_cycle != current_cycle.load(std::memory_order_relaxed)) {
    shade_words(m, frame);
    if (is_black(m)) frame.shaded_cycle = m.scanned_cycle;
  }
  delay_point();
  frame.running = true;
  frame.link.previous = static_cast<Frame*>(m.block->frames);
  m.block->frames = &frame.link;
}

void leave(Mutator& m, CoroutineFrame& frame) {
  const RuntimeSection refuse(m);
  if (m.block->frames != &frame.link) fatal("a coroutine is suspended inside of another frame of its thread");
  dirty_cards_of(frame);
  delay_point();
  const bool marks = shades(m), black = marks && is_black(m);
  if (marks && !black) shade_words(m, frame);
  // Not black on the strength of that: others store into it before handshake 2, and shade nothing (counter-example 17).
  frame.shaded_cycle = black ? m.scanned_cycle : 0;
  delay_point();
  m.block->frames = frame.link.previous;
  frame.link.previous = nullptr;
  frame.running = false;
}

void forget_words(CoroutineFrame& frame) { std::memset(reinterpret_cast<void*>(frame.begin()), 0, frame.end() - frame.begin()); }

}  // namespace lull::gc

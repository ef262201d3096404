// The slow half of the write barrier (docs/design/barrier.md).
#include "gc/model/colour.h"
#include "gc/model/delay.h"
#include "gc/model/ephemerons.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/roots.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/shade.h"
#include "lull/detail/barrier.h"

#include "alloc/base/check.h"

namespace lull::gc {

constinit ShadeTotals shade_totals;

void shade(Mutator& m, std::uintptr_t word) {
  if (word - m.born_begin < m.born_bytes) return;
  const ObjectRef object = resolve(word);
  if (!object) return;
  // acquire: pairs with set_mark_state; an older state can only be `snapshot`, whose raw entries are right at any time
  const MarkState state = mark_state.load(std::memory_order_acquire);
  if (state == MarkState::off || state == MarkState::done) return;
  if (state == MarkState::snapshot) {
    m.grey.push(raw_entry(word));
    return;
  }
  // Candidate first: most values stored while marking were born during the cycle.
  if (!is_candidate(object, current_cycle.load(std::memory_order_relaxed))) return;
  const std::uint32_t epoch = mark_epoch.load(std::memory_order_relaxed);
  if (is_marked(object, epoch)) return;
  // Rule 7: first cancel, then mark, then push. A thread that has answered the last flush may find that the driver was
  // faster: only a stale word can name a white object then.
  if (!cancel_termination()) return;
  delay_point();
  switch (try_mark(object, epoch)) {
    case MarkResult::newly:
      shade_totals.objects.fetch_add(1, std::memory_order_relaxed);
      shade_totals.bytes.fetch_add(object.span->slot_bytes, std::memory_order_relaxed);
      delay_point();
      if (kind_of(*object.span).layout != detail::Layout::no_pointers) m.grey.push(object.address());
      if (is_awaited(kind_of(*object.span), current_cycle.load(std::memory_order_relaxed)))
        waiting_ephemerons.wake(object, [&](std::uintptr_t cell) { m.grey.push(cell); });
      break;
    case MarkResult::busy: m.grey.push(raw_entry(word)); break;
    case MarkResult::already: break;
  }
}

namespace {

bool is_on_some_stack(const Mutator& self, std::uintptr_t slot) {
  if (self.stack.contains(slot) || self.left.contains(slot) || self.own.bounds.contains(slot)) return true;
  if (os::active_signal_stack().contains(slot)) return true;
  // The driver holds this lock while it waits for answers, ours among them: never wait for it here.
  if (!mutators.lock.try_lock()) return true;
  bool found = false;
  for (Mutator* m = mutators.first; m != nullptr; m = m->next) found |= m->own.bounds.contains(slot);
  mutators.lock.unlock();
  return found || lies_on_a_fiber_stack(slot);
}

// Root cells are, to a young cycle.
bool is_old(const void* slot) {
  const auto word = reinterpret_cast<std::uintptr_t>(slot);
  if (const ObjectRef object = resolve(word)) return is_marked(object, mark_epoch.load(std::memory_order_relaxed));
  return pages::in_heap(word) && root_chunk_of(word) != nullptr;
}

// Only a grey stack can publish what nobody else protects, and only where marking will not look: in an object born black, which
// takes a black stack, or in an old one whose card has been cleaned. Everything else is scanned after handshake 2, so that what a
// program stores and drops between the first two handshakes is garbage of this cycle and not promoted.
bool may_hide_new_value(const void* slot) {
  if (__atomic_load_n(&detail::stacks_are_black, __ATOMIC_RELAXED) != 0) return false;
  return stack_scan_asked.load(std::memory_order_seq_cst) || is_old(slot);
}

// Checking mode check_ptr_location: a slot must lie where somebody traces it.
void check_location(const Mutator& m, std::uintptr_t slot, std::uintptr_t value) {
  if (!resolve(value) || detail::heap_range.contains(slot) || is_root_cell(slot) || is_on_some_stack(m, slot)) return;
  fatal("check_ptr_location: the ptr at %p lies in a global or in malloc memory, where nobody traces it; use lull::root",
        reinterpret_cast<void*>(slot));
}

}  // namespace
}  // namespace lull::gc

namespace lull::detail {

void barrier_slow(const void* slot, Word old_value, Word new_value) noexcept {
  gc::Mutator& m = gc::self();
  // The collector may be answering for the thread just now, its buffers in hand: what is shaded here could be lost.
  if (m.blocked_depth != 0) [[unlikely]] fatal("a pointer to an object is stored in a blocking region, or after a longjmp out of one");
  gc::delay_point("stored, not shaded");
  {
    gc::RuntimeSection refuse(m);
    if (gc::options.check_ptr_location != 0 && slot != nullptr) gc::check_location(m, reinterpret_cast<Word>(slot), new_value);
    // Rule 6: the flag again, now that no handshake can come in between. (A barrier that is always on for checking
    // finds mark_state off.)
    if (thread_block.barrier_on != 0) {
      gc::shade(m, old_value);
      if (gc::may_hide_new_value(slot)) gc::shade(m, new_value);
    }
  }
  asm volatile("" ::"r"(old_value), "r"(new_value));  // rule 3, up to the end of the poll
}

}  // namespace lull::detail

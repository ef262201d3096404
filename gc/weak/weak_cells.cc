#include "gc/weak/weak_cells.h"

#include "gc/model/colour.h"
#include "gc/model/delay.h"
#include "gc/model/kinds.h"
#include "gc/model/span_index.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/shade.h"
#include "lull/weak_ptr.h"
#include "lull/make.h"

namespace lull::gc {

constinit detail::Kind weak_cell_kind{.object_bytes = detail::slot_bytes_for<detail::WeakCell>(),
                                      .alignment = alignof(detail::WeakCell),
                                      .layout = detail::Layout::no_pointers,
                                      .is_weak_cell = true,
                                      .name = "lull weak cell"};

namespace {

bool is_white(std::uintptr_t word) {
  const ObjectRef object = resolve(word);
  return object && is_candidate(object, current_cycle.load(std::memory_order_relaxed)) &&
         !is_marked(object, mark_epoch.load(std::memory_order_relaxed));
}

bool is_young(std::uintptr_t word) {
  const ObjectRef object = resolve(word);
  return object && !is_marked(object, mark_epoch.load(std::memory_order_relaxed));
}

// True: no candidate among the cells refers to a young object.
bool clear_cells_of(pages::Span& span) {
  bool settled = true;
  for (std::uint32_t slot = 0; slot < span.slots; ++slot) {
    const ObjectRef cell{&span, slot};
    if (!is_candidate(cell, current_cycle.load(std::memory_order_relaxed))) continue;
    auto* word = reinterpret_cast<std::uintptr_t*>(cell.address());
    std::uintptr_t referent = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (referent == 0 || !is_young(referent)) continue;
    // Compare-and-swap: a cell whose maker has not written it yet holds old contents that may look white.
    if (!is_white(referent) || !__atomic_compare_exchange_n(word, &referent, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      settled = false;
  }
  return settled;
}

// Rule 15. In a runtime section of `m`. An object that is marked already survives this cycle: finding it is no work, so
// it must not cancel termination, or threads that look things up all the time put it off for ever.
std::uintptr_t lock_cell(Mutator& m, const std::uintptr_t* cell) {
  const std::uintptr_t word = __atomic_load_n(cell, __ATOMIC_ACQUIRE);
  delay_point();
  if (word == 0 || m.block->barrier_on == 0) return word;
  if (mark_state.load(std::memory_order_acquire) == MarkState::terminating && is_white(word)) cancel_termination();
  delay_point();
  if (mark_state.load(std::memory_order_acquire) != MarkState::done) {
    shade(m, word);
    return word;
  }
  if (is_white(word)) return 0;
  // The collector may have marked it for the sake of a destructor since; then it emptied the cell before.
  return __atomic_load_n(cell, __ATOMIC_ACQUIRE);
}

}  // namespace

// A span is settled when each of its cells was looked at and found to refer to an old object, and nobody has allocated in it
// since: the sweep and whoever takes the span for allocation unsettle it. Old objects stay until the next full cycle.
void clear_weak_cells(CycleKind kind) {
  const auto clear = [](pages::Span& span) {
    // First the bit, then the look: see make_weak_cell. Without memory for the bit the span is looked at again.
    static_cast<void>(settled_weak_spans.add(span));
    delay_point();
    if (!clear_cells_of(span)) settled_weak_spans.remove(span);
  };
  weak_cell_spans.for_each(clear, kind == CycleKind::young ? &settled_weak_spans : nullptr);
}

}  // namespace lull::gc

namespace lull::detail {

WeakCell* make_weak_cell(const void* referent) {
  const auto* m = static_cast<const gc::Mutator*>(thread_block.mutator);
  const std::uint32_t scanned = m == nullptr ? 0 : m->scanned_cycle;
  auto* word = static_cast<Word*>(allocate_object(gc::weak_cell_kind, slot_bytes_for<WeakCell>()));
  // release: pairs with the acquire loads above
  __atomic_store_n(word, reinterpret_cast<Word>(referent), __ATOMIC_RELEASE);
  asm volatile("" ::"r"(referent) : "memory");
  // The stack was scanned between the allocation and the store: the cell counts as old, the driver may have looked at it
  // before it was written, and its referent may be born during the cycle. The driver sets the bit and then reads the cell,
  // this thread writes the cell and then clears the bit: either it has read the referent, or the bit stays clear.
  m = static_cast<const gc::Mutator*>(thread_block.mutator);
  if (m->scanned_cycle != scanned) [[unlikely]]
    gc::settled_weak_spans.remove(*gc::resolve(reinterpret_cast<Word>(word)).span);
  return reinterpret_cast<WeakCell*>(word);
}

Word lock_weak_cell(const WeakCell* cell) noexcept {
  gc::Mutator& m = gc::self();
  Word word;
  {
    gc::RuntimeSection refuse(m);
    word = gc::lock_cell(m, &cell->referent);
    asm volatile("" : "+r"(word)::"memory");
  }
  asm volatile("" : "+r"(word)::"memory");  // in a register or on the stack through the poll
  return word;
}

bool weak_cell_expired(const WeakCell* cell) noexcept { return lock_weak_cell(cell) == 0; }

}  // namespace lull::detail

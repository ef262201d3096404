#include "gc/weak/weak_cells.h"

#include "alloc/pages/span_table.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
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

void clear_cells_of(pages::Span& span) {
  for (std::uint32_t slot = 0; slot < span.slots; ++slot) {
    const ObjectRef cell{&span, slot};
    if (!is_candidate(cell, current_cycle.load(std::memory_order_relaxed))) continue;
    auto* word = reinterpret_cast<std::uintptr_t*>(cell.address());
    std::uintptr_t referent = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    // Compare-and-swap: a cell whose maker has not written it yet holds old contents that may look white.
    if (is_white(referent)) __atomic_compare_exchange_n(word, &referent, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
  }
}

// Rule 15. In a runtime section of `m`. An object that is marked already survives this cycle: finding it is no work, so
// it must not cancel termination, or threads that look things up all the time put it off for ever.
std::uintptr_t lock_cell(Mutator& m, const std::uintptr_t* cell) {
  const std::uintptr_t word = __atomic_load_n(cell, __ATOMIC_ACQUIRE);
  if (word == 0 || m.block->barrier_on == 0) return word;
  if (mark_state.load(std::memory_order_acquire) == MarkState::terminating && is_white(word)) cancel_termination();
  if (mark_state.load(std::memory_order_acquire) != MarkState::done) {
    shade(m, word);
    return word;
  }
  if (is_white(word)) return 0;
  // The collector may have marked it for the sake of a destructor since; then it emptied the cell before.
  return __atomic_load_n(cell, __ATOMIC_ACQUIRE);
}

}  // namespace

void clear_weak_cells() {
  pages::for_each_span([](pages::Span* span) {
    if (span->kind == &weak_cell_kind) clear_cells_of(*span);
  });
}

}  // namespace lull::gc

namespace lull::detail {

WeakCell* make_weak_cell(const void* referent) {
  auto* word = static_cast<Word*>(allocate_object(gc::weak_cell_kind, slot_bytes_for<WeakCell>()));
  // release: pairs with the acquire loads above
  __atomic_store_n(word, reinterpret_cast<Word>(referent), __ATOMIC_RELEASE);
  asm volatile("" ::"r"(referent));
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

// The write barrier, inlined at every pointer store (docs/design/barrier.md).
//
// Hybrid barrier: shade the old value of the slot (Yuasa 1990) and the new one (Dijkstra et al. 1978), as Go has done
// since 1.8 (proposal 17503). Order of the fast path (rule 2 of docs/design/protocol_model.md): load old, store slot,
// store card, test flag. The empty asm statements hold that order in the compiler and keep both values in registers or
// stack slots that a signal handler scans (rule 3); the processor needs no fence.
#pragma once

#include <atomic>
#include <cstdint>

#include "lull/detail/heap_range.h"
#include "lull/detail/thread_block.h"

namespace lull::detail {

using Word = std::uintptr_t;

// Slow half: refuses handshakes, re-reads the flag, shades old and new, accepts handshakes, polls. Attaches the thread
// if it is not. Never throws, never blocks for another thread.
void barrier_slow(const void* slot, Word old_value, Word new_value) noexcept;

inline void dirty_card(const void* slot) {
  // acquire: pairs with the release in try_reserve(), which may run meanwhile for another thread; a size of 0 ends it here
  const std::size_t size = __atomic_load_n(&heap_range.size, __ATOMIC_ACQUIRE);
  const Word offset = reinterpret_cast<Word>(slot) - heap_range.base;
  // A constant byte; young cycles will clean it between handshakes 1 and 2 only (rule 13), full ones do not look at it.
  if (offset < size) __atomic_store_n(heap_range.cards + (offset >> kCardShift), std::uint8_t{1}, __ATOMIC_RELAXED);
}

inline void after_store(const void* slot, Word old_value, Word new_value) {
  dirty_card(slot);
  asm volatile("" ::: "memory");  // the flag load stays below the slot store
  if (thread_block.barrier_on) [[unlikely]] barrier_slow(slot, old_value, new_value);
  asm volatile("" ::"r"(old_value), "r"(new_value));
}

inline Word load_word(const Word* slot) { return __atomic_load_n(slot, __ATOMIC_RELAXED); }

inline void store_word(Word* slot, Word new_value) {
  const Word old_value = load_word(slot);
  // release: publishes the object's contents to the marker, pairs with the acquire in tracer::visit
  __atomic_store_n(slot, new_value, __ATOMIC_RELEASE);
  after_store(slot, old_value, new_value);
}

// A store that constructs the slot: what was there before is overwritten like any old value, since a container may build
// over memory that held another pointer. The asm statement hides that a local slot holds nothing yet.
inline void construct_word(Word* slot, Word new_value) {
  asm("" : "+r"(slot));
  store_word(slot, new_value);
}

// Null over null, as in a fresh object, deletes nothing and publishes nothing: there is nothing to do.
inline void construct_null(Word* slot) {
  asm("" : "+r"(slot));
  if (load_word(slot) != 0) store_word(slot, 0);
}

inline Word exchange_word(Word* slot, Word new_value) {
  const Word old_value = __atomic_exchange_n(slot, new_value, __ATOMIC_ACQ_REL);
  after_store(slot, old_value, new_value);
  return old_value;
}

inline bool compare_exchange_word(Word* slot, Word& expected, Word new_value) {
  if (!__atomic_compare_exchange_n(slot, &expected, new_value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return false;
  after_store(slot, expected, new_value);
  return true;
}

}  // namespace lull::detail

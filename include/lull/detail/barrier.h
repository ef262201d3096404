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

// The collector's: every thread has scanned its stack in the running cycle. From then on only deletions matter.
// False from before handshake 1 of a cycle; an old `true` seen by a barrier that began earlier does no harm, because the
// slot was written before (docs/design/barrier.md, "Which values").
extern std::uint8_t stacks_are_black;

// Slow half: refuses handshakes, re-reads the flag, shades old and new, accepts handshakes, polls. Attaches the thread
// if it is not. Never throws, never blocks for another thread.
void barrier_slow(const void* slot, Word old_value, Word new_value) noexcept;

inline void dirty_card(const void* slot) {
  // acquire: pairs with the release in try_reserve(), which may run meanwhile for another thread; a size of 0 ends it here
  const std::size_t size = __atomic_load_n(&heap_range.size, __ATOMIC_ACQUIRE);
  const Word offset = reinterpret_cast<Word>(slot) - heap_range.base;
  // A constant byte; young cycles will clean it between handshakes 1 and 2 only (rule 13), full ones do not look at it.
  if (offset < size) [[likely]] __atomic_store_n(heap_range.cards + (offset >> kCardShift), std::uint8_t{1}, __ATOMIC_RELAXED);
}

inline void shade_if_marking(const void* slot, Word old_value, Word new_value) {
  asm volatile("" ::: "memory");  // the flag load stays below the slot store
  const std::uint8_t flag = thread_block.barrier_on;
  if (flag != kBarrierOff) [[unlikely]] {
    // Nothing deleted and nobody grey to hide the new value from: nothing to do.
    const bool idle = old_value == 0 && flag == kBarrierOn && __atomic_load_n(&stacks_are_black, __ATOMIC_RELAXED) != 0;
    if (!idle) return barrier_slow(slot, old_value, new_value);  // which keeps both itself: no register has to outlast it
  }
  asm volatile("" ::"r"(old_value), "r"(new_value));
}

inline void after_store(const void* slot, Word old_value, Word new_value) {
  dirty_card(slot);
  shade_if_marking(slot, old_value, new_value);
}

// Does the compiler see that the slot lies in a variable of the function at hand? (It knows the sizes of variables only:
// managed memory comes from functions that do not tell.) False says nothing.
[[gnu::always_inline]] inline bool is_variable(const Word* slot) { return __builtin_object_size(slot, 0) != static_cast<std::size_t>(-1); }

// A variable is not atomic, so that it can be a register: threads that share one synchronise, as with any variable.
[[gnu::always_inline]] inline Word load_word(const Word* slot) {
#ifndef __clang__  // gcc 12 warns where it sees a branch on which the object would be null
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#endif
  return is_variable(slot) ? *slot : __atomic_load_n(slot, __ATOMIC_RELAXED);
#ifndef __clang__
#pragma GCC diagnostic pop
#endif
}

inline void store_word(Word* slot, Word new_value) {
  const Word old_value = load_word(slot);
  // release: publishes the object's contents to the marker, pairs with the acquire in tracer::visit
  __atomic_store_n(slot, new_value, __ATOMIC_RELEASE);
  after_store(slot, old_value, new_value);
}

// A store that constructs the slot: what was there before is overwritten like any old value, since a container may build
// over memory that held another pointer. The asm statement hides that a slot holds nothing yet.
// A variable that begins to live overwrites nothing: what its stack slot held has ended without a store, so nobody counts
// on it. Nor is there a card; the slot may as well be a register. But `new_value` may come from a variable of another
// thread, whose stack is grey (docs/design/barrier.md, "Variables").
[[gnu::always_inline]] inline void construct_word(Word* slot, Word new_value) {
  if (is_variable(slot)) {
    *slot = new_value;
    return shade_if_marking(nullptr, 0, new_value);
  }
  asm("" : "+r"(slot));
  store_word(slot, new_value);
}

// Out of line, so that the constructor of a fresh object needs no frame.
[[gnu::noinline, gnu::cold]] inline void overwrite_with_null_slow(Word* slot) noexcept { store_word(slot, 0); }

// Null over null, as in a fresh object, deletes nothing and publishes nothing: there is nothing to do.
[[gnu::always_inline]] inline void construct_null(Word* slot) {
  if (is_variable(slot)) {
    *slot = 0;
    return;
  }
  asm("" : "+r"(slot));
  if (load_word(slot) != 0) [[unlikely]] overwrite_with_null_slow(slot);
}

// `object` comes from the thread's own allocation just now and is known to nobody else: no other stack can hide it, and
// the thread's own one is scanned with it, or is black and the object no candidate.
[[gnu::always_inline]] inline void construct_fresh(Word* slot, Word object) {
  if (is_variable(slot)) *slot = object;
  else construct_word(slot, object);
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

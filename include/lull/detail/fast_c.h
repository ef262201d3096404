/* What the inlined fast paths of lull_c.h touch: the same memory as kind.h, thread_block.h, heap_range.h and tracer.h describe for
   C++. gc/api/c_layout.cc compares every offset. Nothing in here is for users. */
#ifndef LULL_DETAIL_FAST_C_H
#define LULL_DETAIL_FAST_C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A slot of the program seen as a word, whatever type the program gave it. */
typedef uintptr_t __attribute__((__may_alias__)) lull_word_;

typedef struct lull_alloc_slot_ {
  lull_word_ cursor, limit, rest[6];
} lull_alloc_slot_;

typedef struct lull_thread_ {
  char* slots;
  uint8_t barrier_on;
  uint32_t poll_requested;
  void* mutator;
  struct lull_frame* frames;
} __attribute__((__may_alias__)) lull_thread_;

typedef struct lull_heap_range_ {
  uintptr_t base;
  size_t size;
  uint8_t* cards;
} __attribute__((__may_alias__)) lull_heap_range_;

struct lull_tracer {
  lull_heap_range_ range;
  lull_word_* next;
  lull_word_* end;
  void (*flush)(struct lull_tracer* t);
  void (*ephemeron)(struct lull_tracer* t, const uintptr_t* key, const uintptr_t* value);
  void* slots_seen;
};

/* Thread-local, initial-exec: one instruction relative to the thread register. */
extern __thread lull_thread_ lull_this_thread_ __asm__("_ZN4lull6detail12thread_blockE") __attribute__((__tls_model__("initial-exec")));
extern lull_heap_range_ lull_heap_range_now_ __asm__("_ZN4lull6detail10heap_rangeE");
extern uint8_t lull_stacks_are_black_ __asm__("_ZN4lull6detail16stacks_are_blackE");

enum { LULL_CARD_SHIFT_ = 9, LULL_BARRIER_ON_ = 1, LULL_UNIT_ = 16 };

void* lull_new_slow_(void* kind);
void lull_barrier_slow_(const void* slot, uintptr_t old_value, uintptr_t new_value);
void lull_poll_slow_(void);
void lull_note_slot_(struct lull_tracer* t, const void* slot);

/* Bump allocation in the thread's hole; see allocate_object in lull/make.h for what the asm statements do. */
static inline __attribute__((__always_inline__)) void* lull_bump_(void* kind, const uint32_t* slot_offset, uint32_t bytes) {
  lull_alloc_slot_* slot = (lull_alloc_slot_*)(void*)(lull_this_thread_.slots + __atomic_load_n(slot_offset, __ATOMIC_RELAXED));
  uintptr_t object = slot->cursor;
  const uintptr_t next = object + bytes;
  if (__builtin_expect(next > slot->limit, 0)) return lull_new_slow_(kind);
  __asm__ volatile("" : "+r"(object));
  slot->cursor = next;
  __asm__ volatile("" : "+r"(object) : : "memory");
  return (void*)object;
}

/* Behind the store of a slot: its card, then the shades (lull/detail/barrier.h). */
static inline __attribute__((__always_inline__)) void lull_after_store_(const void* slot, uintptr_t old_value, uintptr_t new_value) {
  /* acquire: as in dirty_card() */
  const size_t size = __atomic_load_n(&lull_heap_range_now_.size, __ATOMIC_ACQUIRE);
  const uintptr_t offset = (uintptr_t)slot - lull_heap_range_now_.base;
  uint8_t flag;
  if (__builtin_expect(offset < size, 1))
    __atomic_store_n(lull_heap_range_now_.cards + (offset >> LULL_CARD_SHIFT_), (uint8_t)1, __ATOMIC_RELAXED);
  __asm__ volatile("" : : : "memory"); /* the flag load stays below the slot store */
  flag = lull_this_thread_.barrier_on;
  if (__builtin_expect(flag != 0, 0) &&
      !(old_value == 0 && flag == LULL_BARRIER_ON_ && __atomic_load_n(&lull_stacks_are_black_, __ATOMIC_RELAXED) != 0)) {
    lull_barrier_slow_(slot, old_value, new_value); /* keeps both itself */
    return;
  }
  __asm__ volatile("" : : "r"(old_value), "r"(new_value));
}

#ifdef __cplusplus
}
#endif
#endif

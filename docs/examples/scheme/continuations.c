/* Continuations: frames of the stack in the heap. What machine.c says about frames holds for the copies; they are never written. */
#include <string.h>

#include "instructions.h"
#include "machine.h"

enum { FRAMES_BACK = 256 }; /* words brought back at once: more copy for nothing, fewer underflow more often */

/* Where the lowest frame of the stack returns to: as if the first one had called, which names the slot of the result: 0. */
static Instruction underflow_code[2 + CALL_WORDS] = {{.op = UNDERFLOW}, [1 + CALL_WORDS] = {.op = UNDERFLOW}};
Instruction* after_underflow(void) { return &underflow_code[1]; }

static Value make_continuation(Machine* m, Value words, size_t size, Value pc, size_t base) {
  m->temporary[TEMPORARIES - 1] = words;
  m->temporary[TEMPORARIES - 2] = pc;
  Value k = make_procedure(continuation_code, KONT_SLOTS);
  Value* f = PROC(k)->free;
  initialize(&f[KONT_WORDS], m->temporary[TEMPORARIES - 1]);
  initialize(&f[KONT_SIZE], fixnum((intptr_t)size));
  initialize(&f[KONT_PC], m->temporary[TEMPORARIES - 2]);
  initialize(&f[KONT_BASE], fixnum((intptr_t)base));
  initialize(&f[KONT_PARENT], m->under);
  initialize(&f[KONT_WINDERS], m->winders);
  m->temporary[TEMPORARIES - 1] = m->temporary[TEMPORARIES - 2] = 0;
  return k;
}

/* What no frame below `base` will look at again becomes 0: the copy would keep it as long as the frame (a program is to be safe for space, Appel). */
static void clear_dead_slots(const Machine* m, Value* base) {
  while (base > m->stack + FRAME_HEAD) {
    const Instruction* pc = (const Instruction*)base[-3];
    base -= slots_of(base[-2]);
    const Code* code = PROC(base[-1])->code;
    const DeadSlot* dead = (const DeadSlot*)(const void*)(code->instructions + code->dead_at);
    for (uint32_t i = 0; i < code->dead_count; ++i)
      if (code->instructions + dead[i].at == pc) base[dead[i].slot] = fixnum(0);
  }
}

void capture(Machine* m, Value* base) {
  const size_t size = (size_t)(base - FRAME_HEAD - m->stack);
  if (size == 0 && m->under != 0 && PROC(m->under)->free[KONT_WINDERS] == m->winders) return;
  clear_dead_slots(m, base);
  Value* words = size == 0 ? NULL : new_words(size);
  for (size_t i = 0; i < size; ++i) initialize(&words[i], m->stack[i]);
  m->under = make_continuation(m, raw(words), size, base[-3], (size_t)(base - m->stack) - slots_of(base[-2]));
}

Value* reinstate(Machine* m, Instruction** pc) {
  while (m->under != 0 && PROC(m->under)->free[KONT_SIZE] == 0) m->under = PROC(m->under)->free[KONT_PARENT];
  if (m->under == 0) return NULL;
  const Value* f = PROC(m->under)->free;
  const Value* words = (const Value*)f[KONT_WORDS];
  const size_t size = (size_t)integer_of(f[KONT_SIZE]), top = (size_t)integer_of(f[KONT_BASE]);
  size_t low = top; /* base of the lowest frame to bring back */
  while (low != FRAME_HEAD && size - low < FRAMES_BACK) low -= slots_of(words[low - 2]);
  memcpy(m->stack, words + low - FRAME_HEAD, (size - low + FRAME_HEAD) * sizeof(Value));
  m->top = m->stack + (size - low + FRAME_HEAD);
  *pc = (Instruction*)f[KONT_PC];
  if (low == FRAME_HEAD) {
    m->under = f[KONT_PARENT];
  } else {
    m->stack[0] = raw(after_underflow());
    m->stack[1] = way_back(0);
    const Value rest = make_continuation(m, f[KONT_WORDS], low - FRAME_HEAD, words[low - 3], low - slots_of(words[low - 2]));
    f = PROC(m->under)->free;
    store(&PROC(rest)->free[KONT_PARENT], f[KONT_PARENT]);
    store(&PROC(rest)->free[KONT_WINDERS], f[KONT_WINDERS]);
    m->under = rest;
  }
  return m->stack + FRAME_HEAD + (top - low);
}

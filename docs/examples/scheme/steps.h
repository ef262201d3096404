/* What the instructions in machine.c are made of: macros, because they jump. They know run()'s variables and labels: m, base, pc, count, v. */
#ifndef SCHEME_STEPS_H
#define SCHEME_STEPS_H

#include <stddef.h>
#include <string.h>

#include "instructions.h"
#include "machine.h"

/* Is it an ENTER of so many parameters? Asked at every call: one comparison of the instruction's first half, whose op and live are 0. */
static inline bool enters_with(const Instruction* i, int count) {
  uint32_t half;
  memcpy(&half, i, sizeof half);
  return half == (uint32_t)count << 16;
}
_Static_assert(ENTER == 0 && offsetof(Instruction, a) == 2 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "enters_with");

/* The instruction that runs. Its fields are read where they are needed: a copy costs five loads an instruction. */
#define I (pc[-1])
#define SLOW(expression)                    \
  do {                                      \
    m->top = base + I.live;                 \
    Value v_ = (expression);                \
    if (m->error != NULL) goto raise_here;  \
    base[I.a] = v_;                         \
  } while (0)
#define FAIL(message, irritant)  \
  do {                           \
    fail(m, message, irritant);  \
    goto raise_here;             \
  } while (0)
/* A frame `up` slots above this one, from which the program comes back here. */
#define LEAVE_FRAME(up)                 \
  do {                                  \
    const size_t up_ = (up);            \
    Value* const callee_ = base + up_;  \
    callee_[-3] = raw(pc);              \
    callee_[-2] = way_back(up_);        \
    base = callee_;                     \
  } while (0)
/* The frame at `base` becomes the lowest one. */
#define MOVE_TO_BOTTOM(words)                                       \
  do {                                                              \
    memmove(m->stack, base - FRAME_HEAD, (words) * sizeof(Value));  \
    base = m->stack + FRAME_HEAD;                                   \
    base[-3] = raw(after_underflow());                              \
    base[-2] = way_back(0);                                         \
  } while (0)
#define RETURN_TO_LINK(result)                \
  do {                                        \
    const Value result_ = (result);           \
    pc = (Instruction*)base[-3];              \
    base = (Value*)((char*)base - base[-2]);  \
    base[I.a] = result_;                      \
    NEXT_BEHIND_CALL;                         \
  } while (0)
#define FREE_OF(n) (PROC(base[-1])->free[n])
typedef Value __attribute__((__may_alias__)) Constant; /* among the words behind the instructions, n words from here */
#define CONSTANT_OF(n) (((const Constant*)pc)[n])
#define WORD(n) (((const Constant*)pc)[n]) /* behind an instruction that may call: CallWord */
#define CALLED_GLOBAL (SYMBOL(WORD(CALL_SYMBOL))->value)
#define BOX_OF(v) (OBJECT(v)->slot[0])
#define BOTH_FIXNUMS(x, y) ((((x) | (y)) & 1) == 0)

/* ---- From one instruction to the next ---- */

#define NEXT             \
  do {                   \
    ++pc;                \
    goto* labels[I.op];  \
  } while (0)

#define NEXT_BEHIND_CALL   \
  do {                     \
    pc += 1 + CALL_WORDS;  \
    goto* labels[I.op];    \
  } while (0)

#define POLL_WANTED (__atomic_load_n(&lull_this_thread_.poll_requested, __ATOMIC_RELAXED) != 0) /* lull_poll() orders it */
/* The next address is what everything waits for: an offset counts from the instruction itself, so that adding it is all there is to do. */
#define JUMP             \
  do {                   \
    pc += (int16_t)I.c;  \
    goto* labels[I.op];  \
  } while (0)
#define JUMP_IF(condition)  \
  do {                      \
    if (condition) JUMP;    \
    NEXT;                   \
  } while (0)

#define LOOP_BACK                          \
  if (__builtin_expect(POLL_WANTED, 0)) {  \
    m->top = base + I.live;                \
    lull_poll();                           \
  }                                        \
  JUMP

/* ---- Calls ---- */

/* base[-1] runs; its parameters are there. */
#define ENTER_FRAME                          \
  do {                                       \
    if (__builtin_expect(POLL_WANTED, 0)) {  \
      m->top = base + count;                 \
      lull_poll();                           \
    }                                        \
  } while (0)
#define ENTER_AT(entry)                                      \
  do {                                                       \
    pc = (entry) + 1;                                        \
    if (__builtin_expect(base > m->limit, 0)) goto entered;  \
    ENTER_FRAME;                                             \
    NEXT;                                                    \
  } while (0)
/* Where the last call here went, if it was to byte code that takes so many arguments. It says where to go on before the procedure says so, and the
   procedure is compared later: what computes next does not wait for its loads. One word, so threads may share it; not traced: what it is
   compared with is alive, but may lie where another code was, so the parameters are compared too. */
#define LAST_ENTRY ((Instruction*)__atomic_load_n((const Constant*)pc + CALL_PROCEDURE, __ATOMIC_RELAXED))
#define IS_ENTRY_OF(v, last, arguments)                                                                   \
  (__builtin_expect(is_procedure(v), 1) && __builtin_expect(PROC(v)->code->instructions == (last), 1) &&  \
   __builtin_expect(enters_with(last, arguments), 1))
#define NOTE_ENTRY(v, arguments)                                                                             \
  do {                                                                                                       \
    if (is_procedure(v) && enters_with(PROC(v)->code->instructions, (arguments)))                            \
      __atomic_store_n((Constant*)pc + CALL_PROCEDURE, raw(PROC(v)->code->instructions), __ATOMIC_RELAXED);  \
  } while (0)
/* A call with what lies on top of the frame. The procedure gets its slot only now: what computes the arguments reaches no safepoint. */
#define CALL(procedure)                     \
  do {                                      \
    Instruction* const last_ = LAST_ENTRY;  \
    v = (procedure);                        \
    count = I.c;                            \
    if (IS_ENTRY_OF(v, last_, count)) {     \
      LEAVE_FRAME((size_t)I.b);             \
      base[-1] = v;                         \
      ENTER_AT(last_);                      \
    }                                       \
    NOTE_ENTRY(v, count);                   \
    LEAVE_FRAME((size_t)I.b);               \
    base[-1] = v;                           \
    goto entering;                          \
  } while (0)
/* Arguments to the bottom of the frame; without a loop as a rule: words behind them do no harm. */
#define MOVE_DOWN(first, number)                                             \
  do {                                                                       \
    const Value *const x_ = (first), x0_ = x_[0], x1_ = x_[1], x2_ = x_[2];  \
    base[0] = x0_, base[1] = x1_, base[2] = x2_;                             \
    for (int n = 3; n < (number); ++n) base[n] = x_[n];                      \
  } while (0)
#define TAIL_CALL_OF(procedure)             \
  do {                                      \
    Instruction* const last_ = LAST_ENTRY;  \
    v = (procedure);                        \
    count = I.c;                            \
    const Value* const from_ = base + I.b;  \
    if (IS_ENTRY_OF(v, last_, count)) {     \
      base[-1] = v;                         \
      MOVE_DOWN(from_, count);              \
      ENTER_AT(last_);                      \
    }                                       \
    NOTE_ENTRY(v, count);                   \
    base[-1] = v;                           \
    MOVE_DOWN(from_, count);                \
    goto entering;                          \
  } while (0)
/* A call with one argument, which may be what a field of a record is asked of: no frame then. */
#define CALL_WITH_ARGUMENT(argument)                                                                         \
  do {                                                                                                       \
    const Value x_ = (argument);                                                                             \
    Instruction* const last_ = LAST_ENTRY;                                                                   \
    v = CALLED_GLOBAL;                                                                                       \
    Value* const callee = base + I.b;                                                                        \
    count = 1;                                                                                               \
    if (IS_ENTRY_OF(v, last_, 1)) {                                                                          \
      callee[-1] = v;                                                                                        \
      callee[0] = x_;                                                                                        \
      LEAVE_FRAME((size_t)I.b);                                                                              \
      ENTER_AT(last_);                                                                                       \
    }                                                                                                        \
    if (is_procedure(v) && PROC(v)->code->instructions->op == RECORD_GET && is_object(x_, OBJECT_RECORD) &&  \
        OBJECT(x_)->slot[0] == PROC(v)->free[0]) {                                                           \
      base[I.a] = OBJECT(x_)->slot[integer_of(PROC(v)->free[1])];                                            \
      NEXT_BEHIND_CALL;                                                                                      \
    }                                                                                                        \
    NOTE_ENTRY(v, 1);                                                                                        \
    callee[-1] = v;                                                                                          \
    callee[0] = x_;                                                                                          \
    LEAVE_FRAME((size_t)I.b);                                                                                \
    goto entering;                                                                                           \
  } while (0)
/* A call of the global k(b) after all, in a frame above all that is live. */
#define CALL_ABOVE(arguments, number)                    \
  do {                                                   \
    const Value* const from_ = (arguments);              \
    count = (number);                                    \
    v = CALLED_GLOBAL;                                   \
    LEAVE_FRAME((size_t)I.live + FRAME_HEAD);            \
    for (int n = 0; n < count; ++n) base[n] = from_[n];  \
    base[-1] = v;                                        \
    goto entering;                                       \
  } while (0)
/* What is passed on is a part of a pair. */
#define CALL_WITH(label, step)                                                                       \
  label:                                                                                             \
  v = base[I.c];                                                                                     \
  if (__builtin_expect(!is_pair(v), 0)) {                                                            \
    for (int n = 1; n <= FRAME_HEAD + 1; ++n) base[I.live - n] = UNSPECIFIED; /* `live` has them */  \
    FAIL("not a pair", v);                                                                           \
  }                                                                                                  \
  CALL_WITH_ARGUMENT(step(v))

/* ---- Tests ---- */

#define COMPARE_PART(label, step, operator)                     \
  label:                                                        \
  v = base[I.a];                                                \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", v);  \
  JUMP_IF(step(v) operator base[I.b])
#define TEST_PART(label, step, test)                            \
  label:                                                        \
  v = base[I.a];                                                \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", v);  \
  v = step(v);                                                  \
  JUMP_IF(test)
#define COMPARE(label, fast, slow)                                                                                     \
  label:                                                                                                               \
  if (__builtin_expect(BOTH_FIXNUMS(base[I.a], base[I.b]), 1)) JUMP_IF((intptr_t)base[I.a] fast (intptr_t)base[I.b]);  \
  else {                                                                                                               \
    const int order = compare_numbers(m, base[I.a], base[I.b]);                                                        \
    if (m->error != NULL) goto raise_here;                                                                             \
    JUMP_IF(slow);                                                                                                     \
  }
#define COMPARE_SMALL(label, number, fast, slow)                                                              \
  label:                                                                                                      \
  if (__builtin_expect(is_fixnum(base[I.a]), 1)) JUMP_IF((intptr_t)base[I.a] fast (intptr_t)fixnum(number));  \
  else {                                                                                                      \
    const int order = compare_numbers(m, base[I.a], fixnum(number));                                          \
    if (m->error != NULL) goto raise_here;                                                                    \
    JUMP_IF(slow);                                                                                            \
  }

/* ---- Numbers ---- */

#define ARITHMETIC(label, overflows, right, slow)                                                                    \
  label : {                                                                                                          \
    intptr_t result;                                                                                                 \
    if (__builtin_expect(BOTH_FIXNUMS(base[I.b], base[I.c]) && !overflows((intptr_t)base[I.b], right, &result), 1))  \
      base[I.a] = (Value)result;                                                                                     \
    else                                                                                                             \
      SLOW(slow(m, base[I.b], base[I.c]));                                                                           \
    NEXT;                                                                                                            \
  }
#define DIVISION(label, operator, slow)                                                      \
  label:                                                                                     \
  if (__builtin_expect(BOTH_FIXNUMS(base[I.b], base[I.c]) && integer_of(base[I.c]) > 0, 1))  \
    base[I.a] = fixnum(integer_of(base[I.b]) operator integer_of(base[I.c]));                \
  else                                                                                       \
    SLOW(slow(m, base[I.b], base[I.c]));                                                     \
  NEXT

/* ---- Pairs, vectors, records ---- */

#define NEW_PAIR(p, first, second)                      \
  m->top = base + I.live;                               \
  Pair* p = lull_new_sized(&pair_kind, sizeof(Pair));   \
  if (__builtin_expect(p == NULL, 0)) out_of_memory();  \
  initialize(&p->car, first);                           \
  initialize(&p->cdr, second)
#define PATH(label, step1, step2)                                       \
  label : v = base[I.b];                                                \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", base[I.b]);  \
  v = step1(v);                                                         \
  step2;                                                                \
  base[I.a] = v;                                                        \
  NEXT;
#define THEN(step)                                                      \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", base[I.b]);  \
  v = step(v)
/* Two of MOVE, CAR, CDR. */
#define MOVED(slot) base[slot]
#define PART(step, slot)                                                  \
  ({                                                                      \
    const Value pair_ = base[slot];                                       \
    if (__builtin_expect(!is_pair(pair_), 0)) FAIL("not a pair", pair_);  \
    step(pair_);                                                          \
  })
#define CAR_OF(slot) PART(car, slot)
#define CDR_OF(slot) PART(cdr, slot)
#define BOTH(label, first, second)  \
  label:                            \
  base[I.a] = first(I.b);           \
  base[I.a + 1] = second(I.c);      \
  NEXT
#define CHECK_INDEX(vector, index)                                            \
  if (__builtin_expect(!is_vector(vector), 0)) FAIL("not a vector", vector);  \
  if (__builtin_expect(!is_fixnum(index) || (size_t)integer_of(index) >= VECTOR(vector)->length, 0)) FAIL("index out of range", index)
#define WANT_RECORD(arguments)                                                                              \
  if (count != (arguments)) goto wrong_count;                                                               \
  if (__builtin_expect(!is_object(base[0], OBJECT_RECORD) || OBJECT(base[0])->slot[0] != FREE_OF(0), 0)) {  \
    fail(m, "not a record of the type", base[0]);                                                           \
    goto raise_in_callee;                                                                                   \
  }

#endif

/* The machine. A frame on the stack, from its base:

     base[-1]           the procedure
     base[0 ... n-1]    its parameters
     base[n], base[n+1] the link: the instruction to return to, and the way back to the caller's frame (way_back)
     base[n+2 ...]      variables and what is being computed

   The stack is short. When it is full, and when a program asks for its continuation, what lies below the running frame is copied to the heap and
   the frame moves to the bottom of the stack; the link of the lowest frame leads to UNDERFLOW, which brings some of the copied frames
   back (Hieb, Dybvig, Bruggeman 1990). So recursion has no limit but memory, a safepoint never scans more than 32 KB, and a
   continuation can be entered many times: copies are never written.

   Precise roots: m->top is set before every safepoint, from the instruction's `live`. Between safepoints values are in C variables. */
#include "machine.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "instructions.h"

extern lull_kind pair_kind;

enum { LARGEST_FRAME = 300 }; /* more than the compiler allows */

Value fail(Machine* m, const char* message, Value irritant) {
  m->error = message;
  m->irritant = irritant;
  return UNSPECIFIED;
}

/* ---- Errors ---- */

static Value error_object(Machine* m) {
  m->result = m->irritant;
  const char* text = m->error;
  m->error = NULL;
  m->result = cons(m, m->result, NIL);
  m->temporary[TEMPORARIES - 1] = make_string(m, text, strlen(text));
  Value e = make_object(m, OBJECT_ERROR, 2);
  initialize(&OBJECT(e)->slot[0], m->temporary[TEMPORARIES - 1]);
  initialize(&OBJECT(e)->slot[1], m->result);
  return e;
}

/* ---- The loop ---- */

/* Is it an ENTER of so many parameters? Asked at every call: one comparison of the instruction's first half, whose op and live are 0. */
static inline bool enters_with(const Instruction* i, int count) {
  uint32_t half;
  memcpy(&half, i, sizeof half);
  return half == (uint32_t)count << 16;
}
_Static_assert(ENTER == 0 && offsetof(Instruction, a) == 2 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "enters_with");

/* The instruction that runs. Its fields are read where they are needed: a copy costs five loads an instruction. */
#define I (pc[-1])
#define SLOW(expression)          \
  do {                            \
    m->top = base + I.live;       \
    Value v_ = (expression);      \
    if (m->error != NULL) goto raise_here; \
    base[I.a] = v_;               \
  } while (0)
#define FAIL(message, irritant)      \
  do {                               \
    fail(m, message, irritant);      \
    goto raise_here;                 \
  } while (0)
#define OFFSET (pc += I.c)
/* A frame `up` slots above this one, from which the program comes back here. */
#define LEAVE_FRAME(up) (link_pc = pc, link_way = way_back(up, (size_t)(link - base)), base += (up))
#define RETURN_TO_LINK(result)                           \
  do {                                                   \
    const Value result_ = (result);                      \
    base = (Value*)((char*)base - (uint32_t)link_way);   \
    link = (Value*)((char*)base + (link_way >> 32));     \
    pc = link_pc;                                        \
    base[I.a] = result_;                                 \
  } while (0)
#define FREE_OF(n) (PROC(base[-1])->free[n])
typedef Value __attribute__((__may_alias__)) Constant; /* among the words behind the instructions, n words from here */
#define CONSTANT_OF(n) (((const Constant*)pc)[n])
#define BOX_OF(v) (OBJECT(v)->slot[0])
#define BOTH_FIXNUMS(x, y) ((((x) | (y)) & 1) == 0)

Value run(Machine* m, Value procedure) {
  static const void* const labels[] = {
#define LABEL(name) &&L_##name,
      INSTRUCTIONS(LABEL)
#undef LABEL
  };
  Value *base = m->stack + 1, v;
  Value* link = base; /* of the running frame */
  Instruction *pc = after_underflow(), *link_pc = pc;
  Value link_way = 0;
  int count = 0;
  base[-1] = procedure;
  m->under = 0;

#define NEXT                  \
  do {                        \
    ++pc;                     \
    goto* labels[I.op];       \
  } while (0)

enter:
  v = base[-1];
entering:
  /* base[-1], which is v, is called with `count` arguments from (link_pc, link_way) */
  if (__builtin_expect(!is_procedure(v), 0)) {
    m->top = base + count;
    if (v == UNBOUND) fail(m, "unbound variable", CONSTANT_OF(I.b)); /* only a call of a global comes here with it */
    else fail(m, "not a procedure", v);
    base[-1] = UNSPECIFIED;
    goto raise_in_callee;
  }
  pc = PROC(v)->code->instructions + 1;
  if (__builtin_expect(!enters_with(pc - 1, count), 0)) goto* labels[I.op];
  goto entered;

L_ENTER:
  if (count != I.a) goto wrong_count;
entered:
  if (base + I.b > m->limit) {
    m->top = base + count;
    capture(m, base, link_pc, slots_of(link_way));
    memmove(m->stack, base - 1, (size_t)(count + 1) * sizeof(Value));
    base = m->stack + 1;
    link_pc = after_underflow();
    link_way = 0;
  }
  link = base + count;
  link[0] = raw(link_pc);
  link[1] = link_way;
  if (__builtin_expect(lull_this_thread_.poll_requested != 0, 0)) {
    m->top = base + count + 2;
    lull_poll();
  }
  NEXT;

L_ENTER_REST:
  if (count < I.a) goto wrong_count;
  m->top = base + count;
  m->result = NIL;
  for (int n = count; n > I.a; --n) m->result = cons(m, base[n - 1], m->result);
  base[I.a] = m->result;
  count = I.a + 1;
  goto entered;

L_MOVE: base[I.a] = base[I.b]; NEXT;
L_CONST: base[I.a] = CONSTANT_OF(I.b); NEXT;
L_FREE: base[I.a] = FREE_OF(I.b); NEXT;
L_FREE_BOX: base[I.a] = BOX_OF(FREE_OF(I.b)); NEXT;
L_SET_FREE: store(&BOX_OF(FREE_OF(I.a)), base[I.b]); NEXT;
L_BOX: SLOW(make_box(m, base[I.a])); NEXT;
L_UNBOX: base[I.a] = BOX_OF(base[I.b]); NEXT;
L_SET_BOX: store(&BOX_OF(base[I.a]), base[I.b]); NEXT;
L_GLOBAL_REF:
  v = CONSTANT_OF(I.b);
  base[I.a] = SYMBOL(v)->value;
  if (base[I.a] == UNBOUND) {
    base[I.a] = UNSPECIFIED;
    FAIL("unbound variable", v);
  }
  NEXT;
L_GLOBAL_SET:
  v = CONSTANT_OF(I.a);
  if (SYMBOL(v)->value == UNBOUND) FAIL("unbound variable", v);
  store(&SYMBOL(v)->value, base[I.b]);
  NEXT;
L_GLOBAL_DEF: store(&SYMBOL(CONSTANT_OF(I.a))->value, base[I.b]); NEXT;

L_CLOSURE: {
  m->top = base + I.live;
  const unsigned to = I.a, captured = I.c;
  Procedure* p = (Procedure*)new_words((size_t)captured + 1);
  lull_initialize(&p->code, (void*)CONSTANT_OF(I.b));
  for (unsigned n = 0; n < captured; ++n, ++pc) initialize(&p->free[n], pc->a == 0 ? base[pc->b] : FREE_OF(pc->b)); /* the newest object */
  base[to] = (Value)p + TAG_PROC;
  NEXT;
}
L_CAPTURE: abort();
L_PATCH: store(&PROC(base[I.a])->free[I.b], base[I.c]); NEXT;

L_CALL_GLOBAL: { /* the procedure's slot is empty so far: what computes the arguments reaches no safepoint */
  const unsigned up = (unsigned)I.live - I.c;
  v = SYMBOL(CONSTANT_OF(I.b))->value;
  base[up - 1] = v;
  LEAVE_FRAME(up);
  count = I.c;
  goto entering;
}
L_OP_CALL: {
  const unsigned up = (unsigned)I.b + 1;
  v = base[I.b];
  LEAVE_FRAME(up);
  count = I.c;
  goto entering;
}
L_TAIL_CALL_GLOBAL: {
  v = SYMBOL(CONSTANT_OF(I.b))->value;
  const Value* arguments = base + I.live - I.c;
  count = I.c;
  link_pc = (Instruction*)link[0];
  link_way = link[1];
  base[-1] = v;
  for (int n = 0; n < count; ++n) base[n] = arguments[n];
  goto entering;
}
L_TAIL_CALL:
  link_pc = (Instruction*)link[0];
  link_way = link[1];
  count = I.c;
  v = base[I.b];
  for (int n = 0; n <= count; ++n) base[n - 1] = base[I.b + n];
  goto entering;
L_RETURN:
  v = base[I.a];
  link_pc = (Instruction*)link[0];
  link_way = link[1];
  RETURN_TO_LINK(v);
  NEXT;
L_RETURN_CONST:
  v = CONSTANT_OF(I.b);
  link_pc = (Instruction*)link[0];
  link_way = link[1];
  RETURN_TO_LINK(v);
  NEXT;

L_JUMP: OFFSET; NEXT;
L_LOOP:
  if (__builtin_expect(lull_this_thread_.poll_requested != 0, 0)) {
    m->top = base + I.live;
    lull_poll();
  }
  pc -= I.c;
  NEXT;
L_IF_TRUE: if (base[I.a] != FALSE) OFFSET; NEXT;
L_IF_FALSE: if (base[I.a] == FALSE) OFFSET; NEXT;
L_IF_NULL: if (base[I.a] == NIL) OFFSET; NEXT;
L_IF_NOT_NULL: if (base[I.a] != NIL) OFFSET; NEXT;
L_IF_PAIR: if (is_pair(base[I.a])) OFFSET; NEXT;
L_IF_NOT_PAIR: if (!is_pair(base[I.a])) OFFSET; NEXT;
L_IF_EQ: if (base[I.a] == base[I.b]) OFFSET; NEXT;
L_IF_NOT_EQ: if (base[I.a] != base[I.b]) OFFSET; NEXT;

#define COMPARE(label, fast, slow)                                     \
  label:                                                               \
  if (__builtin_expect(BOTH_FIXNUMS(base[I.a], base[I.b]), 1)) {       \
    if ((intptr_t)base[I.a] fast (intptr_t)base[I.b]) OFFSET;          \
  } else {                                                             \
    const int order = compare_numbers(m, base[I.a], base[I.b]);        \
    if (m->error != NULL) goto raise_here;                             \
    if (slow) OFFSET;                                                  \
  }                                                                    \
  NEXT
  COMPARE(L_IF_LESS, <, order == -1);
  COMPARE(L_IF_NOT_LESS, >=, order != -1);
  COMPARE(L_IF_AT_MOST, <=, order <= 0);
  COMPARE(L_IF_NOT_AT_MOST, >, order > 0);
  COMPARE(L_IF_SAME, ==, order == 0);
  COMPARE(L_IF_NOT_SAME, !=, order != 0);
L_IF_SAME_SMALL: /* the number is in b */
  if (is_fixnum(base[I.a]) ? base[I.a] == fixnum((int16_t)I.b) : compare_numbers(m, base[I.a], fixnum((int16_t)I.b)) == 0) OFFSET;
  if (__builtin_expect(m->error != NULL, 0)) goto raise_here;
  NEXT;
L_IF_NOT_SAME_SMALL:
  if (is_fixnum(base[I.a]) ? base[I.a] != fixnum((int16_t)I.b) : compare_numbers(m, base[I.a], fixnum((int16_t)I.b)) != 0) OFFSET;
  if (__builtin_expect(m->error != NULL, 0)) goto raise_here;
  NEXT;
L_IF_ZERO:
  if (base[I.a] == fixnum(0) || (!is_fixnum(base[I.a]) && compare_numbers(m, base[I.a], fixnum(0)) == 0)) OFFSET;
  if (m->error != NULL) goto raise_here;
  NEXT;
L_IF_NOT_ZERO:
  if (is_fixnum(base[I.a]) ? base[I.a] != fixnum(0) : compare_numbers(m, base[I.a], fixnum(0)) != 0) OFFSET;
  if (m->error != NULL) goto raise_here;
  NEXT;

L_CONS: {
  m->top = base + I.live;
  Pair* p = lull_new_sized(&pair_kind, sizeof(Pair));
  if (__builtin_expect(p == NULL, 0)) out_of_memory();
  initialize(&p->car, base[I.b]);
  initialize(&p->cdr, base[I.c]);
  base[I.a] = (Value)p + TAG_PAIR;
  NEXT;
}
#define ARITHMETIC(label, overflows, right, slow)                                                                \
  label : {                                                                                                      \
    intptr_t result;                                                                                             \
    if (__builtin_expect(BOTH_FIXNUMS(base[I.b], base[I.c]) && !overflows((intptr_t)base[I.b], right, &result), 1)) \
      base[I.a] = (Value)result;                                                                                 \
    else                                                                                                         \
      SLOW(slow(m, base[I.b], base[I.c]));                                                                       \
    NEXT;                                                                                                        \
  }
  ARITHMETIC(L_ADD, __builtin_add_overflow, (intptr_t)base[I.c], add)
  ARITHMETIC(L_SUBTRACT, __builtin_sub_overflow, (intptr_t)base[I.c], subtract)
  ARITHMETIC(L_MULTIPLY, __builtin_mul_overflow, integer_of(base[I.c]), multiply)
L_ADD_SMALL: {
  intptr_t result;
  const intptr_t right = (int16_t)I.c;
  if (__builtin_expect(is_fixnum(base[I.b]) && !__builtin_add_overflow((intptr_t)base[I.b], right * 2, &result), 1)) base[I.a] = (Value)result;
  else SLOW(add(m, base[I.b], fixnum(right)));
  NEXT;
}
#define DIVISION(label, operator, slow)                                                              \
  label:                                                                                              \
  if (__builtin_expect(BOTH_FIXNUMS(base[I.b], base[I.c]) && integer_of(base[I.c]) > 0, 1))           \
    base[I.a] = fixnum(integer_of(base[I.b]) operator integer_of(base[I.c]));                         \
  else                                                                                                \
    SLOW(slow(m, base[I.b], base[I.c]));                                                              \
  NEXT
  DIVISION(L_QUOTIENT, /, quotient);
  DIVISION(L_REMAINDER, %, remainder_of);
#define PATH(label, step1, step2)                                          \
  label : v = base[I.b];                                                   \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", base[I.b]);     \
  v = step1(v);                                                            \
  step2;                                                                   \
  base[I.a] = v;                                                           \
  NEXT;
#define THEN(step)                                                         \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", base[I.b]);     \
  v = step(v)
  PATH(L_CAR, car, )
  PATH(L_CDR, cdr, )
  PATH(L_CADR, cdr, THEN(car))
  PATH(L_CDDR, cdr, THEN(cdr))
  PATH(L_CAAR, car, THEN(car))
L_SET_CAR:
  if (!is_pair(base[I.a])) FAIL("not a pair", base[I.a]);
  store(&PAIR(base[I.a])->car, base[I.b]);
  NEXT;
L_SET_CDR:
  if (!is_pair(base[I.a])) FAIL("not a pair", base[I.a]);
  store(&PAIR(base[I.a])->cdr, base[I.b]);
  NEXT;
#define CHECK_INDEX(vector, index)                                                    \
  if (__builtin_expect(!is_vector(vector), 0)) FAIL("not a vector", vector);          \
  if (__builtin_expect(!is_fixnum(index) || (size_t)integer_of(index) >= VECTOR(vector)->length, 0)) FAIL("index out of range", index)
L_VECTOR_REF:
  CHECK_INDEX(base[I.b], base[I.c]);
  base[I.a] = VECTOR(base[I.b])->items[integer_of(base[I.c])];
  NEXT;
L_VECTOR_SET:
  CHECK_INDEX(base[I.a], base[I.b]);
  store(&VECTOR(base[I.a])->items[integer_of(base[I.b])], base[I.c]);
  NEXT;
L_VECTOR_LENGTH:
  if (!is_vector(base[I.b])) FAIL("not a vector", base[I.b]);
  base[I.a] = fixnum((intptr_t)VECTOR(base[I.b])->length);
  NEXT;

L_PRIMITIVE: {
  const Value* f = PROC(base[-1])->free;
  if (count < integer_of(f[P_LEAST]) || (f[P_MOST] != fixnum(-1) && count > integer_of(f[P_MOST]))) goto wrong_count;
  m->top = base + count;
  v = ((Primitive)(f[P_FUNCTION] >> 1))(m, base, count);
  if (__builtin_expect(m->error != NULL, 0)) goto raise_in_callee;
  RETURN_TO_LINK(v);
  NEXT;
}

#define WANT_RECORD(arguments)                                                                \
  if (count != (arguments)) goto wrong_count;                                                 \
  if (__builtin_expect(!is_object(base[0], OBJECT_RECORD) || OBJECT(base[0])->slot[0] != FREE_OF(0), 0)) { \
    fail(m, "not a record of the type", base[0]);                                             \
    goto raise_in_callee;                                                                     \
  }
L_RECORD_GET:
  WANT_RECORD(1);
  RETURN_TO_LINK(OBJECT(base[0])->slot[integer_of(FREE_OF(1))]);
  NEXT;
L_RECORD_PUT:
  WANT_RECORD(2);
  store(&OBJECT(base[0])->slot[integer_of(FREE_OF(1))], base[1]);
  RETURN_TO_LINK(UNSPECIFIED);
  NEXT;
L_RECORD_TEST:
  if (count != 1) goto wrong_count;
  RETURN_TO_LINK(boolean(is_object(base[0], OBJECT_RECORD) && OBJECT(base[0])->slot[0] == FREE_OF(0)));
  NEXT;
L_RECORD_MAKE: {
  if (count != (int)VECTOR(FREE_OF(1))->length) goto wrong_count;
  m->top = base + count;
  Object* o = (Object*)new_words((size_t)integer_of(OBJECT(FREE_OF(0))->slot[1]) + 2);
  initialize(&o->header, fixnum(OBJECT_RECORD));
  initialize(&o->slot[0], FREE_OF(0));
  for (int n = 0; n < count; ++n) initialize(&o->slot[integer_of(VECTOR(FREE_OF(1))->items[n])], base[n]); /* the newest object */
  RETURN_TO_LINK((Value)o + TAG_OBJECT);
  NEXT;
}

L_APPLY: {
  if (count < 2) goto wrong_count;
  Value list = base[count - 1];
  memmove(base - 1, base, (size_t)(count - 1) * sizeof(Value));
  for (count -= 2; is_pair(list); list = cdr(list)) {
    if (base + count + LARGEST_FRAME >= m->limit) {
      m->top = base + count;
      fail(m, "too many arguments", fixnum(count));
      goto raise_in_callee;
    }
    base[count++] = car(list);
  }
  goto enter;
}

L_CALL_CC:
  if (count != 1) goto wrong_count;
  m->top = base + 1;
  capture(m, base, link_pc, slots_of(link_way));
  v = base[0];
  base = m->stack + 1;
  base[-1] = v;
  base[0] = m->under;
  link_pc = after_underflow();
  link_way = 0;
  goto enter;

L_CONTINUE:
  m->top = base + count;
  if (PROC(base[-1])->free[KONT_WINDERS] != m->winders) { /* (%rewind k argument ...) */
    if (base + count + LARGEST_FRAME > m->limit) {
      capture(m, base, link_pc, slots_of(link_way));
      memmove(m->stack, base - 1, (size_t)(count + 1) * sizeof(Value));
      base = m->stack + 1;
      link_pc = after_underflow();
      link_way = 0;
    }
    memmove(base, base - 1, (size_t)(count + 1) * sizeof(Value));
    base[-1] = SYMBOL(rewind_symbol)->value;
    ++count;
    goto enter;
  }
  if (count == 1) {
    v = base[0];
  } else {
    m->result = NIL;
    for (int n = count; n > 0; --n) m->result = cons(m, base[n - 1], m->result);
    v = make_object(m, OBJECT_VALUES, 1);
    initialize(&OBJECT(v)->slot[0], m->result);
  }
  m->under = base[-1];
  m->top = m->stack;
  m->stack[0] = FALSE;
  base = m->stack + 1;
  base[0] = v;

L_UNDERFLOW: /* the value is where a frame at the bottom would have it */
  m->result = base[0];
  m->top = m->stack;
  {
    Instruction* next; /* not &pc: it would live in memory */
    base = reinstate(m, &next);
    if (base == NULL) return m->result;
    pc = next;
    link = base + integer_of(PROC(base[-1])->code->link);
  }
  base[pc[-1].a] = m->result;
  NEXT;

wrong_count:
  m->top = base + count;
  fail(m, "wrong number of arguments", base[-1]);

raise_in_callee: /* the frame at base becomes one of %raise */
  m->top = base + count;
  v = error_object(m);
  base[0] = v;
  goto raise;

raise_here: /* a frame above what is live in this one */
  m->top = base + I.live;
  v = error_object(m);
  LEAVE_FRAME(I.live + 1u);
  base[0] = v;

raise:
  base[-1] = SYMBOL(raise_symbol)->value;
  count = 1;
  if (base[-1] == UNBOUND) {
    print(stderr, base[0], DISPLAY);
    fputc('\n', stderr);
    exit(70);
  }
  goto enter;
}

/* The machine. A frame on the stack, from its base:

     base[-1]           the procedure
     base[0 ... n-1]    its parameters
     base[n], base[n+1] the link: the instruction to return to, and how far below the caller's base is (a fixnum)
     base[n+2 ...]      variables and what is being computed

   The stack is short. When it is full, and when a program asks for its continuation, what lies below the running frame is copied to the heap and
   the frame moves to the bottom of the stack; the link of the lowest frame leads to UNDERFLOW, which brings some of the copied frames
   back (Hieb, Dybvig, Bruggeman 1990). So recursion has no limit but memory, a safepoint never scans more than 32 KB, and a
   continuation can be entered many times: copies are never written.

   Precise roots: m->top is set before every safepoint, from the instruction's `live`. Between safepoints values are in C variables. */
#include "machine.h"

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

#define SLOW(expression)          \
  do {                            \
    m->top = base + i.live;       \
    Value v_ = (expression);      \
    if (m->error != NULL) goto raise_here; \
    base[i.a] = v_;               \
  } while (0)
#define FAIL(message, irritant)      \
  do {                               \
    fail(m, message, irritant);      \
    goto raise_here;                 \
  } while (0)
#define OFFSET (pc += i.c)
#define FREE_OF(n) (PROC(base[-1])->free[n])
#define CONSTANT_OF(n) (constants[n])
#define LOAD_CONSTANTS() (constants = VECTOR(PROC(base[-1])->code->constants)->items)
#define BOX_OF(v) (OBJECT(v)->slot[0])
#define BOTH_FIXNUMS(x, y) ((((x) | (y)) & 1) == 0)

Value run(Machine* m, Value procedure) {
  static const void* const labels[] = {
#define LABEL(name) &&L_##name,
      INSTRUCTIONS(LABEL)
#undef LABEL
  };
  Value *base = m->stack + 1, v;
  const Value* constants = NULL; /* of the procedure at base[-1]: nothing moves, so a bare pointer stays good */
  Instruction *pc, *link_pc = after_underflow();
  Instruction i;
  size_t link_delta = 0;
  int count = 0;
  base[-1] = procedure;
  m->under = 0;

#define NEXT                  \
  do {                        \
    i = *pc++;                \
    goto* labels[i.op];       \
  } while (0)

enter:
  /* base[-1] is called with `count` arguments from (link_pc, link_delta) */
  if (!is_procedure(base[-1])) {
    m->top = base + count;
    fail(m, "not a procedure", base[-1]);
    goto raise_in_callee;
  }
  {
    Code* code = PROC(base[-1])->code;
    pc = code->instructions;
    constants = VECTOR(code->constants)->items;
  }
  i = *pc++;
  if (__builtin_expect(i.op != ENTER, 0)) goto* labels[i.op];

L_ENTER:
  if (count != i.a) goto wrong_count;
entered:
  if (base + i.b > m->limit) {
    m->top = base + count;
    capture(m, base, link_pc, link_delta);
    memmove(m->stack, base - 1, (size_t)(count + 1) * sizeof(Value));
    base = m->stack + 1;
    link_pc = after_underflow();
    link_delta = 0;
  }
  base[count] = raw(link_pc);
  base[count + 1] = fixnum((intptr_t)link_delta);
  if (__builtin_expect(lull_this_thread_.poll_requested != 0, 0)) {
    m->top = base + count + 2;
    lull_poll();
  }
  NEXT;

L_ENTER_REST:
  if (count < i.a) goto wrong_count;
  m->top = base + count;
  m->result = NIL;
  for (int n = count; n > i.a; --n) m->result = cons(m, base[n - 1], m->result);
  base[i.a] = m->result;
  count = i.a + 1;
  goto entered;

L_MOVE: base[i.a] = base[i.b]; NEXT;
L_CONST: base[i.a] = CONSTANT_OF(i.b); NEXT;
L_FREE: base[i.a] = FREE_OF(i.b); NEXT;
L_FREE_BOX: base[i.a] = BOX_OF(FREE_OF(i.b)); NEXT;
L_SET_FREE: store(&BOX_OF(FREE_OF(i.a)), base[i.b]); NEXT;
L_BOX: SLOW(make_box(m, base[i.a])); NEXT;
L_UNBOX: base[i.a] = BOX_OF(base[i.b]); NEXT;
L_SET_BOX: store(&BOX_OF(base[i.a]), base[i.b]); NEXT;
L_GLOBAL_REF:
  v = CONSTANT_OF(i.b);
  base[i.a] = SYMBOL(v)->value;
  if (base[i.a] == UNBOUND) {
    base[i.a] = UNSPECIFIED;
    FAIL("unbound variable", v);
  }
  NEXT;
L_GLOBAL_SET:
  v = CONSTANT_OF(i.a);
  if (SYMBOL(v)->value == UNBOUND) FAIL("unbound variable", v);
  store(&SYMBOL(v)->value, base[i.b]);
  NEXT;
L_GLOBAL_DEF: store(&SYMBOL(CONSTANT_OF(i.a))->value, base[i.b]); NEXT;

L_CLOSURE: {
  m->top = base + i.live;
  Procedure* p = (Procedure*)new_words((size_t)i.c + 1);
  lull_initialize(&p->code, (void*)CONSTANT_OF(i.b));
  for (unsigned n = 0; n < i.c; ++n, ++pc) initialize(&p->free[n], pc->a == 0 ? base[pc->b] : FREE_OF(pc->b)); /* the newest object */
  base[i.a] = (Value)p + TAG_PROC;
  NEXT;
}
L_CAPTURE: abort();
L_PATCH: store(&PROC(base[i.a])->free[i.b], base[i.c]); NEXT;

L_OP_CALL:
  base += i.b + 1;
  link_pc = pc;
  link_delta = (size_t)i.b + 1;
  count = i.c;
  goto enter;
L_TAIL_CALL:
  link_pc = (Instruction*)base[i.a];
  link_delta = (size_t)integer_of(base[i.a + 1]);
  count = i.c;
  for (int n = 0; n <= count; ++n) base[n - 1] = base[i.b + n];
  goto enter;
L_RETURN:
  v = base[i.a];
  pc = (Instruction*)base[i.b];
  base -= integer_of(base[i.b + 1]);
  base[pc[-1].a] = v;
  LOAD_CONSTANTS();
  NEXT;

L_JUMP: OFFSET; NEXT;
L_LOOP:
  pc -= i.c;
  if (__builtin_expect(lull_this_thread_.poll_requested != 0, 0)) {
    m->top = base + i.live;
    lull_poll();
  }
  NEXT;
L_IF_TRUE: if (base[i.a] != FALSE) OFFSET; NEXT;
L_IF_FALSE: if (base[i.a] == FALSE) OFFSET; NEXT;
L_IF_NULL: if (base[i.a] == NIL) OFFSET; NEXT;
L_IF_NOT_NULL: if (base[i.a] != NIL) OFFSET; NEXT;
L_IF_PAIR: if (is_pair(base[i.a])) OFFSET; NEXT;
L_IF_NOT_PAIR: if (!is_pair(base[i.a])) OFFSET; NEXT;
L_IF_EQ: if (base[i.a] == base[i.b]) OFFSET; NEXT;
L_IF_NOT_EQ: if (base[i.a] != base[i.b]) OFFSET; NEXT;

#define COMPARE(label, fast, slow)                                     \
  label:                                                               \
  if (__builtin_expect(BOTH_FIXNUMS(base[i.a], base[i.b]), 1)) {       \
    if ((intptr_t)base[i.a] fast (intptr_t)base[i.b]) OFFSET;          \
  } else {                                                             \
    const int order = compare_numbers(m, base[i.a], base[i.b]);        \
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
L_IF_ZERO:
  if (base[i.a] == fixnum(0) || (!is_fixnum(base[i.a]) && compare_numbers(m, base[i.a], fixnum(0)) == 0)) OFFSET;
  if (m->error != NULL) goto raise_here;
  NEXT;
L_IF_NOT_ZERO:
  if (is_fixnum(base[i.a]) ? base[i.a] != fixnum(0) : compare_numbers(m, base[i.a], fixnum(0)) != 0) OFFSET;
  if (m->error != NULL) goto raise_here;
  NEXT;

L_CONS: {
  m->top = base + i.live;
  Pair* p = lull_new_sized(&pair_kind, sizeof(Pair));
  if (__builtin_expect(p == NULL, 0)) out_of_memory();
  initialize(&p->car, base[i.b]);
  initialize(&p->cdr, base[i.c]);
  base[i.a] = (Value)p + TAG_PAIR;
  NEXT;
}
#define ARITHMETIC(label, overflows, right, slow)                                                                \
  label : {                                                                                                      \
    intptr_t result;                                                                                             \
    if (__builtin_expect(BOTH_FIXNUMS(base[i.b], base[i.c]) && !overflows((intptr_t)base[i.b], right, &result), 1)) \
      base[i.a] = (Value)result;                                                                                 \
    else                                                                                                         \
      SLOW(slow(m, base[i.b], base[i.c]));                                                                       \
    NEXT;                                                                                                        \
  }
  ARITHMETIC(L_ADD, __builtin_add_overflow, (intptr_t)base[i.c], add)
  ARITHMETIC(L_SUBTRACT, __builtin_sub_overflow, (intptr_t)base[i.c], subtract)
  ARITHMETIC(L_MULTIPLY, __builtin_mul_overflow, integer_of(base[i.c]), multiply)
L_ADD_SMALL: {
  intptr_t result;
  const intptr_t right = (int16_t)i.c;
  if (__builtin_expect(is_fixnum(base[i.b]) && !__builtin_add_overflow((intptr_t)base[i.b], right * 2, &result), 1)) base[i.a] = (Value)result;
  else SLOW(add(m, base[i.b], fixnum(right)));
  NEXT;
}
#define PATH(label, step1, step2)                                          \
  label : v = base[i.b];                                                   \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", base[i.b]);     \
  v = step1(v);                                                            \
  step2;                                                                   \
  base[i.a] = v;                                                           \
  NEXT;
#define THEN(step)                                                         \
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", base[i.b]);     \
  v = step(v)
  PATH(L_CAR, car, )
  PATH(L_CDR, cdr, )
  PATH(L_CADR, cdr, THEN(car))
  PATH(L_CDDR, cdr, THEN(cdr))
  PATH(L_CAAR, car, THEN(car))
L_SET_CAR:
  if (!is_pair(base[i.a])) FAIL("not a pair", base[i.a]);
  store(&PAIR(base[i.a])->car, base[i.b]);
  NEXT;
L_SET_CDR:
  if (!is_pair(base[i.a])) FAIL("not a pair", base[i.a]);
  store(&PAIR(base[i.a])->cdr, base[i.b]);
  NEXT;
#define CHECK_INDEX(vector, index)                                                    \
  if (__builtin_expect(!is_vector(vector), 0)) FAIL("not a vector", vector);          \
  if (__builtin_expect(!is_fixnum(index) || (size_t)integer_of(index) >= VECTOR(vector)->length, 0)) FAIL("index out of range", index)
L_VECTOR_REF:
  CHECK_INDEX(base[i.b], base[i.c]);
  base[i.a] = VECTOR(base[i.b])->items[integer_of(base[i.c])];
  NEXT;
L_VECTOR_SET:
  CHECK_INDEX(base[i.a], base[i.b]);
  store(&VECTOR(base[i.a])->items[integer_of(base[i.b])], base[i.c]);
  NEXT;
L_VECTOR_LENGTH:
  if (!is_vector(base[i.b])) FAIL("not a vector", base[i.b]);
  base[i.a] = fixnum((intptr_t)VECTOR(base[i.b])->length);
  NEXT;

L_PRIMITIVE: {
  const Value* f = PROC(base[-1])->free;
  if (count < integer_of(f[P_LEAST]) || (f[P_MOST] != fixnum(-1) && count > integer_of(f[P_MOST]))) goto wrong_count;
  m->top = base + count;
  v = ((Primitive)(f[P_FUNCTION] >> 1))(m, base, count);
  if (__builtin_expect(m->error != NULL, 0)) goto raise_in_callee;
  base -= link_delta;
  pc = link_pc;
  base[pc[-1].a] = v;
  LOAD_CONSTANTS();
  NEXT;
}

#define RETURN_TO_LINK(result) \
  do {                         \
    v = (result);              \
    base -= link_delta;        \
    pc = link_pc;              \
    base[pc[-1].a] = v;        \
    LOAD_CONSTANTS();          \
  } while (0)
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
  capture(m, base, link_pc, link_delta);
  v = base[0];
  base = m->stack + 1;
  base[-1] = v;
  base[0] = m->under;
  link_pc = after_underflow();
  link_delta = 0;
  goto enter;

L_CONTINUE:
  m->top = base + count;
  if (PROC(base[-1])->free[KONT_WINDERS] != m->winders) { /* (%rewind k argument ...) */
    if (base + count + LARGEST_FRAME > m->limit) {
      capture(m, base, link_pc, link_delta);
      memmove(m->stack, base - 1, (size_t)(count + 1) * sizeof(Value));
      base = m->stack + 1;
      link_pc = after_underflow();
      link_delta = 0;
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
  base = reinstate(m, &pc);
  if (base == NULL) return m->result;
  base[pc[-1].a] = m->result;
  LOAD_CONSTANTS();
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
  m->top = base + i.live;
  v = error_object(m);
  link_pc = pc;
  link_delta = (size_t)i.live + 1;
  base += link_delta;
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

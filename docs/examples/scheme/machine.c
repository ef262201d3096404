/* The machine. A frame on the stack, from its base:

     base[-3], base[-2] the link: the instruction to return to, and the way back to the caller's frame (way_back)
     base[-1]           the procedure
     base[0 ... n-1]    its parameters
     base[n ...]        variables and what is being computed

   The stack is short. When it is full, and when a program asks for its continuation, what lies below the running frame is copied to the heap and
   the frame moves to the bottom of the stack; the link of the lowest frame leads to UNDERFLOW, which brings some of the copied frames
   back (Hieb, Dybvig, Bruggeman 1990). So recursion has no limit but memory, a safepoint never scans more than 32 KB, and a
   continuation can be entered many times: copies are never written.

   Precise roots: m->top is set before every safepoint, from the instruction's `live`. Between safepoints values are in C variables. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "steps.h"

extern lull_kind pair_kind;

enum { LARGEST_FRAME = 300 }; /* more than the compiler allows */

Value fail(Machine* m, const char* message, Value irritant) {
  m->error = message;
  m->irritant = irritant;
  return UNSPECIFIED;
}

/* ---- The loop ---- */

Value run(Machine* m, Value procedure) {
  static const void* const labels[] = {
#define LABEL(name) &&L_##name,
      INSTRUCTIONS(LABEL)
#undef LABEL
  };
  Value *base = m->stack + FRAME_HEAD, v;
  Instruction* pc = after_underflow();
  int count = 0;
  base[-3] = raw(pc);
  base[-2] = way_back(0);
  base[-1] = procedure;
  m->under = 0;

enter:
  v = base[-1];
entering:
  /* base[-1], which is v, is called with `count` arguments; the link is there */
  if (__builtin_expect(!is_procedure(v), 0)) {
    m->top = base + count;
    if (v == UNBOUND) fail(m, "unbound variable", WORD(CALL_SYMBOL)); /* only a call of a global comes here with it */
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
  if (base > m->limit) { /* behind it there is room for the largest frame */
    m->top = base + count;
    capture(m, base);
    MOVE_TO_BOTTOM((size_t)(count + FRAME_HEAD));
  }
  ENTER_FRAME;
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

L_GLOBAL_ADD: {
  Value* place = &SYMBOL(CONSTANT_OF(I.a))->value;
  intptr_t result;
  if (__builtin_expect(is_fixnum(*place) && !__builtin_add_overflow((intptr_t)*place, (intptr_t)(int16_t)I.c * 2, &result), 1)) {
    initialize(place, (Value)result); /* neither the old value nor the new one is a reference: no barrier */
  } else {
    if (*place == UNBOUND) FAIL("unbound variable", CONSTANT_OF(I.a));
    m->top = base + I.live;
    v = add(m, *place, fixnum((int16_t)I.c));
    if (m->error != NULL) goto raise_here;
    store(&SYMBOL(CONSTANT_OF(I.a))->value, v);
  }
  NEXT;
}
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

L_CALL_GLOBAL: CALL(CALLED_GLOBAL);
  CALL_WITH(L_CALL_CAR, car);
  CALL_WITH(L_CALL_CDR, cdr);
L_CALL_MOVE: CALL_WITH_ARGUMENT(base[I.c]);
L_OP_CALL: CALL(base[I.b - 1]);
L_FIELD: {
  const Value accessor = WORD(CALL_PROCEDURE);
  v = base[I.c];
  const bool same = CALLED_GLOBAL == accessor;
  if (__builtin_expect(same && is_object(v, OBJECT_RECORD) && OBJECT(v)->slot[0] == PROC(accessor)->free[0], 1)) {
    base[I.a] = OBJECT(v)->slot[integer_of(PROC(accessor)->free[1])];
    NEXT_BEHIND_CALL;
  }
  CALL_ABOVE(&base[I.c], 1);
}
L_PRIMITIVE_CALL: {
  Value* const arguments = base + I.b;
  v = WORD(CALL_PROCEDURE);
  if (__builtin_expect(CALLED_GLOBAL != v, 0)) CALL_ABOVE(arguments, I.c);
  SLOW(((Primitive)(PROC(v)->free[P_FUNCTION] >> 1))(m, arguments, I.c));
  NEXT_BEHIND_CALL;
}
L_MAKE_RECORD: {
  const Value* const arguments = base + I.b;
  v = WORD(CALL_PROCEDURE);
  if (__builtin_expect(CALLED_GLOBAL != v, 0)) CALL_ABOVE(arguments, I.c);
  m->top = base + I.live;
  base[I.a] = make_record(v, arguments);
  NEXT_BEHIND_CALL;
}
L_LIST: { /* from the back; what is there of it takes the place of the item before last that went into it */
  const unsigned items = I.c;
  Value* const item = base + I.live - items;
  m->top = base + I.live;
  for (unsigned n = items; n > 0; --n) {
    Pair* p = lull_new_sized(&pair_kind, sizeof(Pair));
    if (__builtin_expect(p == NULL, 0)) out_of_memory();
    initialize(&p->car, item[n - 1]);
    initialize(&p->cdr, n == items ? NIL : item[n]);
    item[n - 1] = (Value)p + TAG_PAIR;
  }
  base[I.a] = item[0];
  NEXT;
}
L_TAIL_CALL_GLOBAL: TAIL_CALL_OF(CALLED_GLOBAL);
L_TAIL_CALL: TAIL_CALL_OF(base[I.b - 1]);
L_RETURN:
  v = base[I.a];
  RETURN_TO_LINK(v);
L_RETURN_CONST:
  v = CONSTANT_OF(I.b);
  RETURN_TO_LINK(v);

L_JUMP: JUMP;
L_CONST_JUMP: base[I.a] = CONSTANT_OF(I.b); JUMP;
L_LOOP: LOOP_BACK;
L_LOOP_MOVE: base[I.a] = base[I.b]; LOOP_BACK;
L_LOOP_CDR:
  v = base[I.b];
  if (__builtin_expect(!is_pair(v), 0)) FAIL("not a pair", v);
  base[I.a] = cdr(v);
  LOOP_BACK;
L_IF_TRUE: JUMP_IF(base[I.a] != FALSE);
L_IF_FALSE: JUMP_IF(base[I.a] == FALSE);
L_IF_NULL: JUMP_IF(base[I.a] == NIL);
L_IF_NOT_NULL: JUMP_IF(base[I.a] != NIL);
L_IF_PAIR: JUMP_IF(is_pair(base[I.a]));
L_IF_NOT_PAIR: JUMP_IF(!is_pair(base[I.a]));
L_IF_EQ: JUMP_IF(base[I.a] == base[I.b]);
L_IF_NOT_EQ: JUMP_IF(base[I.a] != base[I.b]);
  TEST_PART(L_IF_CAR_NULL, car, v == NIL);
  TEST_PART(L_IF_CAR_NOT_NULL, car, v != NIL);
  TEST_PART(L_IF_CAR_PAIR, car, is_pair(v));
  TEST_PART(L_IF_CAR_NOT_PAIR, car, !is_pair(v));
  TEST_PART(L_IF_CDR_NULL, cdr, v == NIL);
  TEST_PART(L_IF_CDR_NOT_NULL, cdr, v != NIL);
  TEST_PART(L_IF_CDR_PAIR, cdr, is_pair(v));
  TEST_PART(L_IF_CDR_NOT_PAIR, cdr, !is_pair(v));
  COMPARE_PART(L_IF_CAR_EQ, car, ==);
  COMPARE_PART(L_IF_CAR_NOT_EQ, car, !=);
  COMPARE_PART(L_IF_CDR_EQ, cdr, ==);
  COMPARE_PART(L_IF_CDR_NOT_EQ, cdr, !=);
L_IF_STILL: JUMP_IF(SYMBOL(CONSTANT_OF(I.b))->value == CONSTANT_OF(I.b + 1));
L_IF_NOT_STILL: JUMP_IF(SYMBOL(CONSTANT_OF(I.b))->value != CONSTANT_OF(I.b + 1));
L_IF_EQ_CONST: JUMP_IF(base[I.a] == CONSTANT_OF(I.b));
L_IF_NOT_EQ_CONST: JUMP_IF(base[I.a] != CONSTANT_OF(I.b));

  COMPARE(L_IF_LESS, <, order == -1)
  COMPARE(L_IF_NOT_LESS, >=, order != -1)
  COMPARE(L_IF_AT_MOST, <=, order <= 0)
  COMPARE(L_IF_NOT_AT_MOST, >, order > 0)
  COMPARE(L_IF_SAME, ==, order == 0)
  COMPARE(L_IF_NOT_SAME, !=, order != 0)
  COMPARE_SMALL(L_IF_SAME_SMALL, (int16_t)I.b, ==, order == 0)
  COMPARE_SMALL(L_IF_NOT_SAME_SMALL, (int16_t)I.b, !=, order != 0)
  COMPARE_SMALL(L_IF_LESS_SMALL, (int16_t)I.b, <, order == -1)
  COMPARE_SMALL(L_IF_NOT_LESS_SMALL, (int16_t)I.b, >=, order != -1)
  COMPARE_SMALL(L_IF_AT_MOST_SMALL, (int16_t)I.b, <=, order <= 0)
  COMPARE_SMALL(L_IF_NOT_AT_MOST_SMALL, (int16_t)I.b, >, order > 0)
  COMPARE_SMALL(L_IF_GREATER_SMALL, (int16_t)I.b, >, order == 1)
  COMPARE_SMALL(L_IF_NOT_GREATER_SMALL, (int16_t)I.b, <=, order != 1)
  COMPARE_SMALL(L_IF_AT_LEAST_SMALL, (int16_t)I.b, >=, order == 0 || order == 1)
  COMPARE_SMALL(L_IF_NOT_AT_LEAST_SMALL, (int16_t)I.b, <, order == -1 || order == 2)
  COMPARE_SMALL(L_IF_ZERO, 0, ==, order == 0)
  COMPARE_SMALL(L_IF_NOT_ZERO, 0, !=, order != 0)

L_CONS: {
  NEW_PAIR(p, base[I.b], base[I.c]);
  base[I.a] = (Value)p + TAG_PAIR;
  NEXT;
}
L_RETURN_CONS: {
  NEW_PAIR(p, base[I.b], base[I.c]);
  RETURN_TO_LINK((Value)p + TAG_PAIR);
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
  DIVISION(L_QUOTIENT, /, quotient);
  DIVISION(L_REMAINDER, %, remainder_of);
  PATH(L_CAR, car, )
  PATH(L_CDR, cdr, )
  PATH(L_CADR, cdr, THEN(car))
  PATH(L_CDDR, cdr, THEN(cdr))
  PATH(L_CAAR, car, THEN(car))
  BOTH(L_MOVE_MOVE, MOVED, MOVED);
  BOTH(L_MOVE_CAR, MOVED, CAR_OF);
  BOTH(L_MOVE_CDR, MOVED, CDR_OF);
  BOTH(L_CAR_MOVE, CAR_OF, MOVED);
  BOTH(L_CAR_CAR, CAR_OF, CAR_OF);
  BOTH(L_CAR_CDR, CAR_OF, CDR_OF);
  BOTH(L_CDR_MOVE, CDR_OF, MOVED);
  BOTH(L_CDR_CAR, CDR_OF, CAR_OF);
  BOTH(L_CDR_CDR, CDR_OF, CDR_OF);
L_SET_CAR:
  if (!is_pair(base[I.a])) FAIL("not a pair", base[I.a]);
  store(&PAIR(base[I.a])->car, base[I.b]);
  NEXT;
L_SET_CDR:
  if (!is_pair(base[I.a])) FAIL("not a pair", base[I.a]);
  store(&PAIR(base[I.a])->cdr, base[I.b]);
  NEXT;
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
}

L_RECORD_GET:
  WANT_RECORD(1);
  RETURN_TO_LINK(OBJECT(base[0])->slot[integer_of(FREE_OF(1))]);
L_RECORD_PUT:
  WANT_RECORD(2);
  store(&OBJECT(base[0])->slot[integer_of(FREE_OF(1))], base[1]);
  RETURN_TO_LINK(UNSPECIFIED);
L_RECORD_TEST:
  if (count != 1) goto wrong_count;
  RETURN_TO_LINK(boolean(is_object(base[0], OBJECT_RECORD) && OBJECT(base[0])->slot[0] == FREE_OF(0)));
L_RECORD_MAKE:
  if (count != (int)VECTOR(FREE_OF(1))->length) goto wrong_count;
  m->top = base + count;
  v = make_record(base[-1], base);
  RETURN_TO_LINK(v);

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
  capture(m, base);
  MOVE_TO_BOTTOM(FRAME_HEAD + 1);
  base[-1] = base[0];
  base[0] = m->under;
  goto enter;

L_CONTINUE:
  m->top = base + count;
  if (PROC(base[-1])->free[KONT_WINDERS] != m->winders) { /* (%rewind k argument ...) */
    if (base + count + LARGEST_FRAME > m->limit) {
      capture(m, base);
      MOVE_TO_BOTTOM((size_t)(count + FRAME_HEAD));
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
  base = m->stack + FRAME_HEAD;
  base[0] = v;

L_UNDERFLOW: /* the value is where a frame at the bottom would have it */
  m->result = base[0];
  m->top = m->stack;
  {
    Instruction* next; /* not &pc: it would live in memory */
    base = reinstate(m, &next);
    if (base == NULL) return m->result;
    pc = next;
  }
  base[I.a] = m->result;
  NEXT_BEHIND_CALL;

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
  LEAVE_FRAME((size_t)I.live + FRAME_HEAD);
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

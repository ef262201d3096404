/* Calls of primitives that are instructions, and conditions that are jumps. */
#include <string.h>

#include "generator.h"
#include "machine.h"
#include "trees.h"

static const Inlined inlined[] = {
    {"null?", 1, TEST, IF_NULL, IF_NOT_NULL, false}, {"pair?", 1, TEST, IF_PAIR, IF_NOT_PAIR, false}, {"zero?", 1, TEST, IF_ZERO, IF_NOT_ZERO, false},
    {"eq?", 2, TEST, IF_EQ, IF_NOT_EQ, false}, {"<", 2, TEST, IF_LESS, IF_NOT_LESS, false}, {">", 2, TEST, IF_LESS, IF_NOT_LESS, true},
    {"<=", 2, TEST, IF_AT_MOST, IF_NOT_AT_MOST, false}, {">=", 2, TEST, IF_AT_MOST, IF_NOT_AT_MOST, true}, {"=", 2, TEST, IF_SAME, IF_NOT_SAME, false},
    {"cons", 2, VALUE, CONS, CONS, false}, {"+", 2, VALUE, ADD, ADD, false}, {"-", 2, VALUE, SUBTRACT, SUBTRACT, false}, {"*", 2, VALUE, MULTIPLY, MULTIPLY, false},
    {"quotient", 2, VALUE, QUOTIENT, QUOTIENT, false}, {"remainder", 2, VALUE, REMAINDER, REMAINDER, false},
    {"vector-ref", 2, VALUE, VECTOR_REF, VECTOR_REF, false}, {"car", 1, VALUE, CAR, CAR, false}, {"cdr", 1, VALUE, CDR, CDR, false},
    {"cadr", 1, VALUE, CADR, CADR, false}, {"cddr", 1, VALUE, CDDR, CDDR, false}, {"caar", 1, VALUE, CAAR, CAAR, false},
    {"vector-length", 1, VALUE, VECTOR_LENGTH, VECTOR_LENGTH, false}, {"vector-set!", 3, EFFECT, VECTOR_SET, VECTOR_SET, false},
    {"set-car!", 2, EFFECT, SET_CAR, SET_CAR, false}, {"set-cdr!", 2, EFFECT, SET_CDR, SET_CDR, false}};

static void operands_used(Generator* g, const Node* n) {
  for (int i = 1; i < n->count; ++i) operand_used(g, n->child[i]);
}

const Inlined* inlined_of(const Node* n) {
  if (n->type != CALL || n->child[0]->type != GLOBAL || SYMBOL(n->child[0]->value)->syntax != TRUE) return NULL;
  const char* name = STRING(SYMBOL(n->child[0]->value)->name)->bytes;
  for (size_t i = 0; i < sizeof inlined / sizeof *inlined; ++i)
    if (inlined[i].arguments == n->count - 1 && strcmp(inlined[i].name, name) == 0) return &inlined[i];
  return NULL;
}
static bool is_not(const Node* n) {
  return n->type == CALL && n->count == 2 && n->child[0]->type == GLOBAL && SYMBOL(n->child[0]->value)->syntax == TRUE &&
         strcmp(STRING(SYMBOL(n->child[0]->value)->name)->bytes, "not") == 0;
}

/* Operands into slots, in order; returns how many slots are live then. */
static int operands(Generator* g, Node* n, int free, int slots[3]) {
  for (int i = 1; i < n->count; ++i) {
    slots[i - 1] = operand(g, n->child[i], free);
    if (slots[i - 1] == free) ++free;
  }
  return free;
}

bool is_simple(const Node* n) {
  if (n->type == CONSTANT || n->type == LOCAL || n->type == GLOBAL) return true;
  const Inlined* p = inlined_of(n);
  return p != NULL && (p->op == CAR || p->op == CDR || p->op == CADR || p->op == CDDR || p->op == CAAR) && is_simple(n->child[1]);
}

/* (car x) or (cdr x) */
static bool is_part(const Node* n) {
  const Inlined* p = inlined_of(n);
  return p != NULL && (p->op == CAR || p->op == CDR);
}

bool is_small(const Node* n, int sign) {
  return n->type == CONSTANT && is_fixnum(n->value) && integer_of(n->value) * sign >= -32768 && integer_of(n->value) * sign <= 32767;
}

void inlined_value(Generator* g, const Inlined* p, Node* n, int to, int free) {
  int s[3] = {0, 0, 0};
  if ((p->op == ADD && is_small(n->child[2], 1)) || (p->op == SUBTRACT && is_small(n->child[2], -1))) {
    const int x = operand(g, n->child[1], free);
    const intptr_t k = integer_of(n->child[2]->value);
    emit(g, ADD_SMALL, larger(free, x + 1), to, x, (int)(p->op == ADD ? k : -k) & 0xffff);
  } else {
    const int live = operands(g, n, free, s);
    if (p->use == VALUE) emit(g, p->op, live, to, s[0], s[1]);
    else emit(g, p->op, live, s[0], s[1], s[2]);
  }
  operands_used(g, n);
}

/* ---- Procedures that are there already ----
   What a global's value is while a call of it is compiled, a field's accessor, say, it is as a rule when the call runs. That compares, and makes
   no frame. */

enum { MOST_KNOWN = 100 }; /* arguments: if it is something else by then, they are copied to a frame above, for which the stack's slack must do */

bool known_call(Generator* g, Node* n, int to, int free, bool tail) {
  const int count = n->count - 1;
  if (n->child[0]->type != GLOBAL || count > MOST_KNOWN) return false;
  const Value symbol = n->child[0]->value, procedure = SYMBOL(symbol)->value;
  if (count == 1 && is_accessor(procedure)) {
    const int x = operand(g, n->child[1], free);
    emit(g, FIELD, larger(free, x + 1), to, known_index(g, symbol, procedure), x);
    operand_used(g, n->child[1]);
  } else if (is_primitive(procedure, count) || is_constructor(procedure, count)) {
    const Op op = is_constructor(procedure, count) ? MAKE_RECORD : PRIMITIVE_CALL;
    for (int i = 0; i < count; ++i) value(g, n->child[i + 1], free + i, free + i, false);
    if (count > 0 && SYMBOL(symbol)->syntax == TRUE && is_named(symbol, "list")) emit(g, LIST, free + count, to, 0, count);
    else emit(g, op, free + count, to, known_index(g, symbol, procedure), count);
  } else {
    return false;
  }
  if (tail) emit(g, RETURN, larger(free, to + 1), to, 0, 0);
  return true;
}

/* ---- Branches ---- */

bool is_test(const Node* n) {
  const Inlined* p = inlined_of(n);
  return (p != NULL && p->use == TEST) || is_not(n);
}

bool is_or(const Node* n) {
  return n->type == LET && n->count == 2 && n->variables[0]->references == 2 && n->child[1]->type == IF && n->child[1]->child[0]->type == LOCAL &&
         n->child[1]->child[1]->type == LOCAL && n->child[1]->child[0]->variable == n->variables[0] && n->child[1]->child[1]->variable == n->variables[0];
}

/* The comparison `op`, or its opposite, with a constant on the right or (then it is another) on the left. */
static Op with_small(Op op, bool sense, bool on_the_left) {
  switch (op) {
    case IF_LESS: return on_the_left ? (sense ? IF_GREATER_SMALL : IF_NOT_GREATER_SMALL) : (sense ? IF_LESS_SMALL : IF_NOT_LESS_SMALL);
    case IF_AT_MOST: return on_the_left ? (sense ? IF_AT_LEAST_SMALL : IF_NOT_AT_LEAST_SMALL) : (sense ? IF_AT_MOST_SMALL : IF_NOT_AT_MOST_SMALL);
    default: return sense ? IF_SAME_SMALL : IF_NOT_SAME_SMALL;
  }
}

/* (null? (car x)) and the like */
static Op test_of_part(Op test, bool of_car, bool sense) {
  if (test == IF_NULL) return of_car ? (sense ? IF_CAR_NULL : IF_CAR_NOT_NULL) : (sense ? IF_CDR_NULL : IF_CDR_NOT_NULL);
  return of_car ? (sense ? IF_CAR_PAIR : IF_CAR_NOT_PAIR) : (sense ? IF_CDR_PAIR : IF_CDR_NOT_PAIR);
}

void branch(Generator* g, Node* n, int free, bool sense, Patches** taken) {
  const Inlined* p = inlined_of(n);
  if (is_not(n)) return branch(g, n->child[1], free, !sense, taken);
  if (n->type == IS_STILL) return add_patch(g, taken, emit(g, sense ? IF_STILL : IF_NOT_STILL, free, 0, known_index(g, n->value, n->known), 0));
  if (n->type == CONSTANT) {
    if ((n->value != FALSE) == sense) add_patch(g, taken, emit(g, JUMP, free, 0, 0, 0));
    return;
  }
  if (p != NULL && n->count == 3 && p->op != IF_EQ && p->use == TEST && (is_small(n->child[1], 1) || is_small(n->child[2], 1))) {
    const int number = is_small(n->child[2], 1) ? 2 : 1, x = operand(g, n->child[3 - number], free);
    const Op op = with_small(p->op, sense, (number == 1) != p->swapped);
    add_patch(g, taken, emit(g, op, larger(free, x + 1), x, (int)integer_of(n->child[number]->value) & 0xffff, 0));
    return operand_used(g, n->child[3 - number]);
  }
  if (p != NULL && p->op == IF_EQ && (n->child[1]->type == CONSTANT || n->child[2]->type == CONSTANT)) {
    const int which = n->child[2]->type == CONSTANT ? 2 : 1, x = operand(g, n->child[3 - which], free);
    add_patch(g, taken, emit(g, sense ? IF_EQ_CONST : IF_NOT_EQ_CONST, larger(free, x + 1), x, constant_index(g, n->child[which]->value), 0));
    return operand_used(g, n->child[3 - which]);
  }
  if (p != NULL && (p->op == IF_NULL || p->op == IF_PAIR) && is_part(n->child[1])) {
    Node* pair = n->child[1]->child[1];
    const int x = operand(g, pair, free);
    add_patch(g, taken, emit(g, test_of_part(p->op, inlined_of(n->child[1])->op == CAR, sense), larger(free, x + 1), x, 0, 0));
    return operand_used(g, pair);
  }
  if (p != NULL && p->op == IF_EQ && is_part(n->child[1])) { /* (eq? (car x) y) */
    Node* pair = n->child[1]->child[1];
    const int x = operand(g, pair, free), above = x == free ? free + 1 : free, y = operand(g, n->child[2], above);
    const bool first = inlined_of(n->child[1])->op == CAR;
    const Op op = first ? (sense ? IF_CAR_EQ : IF_CAR_NOT_EQ) : (sense ? IF_CDR_EQ : IF_CDR_NOT_EQ);
    add_patch(g, taken, emit(g, op, y == above ? above + 1 : above, x, y, 0));
    operand_used(g, pair);
    return operand_used(g, n->child[2]);
  }
  if (p != NULL && p->use == TEST) {
    int s[3] = {0, 0, 0};
    const int live = operands(g, n, free, s);
    add_patch(g, taken, emit(g, sense ? p->op : p->opposite, live, p->swapped ? s[1] : s[0], p->swapped ? s[0] : s[1], 0));
    return operands_used(g, n);
  }
  if (n->type == LET && !is_or(n)) {
    const int scope = g->scope_count;
    free = bind(g, n, free);
    branch(g, n->child[n->count - 1], free, sense, taken);
    return leave_scope(g, scope);
  }
  if (n->type == IF || is_or(n)) {
    Patches *otherwise = NULL, *end = NULL;
    if (n->type == IF && n->child[2]->type == CONSTANT) { /* (and x y) */
      branch(g, n->child[0], free, false, (n->child[2]->value != FALSE) == sense ? taken : &end);
      branch(g, n->child[1], free, sense, taken);
    } else if (n->type == IF) {
      branch(g, n->child[0], free, false, &otherwise);
      branch(g, n->child[1], free, sense, taken);
      if (n->child[1]->type != CONSTANT || (n->child[1]->value != FALSE) != sense) add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
      jump_to_here(g, otherwise);
      const size_t from = g->count;
      branch(g, n->child[2], free, sense, taken);
      if (n->child[0]->type == IS_STILL) note_cold(g, from);
    } else {
      branch(g, n->child[0], free, true, sense ? taken : &end);
      branch(g, n->child[1]->child[2], free, sense, taken);
    }
    jump_to_here(g, end);
    return;
  }
  const int s = operand(g, n, free);
  add_patch(g, taken, emit(g, sense ? IF_TRUE : IF_FALSE, larger(free, s + 1), s, 0, 0));
  operand_used(g, n);
}

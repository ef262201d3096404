/* The last pass: trees to instructions. A frame's slots are used as a stack: a slot below `free` holds a value, one above does not. An
   instruction carries that number as `live`, which is how the collector knows what of a frame to look at. */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "instructions.h"

enum { MOST_SLOTS = 250, MOST_OFFSET = 32767 };

typedef struct Generator {
  Compiler* c;
  Lambda* lambda;
  Instruction* code; /* arena */
  size_t count, room;
  Value* constants;  /* arena */
  size_t constant_count, constant_room;
  int frame;         /* slots */
  int most_live;     /* see simple_call(); otherwise as many as there are */
} Generator;

typedef struct Patches { size_t at; struct Patches* next; } Patches; /* jumps to a place that is not known yet */

static int larger(int a, int b) { return a > b ? a : b; }

static void* grown(Compiler* c, const void* old, size_t bytes, size_t new_bytes) {
  void* p = arena(c, new_bytes);
  if (bytes != 0) memcpy(p, old, bytes);
  return p;
}

static size_t emit(Generator* g, Op op, int live, int a, int b, int c) {
  if (g->count == g->room) {
    const size_t room = g->room * 2 + 32;
    g->code = grown(g->c, g->code, g->count * sizeof *g->code, room * sizeof *g->code);
    g->room = room;
  }
  g->frame = larger(g->frame, live + 1);
  if (g->frame > MOST_SLOTS) syntax_error(g->c, "a procedure has too many variables", g->lambda->name);
  if (live > g->most_live) live = g->most_live;
  g->code[g->count] = (Instruction){(uint8_t)op, (uint8_t)live, (uint16_t)a, (uint16_t)b, (uint16_t)c};
  return g->count++;
}

static int constant_index(Generator* g, Value v) {
  for (size_t i = 0; i < g->constant_count; ++i)
    if (g->constants[i] == v) return (int)i;
  if (g->constant_count == g->constant_room) {
    const size_t room = g->constant_room * 2 + 16;
    g->constants = grown(g->c, g->constants, g->constant_count * sizeof(Value), room * sizeof(Value));
    g->constant_room = room;
  }
  g->constants[g->constant_count] = v;
  return (int)g->constant_count++;
}

static void jump_to_here(Generator* g, Patches* patches) {
  for (; patches != NULL; patches = patches->next) {
    const size_t offset = g->count - patches->at - 1;
    if (offset > MOST_OFFSET) syntax_error(g->c, "a procedure is too large", g->lambda->name);
    g->code[patches->at].c = (uint16_t)offset;
  }
}
static void add_patch(Generator* g, Patches** list, size_t at) {
  Patches* p = arena(g->c, sizeof *p);
  *p = (Patches){at, *list};
  *list = p;
}

/* Value of `n` into slot `to` <= free; written last. In tail position: returns it. */
static void value(Generator* g, Node* n, int to, int free, bool tail);
static void branch(Generator* g, Node* n, int free, bool sense, Patches** taken);

static int link_slot(const Generator* g) { return g->lambda->count; }
static int first_free_slot(const Lambda* l) { return l->count + 2; }

static int free_index(const Generator* g, const Variable* v) {
  for (int i = 0; i < g->lambda->free_count; ++i)
    if (g->lambda->free[i] == v) return i;
  abort();
}
static bool is_own(const Generator* g, const Variable* v) { return v->owner == g->lambda; }

/* The slot that holds the value of `n`: a variable's own one, or `free`. */
static int operand(Generator* g, Node* n, int free) {
  if (n->type == LOCAL && is_own(g, n->variable) && !is_boxed(n->variable)) return n->variable->slot;
  value(g, n, free, free, false);
  return free;
}

/* ---- Primitives that are instructions ---- */

typedef enum { TEST, VALUE, EFFECT } InlinedUse;
static const struct Inlined { const char* name; int arguments; InlinedUse use; Op op, opposite; bool swapped; } inlined[] = {
    {"null?", 1, TEST, IF_NULL, IF_NOT_NULL, false}, {"pair?", 1, TEST, IF_PAIR, IF_NOT_PAIR, false}, {"zero?", 1, TEST, IF_ZERO, IF_NOT_ZERO, false},
    {"eq?", 2, TEST, IF_EQ, IF_NOT_EQ, false}, {"<", 2, TEST, IF_LESS, IF_NOT_LESS, false}, {">", 2, TEST, IF_LESS, IF_NOT_LESS, true},
    {"<=", 2, TEST, IF_AT_MOST, IF_NOT_AT_MOST, false}, {">=", 2, TEST, IF_AT_MOST, IF_NOT_AT_MOST, true}, {"=", 2, TEST, IF_SAME, IF_NOT_SAME, false},
    {"cons", 2, VALUE, CONS, CONS, false}, {"+", 2, VALUE, ADD, ADD, false}, {"-", 2, VALUE, SUBTRACT, SUBTRACT, false}, {"*", 2, VALUE, MULTIPLY, MULTIPLY, false},
    {"quotient", 2, VALUE, QUOTIENT, QUOTIENT, false}, {"remainder", 2, VALUE, REMAINDER, REMAINDER, false},
    {"vector-ref", 2, VALUE, VECTOR_REF, VECTOR_REF, false}, {"car", 1, VALUE, CAR, CAR, false}, {"cdr", 1, VALUE, CDR, CDR, false},
    {"cadr", 1, VALUE, CADR, CADR, false}, {"cddr", 1, VALUE, CDDR, CDDR, false}, {"caar", 1, VALUE, CAAR, CAAR, false},
    {"vector-length", 1, VALUE, VECTOR_LENGTH, VECTOR_LENGTH, false}, {"vector-set!", 3, EFFECT, VECTOR_SET, VECTOR_SET, false},
    {"set-car!", 2, EFFECT, SET_CAR, SET_CAR, false}, {"set-cdr!", 2, EFFECT, SET_CDR, SET_CDR, false}};

static const struct Inlined* inlined_of(const Node* n) {
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

/* Computing it allocates nothing, and if it fails nobody comes back for the frame. */
static bool is_simple(const Node* n) {
  if (n->type == CONSTANT || n->type == LOCAL || n->type == GLOBAL) return true;
  const struct Inlined* p = inlined_of(n);
  return p != NULL && (p->op == CAR || p->op == CDR || p->op == CADR || p->op == CDDR || p->op == CAAR) && is_simple(n->child[1]);
}

static bool is_small(const Node* n, int sign) {
  return n->type == CONSTANT && is_fixnum(n->value) && integer_of(n->value) * sign >= -32768 && integer_of(n->value) * sign <= 32767;
}

static void inlined_value(Generator* g, const struct Inlined* p, Node* n, int to, int free) {
  int s[3] = {0, 0, 0};
  if ((p->op == ADD && is_small(n->child[2], 1)) || (p->op == SUBTRACT && is_small(n->child[2], -1))) {
    const int x = operand(g, n->child[1], free);
    const intptr_t k = integer_of(n->child[2]->value);
    emit(g, ADD_SMALL, larger(free, x + 1), to, x, (int)(p->op == ADD ? k : -k) & 0xffff);
    return;
  }
  const int live = operands(g, n, free, s);
  if (p->use == VALUE) {
    emit(g, p->op, live, to, s[0], s[1]);
  } else {
    emit(g, p->op, live, s[0], s[1], s[2]);
    emit(g, CONST, free, to, constant_index(g, UNSPECIFIED), 0);
  }
}

/* ---- Branches ---- */

/* (let ((t x)) (if t t y)), which is what (or x y) has become */
static bool is_or(const Node* n) {
  return n->type == LET && n->count == 2 && n->variables[0]->references == 2 && n->child[1]->type == IF && n->child[1]->child[0]->type == LOCAL &&
         n->child[1]->child[1]->type == LOCAL && n->child[1]->child[0]->variable == n->variables[0] && n->child[1]->child[1]->variable == n->variables[0];
}

/* Jumps if the truth of `n` is `sense`, goes on otherwise. */
static void branch(Generator* g, Node* n, int free, bool sense, Patches** taken) {
  const struct Inlined* p = inlined_of(n);
  if (is_not(n)) return branch(g, n->child[1], free, !sense, taken);
  if (n->type == CONSTANT) {
    if ((n->value != FALSE) == sense) add_patch(g, taken, emit(g, JUMP, free, 0, 0, 0));
    return;
  }
  if (p != NULL && p->op == IF_SAME && (is_small(n->child[1], 1) || is_small(n->child[2], 1))) {
    const int number = is_small(n->child[2], 1) ? 2 : 1, x = operand(g, n->child[3 - number], free);
    const Op op = sense ? IF_SAME_SMALL : IF_NOT_SAME_SMALL;
    add_patch(g, taken, emit(g, op, larger(free, x + 1), x, (int)integer_of(n->child[number]->value) & 0xffff, 0));
    return;
  }
  if (p != NULL && p->use == TEST) {
    int s[3] = {0, 0, 0};
    const int live = operands(g, n, free, s);
    add_patch(g, taken, emit(g, sense ? p->op : p->opposite, live, p->swapped ? s[1] : s[0], p->swapped ? s[0] : s[1], 0));
    return;
  }
  if (n->type == IF || is_or(n)) {
    Patches *otherwise = NULL, *end = NULL;
    if (n->type == IF && n->child[2]->type == CONSTANT) { /* (and x y) */
      branch(g, n->child[0], free, false, (n->child[2]->value != FALSE) == sense ? taken : &end);
      branch(g, n->child[1], free, sense, taken);
    } else if (n->type == IF) {
      branch(g, n->child[0], free, false, &otherwise);
      branch(g, n->child[1], free, sense, taken);
      add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
      jump_to_here(g, otherwise);
      branch(g, n->child[2], free, sense, taken);
    } else {
      branch(g, n->child[0], free, true, sense ? taken : &end);
      branch(g, n->child[1]->child[2], free, sense, taken);
    }
    jump_to_here(g, end);
    return;
  }
  const int s = operand(g, n, free);
  add_patch(g, taken, emit(g, sense ? IF_TRUE : IF_FALSE, larger(free, s + 1), s, 0, 0));
}

/* ---- Calls ---- */

static void box_if_needed(Generator* g, const Variable* v, int free) {
  if (is_boxed(v)) emit(g, BOX, larger(free, v->slot + 1), v->slot, 0, 0);
}

/* The next iteration: all values first, then all variables. The last value may go to its place at once. */
static void jump_of_loop(Generator* g, Node* n, int free) {
  const Lambda* l = n->child[0]->variable->loop;
  int from[MOST_SLOTS], at = free, last = l->count - 1;
  if (l->count > MOST_SLOTS / 2) syntax_error(g->c, "a loop has too many variables", g->lambda->name);
  for (int i = 0; i < l->count; ++i) {
    Node* x = n->child[i + 1];
    const int slot = l->parameters[i]->slot;
    if (x->type == LOCAL && x->variable == l->parameters[i] && !is_boxed(x->variable)) {
      from[i] = slot;
    } else {
      from[i] = i == last ? slot : at;
      value(g, x, from[i], at, false);
      at += from[i] == at;
    }
  }
  for (int i = 0; i < l->count; ++i) {
    const int slot = l->parameters[i]->slot;
    if (from[i] != slot) emit(g, MOVE, at, slot, from[i], 0);
    if (is_boxed(l->parameters[i])) emit(g, BOX, at, slot, 0, 0);
  }
  const size_t offset = g->count + 1 - n->child[0]->variable->label;
  if (offset > MOST_OFFSET) syntax_error(g->c, "a loop is too large", g->lambda->name);
  emit(g, LOOP, free, 0, 0, (int)offset);
}

/* (f simple ...), f global: f goes to its slot when it is called, which saves an instruction. Until then the slot holds nothing, so what
   computes the arguments must say that the frame ends below it. That is why they have to be simple: no safepoint comes back here. */
static void simple_call(Generator* g, Node* n, int to, int free, bool tail) {
  const int most = g->most_live;
  g->most_live = free < most ? free : most;
  for (int i = 1; i < n->count; ++i) value(g, n->child[i], free + i, free + i, false);
  g->most_live = most;
  emit(g, tail ? TAIL_CALL_GLOBAL : CALL_GLOBAL, free + n->count, tail ? 0 : to, constant_index(g, n->child[0]->value), n->count - 1);
}
static bool is_simple_call(const Node* n) {
  if (n->child[0]->type != GLOBAL) return false;
  for (int i = 1; i < n->count; ++i)
    if (!is_simple(n->child[i])) return false;
  return true;
}

static void call(Generator* g, Node* n, int to, int free, bool tail) {
  if (is_simple_call(n)) return simple_call(g, n, to, free, tail);
  for (int i = 0; i < n->count; ++i) value(g, n->child[i], free + i, free + i, false);
  emit(g, tail ? TAIL_CALL : OP_CALL, free + n->count, tail ? 0 : to, free, n->count - 1);
}

/* (+ a b c ...) as (+ (+ a b) c) ... */
static Node* in_pairs(Generator* g, Node* n) {
  if (n->count < 4 || n->child[0]->type != GLOBAL || SYMBOL(n->child[0]->value)->syntax != TRUE) return n;
  const char* name = STRING(SYMBOL(n->child[0]->value)->name)->bytes;
  if (strcmp(name, "+") != 0 && strcmp(name, "*") != 0 && strcmp(name, "-") != 0) return n;
  Node* sum = n->child[1];
  for (int i = 2; i < n->count; ++i) {
    Node* pair = arena(g->c, sizeof *pair);
    pair->type = CALL;
    pair->count = 3;
    pair->child = arena(g->c, 3 * sizeof *pair->child);
    pair->child[0] = n->child[0];
    pair->child[1] = sum;
    pair->child[2] = n->child[i];
    sum = pair;
  }
  return sum;
}

static void call_or_inline(Generator* g, Node* n, int to, int free, bool tail) {
  n = in_pairs(g, n);
  const struct Inlined* p = inlined_of(n);
  if (n->child[0]->type == LOCAL && n->child[0]->variable->is_loop) return jump_of_loop(g, n, free);
  if ((p != NULL && p->use == TEST) || is_not(n)) {
    Patches *no = NULL, *end = NULL;
    branch(g, n, free, false, &no);
    emit(g, CONST, free, to, constant_index(g, TRUE), 0);
    add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
    jump_to_here(g, no);
    emit(g, CONST, free, to, constant_index(g, FALSE), 0);
    jump_to_here(g, end);
  } else if (p != NULL) {
    inlined_value(g, p, n, to, free);
  } else {
    return call(g, n, to, free, tail);
  }
  if (tail) emit(g, RETURN, larger(free, to + 1), to, 0, 0);
}

/* ---- Procedures ---- */

static void closure(Generator* g, Lambda* l, int to, int free) {
  Code* code = generate(g->c, l);
  emit(g, CLOSURE, free, to, constant_index(g, (Value)code), l->free_count);
  for (int i = 0; i < l->free_count; ++i) {
    const Variable* v = l->free[i];
    if (is_own(g, v)) emit(g, CAPTURE, free, 0, v->slot, 0);
    else emit(g, CAPTURE, free, 1, free_index(g, v), 0);
  }
}

/* Procedures of a letrec are made first; one that captures another that was not made yet gets it afterwards. Then the rest in order. */
static int letrec(Generator* g, Node* n, int free) {
  const int count = n->count - 1, first = free;
  for (int i = 0; i < count; ++i, ++free) {
    n->variables[i]->slot = free;
    emit(g, CONST, free, free, constant_index(g, UNSPECIFIED), 0);
    box_if_needed(g, n->variables[i], free);
  }
  for (int i = 0; i < count; ++i)
    if (n->child[i]->type == LAMBDA && !is_boxed(n->variables[i])) closure(g, n->child[i]->lambda, first + i, free);
  for (int i = 0; i < count; ++i) {
    if (n->child[i]->type != LAMBDA || is_boxed(n->variables[i])) continue;
    const Lambda* l = n->child[i]->lambda;
    for (int k = 0; k < l->free_count; ++k)
      for (int j = i; j < count; ++j)
        if (l->free[k] == n->variables[j] && !is_boxed(n->variables[j])) emit(g, PATCH, free, first + i, k, first + j);
  }
  for (int i = 0; i < count; ++i) {
    if (n->child[i]->type == LAMBDA && !is_boxed(n->variables[i])) continue;
    const int s = operand(g, n->child[i], free);
    emit(g, is_boxed(n->variables[i]) ? SET_BOX : MOVE, larger(free, s + 1), first + i, s, 0);
  }
  return free;
}

static void loop(Generator* g, Node* n, int to, int free, bool tail) {
  Lambda* l = n->child[0]->lambda;
  for (int i = 0; i < l->count; ++i) {
    l->parameters[i]->slot = free + i;
    value(g, n->child[1]->child[i + 1], free + i, free + i, false);
  }
  for (int i = 0; i < l->count; ++i) box_if_needed(g, l->parameters[i], free + l->count);
  n->variables[0]->label = g->count;
  value(g, l->body, to, free + l->count, tail);
}

static void reference(Generator* g, Node* n, int to, int free) {
  const Variable* v = n->variable;
  if (!is_own(g, v)) emit(g, is_boxed(v) ? FREE_BOX : FREE, free, to, free_index(g, v), 0);
  else if (is_boxed(v)) emit(g, UNBOX, free, to, v->slot, 0);
  else if (v->slot != to) emit(g, MOVE, larger(free, v->slot + 1), to, v->slot, 0);
}

static void assignment(Generator* g, Node* n, int to, int free) {
  const int s = operand(g, n->child[0], free), live = larger(free, s + 1);
  const Variable* v = n->variable;
  if (n->type == SET_GLOBAL) emit(g, GLOBAL_SET, live, constant_index(g, n->value), s, 0);
  else if (n->type == DEFINE) emit(g, GLOBAL_DEF, live, constant_index(g, n->value), s, 0);
  else if (!is_own(g, v)) emit(g, SET_FREE, live, free_index(g, v), s, 0);
  else if (is_boxed(v)) emit(g, SET_BOX, live, v->slot, s, 0);
  else emit(g, MOVE, live, v->slot, s, 0);
  emit(g, CONST, free, to, constant_index(g, UNSPECIFIED), 0);
}

static void conditional(Generator* g, Node* n, int to, int free, bool tail) {
  Patches *otherwise = NULL, *end = NULL;
  branch(g, n->child[0], free, false, &otherwise);
  value(g, n->child[1], to, free, tail);
  if (!tail) add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
  jump_to_here(g, otherwise);
  value(g, n->child[2], to, free, tail);
  jump_to_here(g, end);
}

static void value(Generator* g, Node* n, int to, int free, bool tail) {
  switch (n->type) {
    case CALL: return call_or_inline(g, n, to, free, tail);
    case IF: return conditional(g, n, to, free, tail);
    case SEQUENCE:
      for (int i = 0; i < n->count - 1; ++i) value(g, n->child[i], free, free, false);
      return value(g, n->child[n->count - 1], to, free, tail);
    case LET:
      for (int i = 0; i < n->count - 1; ++i) {
        n->variables[i]->slot = free + i;
        value(g, n->child[i], free + i, free + i, false);
      }
      for (int i = 0; i < n->count - 1; ++i) box_if_needed(g, n->variables[i], free + n->count - 1);
      return value(g, n->child[n->count - 1], to, free + n->count - 1, tail);
    case LETREC:
      if (n->is_loop) return loop(g, n, to, free, tail);
      free = letrec(g, n, free);
      return value(g, n->child[n->count - 1], to, free, tail);
    case CONSTANT:
      if (tail) return (void)emit(g, RETURN_CONST, free, 0, constant_index(g, n->value), 0);
      emit(g, CONST, free, to, constant_index(g, n->value), 0);
      break;
    case LOCAL:
      if (tail) to = operand(g, n, free);
      else reference(g, n, to, free);
      break;
    case GLOBAL: emit(g, GLOBAL_REF, free, to, constant_index(g, n->value), 0); break;
    case LAMBDA: closure(g, n->lambda, to, free); break;
    case SET_LOCAL:
    case SET_GLOBAL:
    case DEFINE: assignment(g, n, to, free); break;
  }
  if (tail) emit(g, RETURN, larger(free, to + 1), to, 0, 0);
}

/* Constants lie behind the last instruction: from numbers to distances. */
static void place_constants(Generator* g) {
  for (size_t i = 0; i < g->count; ++i) {
    const size_t distance = g->count - i - 1;
    Instruction* at = &g->code[i];
    if (distance + g->constant_count > UINT16_MAX) syntax_error(g->c, "a procedure is too large", g->lambda->name);
    switch (at->op) {
      case CONST: case RETURN_CONST: case CLOSURE: case GLOBAL_REF: case CALL_GLOBAL: case TAIL_CALL_GLOBAL:
        at->b = (uint16_t)(at->b + distance);
        break;
      case GLOBAL_SET: case GLOBAL_DEF:
        at->a = (uint16_t)(at->a + distance);
        break;
      default: break;
    }
  }
}

Code* generate(Compiler* c, Lambda* l) {
  Generator g = {.c = c, .lambda = l, .most_live = MOST_SLOTS};
  const int free = first_free_slot(l);
  const size_t enter = emit(&g, l->rest ? ENTER_REST : ENTER, 0, l->rest ? l->count - 1 : l->count, 0, 0); /* live: see enters_with() */
  g.frame = free + 1;
  for (int i = 0; i < l->count; ++i) {
    l->parameters[i]->slot = i;
    box_if_needed(&g, l->parameters[i], free);
  }
  value(&g, l->body, free, free, true);
  g.code[enter].b = (uint16_t)(g.frame + 1);
  place_constants(&g);
  const Value name = is_identifier(l->name) ? symbol_of(l->name) : FALSE;
  return make_code(c->m, g.code, g.count, g.constants, g.constant_count, l->free_count, link_slot(&g), name);
}

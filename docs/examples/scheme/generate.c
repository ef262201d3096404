/* The last pass: trees to instructions. A frame's slots are used as a stack: a slot below `free` holds a value, one above does not. An
   instruction carries that number as `live`, which is how the collector knows what of a frame to look at. */
#include <stdlib.h>
#include <string.h>

#include "generator.h"

static void effect(Generator* g, Node* n, int free);

static int first_free_slot(const Lambda* l) { return l->count; }

static int free_index(const Generator* g, const Variable* v) {
  for (int i = 0; i < g->lambda->free_count; ++i)
    if (g->lambda->free[i] == v) return i;
  abort();
}
int operand(Generator* g, Node* n, int free) {
  if (is_operand(g, n)) return n->variable->slot;
  value(g, n, free, free, false);
  return free;
}
void operand_used(Generator* g, const Node* n) {
  if (is_operand(g, n)) used(g, n);
}

static void box_if_needed(Generator* g, const Variable* v, int free) {
  if (is_boxed(v)) emit(g, BOX, larger(free, v->slot + 1), v->slot, 0, 0);
}

int bind(Generator* g, Node* n, int free) {
  const int count = n->count - 1;
  for (int i = 0; i < count; ++i) {
    n->variables[i]->slot = free + i;
    value(g, n->child[i], free + i, free + i, false);
  }
  for (int i = 0; i < count; ++i) box_if_needed(g, n->variables[i], free + count);
  enter_scope(g, n->variables, count);
  return free + count;
}

/* ---- Calls ---- */

static bool mentions(const Node* n, const Variable* v) {
  if ((n->type == LOCAL || n->type == SET_LOCAL) && n->variable == v) return true;
  if (n->type == LAMBDA && mentions(n->lambda->body, v)) return true;
  for (int i = 0; i < n->count; ++i)
    if (mentions(n->child[i], v)) return true;
  return false;
}

/* The next iteration. A new value goes to its variable at once if no later one is computed from the old one; the others wait until all are there. */
static void jump_of_loop(Generator* g, Node* n, const Lambda* l, size_t label, int first_free, int free) {
  int from[MOST_SLOTS], at = free;
  if (l->count > MOST_SLOTS / 2) syntax_error(g->c, "a loop has too many variables", g->lambda->name);
  for (int i = 0; i < l->count; ++i) ++l->parameters[i]->pending; /* new values are there before they are looked at */
  for (int i = 0; i < l->count; ++i) {
    Node* x = n->child[i + 1];
    const int slot = l->parameters[i]->slot;
    from[i] = slot;
    if (is_operand(g, x) && x->variable == l->parameters[i]) {
      used(g, x);
      continue;
    }
    for (int k = i + 1; k < l->count && from[i] == slot; ++k)
      if (mentions(n->child[k + 1], l->parameters[i])) from[i] = at;
    value(g, x, from[i], at, false);
    at += from[i] == at;
  }
  for (int i = 0; i < l->count; ++i) {
    const int slot = l->parameters[i]->slot;
    if (from[i] != slot) emit(g, MOVE, at, slot, from[i], 0);
    if (is_boxed(l->parameters[i])) emit(g, BOX, at, slot, 0, 0);
    --l->parameters[i]->pending;
  }
  jump_back(g, label, first_free);
}

/* The callee's frame begins at `free`: its link and the procedure, then the arguments. Until the call these slots hold nothing, so what
   computes arguments there must say that the frame ends below: no safepoint comes back to it. So what is not simple comes first: the last of it
   to its place, the others wait in the slots from `free` on and are moved to their places, which are higher: if they are many, the last one first and before
   anything else gets there. A global procedure goes to its place when it is called, which saves an instruction. */
enum { CALLEE = 2 }; /* FRAME_HEAD - 1: where the procedure goes */

static void call(Generator* g, Node* n, int to, int free, bool tail) {
  const bool by_name = n->child[0]->type == GLOBAL;
  const int first = by_name ? 1 : 0, most = g->most_live, live = free + CALLEE + n->count;
  int left = 0, waiting[MOST_SLOTS], k = 0;
  if (live > MOST_SLOTS) syntax_error(g->c, "a call has too many arguments", g->lambda->name);
  for (int i = first; i < n->count; ++i) left += !is_simple(n->child[i]);
  for (int i = first; i < n->count && left > 0; ++i) {
    if (is_simple(n->child[i])) continue;
    value(g, n->child[i], left == 1 ? free + CALLEE + i : free + k, free + k, false);
    if (--left > 0) waiting[k++] = i;
  }
  g->most_live = free < most ? free : most;
  while (k > CALLEE) --k, emit(g, MOVE, live, free + CALLEE + waiting[k], free + k, 0);
  for (int i = first, moved = 0; i < n->count; ++i) {
    if (is_simple(n->child[i])) value(g, n->child[i], free + CALLEE + i, free + CALLEE + i, false);
    else if (moved < k && waiting[moved] == i) emit(g, MOVE, live, free + CALLEE + i, free + moved, 0), ++moved;
  }
  g->most_live = most;
  if (by_name) emit(g, tail ? TAIL_CALL_GLOBAL : CALL_GLOBAL, live, tail ? 0 : to, constant_index(g, n->child[0]->value), n->count - 1);
  else emit(g, tail ? TAIL_CALL : OP_CALL, live, tail ? 0 : to, 0, n->count - 1);
  if (!tail) note_dead_slots(g);
}

/* A call of the procedure that runs, by the name that a letrec gave it and nobody changes, for good: a jump. */
static bool is_self_call(const Generator* g, const Node* n) {
  const Lambda* l = g->lambda;
  return n->child[0]->type == LOCAL && n->child[0]->variable == l->self && !l->rest && n->count - 1 == l->count;
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
  const Inlined* p = inlined_of(n);
  if (n->child[0]->type == LOCAL && n->child[0]->variable->is_loop) {
    const Lambda* l = n->child[0]->variable->loop;
    return jump_of_loop(g, n, l, n->child[0]->variable->label, l->parameters_end, free);
  }
  if (is_test(n)) {
    Patches *no = NULL, *end = NULL;
    branch(g, n, free, false, &no);
    emit(g, tail ? RETURN_CONST : CONST, free, to, constant_index(g, TRUE), 0);
    if (!tail) add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
    jump_to_here(g, no);
    emit(g, tail ? RETURN_CONST : CONST, free, to, constant_index(g, FALSE), 0);
    return jump_to_here(g, end);
  }
  if (p == NULL && tail && is_self_call(g, n)) return jump_of_loop(g, n, g->lambda, g->start, first_free_slot(g->lambda), free);
  if (p == NULL && known_call(g, n, to, free, tail)) return;
  if (p == NULL) return call(g, n, to, free, tail);
  inlined_value(g, p, n, to, free);
  if (p->use == EFFECT) emit(g, CONST, free, to, constant_index(g, UNSPECIFIED), 0);
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
  count_references(l->body, g->lambda, -1, ALL_VARIABLES);
}

/* Procedures of a letrec are made first; one that captures another that was not made yet gets it afterwards. Then the rest in order. */
static int letrec(Generator* g, Node* n, int free) {
  const int count = n->count - 1, first = free;
  for (int i = 0; i < count; ++i, ++free) {
    if (n->child[i]->type == LAMBDA && !n->variables[i]->mutated) n->child[i]->lambda->self = n->variables[i];
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
    operand_used(g, n->child[i]);
  }
  enter_scope(g, n->variables, count);
  return free;
}

/* What lives outside of a loop and is looked at in it is needed until its end. */
static void loop(Generator* g, Node* n, int to, int free, bool tail) {
  Lambda* l = n->child[0]->lambda;
  const int scope = g->scope_count;
  for (int i = 0; i < l->count; ++i) {
    l->parameters[i]->slot = free + i;
    value(g, n->child[1]->child[i + 1], free + i, free + i, false);
  }
  for (int i = 0; i < l->count; ++i) box_if_needed(g, l->parameters[i], free + l->count);
  count_references(l->body, g->lambda, +1, VARIABLES_IN_SCOPE);
  enter_scope(g, l->parameters, l->count);
  l->parameters_end = free + l->count;
  n->variables[0]->label = set_label(g);
  value(g, l->body, to, free + l->count, tail);
  leave_scope(g, scope);
  count_references(l->body, g->lambda, -1, VARIABLES_IN_SCOPE);
}

static void reference(Generator* g, Node* n, int to, int free) {
  const Variable* v = n->variable;
  if (!is_own(g, v)) emit(g, is_boxed(v) ? FREE_BOX : FREE, free, to, free_index(g, v), 0);
  else if (is_boxed(v)) emit(g, UNBOX, free, to, v->slot, 0);
  else if (v->slot != to) emit(g, MOVE, larger(free, v->slot + 1), to, v->slot, 0);
  used(g, n);
}

/* (set! x (+ x 1)), x global */
static bool is_counter(const Node* n) {
  if (n->type != SET_GLOBAL) return false;
  const Node* sum = n->child[0];
  const Inlined* p = inlined_of(sum);
  return p != NULL && p->op == ADD && sum->child[1]->type == GLOBAL && sum->child[1]->value == n->value && is_small(sum->child[2], 1);
}

static void assignment(Generator* g, Node* n, int free) {
  if (is_counter(n)) return (void)emit(g, GLOBAL_ADD, free, constant_index(g, n->value), 0, (int)integer_of(n->child[0]->child[2]->value) & 0xffff);
  const int s = operand(g, n->child[0], free), live = larger(free, s + 1);
  const Variable* v = n->variable;
  if (n->type == SET_GLOBAL) emit(g, GLOBAL_SET, live, constant_index(g, n->value), s, 0);
  else if (n->type == DEFINE) emit(g, GLOBAL_DEF, live, constant_index(g, n->value), s, 0);
  else if (!is_own(g, v)) emit(g, SET_FREE, live, free_index(g, v), s, 0);
  else emit(g, SET_BOX, live, v->slot, s, 0); /* what is assigned is boxed */
  operand_used(g, n->child[0]);
  if (n->type == SET_LOCAL && is_own(g, v)) --n->variable->pending;
}

/* Somewhere at its end it jumps back. */
static bool goes_round(const Generator* g, const Node* n, bool tail) {
  switch (n->type) {
    case CALL: return n->child[0]->type == LOCAL && (n->child[0]->variable->is_loop || (tail && is_self_call(g, n)));
    case IF: return goes_round(g, n->child[1], tail) || goes_round(g, n->child[2], tail);
    case SEQUENCE: case LET: case LETREC: return goes_round(g, n->child[n->count - 1], tail);
    default: return false;
  }
}

static bool is_name(const Node* n) { return n->type == CONSTANT || n->type == LOCAL || n->type == GLOBAL; }

/* The arm that runs oftener comes first, since a jump makes what follows wait for the next instruction's address: that goes on with a loop, or, where a
   value is returned, that does more than name it. */
static void conditional(Generator* g, Node* n, int to, int free, bool tail) {
  Patches *otherwise = NULL, *end = NULL;
  const bool goes_on = goes_round(g, n->child[1], tail), otherwise_goes_on = goes_round(g, n->child[2], tail);
  const bool swapped = goes_on != otherwise_goes_on ? otherwise_goes_on : tail && is_name(n->child[1]) && !is_name(n->child[2]);
  Node *const first = n->child[swapped ? 2 : 1], *const second = n->child[swapped ? 1 : 2];
  branch(g, n->child[0], free, swapped, &otherwise);
  count_references(second, g->lambda, -1, ALL_VARIABLES); /* nobody gets there from here */
  value(g, first, to, free, tail);
  count_references(second, g->lambda, +1, ALL_VARIABLES);
  if (!tail) add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
  jump_to_here(g, otherwise);
  const size_t from = g->count;
  value(g, second, to, free, tail);
  if (n->child[0]->type == IS_STILL) note_cold(g, from);
  jump_to_here(g, end);
}

/* (or test y) */
static void either(Generator* g, Node* n, int to, int free, bool tail) {
  Patches *yes = NULL, *end = NULL;
  branch(g, n->child[0], free, true, &yes);
  value(g, n->child[1]->child[2], to, free, tail);
  if (!tail) add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
  jump_to_here(g, yes);
  emit(g, tail ? RETURN_CONST : CONST, free, to, constant_index(g, TRUE), 0);
  jump_to_here(g, end);
}

/* For what it does: its value is not needed. */
static void effect(Generator* g, Node* n, int free) {
  const int scope = g->scope_count;
  const Inlined* p = inlined_of(n);
  switch (n->type) {
    case CONSTANT: case LAMBDA: return;
    case LOCAL: return used(g, n);
    case SET_LOCAL: case SET_GLOBAL: case DEFINE: return assignment(g, n, free);
    case SEQUENCE:
      for (int i = 0; i < n->count; ++i) effect(g, n->child[i], free);
      return;
    case LET:
      free = bind(g, n, free);
      effect(g, n->child[n->count - 1], free);
      return leave_scope(g, scope);
    case IF: {
      Patches *otherwise = NULL, *end = NULL;
      branch(g, n->child[0], free, false, &otherwise);
      effect(g, n->child[1], free);
      if (n->child[2]->type != CONSTANT) add_patch(g, &end, emit(g, JUMP, free, 0, 0, 0));
      jump_to_here(g, otherwise);
      const size_t from = g->count;
      effect(g, n->child[2], free);
      if (n->child[0]->type == IS_STILL) note_cold(g, from);
      return jump_to_here(g, end);
    }
    case CALL:
      if (p != NULL && p->use == EFFECT) return inlined_value(g, p, n, 0, free);
      break;
    case GLOBAL: case LETREC: case IS_STILL: break;
  }
  value(g, n, free, free, false);
}

void value(Generator* g, Node* n, int to, int free, bool tail) {
  const int scope = g->scope_count;
  switch (n->type) {
    case CALL: return call_or_inline(g, n, to, free, tail);
    case IF: return conditional(g, n, to, free, tail);
    case SEQUENCE:
      for (int i = 0; i < n->count - 1; ++i) effect(g, n->child[i], free);
      return value(g, n->child[n->count - 1], to, free, tail);
    case LET:
      if (is_or(n) && is_test(n->child[0])) return either(g, n, to, free, tail);
      free = bind(g, n, free);
      value(g, n->child[n->count - 1], to, free, tail);
      return leave_scope(g, scope);
    case LETREC:
      if (n->is_loop) return loop(g, n, to, free, tail);
      free = letrec(g, n, free);
      value(g, n->child[n->count - 1], to, free, tail);
      return leave_scope(g, scope);
    case CONSTANT:
      emit(g, tail ? RETURN_CONST : CONST, free, to, constant_index(g, n->value), 0);
      return;
    case LOCAL:
      if (tail) to = operand(g, n, free), operand_used(g, n);
      else reference(g, n, to, free);
      break;
    case GLOBAL: emit(g, GLOBAL_REF, free, to, constant_index(g, n->value), 0); break;
    case LAMBDA: closure(g, n->lambda, to, free); break;
    case IS_STILL: abort(); /* only a test */
    case SET_LOCAL: case SET_GLOBAL: case DEFINE:
      assignment(g, n, free);
      emit(g, tail ? RETURN_CONST : CONST, free, to, constant_index(g, UNSPECIFIED), 0);
      return;
  }
  if (tail) emit(g, RETURN, larger(free, to + 1), to, 0, 0);
}

Code* generate(Compiler* c, Lambda* l) {
  Generator* g = arena(c, sizeof *g);
  const int free = first_free_slot(l);
  g->c = c;
  g->lambda = l;
  g->most_live = MOST_SLOTS;
  const size_t enter = emit(g, l->rest ? ENTER_REST : ENTER, 0, l->rest ? l->count - 1 : l->count, 0, 0); /* live: see enters_with() */
  g->frame = free + 1;
  count_references(l->body, l, +1, ALL_VARIABLES);
  for (int i = 0; i < l->count; ++i) {
    l->parameters[i]->slot = i;
    box_if_needed(g, l->parameters[i], free);
  }
  enter_scope(g, l->parameters, l->count);
  g->start = set_label(g);
  value(g, l->body, free, free, true);
  g->code[enter].b = (uint16_t)(g->frame + 1);
  return finish(g);
}

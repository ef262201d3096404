/* Instructions of one procedure while they are made: emission, jumps, constants, which slots are dead where, and the pairs of instructions
   that become one. */
#include "generator.h"

#include <stdlib.h>
#include <string.h>

static void* grown(Compiler* c, const void* old, size_t bytes, size_t new_bytes) {
  void* p = arena(c, new_bytes);
  if (bytes != 0) memcpy(p, old, bytes);
  return p;
}

/* ---- Two in one ----
   The commonest pairs of all programs together, counted; a pair is one dispatch less. Not across a place that is jumped to. */

/* MOVE, CAR or CDR to neighbouring slots: arguments of a call. */
static int way_to_take(Op op) { return op == MOVE ? 0 : op == CAR ? 1 : op == CDR ? 2 : -1; }
static const Op both_taken[3][3] = {{MOVE_MOVE, MOVE_CAR, MOVE_CDR}, {CAR_MOVE, CAR_CAR, CAR_CDR}, {CDR_MOVE, CDR_CAR, CDR_CDR}};
static const Op call_with[3] = {CALL_MOVE, CALL_CAR, CALL_CDR};

static bool fuse(Generator* g, Instruction next) {
  if (g->count == 0 || g->count == g->label) return false;
  Instruction* last = &g->code[g->count - 1];
  const int first = way_to_take(last->op), second = way_to_take(next.op);
  if (first >= 0 && second >= 0 && next.a == last->a + 1) {
    last->op = (uint8_t)both_taken[first][second];
    last->c = next.b;
  } else if (first >= 0 && next.op == CALL_GLOBAL && next.c == 1 && last->a == next.live - 1) {
    *last = (Instruction){(uint8_t)call_with[first], next.live, next.a, (uint16_t)(next.b), last->b};
  } else if (next.op == LOOP && (last->op == MOVE || last->op == CDR)) {
    last->op = last->op == MOVE ? LOOP_MOVE : LOOP_CDR;
    last->c = (uint16_t)(next.c + 1);
  } else if (next.op == JUMP && last->op == CONST) {
    last->op = CONST_JUMP;
  } else {
    return false;
  }
  return true;
}

/* ---- Emission ---- */

size_t emit(Generator* g, Op op, int live, int a, int b, int c) {
  if (g->count == g->room) {
    const size_t room = g->room * 2 + 32;
    g->code = grown(g->c, g->code, g->count * sizeof *g->code, room * sizeof *g->code);
    g->room = room;
  }
  g->frame = larger(g->frame, live + 1);
  if (g->frame > MOST_SLOTS) syntax_error(g->c, "a procedure has too many variables", g->lambda->name);
  if (live > g->most_live) live = g->most_live;
  const Instruction next = {(uint8_t)op, (uint8_t)live, (uint16_t)a, (uint16_t)b, (uint16_t)c};
  if (fuse(g, next)) return g->count - 1;
  g->code[g->count] = next;
  return g->count++;
}

static int add_constant(Generator* g, Value v) {
  if (g->constant_count == g->constant_room) {
    const size_t room = g->constant_room * 2 + 16;
    g->constants = grown(g->c, g->constants, g->constant_count * sizeof(Value), room * sizeof(Value));
    g->constant_room = room;
  }
  g->constants[g->constant_count] = v;
  return (int)g->constant_count++;
}
int constant_index(Generator* g, Value v) {
  for (size_t i = 0; i < g->constant_count; ++i)
    if (g->constants[i] == v) return (int)i;
  return add_constant(g, v);
}
int known_index(Generator* g, Value symbol, Value procedure) {
  for (size_t i = 1; i < g->constant_count; ++i)
    if (g->constants[i] == procedure && g->constants[i - 1] == symbol) return (int)i - 1;
  const int index = add_constant(g, symbol);
  add_constant(g, procedure);
  keep(g->c->m, procedure); /* another thread may redefine the symbol meanwhile */
  return index;
}

void jump_to_here(Generator* g, Patches* patches) {
  if (patches != NULL) set_label(g);
  for (; patches != NULL; patches = patches->next) {
    const size_t offset = g->count - patches->at;
    if (offset > MOST_OFFSET) syntax_error(g->c, "a procedure is too large", g->lambda->name);
    g->code[patches->at].c = (uint16_t)offset;
  }
}
void note_cold(Generator* g, size_t from) {
  Part* p = arena(g->c, sizeof *p);
  *p = (Part){from, g->count, g->cold};
  g->cold = p;
  set_label(g);
}
void add_patch(Generator* g, Patches** list, size_t at) {
  Patches* p = arena(g->c, sizeof *p);
  *p = (Patches){at, *list};
  *list = p;
}
void jump_back(Generator* g, size_t label, int live) {
  const size_t offset = g->count - label;
  if (offset > MOST_OFFSET) syntax_error(g->c, "a loop is too large", g->lambda->name);
  emit(g, LOOP, live, 0, 0, -(int)offset & 0xffff);
}

/* ---- Dead slots ----
   Trees are emitted in the order in which they run, loops apart. So a variable is dead where all its references are behind: `pending` counts
   those that are not. Too large a count keeps a value too long; too small a one would lose it. */

void count_references(const Node* n, const Lambda* owner, int by, Counted which) {
  if ((n->type == LOCAL || n->type == SET_LOCAL) && n->variable->owner == owner && (which == ALL_VARIABLES || n->variable->in_scope)) n->variable->pending += by;
  if (n->type == LAMBDA) count_references(n->lambda->body, owner, by, which);
  for (int i = 0; i < n->count; ++i) count_references(n->child[i], owner, by, which);
}

void used(Generator* g, const Node* n) {
  if (n->type == LOCAL && n->variable->owner == g->lambda) --n->variable->pending;
}

void enter_scope(Generator* g, Variable** variables, int count) {
  for (int i = 0; i < count; ++i) {
    if (g->scope_count == MOST_SLOTS) syntax_error(g->c, "a procedure has too many variables", g->lambda->name);
    variables[i]->in_scope = true;
    g->scope[g->scope_count++] = variables[i];
  }
}
void leave_scope(Generator* g, int count) {
  while (g->scope_count > count) g->scope[--g->scope_count]->in_scope = false;
}

void note_dead_slots(Generator* g) {
  for (int i = 0; i < g->scope_count; ++i) {
    if (g->scope[i]->pending != 0) continue;
    if (g->dead_count == g->dead_room) {
      const size_t room = g->dead_room * 2 + 16;
      g->dead = grown(g->c, g->dead, g->dead_count * sizeof *g->dead, room * sizeof *g->dead);
      g->dead_room = room;
    }
    g->dead[g->dead_count++] = (DeadSlot){(uint32_t)g->count, (uint32_t)g->scope[i]->slot};
  }
}

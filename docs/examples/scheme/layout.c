/* The end of a procedure's generation: from instructions in the order of the tree to those that run. Jumps go where they end up, what hardly
   ever runs lies behind the rest, what nobody reaches is left out. Each jump that is taken costs the machine more than most instructions (JUMP in
   steps.h). */
#include <string.h>

#include "generator.h"

enum { MOST_TO_MOVE = MOST_OFFSET / (2 + CALL_WORDS) }; /* instructions of a procedure whose parts may lie far from each other */

static bool is_jump(const Instruction* i) { return i->op >= JUMP && i->op <= IF_NOT_SAME_SMALL; }
static bool goes_on(const Instruction* i) { /* with the next one, at least sometimes */
  switch (i->op) {
    case TAIL_CALL: case TAIL_CALL_GLOBAL: case RETURN: case RETURN_CONST: case RETURN_CONS: case JUMP: case CONST_JUMP: case LOOP: case LOOP_MOVE: case LOOP_CDR: return false;
    default: return true;
  }
}
static size_t target_of(const Generator* g, size_t i) { return i + (size_t)(ptrdiff_t)(int16_t)g->code[i].c; }
static size_t end_of(const Generator* g, size_t i) { /* of the jumps from there on */
  while (g->code[i].op == JUMP) i = target_of(g, i);
  return i;
}
static bool is_near(ptrdiff_t offset) { return offset <= MOST_OFFSET && offset >= -MOST_OFFSET; }
static void aim(Generator* g, size_t i, size_t target) {
  const ptrdiff_t offset = (ptrdiff_t)(target - i);
  if (is_near(offset)) g->code[i].c = (uint16_t)offset;
}

/* ---- Where jumps end up ---- */

/* A constant that goes to where it is tested goes on to where the test leads. */
static void follow_constant(Generator* g, size_t i) {
  Instruction* at = &g->code[i];
  size_t to = end_of(g, at->op == CONST ? i + 1 : target_of(g, i));
  const Instruction* test = &g->code[to];
  if ((test->op == IF_TRUE || test->op == IF_FALSE) && test->a == at->a)
    to = (g->constants[at->b] != FALSE) == (test->op == IF_TRUE) ? target_of(g, to) : to + 1;
  else if (at->op == CONST)
    return;
  if (!is_near((ptrdiff_t)(to - i))) return;
  at->op = CONST_JUMP;
  aim(g, i, to);
}

/* What makes a value that is returned next returns it. */
static void return_at_once(Generator* g, size_t i) {
  Instruction* at = &g->code[i];
  if (at->op != MOVE && at->op != CONST && at->op != CONST_JUMP && at->op != CONS) return;
  const Instruction* next = &g->code[at->op == CONST_JUMP ? target_of(g, i) : i + 1];
  if (next->op != RETURN || next->a != at->a) return;
  if (at->op == MOVE) at->a = at->b;
  at->op = at->op == MOVE ? RETURN : at->op == CONS ? RETURN_CONS : RETURN_CONST;
}

/* A jump to what does not go on becomes that. */
static void end_at_once(Generator* g, size_t i) {
  const size_t to = target_of(g, i), further = target_of(g, to);
  const Instruction* there = &g->code[to];
  if (goes_on(there) || (is_jump(there) && !is_near((ptrdiff_t)(further - i)))) return;
  g->code[i] = *there;
  if (is_jump(there)) aim(g, i, further);
}

/* From the end: jumps to what comes later, and these are nearly all, lead to what is final. */
static void follow_jumps(Generator* g) {
  for (size_t i = g->count; i-- > 0;) {
    const Instruction* at = &g->code[i];
    if (at->op == CONST || at->op == CONST_JUMP) follow_constant(g, i);
    if (is_jump(at)) aim(g, i, end_of(g, target_of(g, i)));
    if (at->op == JUMP) end_at_once(g, i);
    return_at_once(g, i);
  }
}

/* ---- In which order ---- */

static void find_reached(const Generator* g, bool* reached, size_t* left) {
  size_t n = 0;
  left[n++] = 0;
  while (n > 0) {
    size_t i = left[--n];
    for (; !reached[i]; ++i) {
      reached[i] = true;
      if (is_jump(&g->code[i])) left[n++] = target_of(g, i);
      if (!goes_on(&g->code[i])) break;
    }
  }
}

/* The instructions that are reached, those in a cold part last; returns how many. */
static size_t put_in_order(Generator* g, size_t* order) {
  bool* const reached = arena(g->c, g->count * sizeof *reached);
  bool* const cold = arena(g->c, g->count * sizeof *cold);
  size_t n = 0;
  find_reached(g, reached, order);
  if (g->count < MOST_TO_MOVE)
    for (const Part* p = g->cold; p != NULL; p = p->next)
      for (size_t i = p->from; i < p->to; ++i) cold[i] = true;
  for (int late = 0; late < 2; ++late)
    for (size_t i = 0; i < g->count; ++i)
      if (reached[i] && cold[i] == late) order[n++] = i;
  return n;
}

/* The words behind a call, whose operand b then is where the callee's frame begins. */
static size_t place_words(const Generator* g, Instruction* call) {
  Value word[CALL_WORDS] = {0, 0};
  if (call->op != OP_CALL && call->op != TAIL_CALL) word[CALL_SYMBOL] = g->constants[call->b];
  if (call->op == FIELD || call->op == PRIMITIVE_CALL || call->op == MAKE_RECORD) word[CALL_PROCEDURE] = g->constants[call->b + 1]; /* the others: see LAST_ENTRY */
  const int arguments = call->op == CALL_MOVE || call->op == CALL_CAR || call->op == CALL_CDR ? 1 : call->c;
  call->b = (uint16_t)(call->live - arguments);
  memcpy(call + 1, word, sizeof word);
  return CALL_WORDS;
}

static void place_instructions(Generator* g) {
  size_t* const order = arena(g->c, (g->count + 1) * sizeof *order); /* find_reached(): a jump adds one, the first instruction, too */
  size_t* const place = arena(g->c, g->count * sizeof *place);
  const size_t n = put_in_order(g, order);
  Instruction* code = arena(g->c, (2 + CALL_WORDS) * n * sizeof *code);
  size_t* const target = arena(g->c, (2 + CALL_WORDS) * n * sizeof *target);
  size_t count = 0, dead = 0;
  for (size_t k = 0; k < n; ++k) {
    const size_t i = order[k], next = k + 1 < n ? order[k + 1] : g->count;
    place[i] = count;
    if (g->code[i].op == JUMP && target_of(g, i) == next) continue;
    target[count] = target_of(g, i);
    code[count++] = g->code[i];
    if (words_behind(g->code[i].op) != 0) count += place_words(g, &code[count - 1]);
    if (!goes_on(&g->code[i]) || i + 1 == next) continue;
    target[count] = i + 1;
    code[count++] = (Instruction){JUMP, g->code[i].live, 0, 0, 0};
  }
  for (size_t i = 0; i < count; i += 1 + words_behind(code[i].op)) {
    if (!is_jump(&code[i])) continue;
    const ptrdiff_t offset = (ptrdiff_t)(place[target[i]] - i);
    if (!is_near(offset)) syntax_error(g->c, "a procedure is too large", g->lambda->name);
    code[i].c = (uint16_t)offset;
  }
  for (size_t i = 0; i < g->dead_count; ++i) {
    const size_t call = g->dead[i].at - 1;
    if (place[call] == 0) continue; /* not reached: the first instruction is no call */
    g->dead[dead] = g->dead[i];
    g->dead[dead++].at = (uint32_t)place[call] + 1;
  }
  g->dead_count = dead;
  g->code = code;
  g->count = count;
}

/* Constants lie behind the last instruction: from numbers to distances. */
static void place_constants(Generator* g) {
  for (size_t i = 0; i < g->count; i += 1 + words_behind(g->code[i].op)) {
    const size_t distance = g->count - i - 1;
    Instruction* at = &g->code[i];
    if (distance + g->constant_count > UINT16_MAX) syntax_error(g->c, "a procedure is too large", g->lambda->name);
    switch (at->op) {
      case CONST: case CONST_JUMP: case RETURN_CONST: case CLOSURE: case GLOBAL_REF: case IF_EQ_CONST: case IF_NOT_EQ_CONST:
      case IF_STILL: case IF_NOT_STILL:
        at->b = (uint16_t)(at->b + distance);
        break;
      case GLOBAL_SET: case GLOBAL_DEF: case GLOBAL_ADD:
        at->a = (uint16_t)(at->a + distance);
        break;
      default: break;
    }
  }
}

Code* finish(Generator* g) {
  follow_jumps(g);
  place_instructions(g);
  place_constants(g);
  const Lambda* l = g->lambda;
  const CodeParts parts = {g->code, g->count, g->constants, g->constant_count, g->dead, g->dead_count};
  return make_code(g->c->m, &parts, is_identifier(l->name) ? symbol_of(l->name) : FALSE, l->substitute);
}

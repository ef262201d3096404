/* Two passes. The second one of all finds named lets that only ever call themselves in tail position: loops, which become jumps in the frame of
   the procedure around them. The fourth finds out which variables each procedure captures. */
#include <stdlib.h>

#include "compiler.h"

/* Calls of `v` with `count` arguments in tail position of `n`, in the same frame. */
static int tail_calls(const Node* n, const Variable* v, int count) {
  switch (n->type) {
    case CALL: return n->child[0]->type == LOCAL && n->child[0]->variable == v && n->count - 1 == count;
    case IF: return tail_calls(n->child[1], v, count) + tail_calls(n->child[2], v, count);
    case LETREC:
      if (n->is_loop) return tail_calls(n->child[0]->lambda->body, v, count);
      return tail_calls(n->child[n->count - 1], v, count);
    case SEQUENCE:
    case LET: return tail_calls(n->child[n->count - 1], v, count);
    default: return 0;
  }
}

static bool is_loop(const Node* n) {
  if (n->type != LETREC || n->count != 2 || n->child[0]->type != LAMBDA) return false;
  const Variable* v = n->variables[0];
  const Lambda* l = n->child[0]->lambda;
  const Node* start = n->child[1];
  if (v->mutated || l->rest || start->type != CALL || start->child[0]->type != LOCAL || start->child[0]->variable != v) return false;
  return start->count - 1 == l->count && v->references == 1 + tail_calls(l->body, v, l->count);
}

/* Innermost first: a jump out of an inner loop is one in tail position too. */
static void find_loops_in(Node* n) {
  if (n->type == LAMBDA) find_loops_in(n->lambda->body);
  for (int i = 0; i < n->count; ++i) find_loops_in(n->child[i]);
  if (!is_loop(n)) return;
  n->is_loop = n->variables[0]->is_loop = true;
  n->variables[0]->loop = n->child[0]->lambda;
}

static void note_use(Compiler* c, Variable* v, Lambda* user) {
  for (Lambda* l = user; l != v->owner; l = l->outer) {
    v->captured = true;
    int i = 0;
    while (i < l->free_count && l->free[i] != v) ++i;
    if (i < l->free_count) continue;
    if (l->free_count == l->free_room) {
      Variable** larger = arena(c, sizeof *larger * (size_t)(l->free_room = l->free_room * 2 + 8));
      for (int k = 0; k < l->free_count; ++k) larger[k] = l->free[k];
      l->free = larger;
    }
    l->free[l->free_count++] = v;
  }
}

static void own(Variable** variables, int count, Lambda* owner) {
  for (int i = 0; i < count; ++i) variables[i]->owner = owner;
}

static void find_captures_in(Compiler* c, Node* n, Lambda* in) {
  switch (n->type) {
    case LOCAL:
    case SET_LOCAL:
      if (!n->variable->is_loop) note_use(c, n->variable, in);
      break;
    case LAMBDA:
      n->lambda->outer = in;
      own(n->lambda->parameters, n->lambda->count, n->lambda);
      find_captures_in(c, n->lambda->body, n->lambda);
      break;
    case LET:
    case LETREC: own(n->variables, n->count - 1, in); break;
    default: break;
  }
  if (n->is_loop) {
    own(n->child[0]->lambda->parameters, n->child[0]->lambda->count, in);
    find_captures_in(c, n->child[0]->lambda->body, in);
    find_captures_in(c, n->child[1], in);
    return;
  }
  /* What a letrec computes, procedures apart, may be captured before it is there. */
  if (n->type == LETREC)
    for (int i = 0; i < n->count - 1; ++i)
      if (n->child[i]->type != LAMBDA) n->variables[i]->late = true;
  for (int i = 0; i < n->count; ++i) find_captures_in(c, n->child[i], in);
}

void find_loops(Lambda* program) { find_loops_in(program->body); }
void find_captures(Compiler* c, Lambda* program) { find_captures_in(c, program->body, program); }

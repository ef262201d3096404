/* The pass after loops are found: a call of a small procedure of the top level becomes its body, under a test that the global still has that value:

     (small x (f y))  ->  (let ((a (f y))) (if [small is what it was] body-of-small (small x a)))

   Code keeps the tree of such a procedure as vectors #(type datum child ...), as it was parsed: macros that change later and assignments to
   what it was read from do not matter. The datum is a constant, the symbol of a global, the number of a variable, or the first number of a
   LET's; parameters have the first ones. */
#include <string.h>

#include "compiler.h"
#include "instructions.h"
#include "trees.h"

enum {
  MOST_NODES = 40,     /* of a body. More: longer code for calls that are rare */
  MOST_VARIABLES = 8,
  MOST_GROWTH = 1000,  /* nodes put in, a form of the top level */
  MOST_DEPTH = 3       /* of bodies in bodies */
};

/* ---- What is kept ---- */

typedef struct { Compiler* c; Value name; Variable* variables[MOST_VARIABLES]; int count, nodes; } Writer;

static bool add_variables(Writer* w, Variable** variables, int count) {
  if (w->count + count > MOST_VARIABLES) return false;
  for (int i = 0; i < count; ++i) w->variables[w->count++] = variables[i];
  return true;
}

/* FALSE: it has something in it that does not go into another frame as it is, or is too large, or calls itself. */
static Value written(Writer* w, const Node* n) {
  Value datum = n->value;
  int k = 0;
  if (++w->nodes > MOST_NODES) return FALSE;
  switch (n->type) {
    case CONSTANT: case IF: case CALL: case SEQUENCE: case SET_GLOBAL: break;
    case GLOBAL:
      if (n->value == w->name) return FALSE;
      break;
    case LOCAL:
      while (k < w->count && w->variables[k] != n->variable) ++k;
      if (k == w->count) return FALSE;
      datum = fixnum(k);
      break;
    case LET:
      datum = fixnum(w->count);
      if (!add_variables(w, n->variables, n->count - 1)) return FALSE;
      break;
    default: return FALSE;
  }
  const Value vector = make_vector(w->c->m, (size_t)n->count + 2, FALSE);
  store(&VECTOR(vector)->items[0], fixnum(n->type));
  store(&VECTOR(vector)->items[1], datum);
  for (int i = 0; i < n->count; ++i) {
    const Value child = written(w, n->child[i]);
    if (child == FALSE) return FALSE;
    store(&VECTOR(vector)->items[i + 2], child);
  }
  return vector;
}

static void keep_body(Compiler* c, const Node* definition) {
  Lambda* l = definition->child[0]->lambda;
  Writer w = {.c = c, .name = definition->value};
  if (l->rest || !add_variables(&w, l->parameters, l->count)) return;
  l->substitute = written(&w, l->body);
}

/* ---- Putting it in ---- */

static Node* read_back(Compiler* c, Value vector, Node** variables) {
  const Value* item = VECTOR(vector)->items;
  const NodeType type = (NodeType)integer_of(item[0]);
  if (type == LOCAL) {
    const Node* v = variables[integer_of(item[1])];
    return v->type == LOCAL ? local(c, v->variable) : constant(c, v->value);
  }
  const int count = (int)VECTOR(vector)->length - 2;
  Node* n = node(c, type, count);
  n->value = item[1];
  if (type == LET) {
    n->variables = arena(c, sizeof *n->variables * (size_t)count);
    for (int i = 0; i < count - 1; ++i) {
      n->variables[i] = variable(c, FALSE);
      Node* reference = variables[integer_of(item[1]) + i] = node(c, LOCAL, 0);
      reference->variable = n->variables[i];
    }
  }
  for (int i = 0; i < count; ++i) n->child[i] = read_back(c, item[i + 2], variables);
  return n;
}

/* A procedure that `call` calls if it runs now, and whose body could replace it; or FALSE. */
static Value substitute_of(Compiler* c, const Node* call) {
  if (call->type != CALL || call->child[0]->type != GLOBAL) return FALSE;
  const Value procedure = SYMBOL(call->child[0]->value)->value;
  if (!is_procedure(procedure)) return FALSE;
  const Code* code = PROC(procedure)->code;
  if (code->instructions[0].op != ENTER || code->instructions[0].a != call->count - 1 || !is_vector(code->substitute)) return FALSE;
  keep(c->m, procedure); /* another thread may redefine the symbol meanwhile */
  return procedure;
}

/* It can stand for the parameter wherever that is looked at. */
static bool stays(const Node* n, const Lambda* in) {
  return n->type == CONSTANT || (n->type == LOCAL && n->variable->owner == in && !n->variable->mutated);
}

/* In the place of `call`: returns the condition, whose parts are not looked through yet. */
static Node* put_in(Compiler* c, Node* call, Value procedure, const Lambda* in) {
  Node *variables[MOST_VARIABLES], *again = node(c, CALL, call->count), *still = node(c, IS_STILL, 0);
  Node* let = node(c, LET, call->count);
  const int count = call->count - 1;
  int bound = 0;
  let->variables = arena(c, sizeof *let->variables * (size_t)call->count);
  still->value = call->child[0]->value;
  still->known = procedure;
  again->child[0] = call->child[0];
  for (int i = 0; i < count; ++i) {
    Node* x = call->child[i + 1];
    if (!stays(x, in)) {
      let->child[bound] = x;
      x = node(c, LOCAL, 0);
      x->variable = let->variables[bound++] = variable(c, FALSE);
    }
    variables[i] = x;
    again->child[i + 1] = x->type == LOCAL ? local(c, x->variable) : x;
  }
  Node* result = condition(c, still, read_back(c, PROC(procedure)->code->substitute, variables), again);
  let->child[bound] = result;
  let->count = bound + 1;
  *call = bound == 0 ? *result : *let;
  return bound == 0 ? call : result;
}

static void own(Variable** variables, int count, Lambda* owner) {
  for (int i = 0; i < count; ++i) variables[i]->owner = owner;
}

static void substitute(Compiler* c, Node* n, Lambda* in, int depth) {
  if (n->type == DEFINE && n->child[0]->type == LAMBDA) keep_body(c, n);
  if (n->type == LET || n->type == LETREC) own(n->variables, n->count - 1, in);
  if (n->type == LAMBDA) {
    own(n->lambda->parameters, n->lambda->count, n->lambda);
    substitute(c, n->lambda->body, n->lambda, depth);
  }
  if (n->is_loop) {
    own(n->child[0]->lambda->parameters, n->child[0]->lambda->count, in);
    substitute(c, n->child[0]->lambda->body, in, depth);
    return substitute(c, n->child[1], in, depth);
  }
  for (int i = 0; i < n->count; ++i) substitute(c, n->child[i], in, depth);
  const Value procedure = depth < MOST_DEPTH && c->growth < MOST_GROWTH ? substitute_of(c, n) : FALSE;
  if (procedure == FALSE) return;
  Node* choice = put_in(c, n, procedure, in);
  if (n->type == LET) own(n->variables, n->count - 1, in);
  c->growth += MOST_NODES;
  substitute(c, choice->child[1], in, depth + 1);
}

void substitute_calls(Compiler* c, Lambda* program) { substitute(c, program->body, program, 0); }

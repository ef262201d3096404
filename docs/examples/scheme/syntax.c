/* The first pass: data to trees. Macros are expanded, names are resolved, derived forms are written in terms of a dozen. */
#include <stdlib.h>
#include <string.h>

#include "trees.h"

/* ---- Arena, errors ---- */

struct Chunk { struct Chunk* next; };
enum { CHUNK_BYTES = 64 * 1024 };

void* arena(Compiler* c, size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  if (bytes > c->room) {
    const size_t size = bytes + 16 > CHUNK_BYTES ? bytes + 16 : CHUNK_BYTES;
    struct Chunk* chunk = calloc(1, size);
    if (chunk == NULL) out_of_memory();
    chunk->next = c->arena;
    c->arena = chunk;
    c->room = size - 16;
    char* memory = (char*)chunk + 16;
    c->room -= bytes;
    /* The rest of the chunk follows the piece: remembered by its end. */
    return c->room == 0 ? memory : memory + c->room;
  }
  c->room -= bytes;
  return (char*)c->arena + 16 + c->room;
}

_Noreturn void syntax_error(Compiler* c, const char* message, Value where) {
  fail(c->m, message, where);
  longjmp(c->escape, 1);
}

/* ---- Names ---- */

Value symbol_of(Value identifier) {
  while (!is_symbol(identifier)) identifier = OBJECT(identifier)->slot[0];
  return identifier;
}

Denotation look_up(Value identifier, Scope* scope) {
  for (;;) {
    for (Scope* s = scope; s != NULL; s = s->next)
      if (s->identifier == identifier) {
        if (s->variable != NULL) return (Denotation){VARIABLE_SYNTAX, s->variable, 0, 0, identifier};
        return (Denotation){MACRO_SYNTAX, NULL, s->macro, 0, identifier};
      }
    if (is_symbol(identifier)) break;
    scope = (Scope*)OBJECT(identifier)->slot[1];
    identifier = OBJECT(identifier)->slot[0];
  }
  const Value syntax = SYMBOL(identifier)->syntax;
  if (is_fixnum(syntax)) return (Denotation){SPECIAL_SYNTAX, NULL, 0, (int)integer_of(syntax), identifier};
  if (is_object(syntax, OBJECT_MACRO)) return (Denotation){MACRO_SYNTAX, NULL, syntax, 0, identifier};
  return (Denotation){NO_SYNTAX, NULL, 0, 0, identifier};
}

Value strip(Compiler* c, Value datum) {
  if (is_object(datum, OBJECT_ALIAS)) return symbol_of(datum);
  if (is_pair(datum)) {
    Value a = strip(c, car(datum)), d = strip(c, cdr(datum));
    return a == car(datum) && d == cdr(datum) ? datum : cons(c->m, a, d);
  }
  if (is_vector(datum))
    for (size_t i = 0; i < VECTOR(datum)->length; ++i) store(&VECTOR(datum)->items[i], strip(c, VECTOR(datum)->items[i]));
  return datum;
}

/* ---- Trees ---- */

Node* node(Compiler* c, NodeType type, int count) {
  Node* n = arena(c, sizeof *n);
  n->type = type;
  n->count = count;
  n->child = arena(c, sizeof(Node*) * (size_t)(count + 1));
  return n;
}
Node* constant(Compiler* c, Value v) {
  Node* n = node(c, CONSTANT, 0);
  n->value = v;
  return n;
}
Node* local(Compiler* c, Variable* v) {
  Node* n = node(c, LOCAL, 0);
  n->variable = v;
  ++v->references;
  return n;
}
Node* global(Compiler* c, Value symbol) {
  Node* n = node(c, GLOBAL, 0);
  n->value = symbol;
  return n;
}
Node* condition(Compiler* c, Node* test, Node* yes, Node* no) {
  Node* n = node(c, IF, 3);
  n->child[0] = test;
  n->child[1] = yes;
  n->child[2] = no;
  return n;
}
Variable* variable(Compiler* c, Value name) {
  Variable* v = arena(c, sizeof *v);
  v->name = name;
  return v;
}
Scope* extend(Compiler* c, Scope* scope, Value identifier, Variable* v, Value macro) {
  Scope* s = arena(c, sizeof *s);
  *s = (Scope){identifier, v, macro, scope};
  return s;
}

int length_of(Compiler* c, Value list) {
  int n = 0;
  Value l = list;
  for (; is_pair(l); l = cdr(l)) ++n;
  if (l != NIL) syntax_error(c, "a list is wanted", list);
  return n;
}
Value list_item(Compiler* c, Value list, int i) {
  Value l = list;
  for (; i > 0 && is_pair(l); --i) l = cdr(l);
  if (!is_pair(l)) syntax_error(c, "too short", list);
  return car(l);
}
Value list2(Compiler* c, Value a, Value b) { return cons(c->m, a, cons(c->m, b, NIL)); }
Value sym(Compiler* c, const char* name) { return intern(c->m, name); }
bool is_named(Value v, const char* name) { return is_identifier(v) && strcmp(STRING(SYMBOL(symbol_of(v))->name)->bytes, name) == 0; }

Node* parse_sequence(Compiler* c, Value forms, Scope* s) {
  const int count = length_of(c, forms);
  if (count == 0) return constant(c, UNSPECIFIED);
  if (count == 1) return parse(c, car(forms), s);
  Node* n = node(c, SEQUENCE, count);
  for (int i = 0; i < count; ++i, forms = cdr(forms)) n->child[i] = parse(c, car(forms), s);
  return n;
}

/* ---- Bodies: definitions first, then expressions ---- */

enum {
  QUOTE, QUASIQUOTE, LAMBDA_FORM, DEFINE_FORM, SET, IF_FORM, LET_FORM, LET_STAR, LETREC_FORM, BEGIN, COND, CASE, AND, OR, WHEN, UNLESS, DO, DELAY,
  DEFINE_SYNTAX, LET_SYNTAX, DEFINE_RECORD, NAMED_LAMBDA
};
static const struct { const char* name; int form; } special_forms[] = {
    {"quote", QUOTE}, {"quasiquote", QUASIQUOTE}, {"lambda", LAMBDA_FORM}, {"define", DEFINE_FORM}, {"set!", SET}, {"if", IF_FORM},
    {"let", LET_FORM}, {"let*", LET_STAR}, {"letrec", LETREC_FORM}, {"letrec*", LETREC_FORM}, {"begin", BEGIN}, {"cond", COND},
    {"case", CASE}, {"and", AND}, {"or", OR}, {"when", WHEN}, {"unless", UNLESS}, {"do", DO}, {"delay", DELAY}, {"make-promise-of", DELAY},
    {"define-syntax", DEFINE_SYNTAX}, {"let-syntax", LET_SYNTAX}, {"letrec-syntax", LET_SYNTAX}, {"define-record-type", DEFINE_RECORD},
    {"named-lambda", NAMED_LAMBDA}};

void define_special_forms(Machine* m) {
  for (size_t i = 0; i < sizeof special_forms / sizeof *special_forms; ++i)
    SYMBOL(intern(m, special_forms[i].name))->syntax = fixnum(special_forms[i].form);
}

/* Expands macros at the head of a form until there is none. */
static Value expand_head(Compiler* c, Value form, Scope* s, Denotation* head) {
  for (;;) {
    *head = (Denotation){NO_SYNTAX, NULL, 0, 0, 0};
    if (!is_pair(form) || !is_identifier(car(form))) return form;
    *head = look_up(car(form), s);
    if (head->meaning != MACRO_SYNTAX) return form;
    form = expand(c, head->macro, form, s);
  }
}

/* (define (f . parameters) body ...), curried too, as (define f (named-lambda (f . parameters) body ...)) */
static void definition(Compiler* c, Value form, Value* name, Value* init) {
  Value target = list_item(c, form, 1);
  if (is_identifier(target)) {
    *name = target;
    *init = cdr(cdr(form)) == NIL ? list2(c, sym(c, "quote"), UNSPECIFIED) : list_item(c, form, 2);
    return;
  }
  Value body = cdr(cdr(form));
  while (is_pair(target) && is_pair(car(target))) { /* curried */
    body = cons(c->m, cons(c->m, sym(c, "lambda"), cons(c->m, cdr(target), body)), NIL);
    target = car(target);
  }
  if (!is_pair(target) || !is_identifier(car(target))) syntax_error(c, "what does it define?", form);
  *name = car(target);
  *init = cons(c->m, sym(c, "named-lambda"), cons(c->m, target, body));
}

typedef struct Pending { Variable* variable; Value form; struct Pending* next; } Pending; /* a definition, or an expression between two */

static Node* parse_letrec(Compiler* c, Variable** variables, Node** inits, int count, Node* body) {
  Node* n = node(c, LETREC, count + 1);
  n->variables = variables;
  for (int i = 0; i < count; ++i) n->child[i] = inits[i];
  n->child[count] = body;
  return n;
}

static Node* parse_body(Compiler* c, Value forms, Scope* s) {
  Pending *first = NULL, **last = &first;
  int count = 0;
  for (;;) {
    if (!is_pair(forms)) syntax_error(c, "a body has no expression", forms);
    Denotation head;
    Value form = expand_head(c, car(forms), s, &head);
    forms = cdr(forms);
    const int special = head.meaning == SPECIAL_SYNTAX ? head.special : -1;
    if (special == DEFINE_RECORD) form = record_definitions(c, form);
    if (special == BEGIN || special == DEFINE_RECORD) {
      Value rest = forms;
      forms = cdr(form);
      if (forms == NIL) { forms = rest; continue; }
      Value copy = NIL;
      for (Value l = forms; is_pair(l); l = cdr(l)) copy = cons(c->m, car(l), copy);
      for (forms = rest; is_pair(copy); copy = cdr(copy)) forms = cons(c->m, car(copy), forms);
      continue;
    }
    if (special == DEFINE_SYNTAX) {
      Scope* inner = extend(c, s, list_item(c, form, 1), NULL, 0);
      inner->macro = make_macro(c, list_item(c, form, 2), inner);
      s = inner;
      continue;
    }
    if (special != DEFINE_FORM) {
      forms = cons(c->m, form, forms);
      break;
    }
    Pending* p = arena(c, sizeof *p);
    Value name;
    definition(c, form, &name, &p->form);
    p->variable = variable(c, name);
    s = extend(c, s, name, p->variable, 0);
    *last = p;
    last = &p->next;
    ++count;
  }
  if (count == 0) return parse_sequence(c, forms, s);
  Variable** variables = arena(c, sizeof *variables * (size_t)count);
  Node** inits = arena(c, sizeof *inits * (size_t)count);
  int i = 0;
  for (Pending* p = first; p != NULL; p = p->next, ++i) {
    variables[i] = p->variable;
    inits[i] = parse(c, p->form, s);
  }
  return parse_letrec(c, variables, inits, count, parse_sequence(c, forms, s));
}

static Lambda* parse_lambda(Compiler* c, Value parameters, Value body, Scope* s, Value name) {
  Lambda* l = arena(c, sizeof *l);
  int count = 0;
  Value p = parameters;
  for (; is_pair(p); p = cdr(p)) ++count;
  l->rest = p != NIL;
  l->count = count + l->rest;
  l->name = name;
  l->parameters = arena(c, sizeof *l->parameters * (size_t)(l->count + 1));
  p = parameters;
  for (int i = 0; i < l->count; ++i, p = is_pair(p) ? cdr(p) : p) {
    Value id = is_pair(p) ? car(p) : p;
    if (!is_identifier(id)) syntax_error(c, "a parameter is no name", parameters);
    l->parameters[i] = variable(c, id);
    s = extend(c, s, id, l->parameters[i], 0);
  }
  l->body = parse_body(c, body, s);
  return l;
}
static Node* lambda_node(Compiler* c, Lambda* l) {
  Node* n = node(c, LAMBDA, 0);
  n->lambda = l;
  return n;
}

/* ---- Special forms ---- */

static Node* parse_let(Compiler* c, Value bindings, Value body, Scope* s) {
  const int count = length_of(c, bindings);
  if (count == 0) return parse_body(c, body, s);
  Node* n = node(c, LET, count + 1);
  n->variables = arena(c, sizeof *n->variables * (size_t)count);
  Scope* inner = s;
  for (int i = 0; i < count; ++i, bindings = cdr(bindings)) {
    Value id = is_pair(car(bindings)) ? car(car(bindings)) : car(bindings);
    n->child[i] = is_pair(car(bindings)) && is_pair(cdr(car(bindings))) ? parse(c, list_item(c, car(bindings), 1), s) : constant(c, UNSPECIFIED);
    n->variables[i] = variable(c, id);
    inner = extend(c, inner, id, n->variables[i], 0);
  }
  n->child[count] = parse_body(c, body, inner);
  return n;
}

Node* parse_named_let(Compiler* c, Value name, Value bindings, Value body, Scope* s) {
  const int count = length_of(c, bindings);
  Variable** v = arena(c, sizeof *v);
  *v = variable(c, name);
  Value parameters = NIL, inits = NIL;
  for (Value b = bindings; is_pair(b); b = cdr(b)) inits = cons(c->m, b, inits); /* in reverse */
  for (; is_pair(inits); inits = cdr(inits)) parameters = cons(c->m, car(car(car(inits))), parameters);
  Node** init = arena(c, sizeof *init);
  *init = lambda_node(c, parse_lambda(c, parameters, body, extend(c, s, name, *v, 0), name));
  Node* call = node(c, CALL, count + 1);
  call->child[0] = local(c, *v);
  for (int i = 1; i <= count; ++i, bindings = cdr(bindings)) call->child[i] = parse(c, list_item(c, car(bindings), 1), s);
  return parse_letrec(c, v, init, 1, call);
}

static Node* parse_letrec_form(Compiler* c, Value bindings, Value body, Scope* s) {
  const int count = length_of(c, bindings);
  Variable** variables = arena(c, sizeof *variables * (size_t)(count + 1));
  Node** inits = arena(c, sizeof *inits * (size_t)(count + 1));
  Value b = bindings;
  for (int i = 0; i < count; ++i, b = cdr(b)) {
    variables[i] = variable(c, list_item(c, car(b), 0));
    s = extend(c, s, variables[i]->name, variables[i], 0);
  }
  for (int i = 0; i < count; ++i, bindings = cdr(bindings)) inits[i] = parse(c, list_item(c, car(bindings), 1), s);
  return parse_letrec(c, variables, inits, count, parse_body(c, body, s));
}

static Node* parse_set(Compiler* c, Value form, Scope* s) {
  const Denotation d = look_up(list_item(c, form, 1), s);
  Node* n = node(c, d.variable != NULL ? SET_LOCAL : SET_GLOBAL, 1);
  n->value = d.symbol;
  n->variable = d.variable;
  if (d.variable != NULL) d.variable->mutated = true;
  else SYMBOL(d.symbol)->syntax = FALSE;
  n->child[0] = parse(c, list_item(c, form, 2), s);
  return n;
}

/* At the top level: inside of bodies parse_body has taken definitions out. */
static Node* parse_define(Compiler* c, Value form, Scope* s) {
  Value name, init;
  definition(c, form, &name, &init);
  Node* n = node(c, DEFINE, 1);
  n->value = symbol_of(name);
  SYMBOL(n->value)->syntax = FALSE;
  n->child[0] = parse(c, init, s);
  if (n->child[0]->type == LAMBDA) n->child[0]->lambda->name = n->value;
  return n;
}

static Node* parse_special(Compiler* c, int special, Value form, Scope* s) {
  switch (special) {
    case QUOTE: return constant(c, strip(c, list_item(c, form, 1)));
    case QUASIQUOTE: return parse(c, quasi(c, list_item(c, form, 1), 1), s);
    case LAMBDA_FORM: return lambda_node(c, parse_lambda(c, list_item(c, form, 1), cdr(cdr(form)), s, FALSE));
    case NAMED_LAMBDA: {
      Value target = list_item(c, form, 1);
      return lambda_node(c, parse_lambda(c, cdr(target), cdr(cdr(form)), s, symbol_of(car(target))));
    }
    case DEFINE_FORM: return parse_define(c, form, s);
    case SET: return parse_set(c, form, s);
    case IF_FORM: {
      Node* test = parse(c, list_item(c, form, 1), s);
      Node* yes = parse(c, list_item(c, form, 2), s);
      return condition(c, test, yes, is_pair(cdr(cdr(cdr(form)))) ? parse(c, list_item(c, form, 3), s) : constant(c, UNSPECIFIED));
    }
    case LET_FORM:
      if (is_identifier(list_item(c, form, 1))) return parse_named_let(c, list_item(c, form, 1), list_item(c, form, 2), cdr(cdr(cdr(form))), s);
      return parse_let(c, list_item(c, form, 1), cdr(cdr(form)), s);
    case LET_STAR: {
      Value bindings = list_item(c, form, 1), body = cdr(cdr(form));
      if (bindings == NIL || cdr(bindings) == NIL) return parse_let(c, bindings, body, s);
      Value rest = cons(c->m, cons(c->m, car(form), cons(c->m, cdr(bindings), body)), NIL);
      return parse_let(c, cons(c->m, car(bindings), NIL), rest, s);
    }
    case LETREC_FORM: return parse_letrec_form(c, list_item(c, form, 1), cdr(cdr(form)), s);
    case BEGIN: return parse_sequence(c, cdr(form), s);
    case COND: return parse_cond(c, cdr(form), s);
    case CASE: return parse_case(c, form, s);
    case AND: return parse_and(c, cdr(form), s);
    case OR: return parse_or(c, cdr(form), s);
    case WHEN:
    case UNLESS: {
      Node *test = parse(c, list_item(c, form, 1), s), *then = parse_sequence(c, cdr(cdr(form)), s), *no = constant(c, UNSPECIFIED);
      return special == WHEN ? condition(c, test, then, no) : condition(c, test, no, then);
    }
    case DO: return parse_do(c, form, s);
    case DELAY: {
      Value thunk = cons(c->m, sym(c, "lambda"), cons(c->m, NIL, cdr(form)));
      return parse(c, list2(c, sym(c, "%make-promise"), thunk), s);
    }
    case DEFINE_SYNTAX: {
      Value name = symbol_of(list_item(c, form, 1));
      store(&SYMBOL(name)->syntax, make_macro(c, list_item(c, form, 2), s));
      return constant(c, UNSPECIFIED);
    }
    case LET_SYNTAX: {
      Scope* inner = s;
      for (Value b = list_item(c, form, 1); is_pair(b); b = cdr(b)) inner = extend(c, inner, car(car(b)), NULL, FALSE);
      Scope* at = inner;
      int count = length_of(c, list_item(c, form, 1));
      for (int i = count; i > 0; --i, at = at->next) at->macro = make_macro(c, list_item(c, list_item(c, list_item(c, form, 1), i - 1), 1), inner);
      return parse_body(c, cdr(cdr(form)), inner);
    }
    case DEFINE_RECORD: return parse(c, record_definitions(c, form), s);
    default: syntax_error(c, "a special form in the wrong place", form);
  }
}

static Node* parse_call(Compiler* c, Value form, Scope* s) {
  const int count = length_of(c, form);
  if (is_pair(car(form)) && is_identifier(car(car(form)))) { /* ((lambda (x) ...) y) is a let */
    const Denotation d = look_up(car(car(form)), s);
    Value parameters = d.meaning == SPECIAL_SYNTAX && d.special == LAMBDA_FORM ? list_item(c, car(form), 1) : FALSE;
    int names = 0;
    for (; is_pair(parameters); parameters = cdr(parameters)) ++names;
    if (parameters == NIL && names == count - 1 && d.meaning == SPECIAL_SYNTAX && d.special == LAMBDA_FORM) {
      Value bindings = NIL, reversed = NIL, value = cdr(form);
      for (Value p = list_item(c, car(form), 1); is_pair(p); p = cdr(p), value = cdr(value)) reversed = cons(c->m, list2(c, car(p), car(value)), reversed);
      for (; is_pair(reversed); reversed = cdr(reversed)) bindings = cons(c->m, car(reversed), bindings);
      return parse_let(c, bindings, cdr(cdr(car(form))), s);
    }
  }
  Node* n = node(c, CALL, count);
  for (int i = 0; i < count; ++i, form = cdr(form)) n->child[i] = parse(c, car(form), s);
  return n;
}

Node* parse(Compiler* c, Value x, Scope* s) {
  if (is_identifier(x)) {
    const Denotation d = look_up(x, s);
    if (d.meaning == VARIABLE_SYNTAX) return local(c, d.variable);
    if (d.meaning != NO_SYNTAX) syntax_error(c, "syntax is no value", x);
    return global(c, d.symbol);
  }
  if (!is_pair(x)) {
    if (x == NIL) syntax_error(c, "an empty call", x);
    return constant(c, x);
  }
  Denotation head;
  x = expand_head(c, x, s, &head);
  if (!is_pair(x)) return parse(c, x, s);
  return head.meaning == SPECIAL_SYNTAX ? parse_special(c, head.special, x, s) : parse_call(c, x, s);
}

Node* parse_program(Compiler* c, Value datum) { return parse(c, datum, NULL); }

Code* compile(Machine* m, Value datum) {
  Compiler* c = calloc(1, sizeof *c);
  if (c == NULL) out_of_memory();
  c->m = m;
  Code* code = NULL;
  if (setjmp(c->escape) == 0) {
    Lambda* program = arena(c, sizeof *program);
    program->name = FALSE;
    program->parameters = arena(c, sizeof *program->parameters);
    program->body = parse_program(c, datum);
    find_loops(program);
    substitute_calls(c, program);
    find_captures(c, program);
    code = generate(c, program);
  }
  for (struct Chunk* chunk = c->arena; chunk != NULL;) {
    struct Chunk* next = chunk->next;
    free(chunk);
    chunk = next;
  }
  free(c);
  return code;
}

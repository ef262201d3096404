/* Derived forms: cond, case, and, or, do, quasiquote, define-record-type, in terms of others. */
#include "trees.h"

/* (define-record-type name (constructor field ...) predicate (field accessor [modifier]) ...) as definitions by primitives */
Value record_definitions(Compiler* c, Value form) {
  Machine* m = c->m;
  Value name = list_item(c, form, 1), constructor = list_item(c, form, 2), predicate = list_item(c, form, 3), fields = cdr(cdr(cdr(cdr(form))));
  if (is_pair(name)) name = car(name);
  Value names = NIL, result = NIL;
  for (Value f = fields; is_pair(f); f = cdr(f)) names = cons(m, is_pair(car(f)) ? car(car(f)) : car(f), names);
  Value quote = sym(c, "quote"), define = sym(c, "define");
  int index = 0;
  for (Value f = fields; is_pair(f); f = cdr(f), ++index) {
    static const char* const makers[] = {"%record-accessor", "%record-modifier"};
    int which = 0;
    for (Value r = is_pair(car(f)) ? cdr(car(f)) : NIL; is_pair(r) && which < 2; r = cdr(r), ++which)
      result = cons(m, list2(c, define, car(r)), result), store(&PAIR(cdr(car(result)))->cdr, cons(m, cons(m, sym(c, makers[which]), list2(c, name, fixnum(index))), NIL));
  }
  if (is_identifier(predicate)) result = cons(m, cons(m, define, list2(c, predicate, list2(c, sym(c, "%record-predicate"), name))), result);
  if (is_pair(constructor)) {
    Value indices = NIL;
    for (Value p = cdr(constructor); is_pair(p); p = cdr(p)) {
      int at = 0;
      for (Value f = fields; is_pair(f) && (is_pair(car(f)) ? car(car(f)) : car(f)) != car(p); f = cdr(f)) ++at;
      indices = cons(m, fixnum(at), indices);
    }
    result = cons(m, cons(m, define, list2(c, car(constructor), cons(m, sym(c, "%record-constructor"), list2(c, name, list2(c, quote, indices))))), result);
  }
  Value type = cons(m, sym(c, "%record-type"), list2(c, list2(c, quote, name), fixnum(index)));
  return cons(m, sym(c, "begin"), cons(m, cons(m, define, list2(c, name, type)), result));
}

/* (let ((temporary value)) rest), with the temporary as a variable that no name leads to */
static Node* with_temporary(Compiler* c, Node* value, Variable** v) {
  Node* n = node(c, LET, 2);
  n->variables = arena(c, sizeof *n->variables);
  n->variables[0] = *v = variable(c, FALSE);
  n->child[0] = value;
  return n;
}

Node* parse_or(Compiler* c, Value forms, Scope* s) {
  if (forms == NIL) return constant(c, FALSE);
  if (cdr(forms) == NIL) return parse(c, car(forms), s);
  Variable* v;
  Node* n = with_temporary(c, parse(c, car(forms), s), &v);
  Node* test = local(c, v);
  n->child[1] = condition(c, test, local(c, v), parse_or(c, cdr(forms), s));
  return n;
}
Node* parse_and(Compiler* c, Value forms, Scope* s) {
  if (forms == NIL) return constant(c, TRUE);
  Node* first = parse(c, car(forms), s);
  return cdr(forms) == NIL ? first : condition(c, first, parse_and(c, cdr(forms), s), constant(c, FALSE));
}

static Node* apply_to(Compiler* c, Node* f, Node* x) {
  Node* n = node(c, CALL, 2);
  n->child[0] = f;
  n->child[1] = x;
  return n;
}

Node* parse_cond(Compiler* c, Value clauses, Scope* s) {
  if (clauses == NIL) return constant(c, UNSPECIFIED);
  Value clause = car(clauses);
  length_of(c, clause);
  if (is_named(car(clause), "else")) return parse_sequence(c, cdr(clause), s);
  Node* test = parse(c, car(clause), s);
  if (is_pair(cdr(clause)) && !is_named(car(cdr(clause)), "=>")) {
    Node* then = parse_sequence(c, cdr(clause), s);
    return condition(c, test, then, parse_cond(c, cdr(clauses), s));
  }
  Variable* v;
  Node* n = with_temporary(c, test, &v);
  Node *again = local(c, v), *then = local(c, v);
  if (cdr(clause) != NIL) then = apply_to(c, parse(c, list_item(c, clause, 2), s), then);
  n->child[1] = condition(c, again, then, parse_cond(c, cdr(clauses), s));
  return n;
}

static Node* parse_case_clauses(Compiler* c, Variable* key, Value clauses, Scope* s) {
  if (clauses == NIL) return constant(c, UNSPECIFIED);
  Value clause = car(clauses), data = list_item(c, clause, 0);
  Node* then;
  if (is_pair(cdr(clause)) && is_named(car(cdr(clause)), "=>")) then = apply_to(c, parse(c, list_item(c, clause, 2), s), local(c, key));
  else then = parse_sequence(c, cdr(clause), s);
  if (is_named(data, "else")) return then;
  Node* test = node(c, CALL, 3);
  const bool one = is_pair(data) && cdr(data) == NIL;
  test->child[0] = global(c, sym(c, one ? "eqv?" : "memv"));
  test->child[1] = local(c, key);
  test->child[2] = constant(c, strip(c, one ? car(data) : data));
  return condition(c, test, then, parse_case_clauses(c, key, cdr(clauses), s));
}

Node* parse_case(Compiler* c, Value form, Scope* s) {
  Variable* v;
  Node* n = with_temporary(c, parse(c, list_item(c, form, 1), s), &v);
  n->child[1] = parse_case_clauses(c, v, cdr(cdr(form)), s);
  return n;
}

/* (do ((v init step) ...) (test result ...) body ...) as a named let whose name nobody can say */
Node* parse_do(Compiler* c, Value form, Scope* s) {
  Machine* m = c->m;
  Value name = make_object(m, OBJECT_ALIAS, 2);
  store(&OBJECT(name)->slot[0], sym(c, "do-loop"));
  Value bindings = NIL, steps = NIL, reversed = NIL;
  for (Value v = list_item(c, form, 1); is_pair(v); v = cdr(v)) reversed = cons(m, car(v), reversed);
  for (; is_pair(reversed); reversed = cdr(reversed)) {
    Value v = car(reversed);
    bindings = cons(m, list2(c, list_item(c, v, 0), list_item(c, v, 1)), bindings);
    steps = cons(m, is_pair(cdr(cdr(v))) ? list_item(c, v, 2) : car(v), steps);
  }
  Value end = list_item(c, form, 2), again = cons(m, name, steps);
  Value results = cdr(end) == NIL ? list2(c, sym(c, "quote"), UNSPECIFIED) : cons(m, sym(c, "begin"), cdr(end));
  Value body = cons(m, sym(c, "begin"), NIL), last = body;
  for (Value b = cdr(cdr(cdr(form))); is_pair(b); b = cdr(b), last = cdr(last)) store(&PAIR(last)->cdr, cons(m, car(b), NIL));
  store(&PAIR(last)->cdr, cons(m, again, NIL));
  Value test = cons(m, sym(c, "if"), cons(m, car(end), list2(c, results, body)));
  return parse_named_let(c, name, bindings, cons(m, test, NIL), s);
}

Value quasi(Compiler* c, Value x, int depth) {
  Machine* m = c->m;
  if (is_vector(x)) {
    Value list = NIL;
    for (size_t i = VECTOR(x)->length; i > 0; --i) list = cons(m, VECTOR(x)->items[i - 1], list);
    return list2(c, sym(c, "list->vector"), quasi(c, list, depth));
  }
  if (!is_pair(x)) return list2(c, sym(c, "quote"), x);
  if (is_named(car(x), "unquote")) {
    if (depth == 1) return list_item(c, x, 1);
    return cons(m, sym(c, "list"), list2(c, list2(c, sym(c, "quote"), sym(c, "unquote")), quasi(c, list_item(c, x, 1), depth - 1)));
  }
  if (is_named(car(x), "quasiquote"))
    return cons(m, sym(c, "list"), list2(c, list2(c, sym(c, "quote"), sym(c, "quasiquote")), quasi(c, list_item(c, x, 1), depth + 1)));
  if (is_pair(car(x)) && is_named(car(car(x)), "unquote-splicing") && depth == 1)
    return cons(m, sym(c, "append"), list2(c, list_item(c, car(x), 1), quasi(c, cdr(x), depth)));
  Value first = quasi(c, car(x), depth);
  return cons(m, sym(c, "cons"), list2(c, first, quasi(c, cdr(x), depth)));
}

/* Making trees, for syntax.c and derived.c. */
#ifndef SCHEME_TREES_H
#define SCHEME_TREES_H

#include "compiler.h"

Node* node(Compiler* c, NodeType type, int count);
Node* constant(Compiler* c, Value v);
Node* local(Compiler* c, Variable* v);
Node* global(Compiler* c, Value symbol);
Node* condition(Compiler* c, Node* test, Node* yes, Node* no);
Variable* variable(Compiler* c, Value name);
Scope* extend(Compiler* c, Scope* scope, Value identifier, Variable* v, Value macro);
int length_of(Compiler* c, Value list);
Value list_item(Compiler* c, Value list, int i);
Value list2(Compiler* c, Value a, Value b);
Value sym(Compiler* c, const char* name);
bool is_named(Value v, const char* name);
Node* parse_sequence(Compiler* c, Value forms, Scope* s);
Node* parse_named_let(Compiler* c, Value name, Value bindings, Value body, Scope* s);
Node* parse(Compiler* c, Value x, Scope* s);

/* derived.c */
Node* parse_or(Compiler* c, Value forms, Scope* s);
Node* parse_and(Compiler* c, Value forms, Scope* s);
Node* parse_cond(Compiler* c, Value clauses, Scope* s);
Node* parse_case(Compiler* c, Value form, Scope* s);
Node* parse_do(Compiler* c, Value form, Scope* s);
Value quasi(Compiler* c, Value x, int depth); /* an expression that makes x */
Value record_definitions(Compiler* c, Value form);

#endif

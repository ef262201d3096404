/* Between the compiler's passes: syntax.c (data to trees, macros expanded; with rules.c, syntax-rules, and derived.c), loops.c (loops),
   substitute.c (calls of small procedures), loops.c (captured variables), generate.c (trees to instructions), layout.c (their order). Trees and
   scopes live in an arena of malloc memory until compile() returns; the data in them are kept (keep_from), so that no pass has to root anything. */
#ifndef SCHEME_COMPILER_H
#define SCHEME_COMPILER_H

#include <setjmp.h>

#include "scheme.h"

typedef struct Lambda Lambda;
typedef struct Node Node;

typedef struct Variable {
  Value name;
  Lambda* owner;       /* the procedure in whose frame it lives */
  bool mutated, captured, late, is_loop; /* late: a letrec computes it after procedures that may have captured it */
  int references;
  int slot;
  int pending;         /* references that the generator has not passed yet; see emit.c */
  bool in_scope;       /* its slot holds it */
  size_t label;        /* of a loop: its first instruction */
  Lambda* loop;        /* of a loop: its parameters */
} Variable;
/* All that is assigned: a frame may be left and entered again by a continuation, and must find the newest value then. */
static inline bool is_boxed(const Variable* v) { return v->mutated || (v->late && v->captured); }

struct Lambda {
  Variable** parameters;
  int count;           /* with the rest parameter */
  bool rest;
  Node* body;
  Value name;
  Value substitute;    /* for calls of it: substitute.c. A vector, or none */
  Lambda* outer;
  Variable* self;      /* its name, from a letrec, that nobody changes */
  int parameters_end;  /* of a loop: the first slot above its parameters */
  Variable** free;
  int free_count, free_room;
};

typedef enum { CONSTANT, LOCAL, GLOBAL, SET_LOCAL, SET_GLOBAL, DEFINE, IF, LAMBDA, SEQUENCE, CALL, LET, LETREC, IS_STILL } NodeType;
struct Node {
  NodeType type;
  Value value;          /* of CONSTANT; the symbol of GLOBAL, SET_GLOBAL, DEFINE, IS_STILL */
  Value known;          /* IS_STILL, only as a test: the symbol has this value */
  Variable* variable;   /* LOCAL, SET_LOCAL */
  Lambda* lambda;
  Variable** variables; /* LET, LETREC: one for each child but the last, which is the body */
  Node** child;         /* CALL: operator, operands. IF: test, then, else */
  int count;
  bool is_loop;         /* LETREC of a loop */
};

/* What an identifier (a symbol or an alias) means: the innermost scope that has it. */
typedef struct Scope {
  Value identifier;
  Variable* variable; /* or else: */
  Value macro;        /* a macro object, or the fixnum of a special form */
  struct Scope* next;
} Scope;

typedef struct Compiler {
  Machine* m;
  jmp_buf escape;
  struct Chunk* arena;
  size_t room;
  int growth;          /* of the trees by substitute_calls() */
} Compiler;

void* arena(Compiler* c, size_t bytes); /* zeroed */
_Noreturn void syntax_error(Compiler* c, const char* message, Value where);

/* Symbol::syntax: FALSE; TRUE: a primitive that nobody has redefined; a fixnum: a special form; a macro. */
typedef enum { NO_SYNTAX, VARIABLE_SYNTAX, MACRO_SYNTAX, SPECIAL_SYNTAX } Meaning;
typedef struct { Meaning meaning; Variable* variable; Value macro; int special; Value symbol; } Denotation;
Denotation look_up(Value identifier, Scope* scope);

Value symbol_of(Value identifier); /* without its aliases */
static inline bool is_identifier(Value v) { return is_symbol(v) || is_object(v, OBJECT_ALIAS); }
Value strip(Compiler* c, Value datum);

Value make_macro(Compiler* c, Value rules, Scope* scope);
Value expand(Compiler* c, Value macro, Value form, Scope* scope);

void define_special_forms(Machine* m);
Node* parse_program(Compiler* c, Value datum); /* the body of a procedure without parameters */
void find_loops(Lambda* program);
void substitute_calls(Compiler* c, Lambda* program);
void find_captures(Compiler* c, Lambda* program);
Code* generate(Compiler* c, Lambda* lambda);

#endif

/* Between generate.c and inline.c, which walk trees, emit.c, which makes the instructions of one procedure, and layout.c, which puts them in order. */
#ifndef SCHEME_GENERATOR_H
#define SCHEME_GENERATOR_H

#include "compiler.h"
#include "instructions.h"

enum { MOST_SLOTS = 250, MOST_OFFSET = 32767 /* of a jump */ };

typedef struct Part { size_t from, to; struct Part* next; } Part; /* of the instructions */

typedef struct Generator {
  Compiler* c;
  Lambda* lambda;
  Instruction* code; /* arena */
  size_t count, room;
  size_t label;      /* the last place that is jumped to */
  size_t start;      /* behind the entry */
  Value* constants;  /* arena */
  size_t constant_count, constant_room;
  DeadSlot* dead;    /* arena */
  size_t dead_count, dead_room;
  Part* cold;        /* parts that hardly ever run */
  Variable* scope[MOST_SLOTS]; /* variables whose slots hold them */
  int scope_count;
  int frame;         /* slots */
  int most_live;     /* see simple_call(); otherwise as many as there are */
} Generator;

typedef struct Patches { size_t at; struct Patches* next; } Patches; /* jumps to a place that is not known yet */

static inline int larger(int a, int b) { return a > b ? a : b; }

/* `live`: slots that hold values. The result is the instruction's index. */
size_t emit(Generator* g, Op op, int live, int a, int b, int c);
int constant_index(Generator* g, Value v);
int known_index(Generator* g, Value symbol, Value procedure); /* both, next to each other */

static inline size_t set_label(Generator* g) { return g->label = g->count; }
void jump_to_here(Generator* g, Patches* patches);
void note_cold(Generator* g, size_t from); /* up to here */
void add_patch(Generator* g, Patches** list, size_t at);
void jump_back(Generator* g, size_t label, int live);

/* Which variables are dead: a variable counts from enter_scope(), when its slot holds it, until leave_scope(), which gets the old scope_count. */
typedef enum { ALL_VARIABLES, VARIABLES_IN_SCOPE } Counted;
void count_references(const Node* n, const Lambda* owner, int by, Counted which);
void used(Generator* g, const Node* n); /* if it is a variable of this frame: behind the instruction that looks at it */
void enter_scope(Generator* g, Variable** variables, int count);
void leave_scope(Generator* g, int count);
void note_dead_slots(Generator* g); /* behind a call: of what nobody looks at after it */

Code* finish(Generator* g); /* layout.c */

/* generate.c */
static inline bool is_own(const Generator* g, const Variable* v) { return v->owner == g->lambda; }
static inline bool is_operand(const Generator* g, const Node* n) { return n->type == LOCAL && is_own(g, n->variable) && !is_boxed(n->variable); }
void value(Generator* g, Node* n, int to, int free, bool tail); /* into slot `to`, written last. In tail position: returns it. */
int operand(Generator* g, Node* n, int free); /* the slot that holds it: a variable's own one, or `free` */
void operand_used(Generator* g, const Node* n); /* behind the instruction that looks at it */
int bind(Generator* g, Node* n, int free); /* the variables of a LET; returns the first free slot above them */

/* inline.c: primitives that are instructions. */
typedef enum { TEST, VALUE, EFFECT } InlinedUse;
typedef struct { const char* name; int arguments; InlinedUse use; Op op, opposite; bool swapped; } Inlined;
const Inlined* inlined_of(const Node* n); /* NULL: it is no such call */
bool known_call(Generator* g, Node* n, int to, int free, bool tail); /* false: it is none */
void inlined_value(Generator* g, const Inlined* p, Node* n, int to, int free);
void branch(Generator* g, Node* n, int free, bool sense, Patches** taken); /* jumps if its truth is `sense`, goes on otherwise */
bool is_simple(const Node* n); /* computing it allocates nothing, and if it fails nobody comes back for the frame */
bool is_test(const Node* n);   /* its value is TRUE or FALSE */
bool is_small(const Node* n, int sign); /* a constant whose product with `sign` fits an operand */
bool is_or(const Node* n); /* (let ((t x)) (if t t y)), which is what (or x y) has become */

#endif

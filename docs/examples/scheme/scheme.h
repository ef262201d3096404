/* A Scheme whose heap is lull, with precise roots: the types that everything else shares. docs/embedding.md leads through it. */
#ifndef SCHEME_H
#define SCHEME_H

#include <lull/lull_c.h>
#include <stdbool.h>
#include <stdio.h>

/* A value is a word. Objects are aligned to 16, so the low four bits say what it is; to lull a tagged pointer is an interior
   pointer, and a fixnum is one to nowhere (or, with bad luck, to an object that is kept a while for nothing).

     n...n0     fixnum           0001 pair     0011 procedure   0101 object with a header   0111 flonum
                                 1001 symbol   1011 string      1101 vector                 1111 immediate

   Raw pointers to code are aligned and so look like fixnums; they are references all the same. */
typedef uintptr_t Value;
enum { TAG_PAIR = 1, TAG_PROC = 3, TAG_OBJECT = 5, TAG_FLONUM = 7, TAG_SYMBOL = 9, TAG_STRING = 11, TAG_VECTOR = 13, TAG_IMMEDIATE = 15 };

#define IMMEDIATE(n) ((Value)(n) << 8 | TAG_IMMEDIATE)
#define FALSE IMMEDIATE(0)
#define TRUE IMMEDIATE(1)
#define NIL IMMEDIATE(2)
#define UNSPECIFIED IMMEDIATE(3)
#define END_OF_FILE IMMEDIATE(4)
#define UNBOUND IMMEDIATE(5)

static inline unsigned tag_of(Value v) { return (unsigned)(v & 15); }
static inline bool has_tag(Value v, unsigned tag) { return (((unsigned)v - tag) & 15) == 0; }
static inline bool is_fixnum(Value v) { return (v & 1) == 0; }
static inline Value fixnum(intptr_t n) { return (Value)n << 1; }
static inline intptr_t integer_of(Value v) { return (intptr_t)v >> 1; }
static inline bool is_char(Value v) { return (v & 255) == 31; }
static inline Value character(unsigned c) { return (Value)c << 8 | 31; }
static inline unsigned code_of(Value v) { return (unsigned)(v >> 8); }
static inline Value boolean(bool b) { return b ? TRUE : FALSE; }
static inline bool is_pair(Value v) { return has_tag(v, TAG_PAIR); }
static inline bool is_symbol(Value v) { return has_tag(v, TAG_SYMBOL); }
static inline bool is_string(Value v) { return has_tag(v, TAG_STRING); }
static inline bool is_vector(Value v) { return has_tag(v, TAG_VECTOR); }
static inline bool is_procedure(Value v) { return has_tag(v, TAG_PROC); }
static inline bool is_flonum(Value v) { return has_tag(v, TAG_FLONUM); }

/* Objects have no header that lull would need: its kinds tell it where references are. */
typedef struct { Value car, cdr; } Pair;
typedef struct { double number; } Flonum;
typedef struct { Value value, name, syntax; } Symbol; /* of the global variable; see syntax_of in compiler.h */
typedef struct { size_t length; char bytes[]; } String; /* bytes; a character above 255 does not fit */
typedef struct { size_t length; Value items[]; } Vector;
typedef struct { Value header, slot[]; } Object; /* header: fixnum of an ObjectType */
typedef struct { Value header; size_t count; int sign; uint32_t limb[]; } Bignum; /* an Object without references: bignum.c */
typedef struct Code Code;
typedef struct { Code* code; Value free[]; } Procedure;

/* live: how many slots of the frame hold values when the instruction runs; what lies above is stale, and no root. */
typedef struct { uint8_t op, live; uint16_t a, b, c; } Instruction;
typedef struct { uint32_t at, slot; } DeadSlot; /* who returns to instruction `at` never looks at `slot` again */
struct Code { /* one object, so that a call needs one load to find its first instruction */
  Value constants;        /* a vector */
  Value name;
  Value substitute;       /* for calls of it: substitute.c. A vector, or none */
  uint32_t dead_at, dead_count; /* the first DeadSlot, in instructions */
  Instruction instructions[]; /* then the constants once more, where instructions find them, not traced there; then DeadSlots */
};

typedef enum {
  OBJECT_BOX, OBJECT_VALUES, OBJECT_RECORD_TYPE, OBJECT_RECORD, OBJECT_TABLE, OBJECT_PROMISE, OBJECT_WEAK_PAIR, OBJECT_THREAD, OBJECT_MUTEX,
  OBJECT_ALIAS, OBJECT_MACRO, OBJECT_ERROR, OBJECT_BIGNUM
} ObjectType;

#define PAIR(v) ((Pair*)((v) - TAG_PAIR))
#define PROC(v) ((Procedure*)((v) - TAG_PROC))
#define OBJECT(v) ((Object*)((v) - TAG_OBJECT))
#define FLONUM(v) (((Flonum*)((v) - TAG_FLONUM))->number)
#define SYMBOL(v) ((Symbol*)((v) - TAG_SYMBOL))
#define STRING(v) ((String*)((v) - TAG_STRING))
#define VECTOR(v) ((Vector*)((v) - TAG_VECTOR))
static inline bool is_object(Value v, ObjectType type) { return has_tag(v, TAG_OBJECT) && OBJECT(v)->header == fixnum(type); }
#define BIGNUM(v) ((Bignum*)((v) - TAG_OBJECT))
static inline bool is_bignum(Value v) { return is_object(v, OBJECT_BIGNUM); }
static inline bool is_integer(Value v) { return is_fixnum(v) || is_bignum(v); } /* an exact one */
static inline bool is_number(Value v) { return is_integer(v) || is_flonum(v); }
static inline Value car(Value v) { return PAIR(v)->car; }
static inline Value cdr(Value v) { return PAIR(v)->cdr; }

/* Every store of a reference into an object that may be older than the last safepoint. */
static inline void store(Value* slot, Value v) { lull_store(slot, (const void*)v); }

/* Into the newest object, of a value that was there before it: no barrier. */
static inline void initialize(Value* slot, Value v) { lull_initialize(slot, (const void*)v); }

/* A continuation is a procedure with these free variables. It owns a copy of stack words, shared by the views that are cut
   from it; see machine.c. */
enum { KONT_WORDS, KONT_SIZE, KONT_PC, KONT_BASE, KONT_PARENT, KONT_WINDERS, KONT_SLOTS };

enum { STACK_WORDS = 4000, STACK_SLACK = 400, TEMPORARIES = 8 };

/* A thread of the program. Its roots: the stack up to `top`, the named values, and what the reader and the compiler keep. */
typedef struct Machine {
  Value* stack;
  Value* top;   /* one past the last live word; right at every safepoint */
  Value* limit;
  Value under;  /* the continuation below the stack's bottom, or 0 */
  Value winders;
  Value temporary[TEMPORARIES]; /* of primitives */
  Value result, argument[2];    /* of allocation functions, while they allocate */
  Value handlers;               /* of exceptions, a list */
  Value* kept;                  /* everything made since keep_from(): for code that juggles with many values */
  size_t kept_count, kept_room;
  bool keeping;
  const char* error;            /* set by a primitive that fails: the machine raises it */
  Value irritant;
  lull_frame frame;
} Machine;

typedef Value (*Primitive)(Machine* m, Value* arguments, int count);
Value fail(Machine* m, const char* message, Value irritant); /* to be returned by primitives */

/* objects.c. Allocation is a safepoint: arguments are safe, all else that is needed afterwards must be rooted. */
void make_kinds(void);
void start_machine(Machine* m);
void end_machine(Machine* m);
Value* new_words(size_t count); /* an object of references; at least one word */
void* new_bytes(size_t count);  /* an object without */
Code* new_code(size_t instructions);
Value cons(Machine* m, Value a, Value d);
Value flonum(double d);
Value make_string(Machine* m, const char* bytes, size_t length);
Value make_vector(Machine* m, size_t length, Value fill);
Value make_object(Machine* m, ObjectType type, size_t slots); /* slots hold fixnum 0 */
Value make_box(Machine* m, Value content);
Value intern(Machine* m, const char* name);
Value intern_bytes(Machine* m, const char* name, size_t length);
void out_of_memory(void);
void keep_from(Machine* m, size_t* mark); /* from here on all that cons & co. return is a root */
void keep_until(Machine* m, size_t mark);
void keep(Machine* m, Value v);

/* read.c: one datum; END_OF_FILE at the end. Between keep_from and keep_until. */
typedef struct { const char *at, *end; int line; const char* problem; } Reader;
Value read_datum(Machine* m, Reader* r);

/* print.c */
typedef enum { DISPLAY, WRITE } PrintStyle;
void print(FILE* out, Value v, PrintStyle style);
int format_flonum(double d, char* out, size_t room);

/* syntax.c to generate.c, in the order of compiler.h: from a datum to the code of a procedure without arguments. NULL and m->error: wrong syntax. */
Code* compile(Machine* m, Value datum);

/* machine.c: runs a procedure of no arguments. UNBOUND: an exception that nobody has handled; it was printed. */
Value run(Machine* m, Value procedure);
Value make_primitive(Machine* m, const char* name, Primitive function, int least, int most); /* most < 0: any */
typedef enum { RECORD_CONSTRUCTOR, RECORD_PREDICATE, RECORD_ACCESSOR, RECORD_MODIFIER } RecordOperation;
Value make_record_procedure(Machine* m, RecordOperation operation, Value type, Value slots);
void make_special_procedures(Machine* m);
typedef struct {
  const Instruction* instructions;
  size_t count;
  const Value* constants; /* kept or reachable from what is kept */
  size_t constant_count;
  const DeadSlot* dead;
  size_t dead_count;
} CodeParts;
Code* make_code(Machine* m, const CodeParts* parts, Value name, Value substitute);

/* numbers.c */
Value add(Machine* m, Value a, Value b);
Value subtract(Machine* m, Value a, Value b);
Value multiply(Machine* m, Value a, Value b);
Value quotient(Machine* m, Value a, Value b);
Value remainder_of(Machine* m, Value a, Value b);
int compare_numbers(Machine* m, Value a, Value b); /* -1, 0, 1; 2: not ordered, or m->error */
bool eqv(Value a, Value b);
bool equal(Value a, Value b);
Value parse_number(Machine* m, const char* text, size_t length, int radix); /* FALSE: none */

void define_numbers(Machine* m);
void define_lists(Machine* m);
void define_strings(Machine* m);
void define_tables(Machine* m);
void define_threads(Machine* m);
void define_system(Machine* m);
static inline void define(Machine* m, const char* name, Primitive f, int least, int most) {
  Value procedure = make_primitive(m, name, f, least, most);
  m->temporary[0] = procedure;
  Value symbol = intern(m, name);
  store(&SYMBOL(symbol)->value, m->temporary[0]);
  SYMBOL(symbol)->syntax = TRUE;
}

#endif

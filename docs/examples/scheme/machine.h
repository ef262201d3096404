/* What the machine shares with the built-in procedures and continuations. */
#ifndef SCHEME_MACHINE_H
#define SCHEME_MACHINE_H

#include "scheme.h"

static inline Value raw(const void* p) { return (Value)p; } /* of an aligned pointer: a fixnum to the program, a reference to lull */

/* Words of a frame below its base: the link and the procedure. */
enum { FRAME_HEAD = 3 };
/* base[-2] of a frame: the way back to the caller, in bytes. Even, so it looks like a fixnum. */
static inline Value way_back(size_t slots) { return (Value)(slots * sizeof(Value)); }
static inline size_t slots_of(Value way) { return way / sizeof(Value); }

/* Free variables of a primitive: the function, twice its address so that it looks like a fixnum; least and most arguments; name. */
enum { P_FUNCTION, P_LEAST, P_MOST, P_NAME, P_SLOTS };

Value make_procedure(Code* code, size_t free_count); /* `code` is kept, or a root */
Value make_record(Value constructor, const Value* values); /* all of it roots */
Value error_object(Machine* m);                      /* of m->error */

bool is_accessor(Value v);                      /* of a record's field */
bool is_constructor(Value v, int arguments);    /* of a record, and takes so many */
bool is_primitive(Value v, int arguments);
extern Code* continuation_code;
extern Value raise_symbol, rewind_symbol; /* symbols live for ever */

/* The frames below the one at `base` as a continuation; m->under afterwards. m->top is above all that lives. */
void capture(Machine* m, Value* base);
/* Brings the uppermost frames of m->under back. The result is the base to go on with; *pc where. NULL: there is nothing under it. */
Value* reinstate(Machine* m, Instruction** pc);
Instruction* after_underflow(void);

#endif

/* Code objects and built-in procedures: each of these has a code of one instruction, so that a call does not ask what it calls. */
#include <string.h>

#include "instructions.h"
#include "machine.h"

static Code *primitive_code, *record_code[4]; /* make, test, get, put */
Code* continuation_code;
Value raise_symbol, rewind_symbol;

Code* make_code(Machine* m, const CodeParts* parts, Value name, Value substitute) {
  size_t mark;
  keep_from(m, &mark);
  Value vector = make_vector(m, parts->constant_count, FALSE); /* kept */
  for (size_t i = 0; i < parts->constant_count; ++i) store(&VECTOR(vector)->items[i], parts->constants[i]);
  _Static_assert(sizeof(DeadSlot) == sizeof(Instruction) && sizeof(Value) == sizeof(Instruction), "they follow the instructions");
  Code* code = new_code(parts->count + parts->constant_count + parts->dead_count);
  Instruction* end = code->instructions + parts->count;
  memcpy(code->instructions, parts->instructions, parts->count * sizeof *parts->instructions);
  memcpy(end, VECTOR(vector)->items, parts->constant_count * sizeof(Value)); /* kept by the vector */
  if (parts->dead_count != 0) memcpy(end + parts->constant_count, parts->dead, parts->dead_count * sizeof *parts->dead);
  code->constants = vector;
  initialize(&code->name, name);
  initialize(&code->substitute, substitute);
  code->dead_at = (uint32_t)(parts->count + parts->constant_count);
  code->dead_count = (uint32_t)parts->dead_count;
  keep_until(m, mark);
  if (m->keeping) keep(m, raw(code));
  return code;
}

Value make_procedure(Code* code, size_t free_count) {
  Procedure* p = (Procedure*)new_words(free_count + 1);
  lull_initialize(&p->code, code);
  return (Value)p + TAG_PROC;
}

Value make_primitive(Machine* m, const char* name, Primitive function, int least, int most) {
  m->temporary[TEMPORARIES - 1] = intern(m, name);
  Value v = make_procedure(primitive_code, P_SLOTS);
  Procedure* p = PROC(v);
  initialize(&p->free[P_FUNCTION], (Value)function << 1);
  initialize(&p->free[P_LEAST], fixnum(least));
  initialize(&p->free[P_MOST], fixnum(most));
  initialize(&p->free[P_NAME], m->temporary[TEMPORARIES - 1]);
  return v;
}

bool is_accessor(Value v) { return is_procedure(v) && PROC(v)->code == record_code[RECORD_ACCESSOR]; }
bool is_constructor(Value v, int arguments) {
  return is_procedure(v) && PROC(v)->code == record_code[RECORD_CONSTRUCTOR] && (size_t)arguments == VECTOR(PROC(v)->free[1])->length;
}
bool is_primitive(Value v, int arguments) {
  if (!is_procedure(v) || PROC(v)->code != primitive_code) return false;
  const intptr_t least = integer_of(PROC(v)->free[P_LEAST]), most = integer_of(PROC(v)->free[P_MOST]);
  return arguments >= least && (most < 0 || arguments <= most);
}

static Code* one_instruction(Machine* m, Op op, const char* name) {
  const Instruction i = {(uint8_t)op, 0, 0, 0, 0};
  const CodeParts parts = {.instructions = &i, .count = 1};
  Code* code = make_code(m, &parts, intern(m, name), FALSE);
  lull_root_new(code); /* for ever */
  return code;
}

/* Procedures of a record type. Free variables: the type, and a fixnum or, of the constructor, a vector of them: the slots. */
Value make_record_procedure(Machine* m, RecordOperation operation, Value type, Value slots) {
  m->temporary[TEMPORARIES - 1] = type;
  m->temporary[TEMPORARIES - 2] = slots;
  const Value v = make_procedure(record_code[operation], 2);
  initialize(&PROC(v)->free[0], m->temporary[TEMPORARIES - 1]);
  initialize(&PROC(v)->free[1], m->temporary[TEMPORARIES - 2]);
  return v;
}

Value make_record(Value constructor, const Value* values) {
  const Value *free = PROC(constructor)->free, type = free[0];
  const Vector* slots = VECTOR(free[1]);
  Object* o = (Object*)new_words((size_t)integer_of(OBJECT(type)->slot[1]) + 2);
  initialize(&o->header, fixnum(OBJECT_RECORD));
  initialize(&o->slot[0], type);
  for (size_t n = 0; n < slots->length; ++n) initialize(&o->slot[integer_of(slots->items[n])], values[n]); /* the newest object */
  return (Value)o + TAG_OBJECT;
}

static void define_special(Machine* m, Op op, const char* name) {
  m->temporary[0] = make_procedure(one_instruction(m, op, name), 0);
  store(&SYMBOL(intern(m, name))->value, m->temporary[0]);
}

void make_special_procedures(Machine* m) {
  primitive_code = one_instruction(m, PRIMITIVE, "primitive");
  continuation_code = one_instruction(m, CONTINUE, "continuation");
  record_code[RECORD_CONSTRUCTOR] = one_instruction(m, RECORD_MAKE, "record-constructor");
  record_code[RECORD_PREDICATE] = one_instruction(m, RECORD_TEST, "record-predicate");
  record_code[RECORD_ACCESSOR] = one_instruction(m, RECORD_GET, "record-accessor");
  record_code[RECORD_MODIFIER] = one_instruction(m, RECORD_PUT, "record-modifier");
  define_special(m, APPLY, "apply");
  define_special(m, CALL_CC, "call-with-current-continuation");
  raise_symbol = intern(m, "%raise");
  rewind_symbol = intern(m, "%rewind");
  store(&SYMBOL(intern(m, "call/cc"))->value, SYMBOL(intern(m, "call-with-current-continuation"))->value);
}

Value error_object(Machine* m) {
  m->result = m->irritant;
  const char* text = m->error;
  m->error = NULL;
  m->result = cons(m, m->result, NIL);
  m->temporary[TEMPORARIES - 1] = make_string(m, text, strlen(text));
  Value e = make_object(m, OBJECT_ERROR, 2);
  initialize(&OBJECT(e)->slot[0], m->temporary[TEMPORARIES - 1]);
  initialize(&OBJECT(e)->slot[1], m->result);
  return e;
}

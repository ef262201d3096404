/* Pairs, lists, vectors, symbols, predicates. A primitive's arguments are slots of the stack: roots. What it makes itself and needs after the next
   allocation goes to m->temporary. */
#include "scheme.h"

#define PRIMITIVE(name) static Value name(Machine* m, Value* a, int n)
#define UNUSED (void)m, (void)a, (void)n
#define WANT_PAIR(v)  \
  if (!is_pair(v)) return (void)n, fail(m, "not a pair", v)

PRIMITIVE(p_cons) { return (void)n, cons(m, a[0], a[1]); }
PRIMITIVE(p_car) { WANT_PAIR(a[0]); return car(a[0]); }
PRIMITIVE(p_cdr) { WANT_PAIR(a[0]); return cdr(a[0]); }
PRIMITIVE(p_set_car) { WANT_PAIR(a[0]); store(&PAIR(a[0])->car, a[1]); return UNSPECIFIED; }
PRIMITIVE(p_set_cdr) { WANT_PAIR(a[0]); store(&PAIR(a[0])->cdr, a[1]); return UNSPECIFIED; }

/* c[ad]+r: the path is read from the back. */
static Value follow(Machine* m, Value v, const char* path, int length) {
  for (int i = length; i > 0; --i) {
    if (!is_pair(v)) return fail(m, "not a pair", v);
    v = path[i - 1] == 'a' ? car(v) : cdr(v);
  }
  return v;
}
#define PATHS(X) X(aa) X(ad) X(da) X(dd) X(aaa) X(aad) X(ada) X(add) X(daa) X(dad) X(dda) X(ddd) X(addd) X(dddd)
#define PATH(p) PRIMITIVE(p_c##p##r) { return (void)n, follow(m, a[0], #p, sizeof #p - 1); }
PATHS(PATH)

PRIMITIVE(p_is_pair) { UNUSED; return boolean(is_pair(a[0])); }
PRIMITIVE(p_is_null) { UNUSED; return boolean(a[0] == NIL); }
PRIMITIVE(p_is_symbol) { UNUSED; return boolean(is_symbol(a[0])); }
PRIMITIVE(p_is_string) { UNUSED; return boolean(is_string(a[0])); }
PRIMITIVE(p_is_char) { UNUSED; return boolean(is_char(a[0])); }
PRIMITIVE(p_is_vector) { UNUSED; return boolean(is_vector(a[0])); }
PRIMITIVE(p_is_procedure) { UNUSED; return boolean(is_procedure(a[0])); }
PRIMITIVE(p_is_boolean) { UNUSED; return boolean(a[0] == TRUE || a[0] == FALSE); }
PRIMITIVE(p_is_eof) { UNUSED; return boolean(a[0] == END_OF_FILE); }
PRIMITIVE(p_not) { UNUSED; return boolean(a[0] == FALSE); }
PRIMITIVE(p_eq) { UNUSED; return boolean(a[0] == a[1]); }
PRIMITIVE(p_eqv) { UNUSED; return boolean(eqv(a[0], a[1])); }
PRIMITIVE(p_equal) { UNUSED; return boolean(equal(a[0], a[1])); }

static intptr_t length_of(Value list) { /* -1: not a list */
  intptr_t length = 0;
  for (Value mark = FALSE; is_pair(list); list = cdr(list), ++length) {
    if (list == mark) return -1;
    if ((length & (length - 1)) == 0) mark = list; /* Brent: a cycle comes back to it */
  }
  return list == NIL ? length : -1;
}
PRIMITIVE(p_is_list) { UNUSED; return boolean(length_of(a[0]) >= 0); }
PRIMITIVE(p_length) {
  const intptr_t length = length_of(a[0]);
  return (void)n, length < 0 ? fail(m, "not a list", a[0]) : fixnum(length);
}

PRIMITIVE(p_list) {
  m->temporary[0] = NIL;
  for (int i = n; i > 0; --i) m->temporary[0] = cons(m, a[i - 1], m->temporary[0]);
  return m->temporary[0];
}

/* Lists are built front to back: the last pair is temporary[1]. */
static void append_item(Machine* m, Value item) {
  const Value pair = cons(m, item, NIL);
  if (m->temporary[1] == NIL) m->temporary[0] = pair;
  else store(&PAIR(m->temporary[1])->cdr, pair);
  m->temporary[1] = pair;
}
static Value finish_list(Machine* m, Value tail) {
  const Value list = m->temporary[1] == NIL ? tail : m->temporary[0];
  if (m->temporary[1] != NIL) store(&PAIR(m->temporary[1])->cdr, tail);
  m->temporary[0] = m->temporary[1] = NIL;
  return list;
}
static void begin_list(Machine* m) { m->temporary[0] = m->temporary[1] = NIL; }

PRIMITIVE(p_append) {
  if (n == 0) return NIL;
  begin_list(m);
  for (int i = 0; i < n - 1; ++i) {
    for (; is_pair(a[i]); a[i] = cdr(a[i])) append_item(m, car(a[i])); /* the argument's slot walks along */
    if (a[i] != NIL) return fail(m, "not a list", a[i]);
  }
  return finish_list(m, a[n - 1]);
}
PRIMITIVE(p_reverse) {
  (void)n;
  m->temporary[0] = NIL;
  for (; is_pair(a[0]); a[0] = cdr(a[0])) m->temporary[0] = cons(m, car(a[0]), m->temporary[0]);
  return m->temporary[0];
}
PRIMITIVE(p_list_tail) {
  (void)n;
  intptr_t k = integer_of(a[1]);
  for (; k > 0; --k) {
    WANT_PAIR(a[0]);
    a[0] = cdr(a[0]);
  }
  return a[0];
}
PRIMITIVE(p_list_ref) {
  const Value tail = p_list_tail(m, a, n);
  if (m->error != NULL) return tail;
  WANT_PAIR(tail);
  return car(tail);
}
PRIMITIVE(p_last_pair) {
  WANT_PAIR(a[0]);
  Value v = a[0];
  while (is_pair(cdr(v))) v = cdr(v);
  return v;
}

typedef bool (*Same)(Value, Value);
static bool identical(Value x, Value y) { return x == y; }
static Value member(Value x, Value list, Same same) {
  for (; is_pair(list); list = cdr(list))
    if (same(x, car(list))) return list;
  return FALSE;
}
static Value association(Value x, Value list, Same same) {
  for (; is_pair(list); list = cdr(list))
    if (is_pair(car(list)) && same(x, car(car(list)))) return car(list);
  return FALSE;
}
PRIMITIVE(p_memq) { UNUSED; return member(a[0], a[1], identical); }
PRIMITIVE(p_memv) { UNUSED; return member(a[0], a[1], eqv); }
PRIMITIVE(p_member) { UNUSED; return member(a[0], a[1], equal); }
PRIMITIVE(p_assq) { UNUSED; return association(a[0], a[1], identical); }
PRIMITIVE(p_assv) { UNUSED; return association(a[0], a[1], eqv); }
PRIMITIVE(p_assoc) { UNUSED; return association(a[0], a[1], equal); }

/* ---- Vectors ---- */

#define WANT_VECTOR(v) \
  if (!is_vector(v)) return (void)n, fail(m, "not a vector", v)
#define WANT_INDEX(v, i) \
  if (!is_fixnum(i) || (size_t)integer_of(i) >= VECTOR(v)->length) return fail(m, "index out of range", i)

PRIMITIVE(p_make_vector) {
  if (!is_fixnum(a[0]) || integer_of(a[0]) < 0) return fail(m, "not a length", a[0]);
  return make_vector(m, (size_t)integer_of(a[0]), n > 1 ? a[1] : fixnum(0));
}
PRIMITIVE(p_vector) {
  const Value v = make_vector(m, (size_t)n, fixnum(0));
  for (int i = 0; i < n; ++i) initialize(&VECTOR(v)->items[i], a[i]); /* the newest object */
  return v;
}
PRIMITIVE(p_vector_length) { WANT_VECTOR(a[0]); return fixnum((intptr_t)VECTOR(a[0])->length); }
PRIMITIVE(p_vector_ref) { WANT_VECTOR(a[0]); WANT_INDEX(a[0], a[1]); return VECTOR(a[0])->items[integer_of(a[1])]; }
PRIMITIVE(p_vector_set) {
  WANT_VECTOR(a[0]);
  WANT_INDEX(a[0], a[1]);
  store(&VECTOR(a[0])->items[integer_of(a[1])], a[2]);
  return UNSPECIFIED;
}
PRIMITIVE(p_vector_fill) {
  WANT_VECTOR(a[0]);
  lull_fill(VECTOR(a[0])->items, VECTOR(a[0])->length, (void*)a[1]);
  return UNSPECIFIED;
}
PRIMITIVE(p_list_to_vector) {
  const intptr_t length = length_of(a[0]);
  (void)n;
  if (length < 0) return fail(m, "not a list", a[0]);
  const Value v = make_vector(m, (size_t)length, fixnum(0));
  Value list = a[0];
  for (intptr_t i = 0; i < length; ++i, list = cdr(list)) initialize(&VECTOR(v)->items[i], car(list));
  return v;
}
PRIMITIVE(p_vector_to_list) {
  WANT_VECTOR(a[0]);
  m->temporary[0] = NIL;
  for (size_t i = VECTOR(a[0])->length; i > 0; --i) m->temporary[0] = cons(m, VECTOR(a[0])->items[i - 1], m->temporary[0]);
  return m->temporary[0];
}
PRIMITIVE(p_vector_copy) {
  WANT_VECTOR(a[0]);
  const size_t length = VECTOR(a[0])->length, from = n > 1 ? (size_t)integer_of(a[1]) : 0, to = n > 2 ? (size_t)integer_of(a[2]) : length;
  if (from > to || to > length) return fail(m, "index out of range", a[n - 1]);
  const Value v = make_vector(m, to - from, fixnum(0));
  lull_copy(VECTOR(v)->items, VECTOR(a[0])->items + from, to - from);
  return v;
}

/* ---- Records: the type is (name, number of fields) ---- */

/* In an object, slot 0 is the type. */
PRIMITIVE(p_record_type) {
  (void)n;
  const Value t = make_object(m, OBJECT_RECORD_TYPE, 2);
  initialize(&OBJECT(t)->slot[0], a[0]);
  initialize(&OBJECT(t)->slot[1], a[1]);
  return t;
}
PRIMITIVE(p_record_constructor) { /* type, indices of the fields in reverse */
  (void)n;
  intptr_t count = 0;
  for (Value l = a[1]; is_pair(l); l = cdr(l)) ++count;
  const Value slots = make_vector(m, (size_t)count, fixnum(0));
  for (Value l = a[1]; is_pair(l); l = cdr(l)) initialize(&VECTOR(slots)->items[--count], car(l) + fixnum(1));
  return make_record_procedure(m, RECORD_CONSTRUCTOR, a[0], slots);
}
PRIMITIVE(p_record_predicate) { return (void)n, make_record_procedure(m, RECORD_PREDICATE, a[0], FALSE); }
PRIMITIVE(p_record_accessor) { return (void)n, make_record_procedure(m, RECORD_ACCESSOR, a[0], a[1] + fixnum(1)); }
PRIMITIVE(p_record_modifier) { return (void)n, make_record_procedure(m, RECORD_MODIFIER, a[0], a[1] + fixnum(1)); }

void define_lists(Machine* m) {
  static const struct { const char* name; Primitive f; int least, most; } all[] = {
#define PATH_ENTRY(p) {"c" #p "r", p_c##p##r, 1, 1},
      PATHS(PATH_ENTRY){"cons", p_cons, 2, 2}, {"car", p_car, 1, 1}, {"cdr", p_cdr, 1, 1}, {"set-car!", p_set_car, 2, 2},
      {"set-cdr!", p_set_cdr, 2, 2}, {"pair?", p_is_pair, 1, 1}, {"null?", p_is_null, 1, 1}, {"symbol?", p_is_symbol, 1, 1},
      {"string?", p_is_string, 1, 1}, {"char?", p_is_char, 1, 1}, {"vector?", p_is_vector, 1, 1}, {"procedure?", p_is_procedure, 1, 1},
      {"boolean?", p_is_boolean, 1, 1}, {"eof-object?", p_is_eof, 1, 1}, {"not", p_not, 1, 1}, {"eq?", p_eq, 2, 2}, {"eqv?", p_eqv, 2, 2},
      {"equal?", p_equal, 2, 2}, {"list?", p_is_list, 1, 1}, {"length", p_length, 1, 1}, {"list", p_list, 0, -1}, {"append", p_append, 0, -1},
      {"reverse", p_reverse, 1, 1}, {"list-tail", p_list_tail, 2, 2}, {"list-ref", p_list_ref, 2, 2}, {"last-pair", p_last_pair, 1, 1},
      {"memq", p_memq, 2, 2}, {"memv", p_memv, 2, 2}, {"member", p_member, 2, 2}, {"assq", p_assq, 2, 2}, {"assv", p_assv, 2, 2},
      {"assoc", p_assoc, 2, 2}, {"make-vector", p_make_vector, 1, 2}, {"vector", p_vector, 0, -1}, {"vector-length", p_vector_length, 1, 1},
      {"vector-ref", p_vector_ref, 2, 2}, {"vector-set!", p_vector_set, 3, 3}, {"vector-fill!", p_vector_fill, 2, 2},
      {"list->vector", p_list_to_vector, 1, 1}, {"vector->list", p_vector_to_list, 1, 1}, {"vector-copy", p_vector_copy, 1, 3},
      {"%record-type", p_record_type, 2, 2}, {"%record-constructor", p_record_constructor, 2, 2},
      {"%record-predicate", p_record_predicate, 1, 1}, {"%record-accessor", p_record_accessor, 2, 2},
      {"%record-modifier", p_record_modifier, 2, 2}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) define(m, all[i].name, all[i].f, all[i].least, all[i].most);
}

/* Hash tables, weak pairs, boxes of values. Nothing moves, so the hash of an object is its address. */
#include <string.h>

#include "scheme.h"

#define PRIMITIVE(name) static Value name(Machine* m, Value* a, int n)
#define UNUSED (void)m, (void)a, (void)n

/* A table: buckets (a vector of lists of pairs), how many entries, whether keys are compared by equal?. */
enum { BUCKETS, ENTRIES, BY_EQUAL };

static size_t hash(Value v, bool by_equal) {
  size_t h = 0;
  for (int depth = 0; by_equal && is_pair(v) && depth < 8; ++depth, v = cdr(v)) h = h * 31 + hash(car(v), true);
  if (is_flonum(v)) {
    double d = FLONUM(v);
    memcpy(&v, &d, sizeof v);
    return h * 31 + (size_t)(v * UINT64_C(0x9e3779b97f4a7c15) >> 20);
  }
  if (is_bignum(v)) {
    for (size_t i = 0; i < BIGNUM(v)->count; ++i) h = (h ^ BIGNUM(v)->limb[i]) * 1099511628211u;
    return h ^ h >> 20;
  }
  if (by_equal && is_string(v)) {
    for (size_t i = 0; i < STRING(v)->length; ++i) h = (h ^ (unsigned char)STRING(v)->bytes[i]) * 1099511628211u;
    return h ^ h >> 20;
  }
  if (by_equal && is_vector(v)) return h * 31 + VECTOR(v)->length;
  return h * 31 + (size_t)(v * UINT64_C(0x9e3779b97f4a7c15) >> 20);
}

static Value entry_of(Value table, Value key) {
  const Object* t = OBJECT(table);
  const bool by_equal = t->slot[BY_EQUAL] == TRUE;
  const Vector* buckets = VECTOR(t->slot[BUCKETS]);
  for (Value l = buckets->items[hash(key, by_equal) & (buckets->length - 1)]; l != NIL; l = cdr(l))
    if (by_equal ? equal(car(car(l)), key) : eqv(car(car(l)), key)) return car(l);
  return FALSE;
}

#define WANT_TABLE(v) \
  if (!is_object(v, OBJECT_TABLE)) return (void)n, fail(m, "not a hash table", v)

static Value make_table(Machine* m, bool by_equal) {
  m->temporary[0] = make_vector(m, 16, NIL);
  const Value t = make_object(m, OBJECT_TABLE, 3);
  initialize(&OBJECT(t)->slot[BUCKETS], m->temporary[0]);
  initialize(&OBJECT(t)->slot[BY_EQUAL], boolean(by_equal));
  return t;
}
PRIMITIVE(p_make_table) { UNUSED; return make_table(m, true); }
PRIMITIVE(p_make_eq_table) { UNUSED; return make_table(m, false); }

/* Twice the buckets; pairs are linked again, none is made. */
static void grow(Machine* m, Value* table) {
  const size_t wanted = VECTOR(OBJECT(*table)->slot[BUCKETS])->length * 2;
  const Value fresh = make_vector(m, wanted, NIL);
  const bool by_equal = OBJECT(*table)->slot[BY_EQUAL] == TRUE;
  const Vector* old = VECTOR(OBJECT(*table)->slot[BUCKETS]);
  for (size_t i = 0; i < old->length; ++i)
    for (Value l = old->items[i], next; l != NIL; l = next) {
      next = cdr(l);
      Value* place = &VECTOR(fresh)->items[hash(car(car(l)), by_equal) & (wanted - 1)];
      store(&PAIR(l)->cdr, *place);
      store(place, l);
    }
  store(&OBJECT(*table)->slot[BUCKETS], fresh);
}

static void put(Machine* m, Value* table, Value* key, Value* value) {
  const Value entry = entry_of(*table, *key);
  if (entry != FALSE) {
    store(&PAIR(entry)->cdr, *value);
    return;
  }
  if (integer_of(OBJECT(*table)->slot[ENTRIES]) >= (intptr_t)VECTOR(OBJECT(*table)->slot[BUCKETS])->length) grow(m, table);
  m->temporary[0] = cons(m, *key, *value);
  m->temporary[0] = cons(m, m->temporary[0], NIL);
  Object* t = OBJECT(*table);
  Vector* buckets = VECTOR(t->slot[BUCKETS]);
  Value* place = &buckets->items[hash(*key, t->slot[BY_EQUAL] == TRUE) & (buckets->length - 1)];
  store(&PAIR(m->temporary[0])->cdr, *place);
  store(place, m->temporary[0]);
  t->slot[ENTRIES] += fixnum(1);
}
PRIMITIVE(p_table_set) { WANT_TABLE(a[0]); put(m, &a[0], &a[1], &a[2]); return UNSPECIFIED; }
PRIMITIVE(p_table_get) { /* with a default that may be a value; the prelude has the one that calls */
  WANT_TABLE(a[0]);
  const Value entry = entry_of(a[0], a[1]);
  return entry != FALSE ? cdr(entry) : n > 2 ? a[2] : FALSE;
}
PRIMITIVE(p_table_delete) {
  WANT_TABLE(a[0]);
  const Value entry = entry_of(a[0], a[1]);
  if (entry == FALSE) return UNSPECIFIED;
  Object* t = OBJECT(a[0]);
  Vector* buckets = VECTOR(t->slot[BUCKETS]);
  Value* place = &buckets->items[hash(a[1], t->slot[BY_EQUAL] == TRUE) & (buckets->length - 1)];
  while (car(*place) != entry) place = &PAIR(*place)->cdr;
  store(place, cdr(*place));
  t->slot[ENTRIES] -= fixnum(1);
  return UNSPECIFIED;
}
PRIMITIVE(p_table_count) { WANT_TABLE(a[0]); return OBJECT(a[0])->slot[ENTRIES]; }
PRIMITIVE(p_table_to_list) {
  WANT_TABLE(a[0]);
  m->temporary[0] = NIL;
  for (size_t i = 0; i < VECTOR(OBJECT(a[0])->slot[BUCKETS])->length; ++i)
    for (m->temporary[1] = VECTOR(OBJECT(a[0])->slot[BUCKETS])->items[i]; m->temporary[1] != NIL; m->temporary[1] = cdr(m->temporary[1]))
      m->temporary[0] = cons(m, car(m->temporary[1]), m->temporary[0]);
  return m->temporary[0];
}
PRIMITIVE(p_is_table) { UNUSED; return boolean(is_object(a[0], OBJECT_TABLE)); }

/* ---- Weak pairs: the car is a weak reference of lull's ---- */

PRIMITIVE(p_weak_cons) {
  (void)n;
  m->temporary[0] = is_fixnum(a[0]) || tag_of(a[0]) == TAG_IMMEDIATE ? 0 : (Value)lull_weak_new((void*)a[0]);
  const Value w = make_object(m, OBJECT_WEAK_PAIR, 3);
  initialize(&OBJECT(w)->slot[0], m->temporary[0]); /* a raw pointer */
  initialize(&OBJECT(w)->slot[1], a[1]);
  initialize(&OBJECT(w)->slot[2], m->temporary[0] == 0 ? a[0] : FALSE); /* what is no object never goes */
  return w;
}
#define WANT_WEAK(v) \
  if (!is_object(v, OBJECT_WEAK_PAIR)) return (void)n, fail(m, "not a weak pair", v)
PRIMITIVE(p_weak_car) {
  WANT_WEAK(a[0]);
  const Object* w = OBJECT(a[0]);
  if (w->slot[0] == 0) return w->slot[2];
  const Value v = (Value)lull_weak_get((const lull_weak*)w->slot[0]);
  return v == 0 ? FALSE : v;
}
PRIMITIVE(p_weak_cdr) { WANT_WEAK(a[0]); return OBJECT(a[0])->slot[1]; }
PRIMITIVE(p_is_weak) { UNUSED; return boolean(is_object(a[0], OBJECT_WEAK_PAIR)); }

/* ---- Values, promises, errors ---- */

PRIMITIVE(p_values) {
  if (n == 1) return a[0];
  m->temporary[0] = NIL;
  for (int i = n; i > 0; --i) m->temporary[0] = cons(m, a[i - 1], m->temporary[0]);
  const Value v = make_object(m, OBJECT_VALUES, 1);
  initialize(&OBJECT(v)->slot[0], m->temporary[0]);
  return v;
}
PRIMITIVE(p_values_to_list) { return (void)n, is_object(a[0], OBJECT_VALUES) ? OBJECT(a[0])->slot[0] : cons(m, a[0], NIL); }
PRIMITIVE(p_make_promise) {
  (void)n;
  const Value p = make_object(m, OBJECT_PROMISE, 2);
  initialize(&OBJECT(p)->slot[0], FALSE);
  initialize(&OBJECT(p)->slot[1], a[0]);
  return p;
}
#define WANT_PROMISE(v) \
  if (!is_object(v, OBJECT_PROMISE)) return (void)n, fail(m, "not a promise", v)
PRIMITIVE(p_promise_done) { WANT_PROMISE(a[0]); return OBJECT(a[0])->slot[0]; }
PRIMITIVE(p_promise_value) { WANT_PROMISE(a[0]); return OBJECT(a[0])->slot[1]; }
PRIMITIVE(p_fulfil) {
  WANT_PROMISE(a[0]);
  store(&OBJECT(a[0])->slot[1], a[1]);
  OBJECT(a[0])->slot[0] = TRUE;
  return UNSPECIFIED;
}
PRIMITIVE(p_make_error) {
  m->temporary[0] = NIL;
  for (int i = n; i > 1; --i) m->temporary[0] = cons(m, a[i - 1], m->temporary[0]);
  const Value e = make_object(m, OBJECT_ERROR, 2);
  initialize(&OBJECT(e)->slot[0], a[0]);
  initialize(&OBJECT(e)->slot[1], m->temporary[0]);
  return e;
}
PRIMITIVE(p_is_error) { UNUSED; return boolean(is_object(a[0], OBJECT_ERROR)); }
PRIMITIVE(p_error_message) { return (void)n, is_object(a[0], OBJECT_ERROR) ? OBJECT(a[0])->slot[0] : fail(m, "not an error", a[0]); }
PRIMITIVE(p_error_irritants) { return (void)n, is_object(a[0], OBJECT_ERROR) ? OBJECT(a[0])->slot[1] : fail(m, "not an error", a[0]); }

void define_tables(Machine* m) {
  static const struct { const char* name; Primitive f; int least, most; } all[] = {
      {"make-hash-table", p_make_table, 0, -1}, {"make-equal-hashtable", p_make_table, 0, 1}, {"make-eq-hashtable", p_make_eq_table, 0, 1},
      {"hash-table-set!", p_table_set, 3, 3}, {"hash-table-ref/default", p_table_get, 3, 3}, {"%table-get", p_table_get, 2, 3},
      {"hash-table-delete!", p_table_delete, 2, 2}, {"hash-table-count", p_table_count, 1, 1}, {"hash-table-size", p_table_count, 1, 1},
      {"hash-table->alist", p_table_to_list, 1, 1}, {"hash-table?", p_is_table, 1, 1}, {"weak-cons", p_weak_cons, 2, 2},
      {"weak-car", p_weak_car, 1, 1}, {"weak-cdr", p_weak_cdr, 1, 1}, {"weak-pair?", p_is_weak, 1, 1}, {"values", p_values, 0, -1},
      {"%values->list", p_values_to_list, 1, 1}, {"%make-promise", p_make_promise, 1, 1}, {"%promise-done?", p_promise_done, 1, 1},
      {"%promise-value", p_promise_value, 1, 1}, {"%fulfil!", p_fulfil, 2, 2}, {"%make-error", p_make_error, 1, -1},
      {"error-object?", p_is_error, 1, 1}, {"error-object-message", p_error_message, 1, 1}, {"error-object-irritants", p_error_irritants, 1, 1}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) define(m, all[i].name, all[i].f, all[i].least, all[i].most);
}

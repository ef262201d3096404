/* Kinds, allocation, roots of a thread, and the table of symbols. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "scheme.h"

/* ---- Kinds ----
   Objects of 2, 4, ... 16 words that are all references have a kind for each size, whose allocation is inlined; larger ones share one of
   variable size. */
enum { SMALL_WORDS = 16 };
static lull_kind small_kind[SMALL_WORDS / 2 + 1], words_kind, vector_kind, bytes_kind, flonum_kind, code_kind;
lull_kind pair_kind;

static void describe(lull_kind* kind, lull_kind_info info) {
  if (lull_kind_init(kind, &info) != 0) abort();
}

void make_kinds(void) {
  static const char* const names[] = {"", "2 words", "4 words", "6 words", "8 words", "10 words", "12 words", "14 words", "16 words"};
  describe(&pair_kind, (lull_kind_info){.name = "pair", .bytes = sizeof(Pair), .scan = LULL_BITMAP, .pointer_bits = 3});
  for (unsigned i = 1; i <= SMALL_WORDS / 2; ++i)
    describe(&small_kind[i], (lull_kind_info){.name = names[i], .bytes = i * 16, .scan = LULL_BITMAP, .pointer_bits = (1u << 2 * i) - 1});
  describe(&words_kind, (lull_kind_info){.name = "words", .variable = 1, .scan = LULL_BITMAP, .tail_bytes = sizeof(Value), .tail_bits = 1});
  /* The length is no reference. Words behind the last item are zero, so that no size function is needed. */
  describe(&vector_kind, (lull_kind_info){.name = "vector", .bytes = sizeof(Vector), .variable = 1, .scan = LULL_BITMAP, .tail_bytes = sizeof(Value), .tail_bits = 1});
  describe(&bytes_kind, (lull_kind_info){.name = "bytes", .variable = 1, .scan = LULL_NO_POINTERS});
  describe(&code_kind, (lull_kind_info){.name = "code", .bytes = sizeof(Code), .variable = 1, .scan = LULL_BITMAP, .pointer_bits = 7});
  describe(&flonum_kind, (lull_kind_info){.name = "flonum", .bytes = sizeof(Flonum), .scan = LULL_NO_POINTERS});
}

void out_of_memory(void) {
  fputs("scheme: out of memory\n", stderr);
  exit(70);
}

/* ---- Roots ---- */

static void trace_machine(const lull_frame* frame, lull_tracer* t) {
  const Machine* m = frame->slots;
  lull_trace_range(t, m->stack, (size_t)(m->top - m->stack));
  lull_trace_range(t, m->kept, m->kept_count);
  lull_trace_range(t, m->temporary, TEMPORARIES);
  lull_trace(t, &m->under);
  lull_trace(t, &m->winders);
  lull_trace(t, &m->handlers);
  lull_trace(t, &m->result);
  lull_trace(t, &m->irritant);
  lull_trace_range(t, m->argument, 2);
}

void start_machine(Machine* m) {
  memset(m, 0, sizeof *m);
  m->stack = m->top = malloc((STACK_WORDS + STACK_SLACK) * sizeof(Value));
  if (m->stack == NULL) out_of_memory();
  m->limit = m->stack + STACK_WORDS;
  m->winders = m->handlers = NIL;
  m->frame.trace = trace_machine;
  m->frame.slots = m;
  lull_push_frame(&m->frame);
}

void end_machine(Machine* m) {
  lull_pop_frame(&m->frame);
  free(m->stack);
  free(m->kept);
}

void keep(Machine* m, Value v) {
  if (m->kept_count == m->kept_room) {
    size_t room = m->kept_room * 2 + 256;
    Value* larger = realloc(m->kept, room * sizeof(Value));
    if (larger == NULL) out_of_memory();
    m->kept = larger;
    m->kept_room = room;
  }
  m->kept[m->kept_count++] = v;
}

void keep_from(Machine* m, size_t* mark) {
  *mark = m->keeping ? m->kept_count + 1 : 0;
  m->keeping = true;
}
void keep_until(Machine* m, size_t mark) {
  m->keeping = mark != 0;
  m->kept_count = mark == 0 ? 0 : mark - 1;
}
static Value kept(Machine* m, Value v) {
  if (m->keeping) keep(m, v);
  return v;
}

/* ---- Allocation ---- */

static void* or_out_of_memory(void* p) {
  if (p == NULL) out_of_memory();
  return p;
}

Value* new_words(size_t count) {
  if (count <= SMALL_WORDS) return or_out_of_memory(lull_new(&small_kind[(count + 1) / 2]));
  return or_out_of_memory(lull_new_bytes(&words_kind, count * sizeof(Value)));
}
void* new_bytes(size_t count) { return or_out_of_memory(lull_new_bytes(&bytes_kind, count)); }

Code* new_code(size_t instructions) { return or_out_of_memory(lull_new_bytes(&code_kind, sizeof(Code) + instructions * sizeof(Instruction))); }

Value cons(Machine* m, Value a, Value d) {
  m->argument[0] = a;
  m->argument[1] = d;
  Pair* p = or_out_of_memory(lull_new_sized(&pair_kind, sizeof(Pair)));
  initialize(&p->car, m->argument[0]); /* into the newest object: no barrier */
  initialize(&p->cdr, m->argument[1]);
  return kept(m, (Value)p + TAG_PAIR);
}

Value flonum(double d) {
  Flonum* f = or_out_of_memory(lull_new_sized(&flonum_kind, sizeof(Flonum)));
  f->number = d;
  return (Value)f + TAG_FLONUM;
}

/* `bytes` lies outside of the heap, or is NULL: spaces. */
Value make_string(Machine* m, const char* bytes, size_t length) {
  String* s = new_bytes(sizeof(String) + length + 1);
  s->length = length;
  if (bytes != NULL) memcpy(s->bytes, bytes, length);
  else memset(s->bytes, ' ', length);
  s->bytes[length] = 0;
  return kept(m, (Value)s + TAG_STRING);
}

Value make_vector(Machine* m, size_t length, Value fill) {
  m->argument[0] = fill;
  Vector* v = or_out_of_memory(lull_new_bytes(&vector_kind, sizeof(Vector) + length * sizeof(Value)));
  v->length = length;
  fill = m->argument[0];
  if (fill != 0)
    for (size_t i = 0; i < length; ++i) initialize(&v->items[i], fill);
  return kept(m, (Value)v + TAG_VECTOR);
}

Value make_object(Machine* m, ObjectType type, size_t slots) {
  Object* o = (Object*)new_words(slots + 1);
  initialize(&o->header, fixnum(type));
  return kept(m, (Value)o + TAG_OBJECT);
}

Value make_box(Machine* m, Value content) {
  m->argument[0] = content;
  Value box = make_object(m, OBJECT_BOX, 1);
  initialize(&OBJECT(box)->slot[0], m->argument[0]);
  return box;
}

/* ---- Symbols ----
   A table of all threads, in a root. Symbols live for ever. Under the lock nothing is allocated: a thread that waits for the lock reaches no
   safepoint, so its owner must not wait for one either. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static lull_root* table; /* a vector of lists, made by the first symbol, before there are other threads */
enum { BUCKETS = 4096 };

static size_t hash_of(const char* name, size_t length) {
  size_t h = 14695981039346656037u;
  for (size_t i = 0; i < length; ++i) h = (h ^ (unsigned char)name[i]) * 1099511628211u;
  return h ^ h >> 29;
}

static Value find_locked(const char* name, size_t length) {
  if (table == NULL) return 0;
  Value list = VECTOR((Value)lull_load(table))->items[hash_of(name, length) % BUCKETS];
  for (; list != NIL; list = cdr(list)) {
    String* s = STRING(SYMBOL(car(list))->name);
    if (s->length == length && memcmp(s->bytes, name, length) == 0) return car(list);
  }
  return 0;
}

Value intern_bytes(Machine* m, const char* name, size_t length) {
  pthread_mutex_lock(&lock);
  Value found = find_locked(name, length);
  pthread_mutex_unlock(&lock);
  if (found != 0) return found;
  if (table == NULL) {
    Value vector = make_vector(m, BUCKETS, NIL);
    table = or_out_of_memory(lull_root_new((void*)vector));
  }
  m->result = make_string(m, name, length);
  Symbol* symbol = (Symbol*)new_words(3);
  initialize(&symbol->value, UNBOUND);
  initialize(&symbol->name, m->result);
  initialize(&symbol->syntax, FALSE);
  m->result = cons(m, (Value)symbol + TAG_SYMBOL, NIL);
  pthread_mutex_lock(&lock);
  found = find_locked(name, length); /* meanwhile? */
  if (found == 0) {
    Value* place = &VECTOR((Value)lull_load(table))->items[hash_of(name, length) % BUCKETS];
    store(&PAIR(m->result)->cdr, *place);
    store(place, m->result);
    found = car(m->result);
  }
  pthread_mutex_unlock(&lock);
  return found;
}

Value intern(Machine* m, const char* name) { return intern_bytes(m, name, strlen(name)); }

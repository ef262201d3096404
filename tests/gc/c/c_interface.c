/* The C interface used from C: c_interface precise|conservative CASE. Exits with 1 and a line if something is not as lull_c.h says. */
#define _POSIX_C_SOURCE 200809L
#include <lull/lull_c.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
      exit(1);                                                                        \
    }                                                                                 \
  } while (0)

static int precise;

struct node {
  struct node* next;
  long value;
  void* other;
};
static lull_kind node_kind;

static void describe_nodes(void) {
  lull_kind_info info = {0};
  info.name = "node";
  info.bytes = sizeof(struct node);
  info.scan = LULL_BITMAP;
  info.pointer_bits = 1 | 4;
  CHECK(lull_kind_init(&node_kind, &info) == 0);
}

static struct node* make_node(struct node* next, long value) {
  struct node* n;
  LULL_FRAME(v, 1);
  v[0] = next;
  n = lull_new_sized(&node_kind, sizeof(struct node));
  CHECK(n != NULL && n->value == 0 && n->other == NULL);
  lull_initialize(&n->next, v[0]);
  n->value = value;
  LULL_END_FRAME(v);
  return n;
}

/* n, n - 1, ..., 1 */
static struct node* make_list(long n) {
  struct node* list;
  long i;
  LULL_FRAME(v, 1);
  for (i = 1; i <= n; ++i) v[0] = make_node(v[0], i);
  list = v[0];
  LULL_END_FRAME(v);
  return list;
}

static long length_of(struct node* list) {
  long length = 0;
  for (; list != NULL; list = lull_load(&list->next)) {
    if (list->next != NULL) CHECK(list->value == list->next->value + 1);
    ++length;
  }
  return length;
}

/* Overwrites what calls have left on the stack, for the conservative mode. */
static __attribute__((__noinline__)) void clear_stack(void) {
  volatile char dirt[16384];
  size_t i;
  for (i = 0; i < sizeof dirt; ++i) dirt[i] = 0;
}

static void collect(void) {
  clear_stack();
  lull_collect();
}

static uint64_t objects_of(const char* name);

static void allocation(void) {
  int i;
  struct node* n;
  for (i = 0; i < 100000; ++i) {
    n = lull_new(&node_kind);
    CHECK(n != NULL && ((uintptr_t)n & 15) == 0 && n->next == NULL && n->value == 0 && n->other == NULL);
    n->value = i;
  }
  CHECK(lull_kind_of(n) == &node_kind && lull_kind_of((char*)n + 9) == &node_kind && lull_object_of(&n->value) == n);
  CHECK(lull_bytes_of(n) == 32 && lull_kind_of(&i) == NULL && lull_object_of(NULL) == NULL);
  CHECK(strcmp(lull_kind_name(lull_kind_of(n)), "node") == 0);
}

static void bitmaps(void) {
  struct node* a;
  LULL_FRAME(v, 1);
  v[0] = make_node(NULL, 1);
  a = v[0];
  {
    void* other = make_list(10);
    a = v[0];
    lull_store(&a->other, other);
  }
  /* Word 1 is no reference: what it names does not live. */
  a->value = (long)(uintptr_t)make_node(NULL, 77);
  collect();
  a = v[0];
  CHECK(length_of(a->other) == 10);
  CHECK(objects_of("node") == 11 || !precise);
  LULL_END_FRAME(v);
}

struct vector {
  size_t length;
  struct pair {
    void* first;
    long second;
  } pairs[];
};
static lull_kind vector_kind, string_kind;
static size_t size_of_vector(const void* object) {
  return sizeof(struct vector) + __atomic_load_n(&((const struct vector*)object)->length, __ATOMIC_RELAXED) * sizeof(struct pair);
}
static void describe_vectors(void) {
  lull_kind_info info = {0};
  info.name = "vector";
  info.bytes = sizeof(struct vector);
  info.variable = 1;
  info.scan = LULL_BITMAP;
  info.tail_bytes = sizeof(struct pair);
  info.tail_bits = 1;
  info.size = size_of_vector;
  CHECK(lull_kind_init(&vector_kind, &info) == 0);
  memset(&info, 0, sizeof info);
  info.name = "string";
  info.variable = 1;
  info.scan = LULL_NO_POINTERS;
  CHECK(lull_kind_init(&string_kind, &info) == 0);
}

static struct vector* make_vector(size_t length) {
  struct vector* vector = lull_new_bytes(&vector_kind, sizeof(struct vector) + length * sizeof(struct pair));
  CHECK(vector != NULL && vector->length == 0);
  __atomic_store_n(&vector->length, length, __ATOMIC_RELAXED);
  return vector;
}

static void fill_and_check(size_t length) {
  struct vector* vector;
  size_t i;
  LULL_FRAME(v, 1);
  v[0] = make_vector(length);
  for (i = 0; i < length; ++i) {
    struct node* n = make_node(NULL, (long)i);
    vector = v[0];
    lull_store(&vector->pairs[i].first, n);
    vector->pairs[i].second = -1;
  }
  collect();
  lull_collect_young();
  vector = v[0];
  for (i = 0; i < length; ++i) CHECK(((struct node*)lull_load(&vector->pairs[i].first))->value == (long)i && vector->pairs[i].second == -1);
  if (precise) CHECK(objects_of("node") == length);
  CHECK(lull_kind_of(vector) == &vector_kind && lull_bytes_of(vector) >= size_of_vector(vector));
  LULL_END_FRAME(v);
}

static void tails(void) {
  char* text;
  fill_and_check(0);
  fill_and_check(1);
  fill_and_check(100);
  fill_and_check(3000); /* larger than any slot: a span of its own, scanned in parts */
  text = lull_new_bytes(&string_kind, 5);
  CHECK(text != NULL);
  memcpy(text, "text", 5);
  CHECK(lull_bytes_of(text) >= 5 && strcmp(text, "text") == 0);
}

struct traced {
  int has_link; /* says whether `u` is a reference */
  union {
    void* link;
    uintptr_t bits;
  } u;
};
static void trace_traced(const void* object, lull_tracer* t) {
  const struct traced* o = object;
  if (o->has_link) lull_trace(t, &o->u.link);
}
static lull_kind traced_kind;

static void trace_functions(void) {
  lull_kind_info info = {0};
  struct traced* o;
  LULL_FRAME(v, 2);
  info.name = "traced";
  info.bytes = sizeof(struct traced);
  info.scan = LULL_TRACE;
  info.trace = trace_traced;
  CHECK(lull_kind_init(&traced_kind, &info) == 0);
  v[0] = lull_new(&traced_kind);
  v[1] = lull_new(&traced_kind);
  {
    struct node* list = make_list(5);
    o = v[0];
    lull_store(&o->u.link, list);
    o->has_link = 1;
    list = make_list(7);
    o = v[1];
    o->u.bits = (uintptr_t)list; /* an integer */
  }
  collect();
  o = v[0];
  CHECK(length_of(o->u.link) == 5);
  if (precise) CHECK(objects_of("node") == 5);
  LULL_END_FRAME(v);
}

static void large_objects(void) {
  fill_and_check(40000);
  CHECK(lull_new_bytes(&vector_kind, (size_t)1 << 50) == NULL);
}

static void barriers(void) {
  void* expected;
  struct node *a, *b;
  LULL_FRAME(v, 2);
  v[0] = make_list(3);
  v[1] = make_list(4);
  collect();
  a = v[0];
  b = v[1];
  CHECK(lull_exchange(&a->other, b) == NULL && lull_load(&a->other) == b);
  expected = a;
  CHECK(!lull_compare_exchange(&a->other, &expected, NULL) && expected == b);
  CHECK(lull_compare_exchange(&a->other, &expected, a) && a->other == a);
  /* An old object refers to a young one: the card tells the young cycle. */
  {
    struct node* young = make_list(6);
    a = v[0];
    lull_store(&a->other, young);
  }
  clear_stack();
  lull_collect_young();
  a = v[0];
  CHECK(length_of(a->other) == 6);
  {
    struct node* young = make_list(8);
    a = v[0];
    lull_exchange(&a->other, young);
  }
  clear_stack();
  lull_collect_young();
  a = v[0];
  CHECK(length_of(a->other) == 8);
  LULL_END_FRAME(v);
}

static lull_kind slots_kind;
static void copies(void) {
  void** s;
  size_t i;
  lull_kind_info info = {0};
  LULL_FRAME(v, 2);
  info.name = "slots";
  info.variable = 1;
  info.scan = LULL_BITMAP;
  info.tail_bytes = sizeof(void*);
  info.tail_bits = 1;
  CHECK(lull_kind_init(&slots_kind, &info) == 0);
  v[0] = lull_new_bytes(&slots_kind, 200 * sizeof(void*));
  v[1] = lull_new_bytes(&slots_kind, 200 * sizeof(void*));
  collect(); /* both are old now */
  for (i = 0; i < 100; ++i) {
    struct node* n = make_node(NULL, (long)i);
    lull_store((void**)v[0] + i, n);
  }
  lull_copy((void**)v[1] + 50, v[0], 100);
  lull_fill(v[0], 200, NULL);
  lull_copy((void**)v[1] + 51, (void**)v[1] + 50, 100); /* overlapping, upwards */
  lull_copy((void**)v[1] + 10, (void**)v[1] + 51, 100); /* and downwards */
  clear_stack();
  lull_collect_young();
  s = v[1];
  for (i = 0; i < 100; ++i) CHECK(((struct node*)s[10 + i])->value == (long)i);
  if (precise) CHECK(objects_of("node") == 100);
  lull_fill(v[1], 200, make_node(NULL, 5));
  clear_stack();
  lull_collect_young();
  s = v[1];
  for (i = 0; i < 200; ++i) CHECK(((struct node*)s[i])->value == 5);
  LULL_END_FRAME(v);
}

static void trace_stack(const lull_frame* frame, lull_tracer* t) { lull_trace_range(t, frame->slots, frame->count); }

static long deep(int n, struct node* list) {
  long result;
  LULL_FRAME(v, 2);
  v[0] = list;
  v[1] = n > 0 ? (void*)make_list(3) : NULL;
  if (n == 0) collect();
  result = n == 0 ? length_of(v[0]) : deep(n - 1, v[0]);
  if (n > 0) CHECK(length_of(v[1]) == 3);
  LULL_END_FRAME(v);
  return result;
}

static void frames(void) {
  void* stack[600];
  lull_frame frame = {0};
  lull_frame* before;
  size_t i;
  CHECK(lull_frames() == NULL);
  CHECK(deep(100, make_list(50)) == 50);
  memset(stack, 0, sizeof stack);
  frame.trace = trace_stack;
  frame.slots = stack;
  before = lull_frames();
  lull_push_frame(&frame);
  for (i = 0; i < 600; ++i) {
    stack[i] = make_list(2);
    frame.count = i + 1;
  }
  collect();
  for (i = 0; i < 600; ++i) CHECK(length_of(stack[i]) == 2);
  if (precise) CHECK(objects_of("node") == 1200);
  frame.count = 300; /* what lies behind it is no root */
  collect();
  for (i = 0; i < 300; ++i) CHECK(length_of(stack[i]) == 2);
  if (precise) CHECK(objects_of("node") == 600);
  lull_unwind_frames(before);
  CHECK(lull_frames() == before);
}

static void roots(void) {
  lull_root* root = lull_root_new(NULL);
  CHECK(root != NULL && lull_load(root) == NULL);
  lull_store(root, make_list(9));
  collect();
  CHECK(length_of(lull_load(root)) == 9);
  lull_root_free(root);
  lull_root_free(NULL);
  collect();
  if (precise) CHECK(objects_of("node") == 0);
}

static void* globals[4];
static void trace_globals(void* data, lull_tracer* t) { lull_trace_range(t, data, 4); }

static void root_functions(void) {
  int i;
  CHECK(lull_add_roots(trace_globals, globals) == 0);
  for (i = 0; i < 4; ++i) lull_store(&globals[i], make_list(i + 1));
  collect();
  lull_collect_young();
  for (i = 0; i < 4; ++i) CHECK(length_of(globals[i]) == i + 1);
  lull_remove_roots(trace_globals, globals);
  memset(globals, 0, sizeof globals);
  collect();
  if (precise) CHECK(objects_of("node") == 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int stage;
static void set_stage(int to) {
  pthread_mutex_lock(&mutex);
  stage = to;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}
static void wait_for_stage(int wanted) {
  lull_enter_native();
  pthread_mutex_lock(&mutex);
  while (stage < wanted) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  lull_leave_native();
}

static void* sleeper(void* unused) {
  LULL_FRAME(v, 1);
  v[0] = make_list(20);
  set_stage(1);
  wait_for_stage(2); /* the collector looks at the frame for this thread meanwhile */
  CHECK(length_of(v[0]) == 20);
  LULL_END_FRAME(v);
  return unused;
}

static void native_regions(void) {
  pthread_t thread;
  int i;
  CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
  wait_for_stage(1);
  for (i = 0; i < 3; ++i) collect();
  set_stage(2);
  lull_enter_native();
  lull_enter_native(); /* nests */
  pthread_join(thread, NULL);
  lull_leave_native();
  lull_leave_native();
  collect();
  if (precise) CHECK(objects_of("node") == 0);
}

static int stop_polling;
static void* poller(void* unused) {
  LULL_FRAME(v, 1);
  v[0] = make_list(20);
  set_stage(1);
  while (!__atomic_load_n(&stop_polling, __ATOMIC_ACQUIRE)) lull_poll();
  CHECK(length_of(v[0]) == 20);
  LULL_END_FRAME(v);
  return unused;
}

static void polls(void) {
  pthread_t thread;
  int i;
  CHECK(pthread_create(&thread, NULL, poller, NULL) == 0);
  wait_for_stage(1);
  for (i = 0; i < 3; ++i) collect(); /* would hang if lull_poll did not answer */
  __atomic_store_n(&stop_polling, 1, __ATOMIC_RELEASE);
  lull_enter_native();
  pthread_join(thread, NULL);
  lull_leave_native();
}

/* In a function of its own, so that the addresses are in no frame of the caller's. */
static __attribute__((__noinline__)) lull_weak* make_weak(void) {
  lull_weak* w;
  LULL_FRAME(v, 1);
  v[0] = make_node(NULL, 3);
  w = lull_weak_new(v[0]);
  LULL_END_FRAME(v);
  return w;
}

static void weak_references(void) {
  LULL_FRAME(v, 4);
  v[0] = make_node(NULL, 4);
  v[1] = lull_weak_new(v[0]);
  v[2] = make_weak();
  CHECK(lull_weak_get(v[1]) == v[0]);
  collect();
  CHECK(lull_weak_get(v[1]) == v[0] && ((struct node*)v[0])->value == 4);
  if (precise) CHECK(lull_weak_get(v[2]) == NULL);
  v[0] = NULL;
  collect();
  if (precise) CHECK(lull_weak_get(v[1]) == NULL);
  LULL_END_FRAME(v);
}

static void count_entry(void* key, void* value, void* data) {
  CHECK(((struct node*)key)->value == ((struct node*)value)->value);
  ++*(int*)data;
}

static void ephemerons(void) {
  void* value = NULL;
  int i, count = 0;
  LULL_FRAME(v, 4);
  v[0] = lull_ephemerons_new();
  CHECK(v[0] != NULL && lull_ephemerons_set(v[0], NULL, v[0]) == -1);
  for (i = 0; i < 1000; ++i) {
    v[1] = make_node(i % 2 == 0 ? v[3] : NULL, i);
    if (i % 2 == 0) v[3] = v[1]; /* every other key lives */
    v[2] = make_node(v[1], i);   /* the value leads to the key */
    CHECK(lull_ephemerons_set(v[0], v[1], v[2]) == 0);
  }
  v[1] = v[2] = NULL;
  collect();
  for (v[1] = v[3], i = 998; v[1] != NULL; v[1] = ((struct node*)v[1])->next, i -= 2) {
    CHECK(lull_ephemerons_get(v[0], v[1], &value));
    CHECK(((struct node*)value)->value == i && ((struct node*)value)->next == v[1]);
  }
  lull_ephemerons_each(v[0], count_entry, &count);
  CHECK(count >= 500 && (count == 500 || !precise));
  CHECK(lull_ephemerons_count(v[0]) >= 500);
  v[1] = make_node(NULL, 1);
  CHECK(lull_ephemerons_set(v[0], v[3], v[1]) == 0 && lull_ephemerons_get(v[0], v[3], &value) && value == v[1]);
  CHECK(lull_ephemerons_remove(v[0], v[3]) && !lull_ephemerons_remove(v[0], v[3]) && !lull_ephemerons_get(v[0], v[3], &value));
  LULL_END_FRAME(v);
}

static int finalized, sum;
static void finalize_node(void* object) {
  struct node* n = object;
  __atomic_fetch_add(&sum, (int)((struct node*)n->next)->value, __ATOMIC_RELAXED); /* what it refers to is there */
  __atomic_fetch_add(&finalized, 1, __ATOMIC_RELAXED);
  make_list(100); /* may allocate */
}
static lull_kind finalized_kind;
static __attribute__((__noinline__)) void make_finalized(int n) {
  int i;
  LULL_FRAME(v, 2);
  for (i = 0; i < n; ++i) {
    v[1] = make_node(NULL, 2);
    v[0] = lull_new(&finalized_kind);
    lull_initialize(&((struct node*)v[0])->next, v[1]);
    lull_enable_finalizer(v[0]);
  }
  v[0] = lull_new(&finalized_kind); /* not enabled */
  LULL_END_FRAME(v);
}

static void finalizers(void) {
  lull_kind_info info = {0};
  info.name = "finalized";
  info.bytes = sizeof(struct node);
  info.scan = LULL_BITMAP;
  info.pointer_bits = 1 | 4;
  info.finalize = finalize_node;
  CHECK(lull_kind_init(&finalized_kind, &info) == 0);
  make_finalized(50);
  collect();
  lull_run_finalizers();
  lull_wait_for_finalizers();
  CHECK(precise ? finalized == 50 && sum == 100 : finalized >= 45 && sum == 2 * finalized);
}

static void note_gone(void* data) { __atomic_fetch_add((int*)data, 1, __ATOMIC_RELAXED); }
static int gone, cancelled;
static __attribute__((__noinline__)) void register_cleanups(void) {
  LULL_FRAME(v, 1);
  v[0] = make_node(NULL, 1);
  CHECK(lull_on_unreachable(v[0], note_gone, &gone) != NULL);
  CHECK(lull_cancel_cleanup(lull_on_unreachable(v[0], note_gone, &cancelled)));
  LULL_END_FRAME(v);
}
static void cleanups(void) {
  register_cleanups();
  collect();
  collect();
  lull_run_finalizers();
  lull_wait_for_finalizers();
  CHECK(gone == 1 || !precise);
  CHECK(cancelled == 0);
}

struct count {
  const char* name;
  uint64_t objects, bytes;
};
static void count_object(void* object, const lull_kind* kind, size_t bytes, void* data) {
  struct count* c = data;
  if (strcmp(lull_kind_name(kind), c->name) != 0) return;
  CHECK(object != NULL);
  ++c->objects;
  c->bytes += bytes;
}
static uint64_t objects_of(const char* name) {
  struct count c;
  memset(&c, 0, sizeof c);
  c.name = name;
  lull_walk_heap(count_object, &c);
  return c.objects;
}

static void heap_walk(void) {
  struct count c = {"vector", 0, 0};
  LULL_FRAME(v, 2);
  v[0] = make_list(1000);
  v[1] = make_vector(10);
  lull_walk_heap(count_object, &c);
  CHECK(c.objects == 1 && c.bytes == size_of_vector(v[1]));
  CHECK(precise ? objects_of("node") == 1000 : objects_of("node") >= 1000);
  CHECK(length_of(v[0]) == 1000);
  LULL_END_FRAME(v);
}

static int seen_events[5], order_broken;
static lull_event last_event;
static void on_event(const lull_event* event, void* data) {
  if (event->type != LULL_CYCLE_BEGINS && (event->type != last_event.type + 1 || event->cycle != last_event.cycle)) order_broken = 1;
  if (event->time_ns < last_event.time_ns || data != seen_events) order_broken = 1;
  last_event = *event;
  ++seen_events[event->type];
}
static void goals(void) {
  CHECK(lull_set_min_heap((uint64_t)64 << 20) == (uint64_t)4 << 20);
  for (int i = 0; i < 1000000; ++i) CHECK(lull_new(&node_kind) != NULL);
  lull_stats stats;
  lull_read_stats(&stats);
  CHECK(stats.cycles == 0);
  CHECK(lull_set_min_heap((uint64_t)4 << 20) == (uint64_t)64 << 20);
}

static void events(void) {
  lull_set_gc_percent(-1);
  lull_set_event_function(on_event, seen_events);
  lull_collect();
  lull_collect();
  lull_set_event_function(NULL, NULL);
  lull_collect();
  CHECK(!order_broken && seen_events[LULL_CYCLE_BEGINS] == 2 && seen_events[LULL_CYCLE_ENDS] == 2 && !last_event.young);
}

static int asked;
static int refuse(size_t bytes, void* data) {
  CHECK(bytes > 1000000 && data == &asked);
  return ++asked < 3;
}
static void out_of_memory(void) {
  void* block = NULL;
  size_t mib;
  lull_set_out_of_memory(refuse, &asked);
  /* The largest object there is room for is somewhere between the two. */
  for (mib = (size_t)1 << 20; mib < (size_t)1 << 26; mib *= 2)
    if ((block = lull_new_bytes(&string_kind, mib << 20)) == NULL) break;
  CHECK(block == NULL && asked == 3);
  lull_set_out_of_memory(NULL, NULL);
  CHECK(make_node(NULL, 1) != NULL);
}

static void statistics(void) {
  lull_stats before, after;
  int i;
  const uint64_t limit = lull_set_memory_limit((uint64_t)1 << 40);
  CHECK(lull_set_memory_limit(limit) == (uint64_t)1 << 40);
  lull_read_stats(&before);
  for (i = 0; i < 10000; ++i) make_node(NULL, i);
  lull_collect();
  lull_read_stats(&after);
  CHECK(after.total_objects - before.total_objects >= 10000 && after.total_bytes - before.total_bytes >= 320000);
  CHECK(after.cycles > before.cycles && after.threads == 1);
  CHECK(after.pause_p50_ns <= after.pause_p99_ns && after.pause_p99_ns <= after.pause_max_ns && after.mapped_bytes > after.heap_bytes);
}

enum { kThreads = 4, kRounds = 300 };
static void* shared; /* a root function's */
static void trace_shared(void* data, lull_tracer* t) { lull_trace(t, data); }
static void* worker(void* unused) {
  int i;
  LULL_FRAME(v, 2);
  for (i = 0; i < kRounds; ++i) {
    v[0] = make_list(30);
    v[1] = lull_exchange(&shared, v[0]); /* lists wander between the threads */
    if (v[1] != NULL) CHECK(length_of(v[1]) == 30);
    if (i % 100 == 0) lull_collect_young();
    lull_poll();
  }
  LULL_END_FRAME(v);
  lull_detach_thread();
  lull_attach_thread();
  make_list(10);
  return unused;
}
static void threads(void) {
  pthread_t thread[kThreads];
  int i;
  CHECK(lull_add_roots(trace_shared, &shared) == 0);
  for (i = 0; i < kThreads; ++i) CHECK(pthread_create(&thread[i], NULL, worker, NULL) == 0);
  lull_enter_native();
  for (i = 0; i < kThreads; ++i) pthread_join(thread[i], NULL);
  lull_leave_native();
  CHECK(length_of(lull_load(&shared)) == 30);
}

static void kind_errors(void) {
  static lull_kind kind;
  lull_kind_info info = {0};
  info.bytes = 8;
  info.scan = LULL_TRACE;
  CHECK(lull_kind_init(&kind, &info) == -1); /* no trace function */
  info.scan = LULL_BITMAP;
  info.tail_bytes = 8;
  CHECK(lull_kind_init(&kind, &info) == -1); /* a tail of nothing variable */
  info.variable = 1;
  info.tail_bytes = 12;
  CHECK(lull_kind_init(&kind, &info) == -1); /* not whole words */
  info.tail_bytes = 0;
  info.variable = 0;
  info.bytes = 0;
  CHECK(lull_kind_init(&kind, &info) == -1); /* nothing */
  info.bytes = 100000;
  CHECK(lull_kind_init(&kind, &info) == 0);
  CHECK(lull_bytes_of(lull_new(&kind)) >= 100000);
  CHECK(lull_use_precise_roots() == (precise ? 0 : -1)); /* too late to change one's mind */
}

/* Stacks that are objects, roots only while a thread runs on them: docs/embedding.md, "Coroutines that nobody resumes". */
enum { kStacks = 20, kStackSlots = 30 };
static void run_on(void** stack, void** pocket, int turn) {
  lull_frame running = {NULL, NULL, kStackSlots, NULL};
  void* const given = *pocket;
  int i;
  running.slots = stack;
  lull_push_frame(&running);
  lull_copy(stack, stack, kStackSlots);
  *pocket = stack[turn % kStackSlots];
  lull_initialize(&stack[turn % kStackSlots], given);
  for (i = 0; i < kStackSlots; ++i) {
    void* moved = stack[(i + turn) % kStackSlots];
    if (moved != NULL) CHECK(length_of(moved) == 6);
    lull_initialize(&stack[i], moved); /* as variables are written: no barrier */
    if (i % 7 == turn % 7) {
      void* list = make_list(6);
      lull_initialize(&stack[i], list);
    }
  }
  lull_copy(stack, stack, kStackSlots);
  lull_pop_frame(&running);
}
static void stacks_that_are_objects(void) {
  static lull_kind stack_kind;
  lull_kind_info info = {0};
  int turn;
  LULL_FRAME(v, kStacks + 1); /* and what wanders from one to the other */
  info.name = "stack";
  info.variable = 1;
  info.scan = LULL_BITMAP;
  info.tail_bytes = sizeof(void*);
  info.tail_bits = 1;
  CHECK(lull_kind_init(&stack_kind, &info) == 0);
  for (turn = 0; turn < 3000; ++turn) {
    void** at = &v[turn % 7 * turn % kStacks];
    if (*at == NULL || turn % 50 == 0) *at = lull_new_bytes(&stack_kind, kStackSlots * sizeof(void*));
    CHECK(*at != NULL);
    run_on(*at, &v[kStacks], turn);
    if (v[kStacks] != NULL) CHECK(length_of(v[kStacks]) == 6);
    if (turn % 100 == 0) lull_collect_young();
  }
  LULL_END_FRAME(v);
}

/* A runtime that makes a kind for each type of its programs ended with "too many types" when a program had 8191. */
static void many_kinds(void) {
  enum { kMany = 9000 };
  static lull_kind kinds[kMany];
  static char text[] = "record";
  lull_kind_info info = {0};
  int i, n;
  LULL_FRAME(v, 3);
  v[1] = make_node(NULL, 0);
  info.name = text;
  info.scan = LULL_BITMAP;
  info.pointer_bits = 1;
  for (n = 0; n < kMany; ++n) {
    info.bytes = 8 + (size_t)(n % 10) * 16;
    CHECK(lull_kind_init(&kinds[n], &info) == 0);
    if ((v[0] = lull_new(&kinds[n])) == NULL) break;
  }
  CHECK(n >= 7000 && n < kMany && lull_new(&kinds[n]) == NULL);
  for (i = 0; i < n; i += 100) CHECK(lull_new(&kinds[i]) != NULL);
  /* What is lull's own is there as ever, also if it comes in many sizes. */
  v[0] = lull_ephemerons_new();
  CHECK(v[0] != NULL && lull_ephemerons_set((lull_ephemerons*)v[0], v[1], v[1]) == 0);
  for (i = 1; i < 3000; ++i) {
    v[1] = make_node(v[1], i);
    CHECK(lull_ephemerons_set((lull_ephemerons*)v[0], v[1], v[1]) == 0);
  }
  v[2] = lull_weak_new(v[1]);
  CHECK(v[2] != NULL && lull_on_unreachable(v[1], note_gone, NULL) != NULL);
  lull_collect();
  CHECK(length_of(v[1]) == 3000 && lull_ephemerons_count((lull_ephemerons*)v[0]) == 3000);
  LULL_END_FRAME(v);
}

static const struct {
  const char* name;
  void (*run)(void);
} cases[] = {
#define CASE(name) {#name, name}
    CASE(allocation), CASE(bitmaps), CASE(tails), CASE(trace_functions), CASE(large_objects), CASE(barriers), CASE(copies), CASE(frames),
    CASE(roots), CASE(root_functions), CASE(native_regions), CASE(polls), CASE(weak_references), CASE(ephemerons), CASE(finalizers),
    CASE(cleanups), CASE(heap_walk), CASE(goals), CASE(events), CASE(out_of_memory), CASE(statistics), CASE(threads), CASE(kind_errors),
    CASE(stacks_that_are_objects), CASE(many_kinds),
};

int main(int argc, char** argv) {
  size_t i;
  if (argc != 3) return 2;
  precise = strcmp(argv[1], "precise") == 0;
  if (precise) CHECK(lull_use_precise_roots() == 0);
  lull_attach_thread();
  describe_nodes();
  describe_vectors();
  for (i = 0; i < sizeof cases / sizeof *cases; ++i)
    if (strcmp(argv[2], cases[i].name) == 0) {
      cases[i].run();
      return 0;
    }
  fprintf(stderr, "no case %s\n", argv[2]);
  return 2;
}

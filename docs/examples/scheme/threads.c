/* Threads: each has a machine of its own, all share the heap. Whatever may block does so in a native region. */
#include <pthread.h>
#include <stdlib.h>

#include "scheme.h"

#define PRIMITIVE(name) static Value name(Machine* m, Value* a, int n)
#define UNUSED (void)m, (void)a, (void)n

/* A thread object: its procedure, later its result; a Control in malloc memory, as an integer. */
enum { RESULT, CONTROL };
typedef struct Control {
  pthread_t thread;
  lull_root* object; /* of the thread object, while it runs */
  bool started, joined;
} Control;

static Control* control_of(Value thread) { return (Control*)integer_of(OBJECT(thread)->slot[CONTROL]); }

static void* thread_main(void* argument) {
  Control* control = argument;
  Machine machine;
  lull_attach_thread();
  start_machine(&machine);
  const Value procedure = OBJECT((Value)lull_load(control->object))->slot[RESULT];
  const Value result = run(&machine, procedure);
  store(&OBJECT((Value)lull_load(control->object))->slot[RESULT], result);
  end_machine(&machine);
  return NULL;
}

PRIMITIVE(p_make_thread) {
  (void)n;
  const Value t = make_object(m, OBJECT_THREAD, 2);
  Control* control = calloc(1, sizeof *control);
  if (control == NULL) out_of_memory();
  initialize(&OBJECT(t)->slot[RESULT], a[0]);
  initialize(&OBJECT(t)->slot[CONTROL], fixnum((intptr_t)control));
  return t;
}
#define WANT_THREAD(v) \
  if (!is_object(v, OBJECT_THREAD)) return (void)n, fail(m, "not a thread", v)
PRIMITIVE(p_thread_start) {
  WANT_THREAD(a[0]);
  Control* control = control_of(a[0]);
  control->object = lull_root_new((void*)a[0]);
  control->started = true;
  if (control->object == NULL || pthread_create(&control->thread, NULL, thread_main, control) != 0) return fail(m, "cannot start a thread", a[0]);
  return a[0];
}
PRIMITIVE(p_thread_join) {
  WANT_THREAD(a[0]);
  Control* control = control_of(a[0]);
  if (!control->started) return fail(m, "the thread was not started", a[0]);
  if (!control->joined) {
    lull_enter_native();
    pthread_join(control->thread, NULL);
    lull_leave_native();
    control->joined = true;
    lull_root_free(control->object);
  }
  return OBJECT(a[0])->slot[RESULT];
}

/* A mutex lives for ever, in malloc memory. */
PRIMITIVE(p_make_mutex) {
  UNUSED;
  pthread_mutex_t* mutex = malloc(sizeof *mutex);
  if (mutex == NULL || pthread_mutex_init(mutex, NULL) != 0) out_of_memory();
  const Value v = make_object(m, OBJECT_MUTEX, 1);
  initialize(&OBJECT(v)->slot[0], fixnum((intptr_t)mutex));
  return v;
}
#define WANT_MUTEX(v) \
  if (!is_object(v, OBJECT_MUTEX)) return (void)n, fail(m, "not a mutex", v)
PRIMITIVE(p_mutex_lock) {
  WANT_MUTEX(a[0]);
  pthread_mutex_t* mutex = (pthread_mutex_t*)integer_of(OBJECT(a[0])->slot[0]);
  if (pthread_mutex_trylock(mutex) == 0) return TRUE;
  lull_enter_native();
  pthread_mutex_lock(mutex);
  lull_leave_native();
  return TRUE;
}
PRIMITIVE(p_mutex_unlock) {
  WANT_MUTEX(a[0]);
  pthread_mutex_unlock((pthread_mutex_t*)integer_of(OBJECT(a[0])->slot[0]));
  return TRUE;
}

void define_threads(Machine* m) {
  static const struct { const char* name; Primitive f; int least, most; } all[] = {
      {"make-thread", p_make_thread, 1, 2}, {"thread-start!", p_thread_start, 1, 1}, {"thread-join!", p_thread_join, 1, 1},
      {"make-mutex", p_make_mutex, 0, 1}, {"mutex-lock!", p_mutex_lock, 1, 1}, {"mutex-unlock!", p_mutex_unlock, 1, 1}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) define(m, all[i].name, all[i].f, all[i].least, all[i].most);
}

/* lull for C, and for language runtimes in any language: kinds of objects, allocation, write barriers, roots, threads, weak
   references, finalizers, heap walks. C11 and C++. docs/embedding.md leads through it with a Scheme as the example.

   Words used below. A *reference* is a word that points into an object, at any offset (low tag bits are fine), or anywhere
   else (then it is ignored): integers may share words with references. *Managed memory* is what lull_new returns.
   A *safepoint* is a call during which the collector may look at the calling thread's roots.

   Two ways to find what a thread's stack refers to:
     conservative (the default)  every word of the stack and the registers counts. Any instruction may be a safepoint.
     precise                     lull_use_precise_roots(). Frames and root functions alone count. Safepoints are the calls marked
                                 SAFEPOINT below and nothing else: between two of them references may be in any variable;
                                 over them only what frames and root functions lead to survives. A thread that reaches no safepoint
                                 holds up the collector (nobody else): it polls, or enters a native region.

   Unless it says otherwise a function attaches the calling thread, may be called from every thread at any time, fails by
   returning NULL or -1 with nothing changed, and never raises a signal or an exception. Objects never move: addresses are
   stable as long as the object lives, so hashing by address and pinning need no support. Misuse that is noticed stops the
   process with one line on standard error. */
#ifndef LULL_C_H
#define LULL_C_H

#include "lull/detail/fast_c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Start ---- */

/* Stacks and registers are not looked at from now on. Before any thread has attached; -1: too late. Not to be mixed with the C++
   interface, whose ptr variables are found on stacks only. Threads are never interrupted by signals then. */
int lull_use_precise_roots(void);

/* ---- Kinds: what the collector knows of a type ---- */

typedef struct lull_tracer lull_tracer;

/* Memory of a kind: static, or never freed. Filled by lull_kind_init. */
typedef struct lull_kind {
  uint32_t slot_offset_, awaited_cycle_, bytes_, opaque_;
  uint64_t more_[62];
} lull_kind;

enum lull_scan {
  LULL_NO_POINTERS,  /* never scanned, not zeroed by allocation */
  LULL_BITMAP,       /* pointer_bits and tail_bits say which words are references */
  LULL_TRACE,        /* trace() names them */
  LULL_CONSERVATIVE  /* every aligned word counts: untyped memory */
};

typedef struct lull_kind_info {
  const char* name;  /* static; for messages and heap walks */
  size_t bytes;      /* of an object; of a kind with `variable` set: of the part every object has */
  enum lull_scan scan;
  int variable;      /* objects have different sizes: lull_new_bytes allocates them */
  /* LULL_BITMAP. Bit i: word i of the object is a reference (the first 64 words; the rest are none). `tail_bytes` > 0: behind
     `bytes` follow elements of so many bytes (a multiple of 8, at most 512), bit i of tail_bits: word i of each. */
  uint64_t pointer_bits, tail_bits;
  size_t tail_bytes;
  /* Bytes of the object in use, for kinds with `variable` set; NULL: all it was allocated with. Called by the collector at any time,
     also on an object that is all zero still. Must not grow while references beyond the old end are not written. */
  size_t (*size)(const void* object);
  /* LULL_TRACE: passes every reference to lull_trace. Runs on the collector's threads while the program goes on, and may meet
     an object that is all zero: takes no lock, allocates nothing, follows no reference. `trace_part` (optional): at least
     those in bytes [from, to) of the object; large objects are scanned in such parts, so that nobody waits for one. */
  void (*trace)(const void* object, lull_tracer* t);
  void (*trace_part)(const void* object, size_t from, size_t to, lull_tracer* t);
  /* Runs once, some time after the object has become unreachable, if lull_enable_finalizer was called for it: on lull's finalizer
     thread, or in lull_run_finalizers. What the object refers to is still there, but if that went in the same cycle its finalizer may have run: those
     of one cycle run in no order. (What others may need that long, such as memory of malloc's, lull_on_unreachable frees.) The object goes afterwards:
     whoever stores a reference to it somewhere reachable keeps it, without a finalizer. It returns: no longjmp, no exception. */
  void (*finalize)(void* object);
} lull_kind_info;

/* 0; -1: the description makes no sense (nothing was written). Once for a kind, before other threads use it. A process has room for some 7900 kinds and sizes (a
   kind of objects up to 32 KiB: one; with `variable` set: one for each size class in use, of 72). What finds no room gets no memory: lull_new returns NULL. */
int lull_kind_init(lull_kind* kind, const lull_kind_info* info);
const char* lull_kind_name(const lull_kind* kind);

/* One reference, in trace functions and root functions. The slot must be aligned. */
static inline void lull_trace(lull_tracer* t, const void* slot) {
  /* acquire: pairs with the release of the barriers, so that the object's contents are visible */
  const uintptr_t word = __atomic_load_n((const lull_word_*)slot, __ATOMIC_ACQUIRE);
  if (__builtin_expect(t->slots_seen != NULL, 0)) lull_note_slot_(t, slot);
  *t->next++ = word;
  if (__builtin_expect(t->next == t->end, 0)) t->flush(t);
}
static inline void lull_trace_range(lull_tracer* t, const void* slots, size_t count) {
  const lull_word_* at = (const lull_word_*)slots;
  for (; count != 0; --count) lull_trace(t, at++);
}

/* ---- Allocation ---- */

/* An object of a kind without `variable`, aligned to 16 bytes, all zero (LULL_NO_POINTERS: undefined contents). NULL: memory is out, also
   after collections and the out-of-memory function. SAFEPOINT, before the object exists: it needs no root until the next
   one. May assist the marker. No call, no lock and no atomic read-modify-write as a rule. NULL too for a kind that lull_kind_init has
   not filled. */
static inline __attribute__((__always_inline__)) void* lull_new(lull_kind* kind) { return lull_bump_(kind, &kind->slot_offset_, kind->bytes_); }
/* The same where the compiler knows the size: `bytes` must be what the kind was described with. */
static inline __attribute__((__always_inline__)) void* lull_new_sized(lull_kind* kind, size_t bytes) {
  return lull_bump_(kind, &kind->slot_offset_, (uint32_t)((bytes + LULL_UNIT_ - 1) / LULL_UNIT_ * LULL_UNIT_));
}
/* An object of `bytes` bytes of a kind with `variable` set. As lull_new. */
void* lull_new_bytes(lull_kind* kind, size_t bytes);

/* The kind of the object that `reference` points into; NULL: into none, or one of lull's own. And the object itself, and the bytes it may
   use. (Of memory that was freed and not handed out again they tell what was there.) */
lull_kind* lull_kind_of(const void* reference);
void* lull_object_of(const void* reference);
size_t lull_bytes_of(const void* reference);

/* ---- References in managed memory, in roots, and in memory that root functions visit: every store is one of these ---- */

/* And so is every store to a variable on another stack than the one that runs, a parked fiber's or another thread's, and lull_exchange takes out of there what the
   variable shall not hold any more: that stack may have been scanned already, or be scanned only afterwards.
   Not one of them is a safepoint. Two threads may write one slot at the same time only by exchange and compare-exchange. */
static inline void* lull_load(const void* slot) { return (void*)__atomic_load_n((const lull_word_*)slot, __ATOMIC_ACQUIRE); }
static inline __attribute__((__always_inline__)) void lull_store(void* slot, const void* value) {
  lull_word_* const at = (lull_word_*)slot;
  const uintptr_t old_value = __atomic_load_n(at, __ATOMIC_RELAXED);
  __atomic_store_n(at, (uintptr_t)value, __ATOMIC_RELEASE); /* release: pairs with lull_trace */
  lull_after_store_(slot, old_value, (uintptr_t)value);
}
/* Into the object that the thread has allocated last, which it has stored nowhere yet, of a value that it had in hands before that
   allocation: needs no barrier. With precise roots no safepoint may lie in between; with conservative stacks both are in variables. */
static inline void lull_initialize(void* slot, const void* value) { __atomic_store_n((lull_word_*)slot, (uintptr_t)value, __ATOMIC_RELAXED); }
static inline void* lull_exchange(void* slot, const void* value) {
  const uintptr_t old_value = __atomic_exchange_n((lull_word_*)slot, (uintptr_t)value, __ATOMIC_ACQ_REL);
  lull_after_store_(slot, old_value, (uintptr_t)value);
  return (void*)old_value;
}
/* Nonzero: it was *expected and is `value` now; zero: *expected is what was found. */
static inline int lull_compare_exchange(void* slot, void** expected, const void* value) {
  uintptr_t seen = (uintptr_t)*expected;
  if (!__atomic_compare_exchange_n((lull_word_*)slot, &seen, (uintptr_t)value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    *expected = (void*)seen;
    return 0;
  }
  lull_after_store_(slot, seen, (uintptr_t)value);
  return 1;
}
/* `count` words, as memmove; and the same value `count` times. Nonzero time in proportion: poll between pieces of some 1000. */
void lull_copy(void* to_slots, const void* from_slots, size_t count);
void lull_fill(void* slots, size_t count, const void* value);

/* ---- Roots ---- */

/* Precise roots of a thread: a list of frames, the newest first, strictly nested. Its slots are written without barriers, like variables: only
   by the thread itself, and read by others only while it cannot go on. Every slot holds a reference or anything that points nowhere; a
   slot with an old value keeps what lies there. Also seen in conservative mode (e.g. for an interpreter's stack in malloc
   memory): then `trace` runs inside signal handlers, between any two instructions of the thread. */
typedef struct lull_frame lull_frame;
struct lull_frame {
  lull_frame* previous;
  void (*trace)(const lull_frame* frame, lull_tracer* t); /* NULL: `count` references at `slots` */
  size_t count;
  void* slots;
};
static inline void lull_push_frame(lull_frame* frame) {
  frame->previous = lull_this_thread_.frames;
  __asm__ volatile("" : : : "memory");
  lull_this_thread_.frames = frame;
}
static inline void lull_pop_frame(lull_frame* frame) {
  lull_this_thread_.frames = frame->previous;
  __asm__ volatile("" : : : "memory");
}
/* Where a longjmp or a C++ exception has left frames behind: back to what the list was. */
static inline lull_frame* lull_frames(void) { return lull_this_thread_.frames; }
static inline void lull_unwind_frames(lull_frame* to) { lull_this_thread_.frames = to; }

/* LULL_FRAME(v, 3); v[0] = ...; ... LULL_END_FRAME(v);   three roots for the rest of the block, all null at first. */
#define LULL_FRAME(name, slot_count)                                         \
  void* name[slot_count] = {0};                                              \
  lull_frame name##_frame_ = {NULL, NULL, (slot_count), name};               \
  lull_push_frame(&name##_frame_)
#define LULL_END_FRAME(name) lull_pop_frame(&name##_frame_)

/* A root anywhere: a cell of the collector's table. Read it with lull_load, write it with lull_store: *root is the slot. NULL: out of memory.
   A root is also how an object is pinned, since nothing moves. */
typedef void* lull_root;
lull_root* lull_root_new(const void* value);
void lull_root_free(lull_root* root); /* NULL: nothing happens */

/* Calls trace(data, t) in each cycle, on the collector's thread while the program goes on, with the rules of kinds' trace functions; the
   slots it names are written with the barriers above. -1: out of memory. Removing waits for a call that is under way; the pair must
   have been added. */
int lull_add_roots(void (*trace)(void* data, lull_tracer* t), void* data);
void lull_remove_roots(void (*trace)(void* data, lull_tracer* t), void* data);

/* The object is alive up to here, in conservative mode. */
static inline void lull_keep_alive(const void* reference) { __asm__ volatile("" : : "r"(reference) : "memory"); }

/* ---- Threads ---- */

/* Threads attach by themselves at their first allocation, store, or call; attaching early keeps that out of a hot path. Inline functions that only read or
   keep a list (lull_load, frames) do not: a thread that begins by reading a root attaches first, or nobody looks at its stack. A thread detaches
   when it exits. Detaching by hand: it has no frames (checked) and no references left. Attaching again is fine. */
void lull_attach_thread(void);
void lull_detach_thread(void);

/* SAFEPOINT, if the collector asks for one. One load and a branch: for loops that neither allocate nor call anything of lull's. */
static inline __attribute__((__always_inline__)) void lull_poll(void) {
  if (__builtin_expect(__atomic_load_n(&lull_this_thread_.poll_requested, __ATOMIC_RELAXED) != 0, 0)) lull_poll_slow_();
}

/* In between the thread touches no managed memory and no frame; the collector does not wait for it. Wrap what blocks. Nests. In one
   function: conservative mode keeps the caller's frame. Entering and leaving are SAFEPOINTs; leaving waits while the collector looks at
   the thread (microseconds). */
void lull_enter_native(void);
void lull_leave_native(void);

/* ---- Fibers: stacks that threads run on by turns ---- */

/* Memory that fibers run on, [low, low + bytes) without guard pages; registered before it is used. What lies on it is a root while it is parked, and
   so are the frames that were pushed on it: they go with it, and lull_frames() is empty on a new one. The collector reads parked stacks beside the program, in
   no pause. Others write its variables by lull_store and lull_exchange alone, and do not touch what a frame's trace function reads. `stays` nonzero: the program
   promises that nobody stores into variables on it while it is parked; then young cycles read it only if it has run since the last cycle. NULL: out of memory.
   Freed while no thread runs on it, before its memory is. */
typedef struct lull_fiber lull_fiber;
lull_fiber* lull_fiber_new(void* low, size_t bytes, int stays);
void lull_fiber_free(lull_fiber* fiber); /* NULL: nothing happens */
/* The stack that the calling thread runs on; its own one too, to which only it may switch back. */
lull_fiber* lull_fiber_self(void);
/* The calling thread is about to leave its stack for `next`, which no thread runs on. Call it in the function that makes the switch, just before:
   no managed memory and no frame may be touched between the two. Not in a native region. With precise roots the thread must hold no
   reference but in frames, as over a SAFEPOINT. */
void lull_fiber_switch_to(lull_fiber* next);

/* ---- Weak references, ephemerons, finalizers ---- */

/* A weak reference is a managed object of 16 bytes. NULL: out of memory. SAFEPOINT: `object` must be reachable from roots. */
typedef struct lull_weak lull_weak;
lull_weak* lull_weak_new(const void* object);
/* The object; NULL from the moment the collector found it unreachable, before its finalizer runs. Constant time, no safepoint. */
void* lull_weak_get(const lull_weak* weak);

/* A managed hash table by address: an entry's value lives while its key and the table do, also if the value leads to the key. A key
   that is no object never dies. Like a C++ container: one writer or several readers. */
typedef struct lull_ephemerons lull_ephemerons;
lull_ephemerons* lull_ephemerons_new(void);                                                /* SAFEPOINT; NULL: out of memory */
int lull_ephemerons_set(lull_ephemerons* table, const void* key, const void* value);       /* SAFEPOINT, arguments rooted; -1: out of memory or key NULL */
int lull_ephemerons_get(const lull_ephemerons* table, const void* key, void** value);      /* nonzero: there, and *value written */
int lull_ephemerons_remove(lull_ephemerons* table, const void* key);                       /* nonzero: was there */
size_t lull_ephemerons_count(const lull_ephemerons* table);                                /* dead ones that nobody has noticed among them */
void lull_ephemerons_each(const lull_ephemerons* table, void (*visit)(void* key, void* value, void* data), void* data); /* visit: no safepoints, no insertions */

/* The kind's finalize() will run for this object (see there). Call it when the object is complete. No safepoint. */
void lull_enable_finalizer(void* object);
/* run(data) after the object has gone for good, its finalizer included: on the finalizer thread or in lull_run_finalizers, never at
   exit. `data` is kept while it is pending if it is a reference; it must not lead to the object. The result, a managed object, may be
   dropped. SAFEPOINT, arguments rooted. NULL: out of memory. */
typedef struct lull_cleanup lull_cleanup;
lull_cleanup* lull_on_unreachable(const void* object, void (*run)(void* data), void* data);
int lull_cancel_cleanup(lull_cleanup* cleanup); /* nonzero: it will not run. Zero: it runs, has run, or was cancelled before */
size_t lull_run_finalizers(void);   /* what is due, here and now; how many ran. SAFEPOINT */
void lull_wait_for_finalizers(void); /* until the finalizer thread has run what was due at the call; a finalizer must not call it. SAFEPOINT */

/* A hash of an address, good enough for power-of-two tables. */
static inline size_t lull_hash(const void* reference) { return (size_t)(((uintptr_t)reference >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20); }

/* ---- The collector ---- */

void lull_collect(void);       /* a full cycle that starts after the call; waits for it. SAFEPOINT */
void lull_collect_young(void); /* the same with a young one */
void lull_return_memory(void); /* lull_collect(), and everything free goes back to the system; see lull::return_memory. SAFEPOINT */
int lull_set_gc_percent(int percent);            /* growth between cycles, 100 at first; negative: never by itself. The previous value */
uint64_t lull_set_min_heap(uint64_t bytes);      /* no cycle ends before the heap has so much, 4 MiB at first; see lull::set_min_heap. The previous value */
uint64_t lull_set_memory_limit(uint64_t bytes);  /* a soft one; see lull::set_memory_limit. The previous value */

int lull_set_debug(const char* text);            /* traces on and off, "gctrace=1"; see lull::set_debug. 0: it made no sense. SAFEPOINT */

/* When memory is out after two full collections: nonzero to try again, zero to have the allocation fail. A SAFEPOINT of the allocation. It must
   not allocate. One function a process; NULL: none. */
void lull_set_out_of_memory(int (*function)(size_t bytes, void* data), void* data);

enum lull_event_type { LULL_CYCLE_BEGINS, LULL_MARK_BEGINS, LULL_MARK_ENDS, LULL_SWEEP_BEGINS, LULL_CYCLE_ENDS };
typedef struct lull_event {
  enum lull_event_type type;
  uint32_t cycle;      /* from 1 */
  int young;           /* what kind of cycle; known from LULL_MARK_BEGINS on */
  uint64_t time_ns;    /* monotonic */
} lull_event;
/* Called on the collector's thread, in this order in each cycle (LULL_MARK_ENDS and LULL_SWEEP_BEGINS are missing in a cycle that is given up for want of memory). It calls nothing
   of lull's and returns soon: the cycle waits. One function a process; NULL: none. */
void lull_set_event_function(void (*function)(const lull_event* event, void* data), void* data);

/* A full cycle, then visit() for every object there is, all threads stopped: also for some that have become unreachable since. lull's own
   objects (weak references, tables) are among them. It calls nothing of lull's but lull_kind_name. The world stands still for some ns
   an object. SAFEPOINT. */
void lull_walk_heap(void (*visit)(void* object, const lull_kind* kind, size_t bytes, void* data), void* data);

/* dlclose(library) for a library in which kinds, or functions of kinds, lie: frees their objects first, and leaves the library loaded if it cannot.
   Returns how many are left (0: it has been closed), and in *type, which may be NULL, the name of a kind of one of them. What has to be done before: lull/library.h.
   SAFEPOINT. Blocks; runs full cycles. */
size_t lull_close_library(void* library, const char** type);

typedef struct lull_stats {
  uint64_t heap_bytes, heap_objects;     /* allocated, dead ones not swept yet among them */
  uint64_t total_bytes, total_objects;   /* since the start */
  uint64_t mapped_bytes, metadata_bytes; /* from the system; of it, the collector's own */
  uint64_t next_cycle_bytes;             /* the goal of the current or next cycle */
  uint32_t cycles, young_cycles, threads;
  uint64_t pauses, pause_p50_ns, pause_p99_ns, pause_p999_ns, pause_max_ns; /* one thread's safepoint work, by the clock */
  uint64_t pause_cpu_max_ns;             /* the processor time of the longest: without what the kernel gave to others */
  uint64_t slow_p999_ns, slow_max_ns;    /* allocations that took the slow path, assists included */
  uint64_t assist_max_ns;
  double gc_cpu_seconds;
} lull_stats;
void lull_read_stats(lull_stats* stats); /* stops nobody; some microseconds */

#ifdef __cplusplus
}
#endif
#endif

#include "gc/weak/destructors.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <pthread.h>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/thread.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/model/span_index.h"
#include "gc/mutator/frames.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/shade.h"
#include "lull/collect.h"
#include "lull/on_unreachable.h"
#include "lull/thread.h"

namespace lull::gc {
namespace {

// A piece of the queue; pieces are reused.
struct Batch {
  static constexpr std::uint32_t kCapacity = 508;
  Batch* next = nullptr;
  std::uint32_t first = 0, end = 0;
  std::uintptr_t objects[kCapacity] = {};
};

struct Queue {
  Batch *head = nullptr, *tail = nullptr;  // head: oldest
};

// One that runs destructors: a call of run_queue(). `at` counts from 0 in the order in which entries were queued.
struct Runner {
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
  std::atomic<std::uint64_t> at{kNowhere};  // the entry that it runs; written under lock, but kNowhere
  Runner* next = nullptr;                   // lock
  const void* const thread = &detail::thread_block;
};

constinit os::Lock lock{os::LockRank::roots};
constinit Queue queue;                    // lock
constinit Queue found;                    // lock; by the running cycle, nobody's to take before hand_found_over()
constinit std::uint64_t found_count = 0;  // driver
constinit Batch* free_batches = nullptr;  // lock
constinit Runner* runners = nullptr;      // lock
constinit std::uint64_t taken = 0;        // lock; entries that left the queue
constinit std::atomic<std::uint64_t> queued{0}, run{0};  // queued: written under lock
constinit std::atomic<std::uint32_t> wake{0};      // finalizer thread sleeps on it
constinit std::atomic<std::uint32_t> progress{0};  // waiters for it sleep on this one
constinit std::atomic<std::uint32_t> waiters{0};   // without any, nobody is woken: a system call costs more than most destructors
constinit thread_local bool waits = false;         // the thread is one of them; read by a fork in a handler of its
constinit std::atomic<bool> thread_started{false};
constinit pthread_t finalizer_thread{};
constinit std::atomic<bool> exiting{false};      // the finalizer thread begins nothing any more
constinit std::atomic<std::uint32_t> at_work{0};  // it may run an entry; futex word
constinit thread_local bool is_finalizers = false;
constinit std::uint64_t batches = 0;  // driver, with its gate

bool append_locked(Queue& to, std::uintptr_t object) {
  if (to.tail == nullptr || to.tail->end == Batch::kCapacity) {
    Batch* fresh = free_batches;
    if (fresh != nullptr) free_batches = fresh->next;
    else fresh = static_cast<Batch*>(os::allocate_meta(sizeof(Batch)));
    if (fresh == nullptr) return false;
    fresh->next = nullptr;
    fresh->first = fresh->end = 0;
    (to.tail == nullptr ? to.head : to.tail->next) = fresh;
    to.tail = fresh;
  }
  to.tail->objects[to.tail->end++] = object;
  return true;
}

std::uintptr_t take_locked(Runner& by) {
  Batch* first = queue.head;
  if (first == nullptr) return 0;
  const std::uintptr_t object = first->objects[first->first++];
  by.at.store(taken++, std::memory_order_relaxed);
  if (first->first == first->end) {
    queue.head = first->next;
    if (queue.head == nullptr) queue.tail = nullptr;
    first->next = free_batches;
    free_batches = first;
  }
  return object;
}

// Taking an object out of the queue deletes a root: the barrier's work is done here (rule 6).
std::uintptr_t take_next(Runner& by) {
  Mutator& m = self();
  poll(m);  // the section does not, with precise roots
  RuntimeSection refuse(m);
  lock.lock();
  const std::uintptr_t object = take_locked(by);
  lock.unlock();
  delay_point();
  if (object != 0 && m.block->barrier_on != 0) shade(m, object);
  return object;
}

// Entries before it have been run. Not the number of those that were: somebody else may have run later ones meanwhile.
std::uint64_t first_unfinished() {
  RuntimeSection refuse(self());
  os::Locked locked(lock);
  std::uint64_t first = taken;
  // acquire: pairs with the release in run_next()
  for (const Runner* r = runners; r != nullptr; r = r->next) first = std::min(first, r->at.load(std::memory_order_acquire));
  return first;
}

// The calling thread runs a destructor or callback.
bool runs_one() {
  RuntimeSection refuse(self());
  os::Locked locked(lock);
  for (const Runner* r = runners; r != nullptr; r = r->next)
    // relaxed: its own thread wrote it
    if (r->thread == &detail::thread_block && r->at.load(std::memory_order_relaxed) != Runner::kNowhere) return true;
  return false;
}

void join_runners(Runner& r) {
  RuntimeSection refuse(self());
  os::Locked locked(lock);
  r.next = runners;
  runners = &r;
}

void leave_runners(const Runner& r) {
  RuntimeSection refuse(self());
  os::Locked locked(lock);
  Runner** at = &runners;
  while (*at != &r) at = &(*at)->next;
  *at = r.next;
}

// An entry of the queue: the object to destroy, or a callback with the low bit set (objects are aligned to 16; as a word both
// lead to the object).
constexpr std::uintptr_t callback_entry(std::uintptr_t callback) { return callback | 1; }

void run_callback(detail::Callback& callback) {
  auto expected = detail::Callback::State::pending;
  if (callback.state.compare_exchange_strong(expected, detail::Callback::State::taken, std::memory_order_relaxed))
    callback.invoke(&callback);
}

void run_one(std::uintptr_t object) noexcept {
  const FrameOfOne frame(object);
  const auto depth = self().blocked_depth;
  const trace::Span span(trace::What::destructor, object & 1);
  LULL_PROBE2(destructor, object & ~std::uintptr_t{1}, object & 1);
  if (object & 1) run_callback(*reinterpret_cast<detail::Callback*>(object & ~std::uintptr_t{1}));
  else destructor_of(kind_of(*resolve(object).span))(reinterpret_cast<void*>(object));
  if (self().blocked_depth != depth) fatal("a destructor or callback entered a blocking region or native code, and did not leave it");
  asm volatile("" ::"r"(object) : "memory");
}

void note_run() {
  run.fetch_add(1, std::memory_order_release);
  // seq_cst: Dekker with wait_for_finalizers. Either this load sees the waiter, or the waiter sees the progress.
  progress.fetch_add(1, std::memory_order_seq_cst);
  if (waiters.load(std::memory_order_seq_cst) != 0) os::futex_wake_all(progress);
}

// Not inlined: whoever polls, counts or waits for work afterwards must not hold the address of the object that was destroyed last,
// in a register or in its frame, or the next cycle would keep it and all it refers to, or whatever is allocated there next.
[[gnu::noinline]] bool run_next(Runner& by) {
  const std::uintptr_t object = take_next(by);
  if (object == 0) return false;
  run_one(object);
  by.at.store(Runner::kNowhere, std::memory_order_release);  // before note_run() wakes those who look; pairs with first_unfinished()
  return true;
}

// A thread that waits, or is interrupted where it says that it is done, keeps what its frames hold: what earlier calls left in
// their gaps among it.
[[gnu::noinline]] void clear_dead_stack() {
  volatile std::uint64_t dead[512];
  for (volatile std::uint64_t& word : dead) word = 0;
}

std::size_t run_queue() {
  std::size_t n = 0;
  Runner me;
  join_runners(me);
  // seq_cst: Dekker with stop_at_exit(), after the store of at_work
  for (; !(is_finalizers && exiting.load(std::memory_order_seq_cst)) && run_next(me); ++n) {
    const bool was_last = queued.load(std::memory_order_relaxed) == run.load(std::memory_order_relaxed) + 1;
    if (was_last) clear_dead_stack();  // each time would cost as much as many a destructor
    note_run();
  }
  leave_runners(me);
  return n;
}

// Without memory for this thread the queue waits: the driver wakes it after every cycle.
void attach_finalizer() {
  for (;;) {
    const std::uint32_t seen = wake.load(std::memory_order_acquire);
    if (try_attach() != nullptr) return;
    os::futex_wait(wake, seen);
  }
}

void* finalizer_main(void*) {
  is_finalizers = true;
  attach_finalizer();
  for (;;) {
    const std::uint32_t seen = wake.load(std::memory_order_acquire);
    at_work.store(1, std::memory_order_seq_cst);  // stop_at_exit() sees it, or run_queue() that it is to stop
    run_queue();
    at_work.store(0, std::memory_order_seq_cst);
    if (exiting.load(std::memory_order_seq_cst)) os::futex_wake_all(at_work);
    clear_dead_stack();
    blocking_region waiting;
    os::futex_wait(wake, seen);
  }
  return nullptr;
}

// exit() destroys the program's static variables, which destructors of objects may use: none begins from here on, and the one that runs has a second. Not for ever: it may
// wait for what the exiting thread has.
void stop_at_exit() {
  exiting.store(true, std::memory_order_seq_cst);
  if (is_finalizers) return;
  const std::uint64_t last = os::monotonic_ns() + 1'000'000'000;
  const auto wait = [last] {
    for (std::uint64_t now = os::monotonic_ns(); at_work.load(std::memory_order_seq_cst) != 0 && now < last; now = os::monotonic_ns())
      os::futex_wait_for(at_work, std::uint32_t{1}, last - now);
  };
  if (self_or_null() == nullptr) return wait();
  blocking_region waiting;  // it may make objects, and so wait for a cycle
  wait();
}

bool append_found(std::uintptr_t entry) {
  os::Locked locked(lock);
  if (!append_locked(found, entry)) return false;
  ++found_count;
  return true;
}

void queue_object(const ObjectRef& object, Marker& marker) {
  if (append_found(object.address())) object.span->destroy_bits()[object.slot / 64].fetch_and(~bit_of(object.slot), std::memory_order_relaxed);
  else marker.mark_word(object.address());  // no memory to remember it: it lives until the next cycle
  delay_point("destructor queued");
}

// A word at a time: objects that live cost nothing of their own.
void queue_dead_of(pages::Span& span, Marker& marker) {
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed), epoch = mark_epoch.load(std::memory_order_relaxed);
  const bool has_marks = span.mark_cycle.load(std::memory_order_acquire) == epoch;  // acquire: as in is_marked
  for (std::uint32_t w = 0; w < span.words; ++w) {
    // acquire: pairs with the release in note_constructed
    std::uint64_t dead = span.destroy_bits()[w].load(std::memory_order_acquire);
    if (has_marks) dead &= ~span.mark_bits()[w].load(std::memory_order_relaxed);
    for (; dead != 0; dead &= dead - 1) {
      const ObjectRef object{&span, w * 64 + static_cast<std::uint32_t>(std::countr_zero(dead))};
      if (is_candidate(object, cycle)) queue_object(object, marker);
    }
  }
}

template <class Visit>
void for_each_in(const Queue& q, Visit&& visit) {
  for (const Batch* batch = q.head; batch != nullptr; batch = batch->next)
    for (std::uint32_t i = batch->first; i < batch->end; ++i) visit(batch->objects[i]);
}

void mark(const Queue& q, Marker& marker) {
  os::Locked locked(lock);
  for_each_in(q, [&](std::uintptr_t word) { marker.mark_word(word); });
}

}  // namespace

void queue_unreachable(Marker& marker) {
  destructor_spans.for_each([&](pages::Span& span) { queue_dead_of(span, marker); });
  mark(found, marker);
}

bool queue_callback(std::uintptr_t callback) { return append_found(callback_entry(callback)); }

void hand_found_over() {
  os::Locked locked(lock);
  if (found.head == nullptr) return;
  (queue.tail == nullptr ? queue.head : queue.tail->next) = found.head;
  queue.tail = found.tail;
  found = {};
  // Under the lock: whoever takes an entry has it counted, so there are never more run than queued.
  queued.fetch_add(std::exchange(found_count, 0), std::memory_order_relaxed);
}

void for_each_queued(void (*visit)(void* context, std::uintptr_t word), void* context) {
  for_each_in(queue, [&](std::uintptr_t word) { visit(context, word); });
}

void mark_queue(Marker& marker) { mark(queue, marker); }

void start_finalizer_if_needed() {
  if (options.manual_finalizers != 0 || queued.load(std::memory_order_relaxed) == run.load(std::memory_order_relaxed)) return;
  if (!thread_started.exchange(true) && !os::start_thread(finalizer_thread, finalizer_main, nullptr, "lull-finalize"))
    thread_started.store(false);
  wake.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(wake);
}

void stop_finalizer_at_exit() {
  if (options.manual_finalizers != 0 || queued.load(std::memory_order_relaxed) == run.load(std::memory_order_relaxed)) return;
  if (std::has_single_bit(++batches)) static_cast<void>(std::atexit(stop_at_exit));
}

os::Lock& destructor_lock_for_fork() { return lock; }

// What threads that are gone were destroying counts as run: nobody will, and wait_for_finalizers() would wait for it.
void forget_finalizer_after_fork() {
  thread_started.store(false);
  waiters.store(waits ? 1 : 0, std::memory_order_relaxed);
  std::uint64_t length = 0, own_in_flight = 0;
  for (const Batch* batch = queue.head; batch != nullptr; batch = batch->next) length += batch->end - batch->first;
  for (Runner** at = &runners; *at != nullptr;) {
    const Runner& r = **at;  // on a stack that is still there, whoever's it was
    const bool is_own = r.thread == &detail::thread_block;
    if (is_own && r.at.load(std::memory_order_relaxed) != Runner::kNowhere) ++own_in_flight;
    if (is_own) at = &(*at)->next;
    else *at = r.next;
  }
  run.store(queued.load(std::memory_order_relaxed) - length - own_in_flight, std::memory_order_relaxed);
}

// For the thread itself, that forked in a handler.
void resume_waiting_for_finalizers_after_fork() {
  if (!waits) return;
  progress.fetch_add(1, std::memory_order_relaxed);  // what was lost counts as run: it looks again
  start_finalizer_if_needed();
}

DestructorCounts destructor_counts() {
  const std::uint64_t done = run.load(std::memory_order_acquire);  // first: never more run than queued
  return {queued.load(std::memory_order_relaxed), done};
}

}  // namespace lull::gc

namespace lull {

std::size_t run_finalizers() { return gc::run_queue(); }

void wait_for_finalizers() {
  if (gc::runs_one()) fatal("lull::wait_for_finalizers: called by a destructor or callback, which would wait for itself");
  const std::uint64_t due = gc::queued.load(std::memory_order_acquire);
  if (gc::exiting.load(std::memory_order_relaxed)) gc::run_queue();  // nobody else does
  gc::start_finalizer_if_needed();  // in a forked child nobody else does before its first cycle
  gc::waits = true;
  gc::waiters.fetch_add(1, std::memory_order_seq_cst);  // seq_cst, and the load of progress too: Dekker with run_one
  for (;;) {
    const std::uint32_t seen = gc::progress.load(std::memory_order_seq_cst);
    if (gc::first_unfinished() >= due) break;
    blocking_region waiting;
    os::futex_wait(gc::progress, seen);
  }
  gc::waiters.fetch_sub(1, std::memory_order_relaxed);
  gc::waits = false;
}

}  // namespace lull

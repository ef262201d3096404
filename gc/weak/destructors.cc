#include "gc/weak/destructors.h"

#include <pthread.h>

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

constinit os::Lock lock{os::LockRank::roots};
constinit Batch* head = nullptr;        // lock; oldest
constinit Batch* tail = nullptr;        // lock
constinit Batch* free_batches = nullptr;  // lock
constinit std::atomic<std::uint64_t> queued{0}, run{0};
constinit std::atomic<std::uint32_t> wake{0};      // finalizer thread sleeps on it
constinit std::atomic<std::uint32_t> progress{0};  // waiters for it sleep on this one
constinit std::atomic<std::uint32_t> waiters{0};   // without any, nobody is woken: a system call costs more than most destructors
constinit std::atomic<bool> thread_started{false};
// Taken out of the queue and not counted as run: queued - run - (length of the queue) is the sum over all threads.
constinit __thread std::uint64_t own_in_flight = 0;
constinit pthread_t finalizer_thread{};

bool append_locked(std::uintptr_t object) {
  if (tail == nullptr || tail->end == Batch::kCapacity) {
    Batch* fresh = free_batches;
    if (fresh != nullptr) free_batches = fresh->next;
    else fresh = static_cast<Batch*>(os::allocate_meta(sizeof(Batch)));
    if (fresh == nullptr) return false;
    fresh->next = nullptr;
    fresh->first = fresh->end = 0;
    (tail == nullptr ? head : tail->next) = fresh;
    tail = fresh;
  }
  tail->objects[tail->end++] = object;
  return true;
}

std::uintptr_t take_locked() {
  if (head == nullptr) return 0;
  const std::uintptr_t object = head->objects[head->first++];
  if (head->first == head->end) {
    Batch* done = head;
    head = done->next;
    if (head == nullptr) tail = nullptr;
    done->next = free_batches;
    free_batches = done;
  }
  return object;
}

// Taking an object out of the queue deletes a root: the barrier's work is done here (rule 6).
std::uintptr_t take_next() {
  Mutator& m = self();
  poll(m);  // the section does not, with precise roots
  RuntimeSection refuse(m);
  lock.lock();
  const std::uintptr_t object = take_locked();
  lock.unlock();
  delay_point();
  if (object != 0 && m.block->barrier_on != 0) shade(m, object);
  return object;
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
  const trace::Span span(trace::What::destructor, object & 1);
  LULL_PROBE2(destructor, object & ~std::uintptr_t{1}, object & 1);
  if (object & 1) run_callback(*reinterpret_cast<detail::Callback*>(object & ~std::uintptr_t{1}));
  else kind_of(*resolve(object).span).destroy(reinterpret_cast<void*>(object));
  asm volatile("" ::"r"(object) : "memory");
}

void note_run() {
  --own_in_flight;
  run.fetch_add(1, std::memory_order_release);
  // seq_cst: Dekker with wait_for_finalizers. Either this load sees the waiter, or the waiter sees the progress.
  progress.fetch_add(1, std::memory_order_seq_cst);
  if (waiters.load(std::memory_order_seq_cst) != 0) os::futex_wake_all(progress);
}

// Not inlined: whoever polls, counts or waits for work afterwards must not hold the address of the object that was destroyed last,
// in a register or in its frame, or the next cycle would keep it and all it refers to, or whatever is allocated there next.
[[gnu::noinline]] bool run_next() {
  const std::uintptr_t object = take_next();
  if (object == 0) return false;
  ++own_in_flight;
  run_one(object);
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
  for (; run_next(); ++n) {
    const bool was_last = queued.load(std::memory_order_relaxed) == run.load(std::memory_order_relaxed) + 1;
    if (was_last) clear_dead_stack();  // each time would cost as much as many a destructor
    note_run();
  }
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
  attach_finalizer();
  for (;;) {
    const std::uint32_t seen = wake.load(std::memory_order_acquire);
    run_queue();
    clear_dead_stack();
    blocking_region waiting;
    os::futex_wait(wake, seen);
  }
  return nullptr;
}

void queue_object(const ObjectRef& object, Marker& marker) {
  BitWord& bits = object.span->destroy_bits()[object.slot / 64];
  lock.lock();
  const bool appended = append_locked(object.address());
  lock.unlock();
  if (appended) {
    bits.fetch_and(~bit_of(object.slot), std::memory_order_relaxed);
    queued.fetch_add(1, std::memory_order_relaxed);
  } else {
    marker.mark_word(object.address());  // no memory to remember it: it lives until the next cycle
  }
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

}  // namespace

void queue_unreachable(Marker& marker) {
  destructor_spans.for_each([&](pages::Span& span) { queue_dead_of(span, marker); });
  mark_queue(marker);
}

bool queue_callback(std::uintptr_t callback) {
  os::Locked locked(lock);
  if (!append_locked(callback_entry(callback))) return false;
  queued.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void for_each_queued(void (*visit)(void* context, std::uintptr_t word), void* context) {
  for (Batch* batch = head; batch != nullptr; batch = batch->next)
    for (std::uint32_t i = batch->first; i < batch->end; ++i) visit(context, batch->objects[i]);
}

void mark_queue(Marker& marker) {
  os::Locked locked(lock);
  for_each_queued([](void* to, std::uintptr_t word) { static_cast<Marker*>(to)->mark_word(word); }, &marker);
}

void start_finalizer_if_needed() {
  if (options.manual_finalizers != 0 || queued.load(std::memory_order_relaxed) == run.load(std::memory_order_relaxed)) return;
  if (!thread_started.exchange(true) && !os::start_thread(finalizer_thread, finalizer_main, nullptr, "lull-finalize"))
    thread_started.store(false);
  wake.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(wake);
}

os::Lock& destructor_lock_for_fork() { return lock; }

// What threads that are gone were destroying counts as run: nobody will, and wait_for_finalizers() would wait for it.
void forget_finalizer_after_fork() {
  thread_started.store(false);
  std::uint64_t length = 0;
  for (const Batch* batch = head; batch != nullptr; batch = batch->next) length += batch->end - batch->first;
  run.store(queued.load(std::memory_order_relaxed) - length - own_in_flight, std::memory_order_relaxed);
}

DestructorCounts destructor_counts() { 
  const std::uint64_t done = run.load(std::memory_order_acquire);  // first: never more run than queued
  return {queued.load(std::memory_order_relaxed), done};
}

}  // namespace lull::gc

namespace lull {

std::size_t run_finalizers() { return gc::run_queue(); }

void wait_for_finalizers() {
  const std::uint64_t due = gc::queued.load(std::memory_order_acquire);
  gc::start_finalizer_if_needed();  // in a forked child that runs no cycles nobody else does
  gc::waiters.fetch_add(1, std::memory_order_seq_cst);  // seq_cst, and the load of progress too: Dekker with run_one
  for (;;) {
    const std::uint32_t seen = gc::progress.load(std::memory_order_seq_cst);
    if (gc::run.load(std::memory_order_acquire) >= due) break;
    blocking_region waiting;
    os::futex_wait(gc::progress, seen);
  }
  gc::waiters.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace lull

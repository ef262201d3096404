#include "gc/cycle/fork.h"

#include <pthread.h>

#include "alloc/base/check.h"
#include "alloc/front/fork_gate.h"
#include "alloc/os/stream_list.h"
#include "alloc/trace/timeline.h"
#include "gc/cycle/crew.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/events.h"
#include "gc/cycle/pacing.h"
#include "gc/model/kinds.h"
#include "gc/model/span_index.h"
#include "gc/model/worklist.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/fibers.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/heap_gate.h"
#include "gc/mutator/nap.h"
#include "gc/mutator/pools.h"
#include "gc/mutator/roots.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "gc/weak/cleanups.h"
#include "gc/weak/destructors.h"

namespace lull::gc {
namespace {

// In rank order. Those of alloc/, which are higher, have handlers of their own. tests/check_fork_locks.py: all, or a reason why not.
// The cycle gate and the mutators' lock come first; these when nobody visits the heap any more: visitors make spans, which are indexed under a
// lock.
os::Lock* const kLocks[] = {&root_lock_for_fork(),
                            &fiber_lock_for_fork(),
                            &pool_lock_for_fork(),
                            &destructor_lock_for_fork(),
                            &cleanup_lock_for_fork(),
                            &kinds_lock_for_fork(),
                            &span_index_lock_for_fork(),
                            &pacing_lock_for_fork(),
                            &cycle_log_lock_for_fork(),
                            &leak_watch_lock_for_fork(),
                            &guardian_lock_for_fork(),
                            &object_samples_lock_for_fork(),
                            &event_lock_for_fork(),
                            &grey_pool.lock_for_fork()};

// The heap's gate before the first two: whoever forks next closes it when he has those.
void unlock_all() {
  for (os::Lock* lock : kLocks) lock->unlock_across_fork();
  open_heap_gate();
  mutators.lock.unlock_across_fork();
  cycle_gate().unlock_across_fork();
}

// The list of streams is locked before threads that have a stream are kept from allocating, by the heap's gate or because no cycle may begin;
// and nobody waits for a cycle with it, whose listeners may open files.
void lock_streams_and_cycles() {
  constexpr int kPatience = 100;  // tries before it waits for the list while no cycle begins: allocations may be held up, but not for ever
  for (int i = 0; i < kPatience; ++i) {
    os::lock_stream_list();
    if (cycle_gate().try_lock_across_fork()) return;
    os::unlock_stream_list();
    cycle_gate().lock_across_fork();
    cycle_gate().unlock_across_fork();
  }
  cycle_gate().lock_across_fork();
  os::lock_stream_list();
}

// Blocked first: the cycle that is waited for may be waiting for this thread's answer.
void before_fork() {
  if (is_driver()) fatal("fork: called by the event function or a function that lull_walk_heap calls; they run inside a cycle, which a fork waits for");
  constexpr std::uintptr_t kReturnAddressAndFramePointer = 2 * sizeof(void*);
  if (Mutator* m = self_or_null())
    enter_blocked(*m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) + kReturnAddressAndFramePointer);
  lock_streams_and_cycles();
  mutators.lock.lock_across_fork();
  close_heap_gate_locked();
  for (os::Lock* lock : kLocks) lock->lock_across_fork();
}

void after_fork_in_parent() {
  unlock_all();
  os::unlock_stream_list();
  if (Mutator* m = self_or_null()) {
    leave_blocked(*m);
    poll(*m);
  }
}

constinit Mutator* lost = nullptr;  // cycle gate, or the child's handler: of threads that are gone, their spans not yet taken back

// The records of the other threads stay where they are, and are not used again: their threads may have been changing them.
void forget_other_mutators(Mutator* self) {
  Mutator* next;
  for (Mutator* m = mutators.first; m != nullptr; m = next) {
    next = m->next;
    if (m == self) continue;
    leave_stacks_after_fork(*m);
    m->next = lost;
    lost = m;
  }
  mutators.first = self;
  mutators.count.store(self != nullptr ? 1 : 0, std::memory_order_relaxed);
  if (self != nullptr) self->next = self->previous = nullptr;
}

// Malloc's handler has come first and freed the lock of the streams' list.
void after_fork_in_child() {
  Mutator* m = self_or_null();
  forget_driver_after_fork(mutators.count_now() != (m != nullptr ? 1 : 0));
  forget_other_mutators(m);
  forget_pool_owners_after_fork(m);
  forget_finalizer_after_fork();
  crew.forget_threads_after_fork();
  forget_sleepers_after_fork();
  forget_watch_thread_after_fork();
  trace::forget_threads_after_fork();
  unlock_all();
  if (m == nullptr) return;
  m->tid = os::current_thread_id();
  m->pending.store(HandshakeOp::none, std::memory_order_relaxed);
  leave_blocked(*m);
  resume_waiting_after_fork();
  resume_waiting_for_finalizers_after_fork();
}

}  // namespace

// Not in the handler: most children call exec at once.
void adopt_lost_caches() {
  for (; lost != nullptr; lost = lost->next) {
    lost->cache.release_lost(span_supply());
    publish_handed(*lost);
  }
}

namespace {
constinit std::atomic<bool> installed{false};
}

bool fork_handlers_are_installed() { return installed.load(std::memory_order_relaxed); }

void install_fork_handlers() {
  front::install_fork_handlers();  // first, so that they run after these before the fork, and before these after it
  if (installed.exchange(true, std::memory_order_relaxed)) return;
  LULL_CHECK(pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0, "cannot install the fork handlers");
}

namespace {
// For the reason in alloc/front/fork_gate.cc: a thread's first object may be made under a stream's lock.
[[gnu::constructor(102)]] void install_at_start() { install_fork_handlers(); }
}  // namespace

}  // namespace lull::gc

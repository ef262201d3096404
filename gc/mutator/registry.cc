// Attaching and detaching threads.
#include <cerrno>
#include <cstdlib>
#include <new>

#include "alloc/base/check.h"
#include "alloc/os/checker.h"
#include "alloc/os/meta_arena.h"
#include "alloc/trace/timeline.h"
#include "gc/model/kinds.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/heap_gate.h"
#include "gc/mutator/registers.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "gc/mutator/pools.h"

namespace lull::gc {

constinit MutatorList mutators;

namespace {

constinit Mutator* free_records = nullptr;  // mutators.lock
constinit pthread_key_t exit_key = 0;
constinit pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;
constinit detail::AllocSlot* empty_slots = nullptr;  // what thread_block.slots was before any attach

constinit thread_local bool exit_was_told = false;  // the key's destructor has run, and may have been in its last turn

void on_thread_exit(void*) {
  detach_self();
  exit_was_told = true;
}
void make_exit_key() { LULL_CHECK(pthread_key_create(&exit_key, on_thread_exit) == 0, "no thread-specific key left"); }

Mutator* make_record() {
  mutators.lock.lock();
  Mutator* m = free_records;
  if (m != nullptr) free_records = m->next;
  mutators.lock.unlock();
  if (m == nullptr) {
    void* memory = os::allocate_meta(sizeof(Mutator));
    if (memory == nullptr) return nullptr;
    m = new (memory) Mutator;
  }
  if (m->cache.initialise() && m->words.reserve()) return m;
  os::Locked locked(mutators.lock);  // what it has got it keeps for the next try
  m->next = free_records;
  free_records = m;
  return nullptr;
}

void link_locked(Mutator& m) {
  m.next = mutators.first;
  m.previous = nullptr;
  if (m.next != nullptr) m.next->previous = &m;
  mutators.first = &m;
  mutators.count.fetch_add(1, std::memory_order_relaxed);
}

void unlink_locked(Mutator& m) {
  (m.previous != nullptr ? m.previous->next : mutators.first) = m.next;
  if (m.next != nullptr) m.next->previous = m.previous;
  mutators.count.fetch_sub(1, std::memory_order_relaxed);
  m.next = free_records;
  free_records = &m;
}

void shade_own_stack(void* argument, std::uintptr_t sp) {
  auto& m = *static_cast<Mutator*>(argument);
  m.words.clear();
  if (!m.words.copy_range(sp, m.stack.high)) cycle_must_abort.store(true, std::memory_order_relaxed);
  for (std::uintptr_t word : m.words) m.grey.push(raw_entry(word));
  m.words.clear();
}

// The thread joins a cycle whose stack scan was already asked for: it scans itself. Its words are work, so termination
// is cancelled first (rule 8). Too late for that, they are stale words of whoever had the stack before: as work they would
// wait for the next cycle and keep there what had been garbage.
void join_cycle(Mutator& m, std::uint32_t cycle) {
  // With precise roots it has none: it has no frames, and no reference before it is attached.
  if (options.precise_roots == 0 && cancel_termination()) lull_with_registers(shade_own_stack, &m);
  m.scanned_cycle = cycle;
}

// What it has answered and the driver has not taken yet. The words are those of a stack that has ended, but the thread may have
// stored their objects into the heap since, counting on its own answer to keep them.
void leave_answers(Mutator& m) {
  if (Segment* late = m.handed_over) grey_pool.hand_over(late);
  m.handed_over = nullptr;
  if (!m.has_words) return;
  for (std::uintptr_t word : m.words) m.grey.push(raw_entry(word));
  m.words.clear();
  m.has_words = false;
  if (Segment* grey = m.grey.detach()) grey_pool.hand_over(grey);
}

// True: has_died() will tell.
bool hold_life(Mutator& m) {
  pthread_mutexattr_t robust;
  if (pthread_mutexattr_init(&robust) != 0) return false;
  const bool held = pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) == 0 && pthread_mutex_init(&m.life, &robust) == 0 &&
                    pthread_mutex_lock(&m.life) == 0;
  pthread_mutexattr_destroy(&robust);
  return held;
}

// What is left of a thread that no cycle can need any more. With the list's lock.
void close_locked(Mutator& m) {
  leave_answers(m);
  m.words.give_back();
  m.blocked_depth = 0;
  unlink_locked(m);
}

// Its holes, counts and shades become everybody's.
void give_up_caches(Mutator& m) {
  leave_pools(m);
  m.cache.release_all(span_supply());
  publish_handed(m);
  if (Segment* grey = m.grey.detach()) grey_pool.hand_over(grey);
}

}  // namespace

Mutator* try_attach() {
  start_runtime();
  pthread_once(&exit_key_once, make_exit_key);
  Mutator* m = make_record();
  if (m == nullptr) return nullptr;
  m->thread = pthread_self();
  m->tid = os::current_thread_id();
  m->is_ending = exit_was_told && hold_life(*m);
  m->is_dead = false;
  m->stack = os::current_stack();
  m->left = {};
  m->own.bounds = m->stack;
  m->own.owner = m;
  m->own.state.store(StackState::running, std::memory_order_relaxed);
  m->current = &m->own;
  m->next_stack = nullptr;
  m->block = &detail::thread_block;
  m->cache.set_classes(classes_by_index());
  m->scanned_cycle = m->left_cycle = 0;
  m->runtime_depth = 1;
  m->blocked_depth = 0;
  m->handed_over = nullptr;
  m->has_words = false;
  m->words.clear();
  m->words.set_fake_stack(os::own_fake_stack());
  m->assist_debt = 0;
  m->born_bytes = 0;
  // Nobody else writes to the block of a thread that may end unnoticed: it asks itself at every safepoint.
  __atomic_store_n(&m->block->poll_requested, m->is_ending ? 1u : 0u, __ATOMIC_RELAXED);
  m->state.store(ThreadState::running, std::memory_order_relaxed);
  m->pending.store(HandshakeOp::none, std::memory_order_relaxed);
  pthread_setspecific(exit_key, m);
  delay_point();
  {
    os::Locked locked(mutators.lock);
    if (empty_slots == nullptr) empty_slots = detail::thread_block.slots;
    link_locked(*m);
    detail::thread_block.slots = m->cache.slots();
    detail::thread_block.barrier_on = mutators.barriers_on ? barrier_when_on() : barrier_when_off();
    detail::thread_block.mutator = m;
    if (mutators.black_cycle != 0) join_cycle(*m, mutators.black_cycle);
    else m->scanned_cycle = m->left_cycle = mutators.off_cycle;  // as one that has answered handshake 3 of that cycle
  }
  unblock_handshake_signal();
  m->runtime_depth = 0;
  m->silent.store(0, std::memory_order_relaxed);
  poll(*m);
  return m;
}

Mutator* attach_slow() {
  Mutator* m = try_attach();
  LULL_CHECK(m != nullptr, "out of memory attaching a thread");
  return m;
}

Mutator* attach_or_throw() {
  Mutator* m = try_attach();
  if (m == nullptr) throw std::bad_alloc();
  return m;
}

void detach_self() {
  Mutator* m = self_or_null();
  if (m == nullptr) return;
  if (m->current != &m->own) fatal("a thread detaches, or ends, while it runs on a fiber's stack");
  while (m->blocked_depth > 0) leave_blocked(*m);  // it ended inside a blocking region
  detail::thread_block.frames = nullptr;           // they lay on a stack that has ended
  m->runtime_depth = m->runtime_depth + 1;
  {
    const HeapVisit visit(*m);
    give_up_caches(*m);
  }
  delay_point();
  enter_blocked(*m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));  // the collector answers for it until it is unlinked; no lock is held while waiting for it
  delay_point();
  os::Locked locked(mutators.lock);
  if (m->is_ending) pthread_mutex_unlock(&m->life);
  close_locked(*m);
  detail::thread_block = {empty_slots, detail::kBarrierAlways, 0, nullptr, nullptr, detail::no_pools, 0};
  pthread_setspecific(exit_key, nullptr);
  trace::release_ring();
}

bool has_died(Mutator& m) {
  if (!m.is_ending || m.is_dead) return m.is_dead;
  const int taken = pthread_mutex_trylock(&m.life);
  if (taken == 0 || taken == EOWNERDEAD) pthread_mutex_unlock(&m.life);
  return m.is_dead = taken == EOWNERDEAD;  // which is said once
}

// As if it had detached just before the request came: a thread that does gives its caches up before it is answered for, too. Its stack is gone,
// and what only that referred to with it; what it stored elsewhere it has shaded itself.
void bury_locked(Mutator& m) {
  m.current = &m.own;
  give_up_caches(m);
  close_locked(m);
}

}  // namespace lull::gc

#include "alloc/front/fork_gate.h"

#include <pthread.h>

#include "alloc/base/check.h"
#include "alloc/front/background.h"
#include "alloc/front/heap_registry.h"
#include "alloc/front/sampling.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/os/last_thread.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/process_barrier.h"
#include "alloc/os/random.h"
#include "alloc/os/stream_list.h"
#include "alloc/os/thread.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"
#include "alloc/sample/guard_pool.h"
#include "alloc/sample/stack_memo.h"

namespace lull::front {

constinit __thread std::uint32_t Visiting::depth_ = 0;
constinit __thread bool Visiting::counted_ = false;

namespace {

constinit std::atomic<std::uint32_t> without_bins{0};  // visitors
constinit std::atomic<std::uint32_t> closed{0};        // by a forking thread, or one without memory, which holds the lock of the bins
constinit std::atomic<bool> installed{false};

// Behind the page heap's in rank order.
os::Lock* const kLastLocks[] = {&pages::span_table_lock_for_fork(), &os::meta_lock_for_fork(), &pages::reserve_lock_for_fork()};

// In rank order. The bins' lock is held by at most one forking thread, also while it waits for visitors, who do not take it.
void before_fork() {
  os::lock_stream_list();
  bins_lock().lock_across_fork();
  Visiting::close_gate();
  lock_heaps_across_fork();  // who holds one neither visits nor takes bins
  sample::guard_lock_for_fork().lock_across_fork();
  pages::page_heap.lock_across_fork();
  for (os::Lock* lock : kLastLocks) lock->lock_across_fork();
}

void open_again() {
  for (os::Lock* lock : kLastLocks) lock->unlock_across_fork();
  pages::page_heap.unlock_across_fork();
  sample::guard_lock_for_fork().unlock_across_fork();
  unlock_heaps_across_fork();
  Visiting::open_gate();
  bins_lock().unlock_across_fork();
}

void after_fork_in_parent() {
  open_again();
  os::unlock_stream_list();
}

void after_fork_in_child() {
  os::forget_ranks_after_fork();
  open_again();
  os::reset_stream_list_lock();
  Visiting::forget_other_visitors();
  pages::forget_purger_after_fork();
  pages::page_heap.refuse_huge_after_fork();
  sample::forget_thread_number();
  sample::forget_walks_after_fork();
  lose_spares_after_fork();
  os::renew_random_after_fork();
  os::free_starts_after_fork();
  os::forget_last_thread_after_fork();
  reclaim_bins_after_fork();
}

}  // namespace

namespace {

bool is_asked_for(const ThreadBins* own) {
  if (own == nullptr) return false;
  const Sleep state = own->sleeper.state.load(std::memory_order_relaxed);
  return state != Sleep::awake && state != Sleep::ended;
}

}  // namespace

void Visiting::enter() {
  os::note_rank(os::LockRank::visit);
  for (;;) {
    if (own_ != nullptr) own_->visiting.store(true, std::memory_order_relaxed);
    else {
      without_bins.fetch_add(1, std::memory_order_relaxed);
      counted_ = true;
    }
    // Pairs with the barrier in close_gate(): it sees the visitor, or this sees the gate. Likewise in empty_sleepers().
    std::atomic_signal_fence(std::memory_order_seq_cst);
    // acquire: pairs with open_gate(); who closed it may have changed what visits change (give_all_large_back)
    if (closed.load(std::memory_order_acquire) == 0 && !is_asked_for(own_)) [[likely]] return;
    leave();
    if (own_ != nullptr) wake_own_bins(*own_);
    os::futex_wait(closed, std::uint32_t{1});
  }
}

// release: what the visit wrote is there when close_gate() sees that it is over.
void Visiting::leave() {
  if (own_ != nullptr) own_->visiting.store(false, std::memory_order_release);
  else {
    counted_ = false;
    without_bins.fetch_sub(1, std::memory_order_release);
  }
}

void Visiting::begin_to_close() {
  closed.store(1, std::memory_order_relaxed);
  os::process_barrier();
  ++depth_;
}

// A crash handler may fork in the midst of a visit: its own is no reason to wait.
bool Visiting::is_anybody_inside() { return others_visit_locked() || without_bins.load(std::memory_order_acquire) > (counted_ ? 1u : 0u); }

void Visiting::close_gate() {
  begin_to_close();
  while (is_anybody_inside()) os::yield();
}

bool Visiting::try_close_gate(std::uint64_t most_ns) {
  begin_to_close();
  for (const std::uint64_t begin = os::monotonic_ns(); is_anybody_inside(); os::yield()) {
    if (os::monotonic_ns() - begin < most_ns) continue;
    open_gate();
    return false;
  }
  return true;
}

void Visiting::open_gate() {
  --depth_;
  closed.store(0, std::memory_order_release);  // pairs with enter()
  os::futex_wake_all(closed);
}

// Turned away at the gate, one may have counted itself when the fork came, and nobody would take that back.
void Visiting::forget_other_visitors() { without_bins.store(counted_ ? 1 : 0, std::memory_order_relaxed); }

void install_fork_handlers() {
  if (installed.load(std::memory_order_relaxed) || installed.exchange(true, std::memory_order_relaxed)) return;
  LULL_CHECK(pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0, "cannot install the fork handlers");
}

namespace {
// A thread that needed them first under a stream's lock waited in pthread_atfork() for a fork, that waited for the list of streams, whose holder waited for the stream.
[[gnu::constructor(101)]] void install_at_start() {
  install_fork_handlers();
  begin_background();
}
}  // namespace

bool fork_handlers_are_installed() { return installed.load(std::memory_order_relaxed); }

}  // namespace lull::front

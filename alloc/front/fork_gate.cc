#include "alloc/front/fork_gate.h"

#include <pthread.h>

#include "alloc/base/check.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/futex.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/thread.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"

namespace lull::front {

constinit __thread std::uint32_t Visiting::depth_ = 0;
constinit __thread std::atomic<std::uint32_t>* Visiting::counter_ = nullptr;

namespace {

struct alignas(64) Counter {
  std::atomic<std::uint32_t> inside{0};
};
constexpr std::uint32_t kCounters = 32;  // fewer are shared by more threads, more take a fork longer to read
constinit Counter counters[kCounters];
constinit std::atomic<std::uint32_t> next_counter{0};
constinit std::atomic<std::uint32_t> closed{0};  // by the forking thread, which holds the first of the locks
constinit std::atomic<bool> installed{false};

// In rank order. The first is held by at most one forking thread, also while it waits for visitors, who do not take it.
os::Lock* const kLocks[] = {&bins_lock_for_fork(), &pages::page_heap.lock_for_fork(), &pages::span_table_lock_for_fork(),
                            &os::meta_lock_for_fork(), &pages::reserve_lock_for_fork()};

void before_fork() {
  kLocks[0]->lock_across_fork();
  Visiting::close_gate();
  for (os::Lock* lock : kLocks)
    if (lock != kLocks[0]) lock->lock_across_fork();
}

void after_fork() {
  for (os::Lock* lock : kLocks)
    if (lock != kLocks[0]) lock->unlock_across_fork();
  Visiting::open_gate();
  kLocks[0]->unlock_across_fork();
}

void after_fork_in_child() {
  after_fork();
  pages::forget_purger_after_fork();
  reclaim_bins_after_fork();
}

}  // namespace

void Visiting::enter() {
  if (counter_ == nullptr) counter_ = &counters[next_counter.fetch_add(1, std::memory_order_relaxed) % kCounters].inside;
  for (;;) {
    counter_->fetch_add(1, std::memory_order_seq_cst);
    // seq_cst: pairs with close_gate(): it sees the counter or this sees the gate
    if (closed.load(std::memory_order_seq_cst) == 0) return;
    counter_->fetch_sub(1, std::memory_order_release);
    os::futex_wait(closed, std::uint32_t{1});
  }
}

void Visiting::close_gate() {
  closed.store(1, std::memory_order_seq_cst);
  for (Counter& counter : counters) {
    // A crash handler may fork in the midst of a visit.
    const std::uint32_t own = depth_ > 0 && counter_ == &counter.inside ? 1 : 0;
    while (counter.inside.load(std::memory_order_seq_cst) > own) os::yield();
  }
  ++depth_;
}

void Visiting::open_gate() {
  --depth_;
  closed.store(0, std::memory_order_release);
  os::futex_wake_all(closed);
}

void install_fork_handlers() {
  if (installed.load(std::memory_order_relaxed) || installed.exchange(true, std::memory_order_relaxed)) return;
  LULL_CHECK(pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0, "cannot install the fork handlers");
}

}  // namespace lull::front

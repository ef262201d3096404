#include "gc/mutator/heap_gate.h"

#include "alloc/os/futex.h"
#include "alloc/os/lock.h"
#include "alloc/os/process_barrier.h"
#include "alloc/os/thread.h"
#include "gc/mutator/handshake.h"

namespace lull::gc {

namespace {
constinit std::atomic<std::uint32_t> closed{0};  // by the forking thread; futex word of those who wait
}

void HeapVisit::enter() {
  os::note_rank(os::LockRank::heap_visit);
  for (;;) {
    m_.visiting.store(true, std::memory_order_relaxed);
    // Dekker with close_heap_gate_locked(), whose barrier is for both: it sees the visitor, or this sees the gate.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (closed.load(std::memory_order_relaxed) == 0) [[likely]] return;
    take_back();
    os::futex_wait(closed, std::uint32_t{1});
  }
}

// release: pairs with the acquire in close_heap_gate_locked(), which finds what the visit wrote
void HeapVisit::take_back() { m_.visiting.store(false, std::memory_order_release); }

void HeapVisit::leave() {
  take_back();
  os::forget_rank(os::LockRank::heap_visit);
}

// A crash handler may fork in the midst of a visit: its own is no reason to wait.
void close_heap_gate_locked() {
  closed.store(1, std::memory_order_relaxed);
  os::process_barrier();
  for (const Mutator* m = mutators.first; m != nullptr; m = m->next)
    while (m != self_or_null() && m->visiting.load(std::memory_order_acquire)) os::yield();
}

void open_heap_gate() {
  closed.store(0, std::memory_order_relaxed);
  os::futex_wake_all(closed);
}

}  // namespace lull::gc

// A mutator: a thread that uses managed objects, as the collector sees it.
//
// ThreadState, and who may change it:
//
//             enter_blocked (thread)              claim (collector)
//   running ------------------------> blocked --------------------> claimed
//      ^                                | ^                            |
//      +---------- leave_blocked -------+ +-------- unclaim -----------+
//
//   running   the thread answers handshakes itself: at polls, or in its signal handler
//   blocked   it touches nothing managed; its stack above `blocked_sp` and its saved registers stay as they are
//   claimed   the collector works on it; the thread waits if it wants to leave
//
// A runtime section (runtime_depth > 0) refuses the signal; it polls when it ends. Only the thread and its own handler
// look at the depth, so it is a plain volatile. A thread with a lock of malloc's refuses, too, and polls nowhere.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdint>
#include <pthread.h>

#include "alloc/cache/thread_cache.h"
#include "alloc/os/thread.h"
#include "gc/model/options.h"
#include "gc/model/worklist.h"
#include "gc/mutator/fibers.h"
#include "gc/mutator/nap.h"
#include "gc/mutator/word_buffer.h"
#include "lull/detail/thread_block.h"

namespace lull::gc {

enum class ThreadState : std::uint32_t { running, blocked, claimed };

// What a handshake asks for. Rules: docs/design/protocol_model.md, section 4.
enum class HandshakeOp : std::uint32_t {
  none,
  barriers_on,   // handshake 1: shade from now on
  scan_stack,    // handshake 2: snapshot the cached spans, copy the stack's words
  flush,         // hand the grey buffer over; an asynchronous answer scans the stack too (rule 4)
  barriers_off,  // handshake 3: stop shading, give the cached spans back for sweeping; must not shade (rule 4)
  park,          // stop until the world is resumed
};

struct Mutator {
  static constexpr std::size_t kSavedWords = 256;  // the frames of enter_blocked, also in a sanitizer build

  // Constant while attached.
  pthread_t thread{};
  int tid = 0;
  detail::ThreadBlock* block = nullptr;
  // It attached after lull's key destructor had run, perhaps too late for another turn: nobody may tell when it is gone, and its block with it,
  // which only the thread itself touches therefore. It holds `life`, which is robust: the kernel takes it away when the thread ends.
  bool is_ending = false;
  bool is_dead = false;  // it is gone; driver
  pthread_mutex_t life{};

  // Stacks. Changed by the thread in switch_stacks, where no answer falls.
  os::StackBounds stack;  // what it runs on: `current`'s bounds; none: nobody knows it
  os::StackBounds left;   // what it ran on before: it still does between fiber_switch_to and the switch
  FiberStack own;         // its own stack
  FiberStack* current = nullptr;
  FiberStack* next_stack = nullptr;  // it has been about to run on it, or does; for forked children (leave_stacks_after_fork)

  // Handshakes.
  std::atomic<ThreadState> state{ThreadState::running};  // 32 bits, futex word
  std::atomic<HandshakeOp> pending{HandshakeOp::none};   // set by the collector; cleared by who performed it
  volatile std::sig_atomic_t runtime_depth = 0;
  volatile std::sig_atomic_t blocked_depth = 0;
  std::atomic<bool> answering{false};       // it performs what it was asked for: a signal would only interrupt that
  std::atomic<std::uint8_t> silent{0};      // answers by signal since it reached a poll of its own, kSilent at most: then a request begins with a signal
  std::atomic<bool> refused_signal{false};  // it came while the thread held a lock of malloc's: the driver sends another

  // Where the thread stopped, valid in blocked and claimed.
  std::uintptr_t blocked_sp = 0;
  std::uintptr_t saved[kSavedWords] = {};  // registers and the frames that are gone after enter_blocked()
  std::uint32_t saved_count = 0;
  os::StackBounds blocked_signal_stack;  // where blocked_sp lies if not on `stack`
  bool blocked_async = false;  // parked by the signal handler: at any instruction of the program
  bool held = false;           // claimed until the world is resumed; collector only

  // The thread's part of a cycle. Written at handshakes and in runtime sections.
  std::uint32_t scanned_cycle = 0;  // its stack is black in this cycle
  std::uint32_t left_cycle = 0;     // it has answered barriers_off of this cycle
  // The newest hole opened while the stack was black and barriers were on: what lies in it was born during the cycle and
  // needs no shade. Forgotten at handshake 3.
  std::uintptr_t born_begin = 0;
  std::size_t born_bytes = 0;
  cache::ThreadCache cache;
  GreyBuffer grey;
  Segment* handed_over = nullptr;   // answer to scan_stack and flush, taken by the collector before the next handshake
  WordBuffer words;                 // likewise
  bool has_words = false;
  std::atomic<bool> visiting{false};       // Dekker with a fork: see gc/mutator/heap_gate.h
  std::atomic<std::uint32_t> sweeping{0};  // Dekker with sweep_open: see gc/sweep/sweeper.h
  std::int64_t assist_debt = 0;            // bytes of scan work owed
  bool nap_due = false;                    // outran the markers: see allocate.cc
  bool hold_due = false;                   // the heap has passed its goal: see gc/cycle/hold.cc
  ShortWaits short_holds;                  // likewise
  std::uint64_t handed_bytes = 0;          // holes opened since the last assist
  std::uint64_t unpublished_bytes = 0;     // ... since publish_handed() in allocation_stats.h
  std::uint64_t slow_allocations = 0;      // checking mode stress
  bool stress_due = false;                 // likewise: collect when out of the runtime section

  detail::PoolLocal** pool_table = nullptr;  // its parts of pools by number; kept when the record is used again

  Mutator* next = nullptr;  // registry, or free list of records
  Mutator* previous = nullptr;
};

// The calling thread's mutator, nullptr when it is not attached. Async-signal-safe.
inline Mutator* self_or_null() { return static_cast<Mutator*>(detail::thread_block.mutator); }

// What a thread's flag is, between cycles and while one marks.
inline std::uint8_t barrier_when_off() { return options.barrier_always_on() ? detail::kBarrierAlways : detail::kBarrierOff; }
inline std::uint8_t barrier_when_on() { return options.barrier_always_on() ? detail::kBarrierAlways : detail::kBarrierOn; }

// Registers the calling thread; nullptr when there is no memory for it: nothing has changed then, it may try again.
[[nodiscard]] Mutator* try_attach();
Mutator* attach_slow();     // the same for callers that cannot fail: stops the process
Mutator* attach_or_throw();  // the same for callers that may: std::bad_alloc
inline Mutator& self() {
  Mutator* m = self_or_null();
  return m != nullptr ? *m : *attach_slow();
}
// For calls that report std::bad_alloc.
inline Mutator& self_or_throw() {
  Mutator* m = self_or_null();
  return m != nullptr ? *m : *attach_or_throw();
}
void detach_self();

// Driver, in a handshake, which holds the list's lock: a thread that ended without telling anybody.
[[nodiscard]] bool has_died(Mutator& m);
void bury_locked(Mutator& m);  // answers nothing for it

}  // namespace lull::gc

// Handshakes: one small operation on every mutator, one by one, without stopping the others (ragged safepoints).
//
// A mutator performs the operation itself at a poll; the collector performs it for a thread that is blocked; a thread
// that does neither in 100 us gets a signal and performs it in the handler, at whatever instruction it is. All three
// end in perform(). Requests and answers are ordered by `pending`: release by the requester, acquire by the performer,
// and a locked exchange back, which also drains the store buffer, as the model assumes of an answer.
#pragma once

#include <cstdint>

#include "gc/mutator/mutator.h"
#include "gc/model/histogram.h"

namespace lull::gc {

// Driver only. Returns when every mutator has performed it.
void handshake(HandshakeOp op);

// While it exists every mutator is parked or held in its blocking region, and no thread attaches. Handshakes in between
// are performed by the driver for all of them. Driver only.
class [[nodiscard]] WorldStopped {
 public:
  WorldStopped();
  ~WorldStopped();
  WorldStopped(const WorldStopped&) = delete;
  WorldStopped& operator=(const WorldStopped&) = delete;

 private:
  std::uint64_t since_ns_ = 0;
};

struct HandshakeStats {
  std::atomic<std::uint64_t> rounds{0}, async_answers{0}, signalled_at_once{0}, global_stops{0}, told_late{0}, driver_wakes{0};
  std::atomic<std::uint64_t> longest_this_cycle{0};
  HistogramRecorder pause;      // time a mutator spent in one operation, by the clock
  HistogramRecorder pause_cpu;  // the processor time of it: without what the kernel gave to others meanwhile
  HistogramRecorder time_to_safepoint;  // from the request until a mutator begins to answer
};
extern HandshakeStats handshake_stats;

// Driver only, between handshakes; attach and detach wait.
template <class Visit>
void for_each_mutator(Visit&& visit);

// A thread blocks and comes back (blocking_region, thread exit, waiting for a collection). Nests. `caller_sp`: frames
// at or above it stay as they are until leave_blocked; use frame_top() in a function that does not return in between.
void enter_blocked(Mutator& m, std::uintptr_t caller_sp);
void leave_blocked(Mutator& m);

// Registry, gc/mutator/registry.cc.
class MutatorList {
 public:
  os::Lock lock{os::LockRank::registry};
  Mutator* first = nullptr;           // lock
  std::atomic<std::uint32_t> count{0};  // written under lock
  bool barriers_on = false;           // lock: what a thread that attaches now starts with
  std::uint32_t black_cycle = 0;      // lock: stacks of this cycle were asked to be scanned; 0: none
  std::uint32_t off_cycle = 0;        // lock: handshake 3 of this cycle was asked for
  bool world_stopped = false;         // driver
  std::uint32_t count_now() const { return count.load(std::memory_order_relaxed); }
};
extern MutatorList mutators;

template <class Visit>
void for_each_mutator(Visit&& visit) {
  if (!mutators.world_stopped) mutators.lock.lock();
  for (Mutator* m = mutators.first; m != nullptr; m = m->next) visit(*m);
  if (!mutators.world_stopped) mutators.lock.unlock();
}

void install_signal_handler();  // idempotent
void unblock_handshake_signal();  // for the calling thread, when it attaches
bool signal_thread(Mutator& m);
void answer_signal(Mutator& m, std::uintptr_t sp);

}  // namespace lull::gc

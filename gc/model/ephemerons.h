// Ephemerons whose key was white when they were scanned (include/lull/detail/ephemeron.h). Linear, after Barros and
// Ierusalimschy 2008, "Eliminating cycles in weak tables": an ephemeron that waits is an edge out of its key.
//
//   scanned with a white key --> deferred --(worklists are empty)--> key not white: grey again
//                                                                \-> waiting --(its key is marked)--> grey again
//                                                                            \-(state done)--> emptied
//
// Most keys are marked by the time the worklists are empty, so that deferring, a store, is all that most ephemerons cost.
// An ephemeron that waits is released by whoever marks its key, at once, in the same section that refuses handshakes: for
// termination it is as if the key, when it is marked, were scanned for it (rules 7 to 9). So each ephemeron is scanned at
// most three times and goes through the table once, whatever the graph. Kind::awaited_cycle keeps the look at the table
// away from kinds of objects that nobody waits for.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/worklist.h"

namespace lull::gc {

// Segments of deferred ephemerons. Whoever hands one over does so before he answers the flush, where termination looks.
extern GreyPool deferred_ephemerons;

class WaitingEphemerons {
 public:
  // Driver: the ephemeron at `cell` waits for `key`, which is white. False when memory runs out. The caller looks at the key's mark
  // afterwards (was_marked) and wakes who waits for it if it has been marked meanwhile.
  [[nodiscard]] bool add(std::uintptr_t cell, const ObjectRef& key, std::uint32_t cycle);

  // Whoever has just marked an object of an awaited kind: calls push(cell) for all that wait for it.
  template <class Push>
  void wake(const ObjectRef& key, Push&& push) {
    Stripe& stripe = stripe_of(key.address());
    os::Locked locked(stripe.lock);
    stripe.take(key.address(), push);
  }

  // Driver, state done: empties the ephemerons that still wait.
  void empty_all();
  void forget_all();  // aborted cycle

 private:
  struct Waiting {
    std::uintptr_t key, cell;  // cell 0: woken
    std::uint32_t next;        // index + 1 in `waiting`
  };
  struct Stripe {
    os::Lock lock{os::LockRank::ephemerons};
    Waiting* waiting = nullptr;         // lock
    std::uint32_t* buckets = nullptr;   // lock; index + 1; as many as there is room for entries
    std::uint32_t count = 0, room = 0;  // lock

    bool grow();
    void link(std::uint32_t index);
    void reset();
    template <class Push>
    void take(std::uintptr_t key, Push&& push) {
      if (count == 0) return;
      for (std::uint32_t* at = &buckets[bucket_of(key, room)]; *at != 0;) {
        Waiting& w = waiting[*at - 1];
        if (w.key != key) {
          at = &w.next;
          continue;
        }
        *at = w.next;
        push(w.cell);
        w.cell = 0;
      }
    }
  };
  static constexpr std::uint32_t kStripes = 16;  // markers at the same time; a power of two

  static std::uint64_t hash(std::uintptr_t key) { return (key >> 4) * 0x9e3779b97f4a7c15u; }
  static std::uint32_t bucket_of(std::uintptr_t key, std::uint32_t room) {
    return static_cast<std::uint32_t>(hash(key) >> 28) & (room - 1);
  }
  Stripe& stripe_of(std::uintptr_t key) { return stripes_[hash(key) >> 60 & (kStripes - 1)]; }

  Stripe stripes_[kStripes];
};
extern WaitingEphemerons waiting_ephemerons;

// The marker of an object sets the mark, then looks whether its kind is awaited; add() says that it is, then its caller looks at
// the mark. All four are seq_cst: one of the two sees the other.
inline bool is_awaited(const Kind& kind, std::uint32_t cycle) { return kind.awaited_cycle.load(std::memory_order_seq_cst) == cycle; }
inline bool was_marked(const ObjectRef& o, std::uint32_t epoch) {
  return o.span->mark_cycle.load(std::memory_order_acquire) == epoch &&
         (o.span->mark_bits()[o.slot / 64].load(std::memory_order_seq_cst) & bit_of(o.slot)) != 0;
}

}  // namespace lull::gc

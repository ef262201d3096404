// The shadow: what the program has made of its graph, beside the graph. While threads mutate, the record of an object is
// changed under the same stripe's lock as the object itself; between rounds nobody mutates, and the shadow says what has
// to be alive, what has to be gone, and what every object holds.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include <sched.h>

#include "tests/stress/objects.h"
#include "tests/support/hidden.h"

namespace lull::stress {

struct Edge {
  Id target = kNone;
  std::size_t offset = 0;
};

struct Record {
  Shape shape = Shape::plain;
  std::atomic<bool> alive{false};  // made, and not found unreachable by the shadow yet
  lull::testing::Hidden base;
  std::size_t bytes = 0;           // interior pointers reach [0, bytes)
  std::size_t words = 0;           // of Shape::bytes
  std::vector<Edge> edges;                    // stripe
  std::vector<Id> watched;                    // stripe; weak
  std::vector<std::pair<Id, Id>> entries;     // stripe; ephemerons
  std::atomic<int> destroyed{0};
  std::atomic<int> callbacks_due{0}, callbacks_run{0};
};

// A lock that polls: a holder may be waiting for a cycle, which waits for this thread.
class PollingLock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) {
      lull::safepoint();
      ::sched_yield();
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

class Shadow {
 public:
  Id reserve() { return next_.fetch_add(1, std::memory_order_relaxed); }
  Record& operator[](Id id);
  bool is_known(Id id) const { return id != kNone && id < next_.load(std::memory_order_relaxed); }
  PollingLock& lock_of(Id id) { return locks_[id % kLocks]; }

  // While nobody mutates. Calls visit(id, record) for each that is alive.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (Id id = oldest_; id < next_.load(std::memory_order_relaxed); ++id)
      if (Record& r = (*this)[id]; r.alive.load(std::memory_order_relaxed)) visit(id, r);
  }
  // Which are reachable from `roots`, ephemerons and all.
  std::vector<bool> reachable_from(const std::vector<Id>& roots);
  // Forgets those that are not; the dead end of the numbers is not looked at again.
  void forget_unreachable(const std::vector<bool>& reachable);

 private:
  static constexpr std::size_t kChunk = 4096, kChunks = 1 << 14, kLocks = 256;
  std::atomic<Id> next_{1};
  Id oldest_ = 1;
  std::unique_ptr<std::atomic<Record*>[]> chunks_ = std::make_unique<std::atomic<Record*>[]>(kChunks);  // never freed: callbacks refer to records
  PollingLock locks_[kLocks];
};

}  // namespace lull::stress

// A three-state futex mutex (Drepper, "Futexes are tricky"): 0 free, 1 held, 2 held and somebody sleeps.
//
// Locks have ranks; a thread takes them in rising rank only, checked in debug builds. A mutator takes locks only
// inside a runtime section (gc/mutator/runtime_section.h), so the handshake signal never interrupts a holder.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/base/check.h"
#include "alloc/os/futex.h"

namespace lull::os {

enum class LockRank : std::uint8_t { driver = 1, registry, roots, kinds, reports, ephemerons, worklist, heaps, heap, caches, guarded, pages, metadata };

class Lock {
 public:
  explicit constexpr Lock(LockRank rank) : rank_(rank) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() {
    note_rank();
    std::uint32_t expected = 0;
    // acquire: pairs with the release in unlock()
    if (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed)) lock_slow();
  }
  bool try_lock() {
    std::uint32_t expected = 0;
    if (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed)) return false;
    note_rank();
    return true;
  }
  void unlock() {
    forget_rank();
    // release: pairs with the acquire in lock()
    if (word_.exchange(0, std::memory_order_release) == 2) futex_wake_one(word_);
  }
  // Held over a fork, so that the child finds what it guards whole. Several locks of one rank may be.
  void lock_across_fork() {
    while (word_.exchange(2, std::memory_order_acquire) != 0) futex_wait(word_, std::uint32_t{2});
  }
  void unlock_across_fork() {
    word_.store(0, std::memory_order_release);
    futex_wake_all(word_);
  }
  bool is_held() const { return word_.load(std::memory_order_relaxed) != 0; }

 private:
  void lock_slow();
  void note_rank();
  void forget_rank();

  std::atomic<std::uint32_t> word_{0};
  [[maybe_unused]] LockRank rank_;  // read in debug builds
};

class [[nodiscard]] Locked {
 public:
  explicit Locked(Lock& lock) : lock_(lock) { lock_.lock(); }
  ~Locked() { lock_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Lock& lock_;
};

inline void pause_cpu() { __builtin_ia32_pause(); }

}  // namespace lull::os

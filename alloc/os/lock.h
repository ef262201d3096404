// A three-state futex mutex (Drepper, "Futexes are tricky"): 0 free, 1 held, 2 held and somebody sleeps.
//
// Locks have ranks; a thread takes them in rising rank only, checked in debug builds. What waits like a lock has a rank, too: a visit
// to the central store waits while a fork has its gate closed (front/fork_gate.h). A mutator takes locks only
// inside a runtime section (gc/mutator/runtime_section.h); malloc, which knows of no sections, counts them in locks_taken.
// So the handshake signal never stops a holder.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/base/check.h"
#include "alloc/os/futex.h"

namespace lull::os {

enum class LockRank : std::uint8_t { driver = 1, registry, heap_visit, roots, kinds, reports, ephemerons, worklist, caches, visit, heaps, heap, central, guarded, pages, metadata };

#if LULL_DEBUG_CHECKS
void note_rank(LockRank rank);          // the calling thread is about to wait for something of this rank; it has nothing of this or above
void forget_rank(LockRank rank);        // it has it no more
void check_ranks_below(LockRank rank);  // it has nothing of this rank or above
void forget_ranks_after_fork();         // in the child, for which no order matters until fork() returns
#else
inline void note_rank(LockRank) {}
inline void forget_rank(LockRank) {}
inline void check_ranks_below(LockRank) {}
inline void forget_ranks_after_fork() {}
#endif

// Locks that the calling thread holds or is about to hold; its signal handlers may look. The collector's leaves such a
// thread alone: parked, it would keep the lock while the driver, which alone can resume it, waits for it.
extern __thread volatile std::uint32_t locks_taken __attribute__((tls_model("initial-exec")));

class Lock {
 public:
  explicit constexpr Lock(LockRank rank) : rank_(rank) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() {
    note_rank(rank_);
    count_up();
    std::uint32_t expected = 0;
    // acquire: pairs with the release in unlock()
    if (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed)) lock_slow();
  }
  bool try_lock() {
    count_up();
    std::uint32_t expected = 0;
    if (!word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      count_down();
      return false;
    }
    note_rank(rank_);
    return true;
  }
  void unlock() {
    forget_rank(rank_);
    // release: pairs with the acquire in lock()
    if (word_.exchange(0, std::memory_order_release) == 2) futex_wake_one(word_);
    count_down();
  }
  // Held over a fork, so that the child finds what it guards whole. Several locks of one rank may be.
  void lock_across_fork() {
    while (word_.exchange(2, std::memory_order_acquire) != 0) futex_wait(word_, std::uint32_t{2});
  }
  bool try_lock_across_fork() {
    std::uint32_t expected = 0;
    return word_.compare_exchange_strong(expected, 2, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void unlock_across_fork() {
    word_.store(0, std::memory_order_release);
    futex_wake_all(word_);
  }
  bool is_held() const { return word_.load(std::memory_order_relaxed) != 0; }

 private:
  void lock_slow();
  // Around the exchange in program order, which is all that a handler on this thread sees.
  static void count_up() {
    locks_taken = locks_taken + 1;
    asm volatile("" ::: "memory");
  }
  static void count_down() {
    asm volatile("" ::: "memory");
    locks_taken = locks_taken - 1;
  }

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

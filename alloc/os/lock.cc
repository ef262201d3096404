#include "alloc/os/lock.h"

namespace lull::os {

__thread volatile std::uint32_t locks_taken __attribute__((tls_model("initial-exec"))) = 0;

namespace {

constexpr int kSpins = 100;  // more burns a processor the holder may need, fewer sleeps for locks held for tens of ns

#if LULL_DEBUG_CHECKS
thread_local std::uint32_t held_ranks = 0;  // bit r: a lock of rank r is held
#endif

}  // namespace

void Lock::lock_slow() {
  for (int i = 0; i < kSpins; ++i) {
    std::uint32_t expected = 0;
    if (word_.load(std::memory_order_relaxed) == 0 &&
        word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed))
      return;
    pause_cpu();
  }
  while (word_.exchange(2, std::memory_order_acquire) != 0) futex_wait(word_, std::uint32_t{2});
}

#if LULL_DEBUG_CHECKS
void note_rank(LockRank rank) {
  check_ranks_below(rank);
  held_ranks |= 1u << static_cast<unsigned>(rank);
}
void forget_rank(LockRank rank) { held_ranks &= ~(1u << static_cast<unsigned>(rank)); }
void check_ranks_below(LockRank rank) {
  LULL_CHECK(held_ranks >> static_cast<unsigned>(rank) == 0, "lock taken out of rank order");
}
void forget_ranks_after_fork() { held_ranks = 0; }
#endif

}  // namespace lull::os

// What a thread keeps of a lull::pool. See lull/pool.h, and docs/pools.md for who may touch what.
#pragma once

#include <atomic>
#include <cstdint>

#include "lull/detail/barrier.h"
#include "lull/detail/thread_block.h"
#include "lull/tracer.h"

namespace lull::detail {

// A piece of a list of free objects.
struct PoolBlock {
  static constexpr std::uint32_t kItems = 30;
  Word previous = 0;  // PoolBlock
  Word items[kItems] = {};
  void trace(tracer& t) const { t.visit_words(this, sizeof(*this)); }
};

// A thread's part of a pool; managed, and kept by the pool. `item` and `victim` are the owner's, and its handshakes'; what
// follows is everybody's, under the lock.
struct PoolLocal {
  Word item = 0;    // the object that was given back last, or 0
  Word victim = 0;  // the one that lay here when the last full cycle began
  Word free_blocks = 0, victim_blocks = 0;           // stacks of PoolBlocks
  std::uint32_t free_count = 0, victim_count = 0;    // in the topmost block
  std::atomic<std::uint32_t> locked{0};
  std::atomic<std::uint32_t> owned{1};               // 0: its thread has ended, the next one takes it over
  Word next = 0;                                     // PoolLocal; constant once it is in the pool's list
  void trace(tracer& t) const {
    t.visit(&item), t.visit(&victim), t.visit(&free_blocks), t.visit(&victim_blocks), t.visit(&next);
  }
};

std::uint32_t register_pool();                                  // its number; 0: too many
void forget_pool(std::uint32_t number) noexcept;
[[gnu::cold]] Word take_from_pool_slow(std::uint32_t number) noexcept;  // 0: the pool is empty
[[gnu::cold]] void give_to_pool_slow(std::uint32_t number, Word object) noexcept;

// The flag keeps a handshake that interrupts between load and store from moving the object away as well.
[[gnu::always_inline]] inline Word take_from_pool(std::uint32_t number) noexcept {
  PoolLocal* local = thread_block.pools[number];
  if (local == nullptr) [[unlikely]] return take_from_pool_slow(number);
  thread_block.pool_busy = 1;
  asm volatile("" ::: "memory");  // the handler runs on this thread: program order is all it takes
  Word object = load_word(&local->item);
  if (object != 0) [[likely]] store_word(&local->item, 0);
  asm volatile("" : "+r"(object)::"memory");
  thread_block.pool_busy = 0;
  return object != 0 ? object : take_from_pool_slow(number);
}

// A handshake may empty `item` at any time, but nobody fills it.
[[gnu::always_inline]] inline void give_to_pool(std::uint32_t number, Word object) noexcept {
  PoolLocal* local = thread_block.pools[number];
  if (local == nullptr || load_word(&local->item) != 0) [[unlikely]] return give_to_pool_slow(number, object);
  store_word(&local->item, object);
}

}  // namespace lull::detail

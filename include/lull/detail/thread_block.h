// What the inlined fast paths touch of a thread: its allocation slots and the flag of its write barrier.
//
// Both start in the state that sends the first allocation and the first store into a slow path, which attaches the
// thread: `slots` points to a table of empty slots, `barrier_on` is kBarrierAlways. Only the thread itself writes the block, in its
// own code, in its own signal handler, or through the collector while the thread is in a blocking region; `poll_requested` apart,
// which whoever asks for a handshake sets (gc/mutator/handshake.cc).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::detail {

// The hole a thread allocates from: free, zeroed memory [cursor, limit) of the hole [begin, limit) of one span. And the holes behind it, where they are
// short (alloc/cache/thread_cache.cc): free slots, by their alloc bits. A cache line; zero where the thread has no span.
struct alignas(64) AllocSlot {
  std::uintptr_t cursor = 0;
  std::uintptr_t limit = 0;
  std::uintptr_t begin = 0;
  void* span = nullptr;
  std::uint64_t prepared = 0;       // of word `prepared_word`, behind the hole: zero
  std::uint64_t unasked = 0;        // of the next word: those whose lines have not been asked for
  std::uint32_t prepared_word = 0;
};

inline constexpr std::uint32_t kMostSpanClasses = 8192;  // larger costs address space a thread, smaller limits the number of types

inline constexpr std::uint8_t kBarrierOff = 0;
inline constexpr std::uint8_t kBarrierOn = 1;      // a cycle marks
inline constexpr std::uint8_t kBarrierAlways = 2;  // every store goes to the slow half: not attached, or a checking mode

struct PoolLocal;
inline constexpr std::uint32_t kMostPools = 255;  // with lists for each thread; later ones hand nothing out again
extern PoolLocal* no_pools[kMostPools + 1];  // by number: the thread has no part of any pool

struct ThreadBlock {
  AllocSlot* slots;
  std::uint8_t barrier_on;
  std::uint32_t poll_requested;  // atomic: 1 = a handshake is pending, or was
  void* mutator;  // gc::Mutator*, nullptr before attach and after exit
  void* frames;   // the newest lull_frame of the thread (lull/lull_c.h)
  PoolLocal** pools;       // by the pool's number: the thread's part of it, or null
  std::uint8_t pool_busy;  // it is taking an object out of one
};

// initial-exec: one instruction relative to the thread register, no call, also in a shared library.
extern __thread ThreadBlock thread_block __attribute__((tls_model("initial-exec")));

[[gnu::cold]] void attach_calling_thread() noexcept;

// Before a thread touches a cell that others see. A thread that no handshake knows must not load from one: the object in
// its register would belong to no stack; nor delete a reference: nobody waits for its shade of the old value.
inline void ensure_attached() noexcept {
  if (thread_block.mutator == nullptr) [[unlikely]] attach_calling_thread();
  asm volatile("" ::: "memory");  // whoever calls it loads after it
}

}  // namespace lull::detail

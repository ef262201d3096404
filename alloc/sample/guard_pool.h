// Blocks that cannot be overrun, and not used after they were freed (after GWP-ASan, Serebryany et al. 2020): a few of the
// sampled ones lie in pages of their own between pages that nobody can touch, at the right or at the left end of them by
// chance. A freed one's pages become untouchable too, and stay so until all others that are free were used once more.
//
//   | guard 8 KiB | slot 32 KiB ......[block] | guard | [block]...... slot | guard | ...
//
// Each slot is never used -> live -> freed -> live ...; free ones wait in a queue, first in first out. A fault in the pool is told
// in a report with the stacks that allocated and freed the block, and goes on to whoever handled faults before.
// At most kSlots blocks and two mappings each; a block of more than 32 KiB is never guarded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "alloc/os/lock.h"
#include "alloc/sample/history.h"

namespace lull::sample {

inline constexpr std::uint32_t kGuardSlots = 256;  // more: freed blocks stay untouchable for longer, more mappings
inline constexpr std::size_t kLargestGuarded = 32 * 1024;

// One sample in `every` from now on, as long as slots are free; 0: none. The first call makes the pool and takes over SIGSEGV
// and SIGBUS. False: no address space. Not from inside malloc.
[[nodiscard]] bool start_guarding(std::uint32_t every);

bool in_guard_pool(std::uintptr_t address);  // async-signal-safe

// For a sample of `asked` bytes; nullptr when it is not its turn or no slot is free. The block is aligned like any block of
// `block_bytes`, and counts as a sample of them.
[[nodiscard]] void* allocate_guarded(std::size_t asked, std::size_t block_bytes);
// `address` is in the pool; stops the program unless it is the start of a live block there.
void free_guarded(void* address);
std::size_t guarded_bytes(const void* address);  // what was asked for; stops the program likewise

BlockLife guarded_life(std::uintptr_t address);   // of the slot that covers the address, for reports

os::Lock& guard_lock_for_fork();

}  // namespace lull::sample

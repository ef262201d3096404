// Pages that nobody can touch, inside memory of our own.
//
// Linux 6.13 and later marks them in the page tables (MADV_GUARD_INSTALL): no mapping is split, so their number does not
// matter. Before, each is a mapping of its own and splits the one around it. A process has 65,530 mappings, so there are at
// most kMostGuards such guards; who asks for more gets none. Thread-safe; errno stays.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::os {

inline constexpr std::uint32_t kMostGuards = 8192;  // 16,384 mappings: a quarter of what a process may have

// Touching [at, at + bytes), committed pages of the system, kills the program from now on. What was in them is gone, their memory is
// the system's. False: not possible, they can be touched as before; their contents may be gone.
[[nodiscard]] bool install_guard(void* at, std::size_t bytes);
// They read as zero again. False: the system refuses, the guard stays.
[[nodiscard]] bool remove_guard(void* at, std::size_t bytes);

// How an old kernel has it: guards are mappings, `most` of them. Before the first guard.
void use_mappings_as_guards_for_testing(std::uint32_t most);

}  // namespace lull::os

// The soft limit of the memory that the heap holds: the least of
//   what the program has set (set_memory_limit)
//   LULL_MEMORY_LIMIT: bytes, with K, M, G or T
//   nine tenths of the container's limit (alloc/os/cgroup.h): the rest of the program and the kernel's buffers count there, too.
// Near it idle pages go back at once, the purger does not wait until they have been idle, and caches of threads do not grow.
// No allocation fails for its sake. Thread-safe.
#pragma once

#include <cstddef>

namespace lull::pages {

inline constexpr std::size_t kNoMemoryLimit = ~std::size_t{0};

// Bytes; kNoMemoryLimit when there is none. The first call reads environment and container, later ones cost a load. The
// collector's pacer may ask at every cycle.
std::size_t memory_limit();
// 0 or kNoMemoryLimit: the program sets none. Returns what it had set.
std::size_t set_memory_limit(std::size_t bytes);
// The container's limit may change: reads it again. The purger does so every ten seconds.
void refresh_memory_limit();
void check_memory_limit_variable();  // at the start: says if LULL_MEMORY_LIMIT makes no sense

// Of the same three, for tests and for memory_limit(). `environment` may be null.
std::size_t effective_limit(std::size_t set, const char* environment, std::size_t container);

// The heap holds more than seven eighths of its limit, as of the last allocation or tick.
bool memory_is_short();
// The heap holds `bytes` now: sets memory_is_short(). Returns by how much that is too much.
std::size_t note_held(std::size_t bytes);

}  // namespace lull::pages

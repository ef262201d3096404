// Virtual memory. Every mapping of the library is made here, so tests can make any of them fail.
// Sizes are bytes, multiples of the system page; all functions are thread-safe and async-signal-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lull::os {

// Address space without memory behind it; nullptr when there is none.
[[nodiscard]] void* reserve(std::size_t bytes, std::size_t alignment);
// Makes reserved memory readable and writable (zero at first touch); false when the system refuses.
[[nodiscard]] bool commit(void* at, std::size_t bytes);
// Readable, writable, zero memory, committed by the system at first touch; nullptr when refused.
[[nodiscard]] void* map(std::size_t bytes);
// Readable zeros that the system charges nothing for; commit() makes parts of it writable. nullptr when refused.
[[nodiscard]] void* map_readable(std::size_t bytes);
// As map(), but at `at`; false when something else is there or the system refuses.
[[nodiscard]] bool map_at(void* at, std::size_t bytes);
void unmap(void* at, std::size_t bytes);
// The opposite of commit(): the memory goes back and nobody can touch the range. False: it can be touched as before, contents
// and all. May be called inside malloc and free: errno stays.
[[nodiscard]] bool decommit(void* at, std::size_t bytes);
// Gives the memory behind a committed range back; it reads as zero afterwards.
// False where the system refuses: pages that the program has locked (mlock), on an old kernel, or a sandbox.
bool purge(void* at, std::size_t bytes);

// False: something of it is not mapped.
[[nodiscard]] bool copy_if_mapped(void* to, const void* from, std::size_t bytes);

std::size_t physical_memory();      // bytes
std::size_t address_space_limit();  // of the process (`ulimit -v`), bytes; the largest number: none

// Fault injection: the n-th next reserve, commit, map, map_at or map_readable fails (and every later one when `sticky`); negative: never.
void fail_mapping_for_testing(std::int64_t n, bool sticky = false);

}  // namespace lull::os

// Memory of a lull::arena (lull/arena.h), and the reports of lull::arena_pool.
#pragma once

#include <cstddef>

namespace lull::detail {

// At the start of an arena's memory. Chunks are never given back one by one.
struct ArenaChunk {
  ArenaChunk* next;
  std::size_t bytes;  // with this header
};
// A chunk of at least `bytes`; nullptr: out of memory.
[[nodiscard]] ArenaChunk* take_arena_chunk(std::size_t bytes) noexcept;
// The name is for reports and must stay valid.
void free_arena_chunks(ArenaChunk* first, const char* name) noexcept;  // the list; null: nothing happens
bool arenas_are_checked() noexcept;                                     // LULL_MALLOC=arena

// What lull::arena_pool stops at; states as numbers of lull::pooled_state.
[[noreturn, gnu::cold]] void stop_at_illegal_state(const char* pool, unsigned from, unsigned to) noexcept;
[[noreturn, gnu::cold]] void stop_at_dangling_reference(const char* pool, const void* object) noexcept;
[[noreturn, gnu::cold]] void stop_at_bound_objects(const char* pool, std::size_t count) noexcept;
[[noreturn, gnu::cold]] void stop_at_foreign_thread(const char* pool) noexcept;

}  // namespace lull::detail

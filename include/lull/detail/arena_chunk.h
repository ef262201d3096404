// Memory of a lull::arena (lull/arena.h).
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

}  // namespace lull::detail

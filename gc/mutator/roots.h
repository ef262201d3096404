// The root table: cells that count as references. Written through the barrier, so the marker may read them while the program
// goes on. They lie on pages of the heap's range that belong to no span, so that they have cards: to a young cycle a chunk is an
// object that is always old, of which only what has been stored to since the last cycle is read (gc/remember/cards.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "alloc/os/lock.h"
#include "lull/tracer.h"

namespace lull::gc {

inline constexpr std::size_t kRootChunkBytes = 64 * 1024;  // and its alignment
inline constexpr std::size_t kRootChunkCells = kRootChunkBytes / sizeof(std::uintptr_t) - 2;

struct RootChunk {
  RootChunk* next = nullptr;
  std::size_t used = 0;  // cells ever handed out; those behind it are zero
  std::uintptr_t cells[kRootChunkCells] = {};
};
static_assert(sizeof(RootChunk) == kRootChunkBytes);

// A free cell's word is its link to the next free cell: scans ignore it as they ignore every word that points to no object. No bit of a word tells the two apart: a root may point to an odd address.
RootChunk* first_root_chunk();  // chunks are never freed; acquire
bool is_root_cell(std::uintptr_t address);
// The chunk that the page at `base` belongs to, nullptr: none. O(1).
RootChunk* root_chunk_of(std::uintptr_t base);
std::size_t root_cells_in_use();
os::Lock& root_lock_for_fork();  // of cells and functions

// Functions of the program that name roots in its own memory, written with barriers.
using RootFunction = void (*)(void* data, tracer& t);
[[nodiscard]] bool add_root_function(RootFunction trace, void* data);  // false: out of memory
bool remove_root_function(RootFunction trace, void* data);            // false: not there. Waits for call_root_functions
// Driver. The lock is held meanwhile, so that a function that is removed does not run any more; the rules of trace functions keep it from calling back.
void call_root_functions(tracer& t);

}  // namespace lull::gc

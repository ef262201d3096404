// The root table: cells outside of the heap that count as references. Written through the barrier, so the marker may
// read them while the program goes on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "alloc/os/lock.h"
#include "lull/tracer.h"

namespace lull::gc {

inline constexpr std::size_t kRootChunkCells = 8190;

struct RootChunk {  // 64 KiB
  RootChunk* next = nullptr;
  std::size_t used = 0;  // cells ever handed out; those behind it are zero
  std::uintptr_t cells[kRootChunkCells] = {};
};

// A free cell's word is its link to the next free cell, which lies outside of the heap: scans ignore it as they ignore
// every word that points to no object. No bit of a word tells the two apart: a root may point to an odd address.
RootChunk* first_root_chunk();  // chunks are never freed; acquire
bool is_root_cell(std::uintptr_t address);
std::size_t root_cells_in_use();
os::Lock& root_lock_for_fork();  // of cells and functions

// Functions of the program that name roots in its own memory, written with barriers.
using RootFunction = void (*)(void* data, tracer& t);
[[nodiscard]] bool add_root_function(RootFunction trace, void* data);  // false: out of memory
bool remove_root_function(RootFunction trace, void* data);            // false: not there. Waits for call_root_functions
// Driver. The lock is held meanwhile, so that a function that is removed does not run any more; the rules of trace functions keep it from calling back.
void call_root_functions(tracer& t);

}  // namespace lull::gc

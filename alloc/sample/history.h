// What became of sampled blocks that are free again: the last 512 of them. Written by free(), read when something went wrong.
#pragma once

#include "alloc/sample/sampler.h"

namespace lull::sample {

// The life of a sampled block.
struct BlockLife {
  std::uintptr_t start = 0;
  std::size_t bytes = 0;
  const Stack* allocated = nullptr;
  const Stack* freed = nullptr;  // null: it is in use
  int allocator = 0, freer = 0;  // threads, the kernel's numbers
};

// Writes down that the sample's block is free now, by the caller's callers; returns where.
const Stack* note_life(const Sample& sample, std::uintptr_t start, std::size_t bytes);
// The last one that covered `address`; its `allocated` is null when there is none.
BlockLife find_life(std::uintptr_t address);

// Standard error: a line for the title, one for each frame: where the code is in its file, for addr2line. Takes no lock.
void say_stack(const Stack* stack, const char* what, int thread);
void say_life(const BlockLife& life);

}  // namespace lull::sample

// The operations of malloc's family on top of the fast paths of thread_bins.h. Failure is nullptr; errno is the callers'.
#pragma once

#include <cstddef>

#include "alloc/front/thread_bins.h"

namespace lull::front {

[[nodiscard]] void* allocate_zeroed(std::size_t bytes);
// `alignment` is a power of two.
[[nodiscard]] void* allocate_aligned(std::size_t alignment, std::size_t bytes);
// `address` is a block; on failure it stays as it is.
[[nodiscard]] void* reallocate(void* address, std::size_t bytes);
// The same where the block, which has `have` usable bytes, stays where it is.
[[nodiscard]] bool resize_in_place(void* address, std::size_t have, std::size_t bytes);
std::size_t usable_size(const void* address);  // stops the program unless it is the start of a block
std::size_t good_size(std::size_t bytes);
bool trim(std::size_t keep);  // all idle pages but so many bytes of free ones; true: something went back

// Where allocate_aligned() looks: a block of this size is aligned well enough because spans begin at a page.
std::size_t size_for_alignment(std::size_t alignment, std::size_t bytes);

void free_sized_slow(void* address, std::size_t bytes);
inline void free_sized(void* address, std::size_t bytes) {
  Bin* bin = bin_for(address, bytes);
  if (bin == nullptr) [[unlikely]] return free_sized_slow(address, bytes);
  push(*bin, address);
}

}  // namespace lull::front

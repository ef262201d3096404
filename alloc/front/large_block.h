// Blocks of more than 32 KiB, or aligned to more than a page, of malloc and of heap objects, and sampled blocks of malloc: a
// span each, straight from the page heap.
// The first page alone tells the block; the others look free to everybody, so that interior addresses are told apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "alloc/pages/span_table.h"

namespace lull::front {

struct LargeBlock {
  std::uintptr_t start = 0;
  std::size_t bytes = 0;  // usable
  explicit operator bool() const { return start != 0; }
};

// `alignment` is a power of two. Sets `zero` when the memory is known to be zero. nullptr when memory runs out.
[[nodiscard]] void* allocate_large(std::size_t bytes, std::size_t alignment, bool& zero);
// The span of such a block that is not malloc's; what `owner` says of alignment and pages does not count.
[[nodiscard]] pages::Span* create_large_span(std::size_t bytes, std::size_t alignment, pages::SpanOwner owner);
// Stops the program unless `address` is the start of such a block of malloc.
void free_large(void* address);
// Makes the block `bytes` long where it is; false when the pages behind it are taken.
[[nodiscard]] bool resize_large(void* address, std::size_t bytes);
void give_large_back(struct ThreadBins& t);  // what it cached; of the calling thread, or the caller has them busy
[[nodiscard]] bool give_all_large_back();  // memory has run out: what all threads cached may serve. False: nothing. Not in a visit, nor with a lock of malloc's
std::size_t large_bytes(std::uintptr_t start);  // of the block that starts here
LargeBlock large_block_of(std::uintptr_t address);  // that covers it; may walk back page by page

}  // namespace lull::front

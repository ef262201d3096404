// What stops the program: wrong use of free() and its family, told in one line that names the address.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::front {

// `address` is none that can be freed now: foreign, inside a block, a managed object, free already. Finds out which.
[[noreturn, gnu::cold]] void report_bad_free(const void* address);
// Given to a heap object that it is no block of.
[[noreturn, gnu::cold]] void report_foreign_heap(const void* address);
// realloc or malloc_usable_size of a block that is free.
[[noreturn, gnu::cold]] void report_use_of_free_block(const void* address);
// Secure mode: a free block of `bytes` bytes is not zero any more at `offset`.
[[noreturn, gnu::cold]] void report_write_after_free(const void* block, std::size_t offset, std::size_t bytes);
// It is free already; found out by its key or by its span's bitmap.
[[noreturn, gnu::cold]] void report_double_free(const void* address);
// operator delete or free_sized with a size that is not the block's.
[[noreturn, gnu::cold]] void report_wrong_size(const void* address, std::size_t size);

}  // namespace lull::front

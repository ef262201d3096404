// What operator new does when there is no memory. Two ways: the shared library leaves it to the C++ library of the program
// (new_failure_shared.cc) and so need not bring one into programs that have none; the archive does it itself
// (new_failure_static.cc).
#pragma once

#include <cstddef>

namespace lull::replace {

// [new.delete.single]: ask the new-handler until it frees enough or throws; without one throw std::bad_alloc.
void* new_failed(std::size_t size);
void* new_failed(std::size_t size, std::size_t alignment);
// The same, but nullptr instead of an exception.
void* new_failed_nothrow(std::size_t size) noexcept;
void* new_failed_nothrow(std::size_t size, std::size_t alignment) noexcept;

}  // namespace lull::replace

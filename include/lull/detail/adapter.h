// What the C++ adapters of malloc and of heaps share. Where a program is built without exceptions, running out ends it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>

namespace lull::detail {

inline constexpr std::size_t kMallocAlignment = 16;  // of every block

template <class Exception>
[[noreturn]] inline void throw_or_abort() {
#if defined(__cpp_exceptions)
  throw Exception();
#else
  std::abort();
#endif
}

inline void* block_or_throw(void* block) {
  if (block == nullptr) throw_or_abort<std::bad_alloc>();
  return block;
}

// Of `count` elements; no object may have more than the largest difference of two pointers.
template <class T>
constexpr std::size_t bytes_of(std::size_t count) {
  if (count > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T))
    throw_or_abort<std::bad_array_new_length>();
  return count * sizeof(T);
}

}  // namespace lull::detail

// What malloc's family does about errno, overflow and size 0; shared by lull_malloc() and malloc(). Inlined into both, so
// that neither pays for a second call.
#pragma once

#include <bit>
#include <cerrno>
#include <cstdint>

#include "alloc/front/heap.h"

namespace lull::front {

[[gnu::cold, gnu::noinline]] inline void* out_of_memory() {
  errno = ENOMEM;
  return nullptr;
}
inline void* or_enomem(void* block) { return block != nullptr ? block : out_of_memory(); }

[[gnu::noinline]] inline void* malloc_slow(std::size_t size) {
  return or_enomem(size <= PTRDIFF_MAX ? allocate_slow(size) : nullptr);
}
inline void* call_malloc(std::size_t size) {
  void* block = allocate_cached(size);
  return block != nullptr ? block : malloc_slow(size);
}

inline void* call_calloc(std::size_t count, std::size_t size) {
  std::size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX) return out_of_memory();
  return or_enomem(allocate_zeroed(bytes));
}

inline void* call_realloc(void* block, std::size_t size) {
  if (block == nullptr) return call_malloc(size);
  if (size == 0) {
    free(block);
    return nullptr;
  }
  if (size > PTRDIFF_MAX) return out_of_memory();
  return or_enomem(reallocate(block, size));
}

inline void* call_reallocarray(void* block, std::size_t count, std::size_t size) {
  std::size_t bytes;
  return __builtin_mul_overflow(count, size, &bytes) ? out_of_memory() : call_realloc(block, bytes);
}

inline void call_free_aligned_sized(void* block, std::size_t alignment, std::size_t size) {
  free_sized(block, size_for_alignment(alignment, size));
}

inline void* call_aligned_alloc(std::size_t alignment, std::size_t size) {
  if (!std::has_single_bit(alignment)) {
    errno = EINVAL;
    return nullptr;
  }
  if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2) return out_of_memory();
  return or_enomem(allocate_aligned(alignment, size));
}

inline int call_posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  if (!std::has_single_bit(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2) return ENOMEM;
  void* made = allocate_aligned(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

}  // namespace lull::front

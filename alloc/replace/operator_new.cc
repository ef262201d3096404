// operator new and delete. C++ lets a program replace them, so they are weak nowhere: linking this library replaces them.
#include <new>

#include "alloc/front/malloc_calls.h"
#include "alloc/replace/new_failure.h"

namespace front = lull::front;

namespace {

inline void* new_block(std::size_t size) {
  void* block = front::call_malloc(size);
  return block != nullptr ? block : lull::replace::new_failed(size);
}
inline void* new_block(std::size_t size, std::align_val_t align) {
  const auto alignment = static_cast<std::size_t>(align);
  void* block = front::call_aligned_alloc(alignment, size);
  return block != nullptr ? block : lull::replace::new_failed(size, alignment);
}
inline void* new_or_null(std::size_t size) noexcept {
  void* block = front::call_malloc(size);
  return block != nullptr ? block : lull::replace::new_failed_nothrow(size);
}
inline void* new_or_null(std::size_t size, std::align_val_t align) noexcept {
  const auto alignment = static_cast<std::size_t>(align);
  void* block = front::call_aligned_alloc(alignment, size);
  return block != nullptr ? block : lull::replace::new_failed_nothrow(size, alignment);
}

inline void delete_aligned(void* block, std::size_t size, std::align_val_t alignment) noexcept {
  front::call_free_aligned_sized(block, static_cast<std::size_t>(alignment), size);
}

}  // namespace

#define LULL_NEW __attribute__((visibility("default")))

LULL_NEW void* operator new(std::size_t size) { return new_block(size); }
LULL_NEW void* operator new[](std::size_t size) { return new_block(size); }
LULL_NEW void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return new_or_null(size); }
LULL_NEW void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return new_or_null(size); }
LULL_NEW void* operator new(std::size_t size, std::align_val_t a) { return new_block(size, a); }
LULL_NEW void* operator new[](std::size_t size, std::align_val_t a) { return new_block(size, a); }
LULL_NEW void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept { return new_or_null(size, a); }
LULL_NEW void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept { return new_or_null(size, a); }

LULL_NEW void operator delete(void* block) noexcept { front::free(block); }
LULL_NEW void operator delete[](void* block) noexcept { front::free(block); }
LULL_NEW void operator delete(void* block, const std::nothrow_t&) noexcept { front::free(block); }
LULL_NEW void operator delete[](void* block, const std::nothrow_t&) noexcept { front::free(block); }
LULL_NEW void operator delete(void* block, std::size_t size) noexcept { front::free_sized(block, size); }
LULL_NEW void operator delete[](void* block, std::size_t size) noexcept { front::free_sized(block, size); }
LULL_NEW void operator delete(void* block, std::align_val_t) noexcept { front::free(block); }
LULL_NEW void operator delete[](void* block, std::align_val_t) noexcept { front::free(block); }
LULL_NEW void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { front::free(block); }
LULL_NEW void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept { front::free(block); }
LULL_NEW void operator delete(void* block, std::size_t size, std::align_val_t a) noexcept { delete_aligned(block, size, a); }
LULL_NEW void operator delete[](void* block, std::size_t size, std::align_val_t a) noexcept { delete_aligned(block, size, a); }

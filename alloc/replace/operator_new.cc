// operator new and delete. C++ lets a program replace them, so they are weak nowhere: linking this library replaces them.
#include <new>

#include "alloc/front/malloc_calls.h"

namespace front = lull::front;

namespace {

// [new.delete.single]: ask the new-handler until it frees enough, throws, or there is none.
template <class Allocate>
void* with_handler(Allocate&& allocate) {
  for (;;) {
    if (void* block = allocate()) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

[[gnu::cold, gnu::noinline]] void* new_slow(std::size_t size) {
  return with_handler([=] { return front::call_malloc(size); });
}
[[gnu::cold, gnu::noinline]] void* new_aligned(std::size_t size, std::align_val_t alignment) {
  return with_handler([=] { return front::call_aligned_alloc(static_cast<std::size_t>(alignment), size); });
}

inline void* new_block(std::size_t size) {
  void* block = front::call_malloc(size);
  return block != nullptr ? block : new_slow(size);
}
template <class New>
void* or_null(New&& make) noexcept {
  try {
    return make();
  } catch (...) {
    return nullptr;
  }
}

inline void delete_aligned(void* block, std::size_t size, std::align_val_t alignment) noexcept {
  front::call_free_aligned_sized(block, static_cast<std::size_t>(alignment), size);
}

}  // namespace

#define LULL_NEW __attribute__((visibility("default")))

LULL_NEW void* operator new(std::size_t size) { return new_block(size); }
LULL_NEW void* operator new[](std::size_t size) { return new_block(size); }
LULL_NEW void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return or_null([=] { return new_block(size); });
}
LULL_NEW void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return or_null([=] { return new_block(size); });
}
LULL_NEW void* operator new(std::size_t size, std::align_val_t alignment) { return new_aligned(size, alignment); }
LULL_NEW void* operator new[](std::size_t size, std::align_val_t alignment) { return new_aligned(size, alignment); }
LULL_NEW void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return or_null([=] { return new_aligned(size, alignment); });
}
LULL_NEW void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return or_null([=] { return new_aligned(size, alignment); });
}

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

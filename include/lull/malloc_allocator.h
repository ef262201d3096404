// lull's malloc for C++ containers, in programs that do not replace malloc as a whole:
//
//   std::vector<int, lull::malloc_allocator<int>> v;      a stateless allocator: any two are equal
//   std::pmr::vector<int> w(lull::malloc_resource());     a memory resource for containers of std::pmr
//
// Both are thread-safe, throw std::bad_alloc when memory runs out, and free with the size, so that a container that gives
// back what it did not get stops the program (see lull/malloc.h). A malloc_allocator is of constant initialisation.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <type_traits>

#include "lull/detail/adapter.h"
#include "lull/malloc.h"

namespace lull {

#if defined(__cpp_lib_allocate_at_least)
template <class Pointer>
using allocation_result = std::allocation_result<Pointer>;
#else
template <class Pointer>
struct allocation_result {  // std::allocation_result of C++23
  Pointer ptr;
  std::size_t count;
};
#endif

template <class T>
class malloc_allocator {
 public:
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using is_always_equal = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;

  constexpr malloc_allocator() noexcept = default;
  template <class Other>
  constexpr malloc_allocator(const malloc_allocator<Other>&) noexcept {}  // NOLINT: a conversion, as allocators have it

  [[nodiscard]] T* allocate(std::size_t count) { return allocate_bytes(detail::bytes_of<T>(count)); }

  // At least `count` elements: as many as the block has room for. Its count, or any between, is right for deallocate().
  [[nodiscard]] allocation_result<T*> allocate_at_least(std::size_t count) {
    std::size_t bytes = detail::bytes_of<T>(count);
    if constexpr (!kOverAligned) bytes = lull_good_size(bytes);
    return {allocate_bytes(bytes), bytes / sizeof(T)};
  }

  void deallocate(T* first, std::size_t count) noexcept {
    if constexpr (kOverAligned) lull_free_aligned_sized(first, alignof(T), count * sizeof(T));
    else lull_free_sized(first, count * sizeof(T));
  }

  template <class Other>
  friend constexpr bool operator==(const malloc_allocator&, const malloc_allocator<Other>&) noexcept { return true; }

 private:
  static constexpr bool kOverAligned = alignof(T) > detail::kMallocAlignment;

  static T* allocate_bytes(std::size_t bytes) {
    return static_cast<T*>(detail::block_or_throw(kOverAligned ? lull_aligned_alloc(alignof(T), bytes) : lull_malloc(bytes)));
  }
};

// std::pmr's view of lull_malloc(). All of them are equal.
class memory_resource final : public std::pmr::memory_resource {
 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return detail::block_or_throw(alignment <= detail::kMallocAlignment ? lull_malloc(bytes) : lull_aligned_alloc(alignment, bytes));
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    lull_free_aligned_sized(block, alignment, bytes);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#if defined(__cpp_rtti)
    return dynamic_cast<const memory_resource*>(&other) != nullptr;
#else
    return this == &other;
#endif
  }
};

// One for the whole program; it is never destroyed, so containers with static storage may use it to the very end.
inline memory_resource* malloc_resource() noexcept {
  alignas(memory_resource) static std::byte storage[sizeof(memory_resource)];
  static memory_resource* const resource = ::new (static_cast<void*>(storage)) memory_resource;
  return resource;
}

}  // namespace lull

// lull::allocator<T>: an allocator for containers whose elements and nodes are managed objects.
//
// For containers that honour an allocator's pointer type: Boost.Container, Boost.Unordered, Boost.MultiIndex,
// std::vector. (libstdc++'s other containers keep plain pointers, which the collector does not see in time: use
// lull/containers.h.) The container itself lives where a ptr may live: on a stack, or in a managed object.
//
// allocate() is lull::make_array without constructors: std::bad_alloc when memory is out after a full collection,
// std::bad_array_new_length for a length nothing can have; it may collect. deallocate() does nothing, the collector frees
// what nobody refers to. All allocators are equal. Thread-safe.
#pragma once

#include <cstddef>
#include <type_traits>

#include "lull/element_ptr.h"
#include "lull/make.h"

namespace lull {

template <class T>
class allocator {
 public:
  using value_type = T;
  using pointer = element_ptr<T>;
  using const_pointer = element_ptr<const T>;
  using void_pointer = element_ptr<void>;
  using const_void_pointer = element_ptr<const void>;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using is_always_equal = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  template <class U>
  struct rebind { using other = allocator<U>; };

  allocator() noexcept = default;
  template <class U>
  allocator(const allocator<U>&) noexcept {}

  // One element is a node and has no header.
  pointer allocate(size_type n) {
    if (n == 1) return pointer(static_cast<T*>(detail::allocate_for<T>()));
    return pointer(reinterpret_cast<T*>(static_cast<char*>(detail::allocate_array_of<T>(n)) + detail::array_offset<T>));
  }
  void deallocate(const pointer&, size_type) noexcept {}

  friend bool operator==(const allocator&, const allocator&) noexcept { return true; }
};

}  // namespace lull

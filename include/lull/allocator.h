// lull::allocator<T>: an allocator for containers whose elements and nodes are managed objects.
//
// For containers that honour an allocator's pointer type: Boost.Container, Boost.Unordered, Boost.MultiIndex,
// std::vector. (libstdc++'s other containers keep plain pointers, which the collector does not see in time: use
// lull/containers.h.) The container itself lives where a ptr may live: on a stack, or in a managed object.
//
// allocate() is lull::make_array without constructors: std::bad_alloc when memory is out after a full collection,
// std::bad_array_new_length for a length nothing can have; it may collect. deallocate() does nothing, the collector frees
// what nobody refers to. destroy() runs the destructor and stores null over the references that it leaves behind: the memory of a dead element
// may live on, and the next element there begin with zeroes that no barrier sees. All allocators are equal. Thread-safe.
#pragma once

#include <cstddef>
#include <type_traits>

#include "lull/element_ptr.h"
#include "lull/make.h"

namespace lull {
namespace detail {

// Null into each word of dead memory that may be a reference, through the barrier: somebody may have loaded it.
inline void forget_words(void* memory, std::size_t bytes) noexcept {
  auto* word = static_cast<Word*>(memory);
  asm("" : "+r"(word) : : "memory");  // it is raw memory by now, of which compilers know nothing
  const std::size_t size = __atomic_load_n(&heap_range.size, __ATOMIC_ACQUIRE);  // as in dirty_card
  for (std::size_t n = bytes / sizeof(Word); n > 0; --n, ++word)
    if (load_word(word) - heap_range.base < size) overwrite_with_null_slow(word);
}

// Elements that destroy() has something to do for though their destructors do nothing.
template <class T>
constexpr bool leaves_references() {
  if constexpr (!std::is_class_v<T> || no_pointers<T>::value || alignof(T) < alignof(Word)) return false;
  else if constexpr (requires { typename T::first_type; typename T::second_type; })
    return !no_pointers<std::remove_cv_t<typename T::first_type>>::value || !no_pointers<typename T::second_type>::value;
  else return true;
}

}  // namespace detail
}  // namespace lull

// Boost's containers leave trivial destructors out, and the allocator's destroy() with them.
namespace boost::move_detail {
template <class T>
struct is_trivially_destructible;
template <class T>
  requires(lull::detail::leaves_references<T>())
struct is_trivially_destructible<T> {
  static const bool value = false;
};
}  // namespace boost::move_detail

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
  // Or the memory, as that behind the last element of a vector, would keep what a dead one referred to.
  template <class U>
  void destroy(U* element) noexcept(std::is_nothrow_destructible_v<U>) {
    element->~U();
    if constexpr (!no_pointers<U>::value && alignof(U) >= alignof(detail::Word)) detail::forget_words(element, sizeof(U));
  }

  friend bool operator==(const allocator&, const allocator&) noexcept { return true; }
};

}  // namespace lull

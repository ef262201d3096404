// lull::scoped<T>: an object in the frame instead of the heap, and lull::keep_alive.
//
//   lull::scoped<Visitor> visitor(tree);   // Visitor may have ptr members: stacks are scanned
//   visitor->run();
//
// For objects that never outlive their function: no allocation, no work for the collector but its words on the stack,
// destroyed at the end of the scope. It cannot be copied, moved, made with new, or be made to yield a ptr; its address can
// still be leaked by hand, as any local variable's. Not for globals or thread_locals, whose references nobody would see
// (LULL_DEBUG=check_ptr_location stops at them). Costs what T's constructor costs. Thread-safety is T's.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "lull/ptr.h"

namespace lull {

template <class T>
class scoped {
  static_assert(!std::is_array_v<T> && !std::is_reference_v<T>);

 public:
  template <class... Arguments>
    requires std::is_constructible_v<T, Arguments...>
  explicit scoped(Arguments&&... arguments) : object_(std::forward<Arguments>(arguments)...) {}
  scoped(const scoped&) = delete;
  scoped& operator=(const scoped&) = delete;

  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;
  static void* operator new(std::size_t, std::align_val_t) = delete;

  T& operator*() & noexcept { return object_; }
  const T& operator*() const& noexcept { return object_; }
  T* operator->() noexcept { return std::addressof(object_); }
  const T* operator->() const noexcept { return std::addressof(object_); }
  void operator*() && = delete;  // of a temporary: dangling at once

 private:
  T object_;
};

// The object is reachable up to this point, whatever the optimiser thinks: for memory that somebody else uses by its address,
// such as a buffer that the kernel reads. Managed objects never move, so the address is good for as long. No code.
template <class T>
[[gnu::always_inline]] inline void keep_alive(const ptr<T>& object) noexcept { asm volatile("" ::"r"(object.get()) : "memory"); }

}  // namespace lull

// lull::make and lull::make_array: managed objects.
//
// Errors: std::bad_alloc when memory is still out after a full collection (std::bad_array_new_length for a length that
// no object can have); what a constructor throws passes through and leaks nothing. May collect, may wait for a
// collection when memory is out, may assist the marker. Thread-safe; attaches the calling thread.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "lull/detail/adapter.h"
#include "lull/detail/kind.h"
#include "lull/detail/thread_block.h"
#include "lull/ptr.h"

namespace lull {
namespace detail {

[[gnu::cold]] void* allocate_slow(Kind& kind);                   // one object; never null
void* allocate_array(Kind& kind, std::size_t bytes);             // bytes with header; never null
void note_constructed(Kind& kind, void* object);                 // its destructor has to run from now on

// Bump allocation in the thread's current hole: no call, no locked instruction. The object's address is in a register
// of its own before the cursor makes the object visible (rule 12): the asm statements hide from the compiler that
// address and cursor are related, so that a handshake that interrupts anywhere here finds the address.
[[gnu::always_inline]] inline void* allocate_object(Kind& kind, std::uint32_t bytes) {
  auto* slots = reinterpret_cast<char*>(thread_block.slots);
  auto& slot = *reinterpret_cast<AllocSlot*>(slots + kind.slot_offset.load(std::memory_order_relaxed));
  std::uintptr_t object = slot.cursor;
  const std::uintptr_t next = object + bytes;
  if (next > slot.limit) [[unlikely]] return allocate_slow(kind);
  asm volatile("" : "+r"(object));
  slot.cursor = next;
  asm volatile("" : "+r"(object)::"memory");
  return reinterpret_cast<void*>(object);
}

template <class T>
[[gnu::always_inline]] inline void* allocate_for() {
  Kind& kind = KindOf<T>::object;
  if constexpr (slot_bytes_for<T>() <= kLargestSmallObject) return allocate_object(kind, slot_bytes_for<T>());
  else return allocate_slow(kind);
}

template <class T>
inline constexpr bool is_slot = false;
template <class T>
inline constexpr bool is_slot<ptr<T>> = true;
template <class T>
inline constexpr bool is_slot<atomic_ptr<T>> = true;

template <class T>
void* allocate_array_of(std::size_t length) {
  constexpr std::size_t most = (std::size_t{1} << 46) / sizeof(T);
  if (length > most) throw_or_abort<std::bad_array_new_length>();
  void* memory = allocate_array(KindOf<T>::array, array_offset<T> + length * sizeof(T) + 1);
  array_header(reinterpret_cast<T*>(static_cast<char*>(memory) + array_offset<T>))->store(length);
  return memory;
}

template <class T, class... Arguments>
T* make_object(Arguments&&... arguments) {
  void* memory = allocate_for<T>();
  T* object;
  // Compilers without parenthesised initialisation of aggregates (clang before 16) take braces for them.
  if constexpr (std::is_constructible_v<T, Arguments...>) object = std::construct_at(static_cast<T*>(memory), std::forward<Arguments>(arguments)...);
  else object = ::new (memory) T{std::forward<Arguments>(arguments)...};
  if constexpr (!droppable<T>::value) note_constructed(KindOf<T>::object, memory);
  asm volatile("" ::"r"(memory));
  return object;
}

template <class T>
T* make_elements(std::size_t length) {
  void* memory = allocate_array_of<T>(length);
  T* elements = reinterpret_cast<T*>(static_cast<char*>(memory) + array_offset<T>);
  if constexpr (!is_slot<T>) std::uninitialized_value_construct_n(elements, length);  // slots: memory is zero
  if constexpr (!droppable<T>::value) note_constructed(KindOf<T>::array, memory);
  asm volatile("" ::"r"(memory));
  return elements;
}

}  // namespace detail

// Like std::make_shared. Always inlined, so that the result is a register: a ptr comes out of a function through memory.
template <class T, class... Arguments>
  requires(!std::is_array_v<T>)
[[gnu::always_inline]] inline ptr<T> make(Arguments&&... arguments) {
  return ptr<T>(detail::Fresh{}, detail::make_object<T>(std::forward<Arguments>(arguments)...));
}

// `length` value-initialised elements.
template <class T>
[[gnu::always_inline]] inline ptr<T[]> make_array(std::size_t length) {
  return ptr<T[]>(detail::Fresh{}, detail::make_elements<std::remove_cv_t<T>>(length));
}

}  // namespace lull

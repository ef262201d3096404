// lull::element_ptr<T>: a pointer into a managed array or node that counts up and down, as containers want it
// ("fancy pointer": [allocator.requirements] of the C++ standard, Boost.Interprocess's offset_ptr).
//
// Lives where a ptr may live. Differs from ptr<T> in two ways: it is a random access iterator, and its destructor stores
// null through the write barrier. A container, a variant or a union uses the memory of a dead pointer for something that is
// no pointer: without that store the collector would not learn that the reference is gone, and could lose its object
// (docs/design/barrier.md, "Pointers that die"). So it is also the pointer for std::variant.
// Thread-safety is that of a plain pointer. One past the end of an array is a valid value.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <type_traits>

#include "lull/detail/barrier.h"
#include "lull/ptr.h"

namespace lull {
namespace detail {

// A slot whose life ends before its memory's does.
class MortalSlot : public Slot {
 public:
  using Slot::Slot;
  [[gnu::always_inline]] MortalSlot() noexcept = default;
  [[gnu::always_inline]] MortalSlot(const MortalSlot&) noexcept = default;
  MortalSlot& operator=(const MortalSlot&) noexcept = default;
  [[gnu::always_inline]] ~MortalSlot() { clear(); }
};

}  // namespace detail

template <class T>
class element_ptr {
 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using difference_type = std::ptrdiff_t;
  using reference = std::add_lvalue_reference_t<T>;
  using referee = std::conditional_t<std::is_void_v<T>, char, T>;  // stands for T where void cannot
  using pointer = T*;
  using iterator_category = std::random_access_iterator_tag;

  [[gnu::always_inline]] element_ptr() noexcept {}  // as ptr()
  element_ptr(T* element) noexcept : slot_(detail::to_word(element)) {}  // implicit: containers convert their plain pointers
  element_ptr(const element_ptr&) noexcept = default;
  element_ptr& operator=(const element_ptr&) noexcept = default;
  template <class U>
    requires std::is_convertible_v<U*, T*>
  element_ptr(const element_ptr<U>& other) noexcept : element_ptr(static_cast<T*>(other.get())) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  element_ptr(const ptr<U>& object) noexcept : element_ptr(static_cast<T*>(object.get())) {}
  template <class U>  // as static_cast of plain pointers: from void, to a derived class
    requires(!std::is_convertible_v<U*, T*> && requires(U* p) { static_cast<T*>(p); })
  explicit element_ptr(const element_ptr<U>& other) noexcept : element_ptr(static_cast<T*>(other.get())) {}
  element_ptr& operator=(std::nullptr_t) noexcept {
    slot_.set(0);
    return *this;
  }

  T* get() const noexcept { return reinterpret_cast<T*>(slot_.word()); }
  T* operator->() const noexcept { return get(); }
  reference operator*() const noexcept { return *get(); }
  reference operator[](difference_type i) const noexcept requires(!std::is_void_v<T>) { return get()[i]; }
  explicit operator bool() const noexcept { return slot_.word() != 0; }
  operator ptr<T>() const noexcept { return ptr<T>(get()); }

  element_ptr& operator+=(difference_type n) noexcept requires(!std::is_void_v<T>) {
    slot_.set(detail::to_word(get() + n));
    return *this;
  }
  element_ptr& operator-=(difference_type n) noexcept requires(!std::is_void_v<T>) { return *this += -n; }
  element_ptr& operator++() noexcept requires(!std::is_void_v<T>) { return *this += 1; }
  element_ptr& operator--() noexcept requires(!std::is_void_v<T>) { return *this += -1; }
  element_ptr operator++(int) noexcept requires(!std::is_void_v<T>) {
    element_ptr before = *this;
    ++*this;
    return before;
  }
  element_ptr operator--(int) noexcept requires(!std::is_void_v<T>) {
    element_ptr before = *this;
    --*this;
    return before;
  }
  friend element_ptr operator+(const element_ptr& p, difference_type n) noexcept requires(!std::is_void_v<T>) {
    return element_ptr(p.get() + n);
  }
  friend element_ptr operator+(difference_type n, const element_ptr& p) noexcept requires(!std::is_void_v<T>) { return p + n; }
  friend element_ptr operator-(const element_ptr& p, difference_type n) noexcept requires(!std::is_void_v<T>) {
    return element_ptr(p.get() - n);
  }
  friend difference_type operator-(const element_ptr& a, const element_ptr& b) noexcept requires(!std::is_void_v<T>) {
    return a.get() - b.get();
  }
  friend bool operator==(const element_ptr& a, const element_ptr& b) noexcept { return a.get() == b.get(); }
  friend bool operator==(const element_ptr& p, std::nullptr_t) noexcept { return !p; }
  friend std::strong_ordering operator<=>(const element_ptr& a, const element_ptr& b) noexcept {
    return std::compare_three_way{}(static_cast<const volatile void*>(a.get()), static_cast<const volatile void*>(b.get()));
  }

  // What std::pointer_traits and boost::intrusive::pointer_traits ask for.
  template <class U>
  using rebind = element_ptr<U>;
  static element_ptr pointer_to(referee& element) noexcept { return element_ptr(std::addressof(element)); }
  template <class U>
  static element_ptr static_cast_from(const element_ptr<U>& p) noexcept { return element_ptr(static_cast<T*>(p.get())); }
  template <class U>
  static element_ptr const_cast_from(const element_ptr<U>& p) noexcept { return element_ptr(const_cast<T*>(p.get())); }
  template <class U>
  static element_ptr dynamic_cast_from(const element_ptr<U>& p) noexcept { return element_ptr(dynamic_cast<T*>(p.get())); }

  void trace(tracer& t) const { slot_.trace(t); }

 private:
  detail::MortalSlot slot_;
};
static_assert(sizeof(element_ptr<int>) == sizeof(void*));

template <class T, class U>
  requires(!std::is_same_v<T, U>)
bool operator==(const element_ptr<T>& a, const element_ptr<U>& b) noexcept { return a.get() == b.get(); }

// Its destructor matters while its memory lives on, not when both go together.
template <class T>
struct droppable<element_ptr<T>> : std::true_type {};

}  // namespace lull

template <class T>
struct std::hash<lull::element_ptr<T>> {
  std::size_t operator()(const lull::element_ptr<T>& p) const noexcept {
    return std::hash<const volatile void*>{}(static_cast<const volatile void*>(p.get()));
  }
};

// lull::weak_ptr<T>: does not keep its object. One word; making one from a ptr allocates a 16-byte cell, copies share it.
//
// lock() is constant time, never blocks, and yields an empty ptr from the moment the collector found the object
// unreachable, before its destructor runs. Lives where a ptr may live; thread-safety is that of ptr.
#pragma once

#include <cstddef>
#include <type_traits>

#include "lull/ptr.h"

namespace lull {
namespace detail {

struct WeakCell {
  Word referent;  // not traced; cleared by the collector; written by the collector only once published
};
template <>
constexpr Layout layout_of<WeakCell>() { return Layout::no_pointers; }

WeakCell* make_weak_cell(const void* referent);                // std::bad_alloc like make
Word lock_weak_cell(const WeakCell* cell) noexcept;            // rule 15 of docs/design/protocol_model.md
bool weak_cell_expired(const WeakCell* cell) noexcept;

}  // namespace detail

template <class T>
class root;

template <class T>
class weak_ptr {
 public:
  using element_type = typename ptr<T>::element_type;

  weak_ptr() noexcept = default;
  weak_ptr(std::nullptr_t) noexcept {}
  weak_ptr(const ptr<T>& p) {
    if (p) cell_ = ptr<detail::WeakCell>(detail::make_weak_cell(p.get()));
  }
  // From a pointer or weak pointer to a derived type: a cell of its own, since the base part may lie elsewhere.
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  weak_ptr(const ptr<U>& p) : weak_ptr(ptr<T>(p)) {}
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  weak_ptr(const weak_ptr<U>& other) : weak_ptr(ptr<T>(other.lock())) {}
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  weak_ptr(const root<U>& r) : weak_ptr(ptr<T>(r.load())) {}
  weak_ptr& operator=(std::nullptr_t) noexcept {
    reset();
    return *this;
  }
  weak_ptr& operator=(const ptr<T>& p) { return *this = weak_ptr(p); }
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  weak_ptr& operator=(const ptr<U>& p) { return *this = weak_ptr(ptr<T>(p)); }
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  weak_ptr& operator=(const root<U>& r) { return *this = weak_ptr(r); }
  weak_ptr(const weak_ptr&) noexcept = default;
  weak_ptr& operator=(const weak_ptr&) noexcept = default;

  ptr<T> lock() const noexcept {
    return cell_ ? ptr<T>(reinterpret_cast<element_type*>(detail::lock_weak_cell(cell_.get()))) : ptr<T>();
  }
  bool expired() const noexcept { return !cell_ || detail::weak_cell_expired(cell_.get()); }
  void reset() noexcept { cell_.reset(); }
  void trace(tracer& t) const { cell_.trace(t); }

 private:
  ptr<detail::WeakCell> cell_;
};
static_assert(sizeof(weak_ptr<int>) == sizeof(void*));

}  // namespace lull

// lull::root<T> and lull::atomic_root<T>: strong references from memory the collector does not see: globals,
// thread_locals, malloc memory, containers of the standard library, captures of std::thread.
//
// A root owns a cell in the collector's root table (one word of memory besides its own); an empty root that was never
// assigned owns none, so globals are constant-initialised. Making and destroying a root takes a lock for a few
// nanoseconds; reading one is two loads and a test. Every use attaches the calling thread. Thread-safety is that of std::shared_ptr: distinct roots are independent,
// one root written by two threads needs atomic_root. std::bad_alloc when the root table cannot grow.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "lull/detail/barrier.h"
#include "lull/ptr.h"

namespace lull {
namespace detail {

Word* acquire_root_cell();                        // a cell that holds 0; never null
void release_root_cell(Word* cell) noexcept;      // stores 0 through the barrier and returns the cell

}  // namespace detail

template <class T>
class root {
 public:
  using element_type = typename ptr<T>::element_type;

  constexpr root() noexcept = default;
  constexpr root(std::nullptr_t) noexcept {}
  root(const ptr<T>& p) { assign(p.get()); }
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  root(const ptr<U>& p) { assign(p.get()); }
  root(const root& other) { assign(other.get()); }
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  root(const root<U>& other) { assign(other.get()); }
  root(root&& other) noexcept : cell_(std::exchange(other.cell_, nullptr)) {}
  root& operator=(const ptr<T>& p) {
    assign(p.get());
    return *this;
  }
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  root& operator=(const ptr<U>& p) {
    assign(p.get());
    return *this;
  }
  root& operator=(const root& other) {
    assign(other.get());
    return *this;
  }
  template <class U>
    requires std::is_convertible_v<ptr<U>, ptr<T>>
  root& operator=(const root<U>& other) {
    assign(other.get());
    return *this;
  }
  root& operator=(root&& other) noexcept {
    if (this == &other) return *this;
    std::swap(cell_, other.cell_);  // no lock: the cell stays in use for the next assignment to `other`
    other.reset();
    return *this;
  }
  root& operator=(std::nullptr_t) noexcept {
    reset();
    return *this;
  }
  ~root() {
    if (cell_ != nullptr) detail::release_root_cell(cell_);
  }

  element_type* get() const noexcept {
    if (cell_ == nullptr) return nullptr;
    detail::ensure_attached();
    return reinterpret_cast<element_type*>(detail::load_word(cell_));
  }
  ptr<T> load() const noexcept { return ptr<T>(get()); }
  operator ptr<T>() const noexcept { return load(); }
  template <class U>
    requires(!std::is_same_v<U, T> && std::is_convertible_v<ptr<T>, ptr<U>>)
  operator ptr<U>() const noexcept { return load(); }
  std::add_lvalue_reference_t<element_type> operator*() const noexcept { return *get(); }
  element_type* operator->() const noexcept { return get(); }
  std::add_lvalue_reference_t<element_type> operator[](std::size_t i) const noexcept requires std::is_array_v<T> { return get()[i]; }
  std::size_t size() const noexcept requires std::is_array_v<T> { return load().size(); }
  element_type* begin() const noexcept requires std::is_array_v<T> { return get(); }
  element_type* end() const noexcept requires std::is_array_v<T> { return load().end(); }
  explicit operator bool() const noexcept { return get() != nullptr; }
  void reset() noexcept {
    if (cell_ == nullptr) return;
    detail::ensure_attached();
    detail::store_word(cell_, 0);
  }
  void swap(root& other) noexcept { std::swap(cell_, other.cell_); }

 private:
  void assign(element_type* object) {
    if (cell_ == nullptr) {
      if (object == nullptr) return;
      cell_ = detail::acquire_root_cell();
    }
    detail::ensure_attached();
    detail::store_word(cell_, detail::to_word(object));
  }

  detail::Word* cell_ = nullptr;
};

template <class T, class U>
bool operator==(const root<T>& a, const root<U>& b) noexcept { return a.get() == b.get(); }
template <class T, class U>
bool operator==(const root<T>& a, const ptr<U>& b) noexcept { return a.get() == b.get(); }
template <class T>
bool operator==(const root<T>& a, std::nullptr_t) noexcept { return !a; }
template <class T, class U>
std::strong_ordering operator<=>(const root<T>& a, const root<U>& b) noexcept { return a.load() <=> b.load(); }
template <class T, class U>
std::strong_ordering operator<=>(const root<T>& a, const ptr<U>& b) noexcept { return a.load() <=> b; }
template <class T>
void swap(root<T>& a, root<T>& b) noexcept { a.swap(b); }

template <class T, class U>
ptr<T> static_pointer_cast(const root<U>& p) noexcept { return static_pointer_cast<T>(p.load()); }
template <class T, class U>
ptr<T> dynamic_pointer_cast(const root<U>& p) noexcept { return dynamic_pointer_cast<T>(p.load()); }
template <class T, class U>
ptr<T> const_pointer_cast(const root<U>& p) noexcept { return const_pointer_cast<T>(p.load()); }
template <class T, class U>
ptr<T> reinterpret_pointer_cast(const root<U>& p) noexcept { return reinterpret_pointer_cast<T>(p.load()); }

// A root that several threads may read and write at the same time. Loads acquire, stores release.
template <class T>
class atomic_root {
 public:
  using element_type = typename ptr<T>::element_type;

  atomic_root() : cell_(detail::acquire_root_cell()) {}
  explicit atomic_root(const ptr<T>& p) : atomic_root() { store(p); }
  atomic_root(const atomic_root&) = delete;
  atomic_root& operator=(const atomic_root&) = delete;
  ~atomic_root() { detail::release_root_cell(cell_); }

  ptr<T> load() const noexcept {
    detail::ensure_attached();
    return as_ptr(__atomic_load_n(cell_, __ATOMIC_ACQUIRE));
  }
  void store(const ptr<T>& desired) noexcept { exchange(desired); }
  ptr<T> exchange(const ptr<T>& desired) noexcept {
    detail::ensure_attached();
    return as_ptr(detail::exchange_word(cell_, detail::to_word(desired.get())));
  }
  bool compare_exchange(ptr<T>& expected, const ptr<T>& desired) noexcept {
    detail::ensure_attached();
    detail::Word seen = detail::to_word(expected.get());
    const bool done = detail::compare_exchange_word(cell_, seen, detail::to_word(desired.get()));
    if (!done) expected = as_ptr(seen);
    return done;
  }

 private:
  static ptr<T> as_ptr(detail::Word word) noexcept { return ptr<T>(reinterpret_cast<element_type*>(word)); }
  detail::Word* cell_;
};

// Of boost::hash, which lull::unordered_map uses.
template <class T>
std::size_t hash_value(const root<T>& p) noexcept { return std::hash<const volatile void*>()(static_cast<const volatile void*>(p.get())); }

}  // namespace lull

template <class T>
struct std::hash<lull::root<T>> {
  std::size_t operator()(const lull::root<T>& p) const noexcept { return std::hash<lull::ptr<T>>{}(p.load()); }
};

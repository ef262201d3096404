// lull::ptr<T>: a pointer to a managed object, one word. Like std::shared_ptr without a count.
//
// A ptr lives in managed objects and on stacks; globals, thread_locals and malloc memory take lull::root<T>.
// Copying, moving and assigning run the write barrier (docs/design/barrier.md); destroying does nothing. So a std::variant or a
// union, which reuses the memory of a dead pointer for something else, takes lull::element_ptr<T>; std::optional takes either.
// Thread-safety is that of a plain pointer: two threads may store to one slot at the same time only through
// lull::atomic_ptr<T>; plain racing stores can lose an object.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <iterator>
#include <type_traits>
#include <utility>

#include "lull/detail/barrier.h"
#include "lull/tracer.h"

namespace lull {

template <class T>
class ptr;
template <class T>
class atomic_ptr;

namespace detail {

struct Fresh {};  // of an object that lull::make has just made

// The word and its barrier; ptr<T> and ptr<T[]> differ only in how they look at it.
class Slot {
 public:
  // Always inlined, so that construct_word sees variables for what they are.
  [[gnu::always_inline]] Slot() noexcept { construct_null(&word_); }
  [[gnu::always_inline]] explicit Slot(Word word) noexcept { construct_word(&word_, word); }
  [[gnu::always_inline]] Slot(Fresh, Word object) noexcept { construct_fresh(&word_, object); }
  [[gnu::always_inline]] Slot(const Slot& other) noexcept { construct_word(&word_, other.word()); }
  Slot& operator=(const Slot& other) noexcept {
    store_word(&word_, other.word());
    return *this;
  }
  ~Slot() = default;

  Word word() const noexcept { return load_word(&word_); }
  void set(Word word) noexcept { store_word(&word_, word); }
  // Null, if the slot is no variable: the memory of a variable is nobody's business when it dies.
  [[gnu::always_inline]] void clear() noexcept {
    if (!is_variable(&word_)) construct_null(&word_);
  }
  void trace(tracer& t) const { t.visit(&word_); }

 private:
  Word word_;  // no initialiser: constructing is a store, the old content is a value that is overwritten
};

template <class T>
Word to_word(T* p) noexcept { return reinterpret_cast<Word>(p); }

}  // namespace detail

template <class T>
class ptr {
 public:
  using element_type = T;
  using pointer = T*;

  [[gnu::always_inline]] ptr() noexcept {}  // not defaulted: ptr() would zero first, and the barrier would see no old value
  [[gnu::always_inline]] ptr(std::nullptr_t) noexcept {}
  // From a pointer into a managed object, or to memory outside of the heap (which the collector ignores).
  explicit ptr(T* object) noexcept : slot_(detail::to_word(object)) {}
  ptr(detail::Fresh, T* object) noexcept : slot_(detail::Fresh{}, detail::to_word(object)) {}  // lull::make's
  ptr(const ptr&) noexcept = default;
  ptr& operator=(const ptr&) noexcept = default;
  template <class U>
    requires std::is_convertible_v<U*, T*>
  ptr(const ptr<U>& other) noexcept : slot_(detail::to_word(static_cast<T*>(other.get()))) {}
  // As std::shared_ptr's: `part` of the object that `whole` points into. It keeps the whole by itself, so `whole` is not needed; what
  // lies elsewhere it does not keep, and neither does it keep `whole` then.
  template <class U>
  ptr(const ptr<U>&, T* part) noexcept : ptr(part) {}
  ptr& operator=(std::nullptr_t) noexcept {
    slot_.set(0);
    return *this;
  }
  ~ptr() = default;

  T* get() const noexcept { return reinterpret_cast<T*>(slot_.word()); }
  std::add_lvalue_reference_t<T> operator*() const noexcept { return *get(); }
  T* operator->() const noexcept { return get(); }
  explicit operator bool() const noexcept { return slot_.word() != 0; }
  void reset() noexcept { slot_.set(0); }
  void swap(ptr& other) noexcept {
    ptr held = *this;
    *this = other;
    other = held;
  }
  void trace(tracer& t) const { slot_.trace(t); }

 private:
  detail::Slot slot_;
};
static_assert(sizeof(ptr<int>) == sizeof(void*));

// An array made by lull::make_array. Never points into the middle of one.
template <class T>
class ptr<T[]> {
 public:
  using element_type = T;

  [[gnu::always_inline]] ptr() noexcept {}  // not defaulted: ptr() would zero first, and the barrier would see no old value
  [[gnu::always_inline]] ptr(std::nullptr_t) noexcept {}
  explicit ptr(T* elements) noexcept : slot_(detail::to_word(elements)) {}
  ptr(detail::Fresh, T* elements) noexcept : slot_(detail::Fresh{}, detail::to_word(elements)) {}  // lull::make's
  ptr(const ptr&) noexcept = default;
  ptr& operator=(const ptr&) noexcept = default;
  // To more const elements, not to another type's: those have another size.
  template <class U>
    requires(!std::is_same_v<U, T> && std::is_convertible_v<U (*)[], T (*)[]>)
  ptr(const ptr<U[]>& other) noexcept : slot_(detail::to_word(other.get())) {}
  ptr& operator=(std::nullptr_t) noexcept {
    slot_.set(0);
    return *this;
  }
  ~ptr() = default;

  T* get() const noexcept { return reinterpret_cast<T*>(slot_.word()); }
  T& operator[](std::size_t i) const noexcept { return get()[i]; }
  std::size_t size() const noexcept { return get() == nullptr ? 0 : detail::array_header(get())->load(); }
  T* begin() const noexcept { return get(); }
  T* end() const noexcept { return get() + size(); }
  explicit operator bool() const noexcept { return slot_.word() != 0; }
  void reset() noexcept { slot_.set(0); }
  void swap(ptr& other) noexcept {
    ptr held = *this;
    *this = other;
    other = held;
  }
  void trace(tracer& t) const { slot_.trace(t); }

 private:
  detail::Slot slot_;
};

template <class T, class U>
bool operator==(const ptr<T>& a, const ptr<U>& b) noexcept { return a.get() == b.get(); }
template <class T>
bool operator==(const ptr<T>& a, std::nullptr_t) noexcept { return !a; }
template <class T, class U>
std::strong_ordering operator<=>(const ptr<T>& a, const ptr<U>& b) noexcept {
  if constexpr (requires { true ? a.get() : b.get(); }) {  // a base may lie elsewhere than its derived class
    using Common = decltype(true ? a.get() : b.get());
    return std::compare_three_way{}(static_cast<Common>(a.get()), static_cast<Common>(b.get()));
  } else {
    return std::compare_three_way{}(static_cast<const volatile void*>(a.get()), static_cast<const volatile void*>(b.get()));
  }
}
template <class T>
void swap(ptr<T>& a, ptr<T>& b) noexcept { a.swap(b); }

template <class T, class U>
ptr<T> static_pointer_cast(const ptr<U>& p) noexcept { return ptr<T>(static_cast<T*>(p.get())); }
template <class T, class U>
ptr<T> dynamic_pointer_cast(const ptr<U>& p) noexcept { return ptr<T>(dynamic_cast<T*>(p.get())); }
template <class T, class U>
ptr<T> const_pointer_cast(const ptr<U>& p) noexcept { return ptr<T>(const_cast<T*>(p.get())); }
template <class T, class U>
ptr<T> reinterpret_pointer_cast(const ptr<U>& p) noexcept { return ptr<T>(reinterpret_cast<T*>(p.get())); }

// A slot that several threads may read and write at the same time. Every store is an exchange that yields the exact
// old value, which is what the barrier needs (rule 14 of docs/design/protocol_model.md). Loads acquire, stores release. Lock-free. With
// the names and the memory orders of std::atomic: lull/atomic.h.
template <class T>
class atomic_ptr {
 public:
  using element_type = std::remove_extent_t<T>;

  atomic_ptr() noexcept = default;
  atomic_ptr(const ptr<T>& desired) noexcept : word_(desired) {}
  atomic_ptr(const atomic_ptr&) = delete;
  atomic_ptr& operator=(const atomic_ptr&) = delete;

  ptr<T> load() const noexcept { return as_ptr(__atomic_load_n(raw(), __ATOMIC_ACQUIRE)); }
  void store(const ptr<T>& desired) noexcept { detail::exchange_word(raw(), detail::to_word(desired.get())); }
  ptr<T> exchange(const ptr<T>& desired) noexcept {
    return as_ptr(detail::exchange_word(raw(), detail::to_word(desired.get())));
  }
  bool compare_exchange(ptr<T>& expected, const ptr<T>& desired) noexcept {
    detail::Word seen = detail::to_word(expected.get());
    const bool done = detail::compare_exchange_word(raw(), seen, detail::to_word(desired.get()));
    if (!done) expected = as_ptr(seen);
    return done;
  }
  void trace(tracer& t) const { word_.trace(t); }

 protected:
  static ptr<T> as_ptr(detail::Word word) noexcept { return ptr<T>(reinterpret_cast<element_type*>(word)); }
  detail::Word* raw() const noexcept { return reinterpret_cast<detail::Word*>(const_cast<ptr<T>*>(&word_)); }
  ptr<T> word_;
};

// Of boost::hash, which lull::unordered_map uses.
template <class T>
std::size_t hash_value(const ptr<T>& p) noexcept { return std::hash<const volatile void*>()(static_cast<const volatile void*>(p.get())); }

}  // namespace lull

template <class T>
struct std::hash<lull::ptr<T>> {
  std::size_t operator()(const lull::ptr<T>& p) const noexcept {
    return std::hash<const volatile void*>{}(static_cast<const volatile void*>(p.get()));
  }
};

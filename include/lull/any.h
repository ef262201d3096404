// lull::any: one value of any copyable type, in managed memory; std::any whose value may hold references.
//
//   struct Binding { lull::string name; lull::any value; void trace(lull::tracer& t) const { t(name, value); } };
//   lull::any a = 42;  a = lull::ptr<Node>(n);  if (auto* p = lull::any_cast<lull::ptr<Node>>(&a)) use(*p);
//
// One word; lives where a ptr may live. Copying copies the value (std::any's semantics), moving takes it over. Interface, thread-safety and
// errors as std::any's; std::bad_alloc when memory is out. Works without run-time types: types are told apart by the address of a
// constant, so a type must not be hidden in two shared libraries. A value whose type is not lull::droppable is destroyed when the any gets
// another value or reset(); when the any itself ends, by the collector, later (docs/design/weak_and_destructors.md). Where the object that holds
// the any is garbage and has a destructor of its own, the two run in any order: that destructor may find the value destroyed.
#pragma once

#include <any>
#include <memory>
#include <type_traits>
#include <utility>

#include "lull/destroy.h"
#include "lull/detail/adapter.h"
#include "lull/element_ptr.h"
#include "lull/make.h"
#include "lull/ptr.h"

namespace lull {
namespace detail {

struct AnyBox;
struct AnyType {
  ptr<AnyBox> (*copy)(const AnyBox&);
  void (*drop)(const ptr<AnyBox>&);
};
struct AnyBox {
  const AnyType* type;
};
template <class T>
struct AnyValue : AnyBox {
  template <class... Arguments>
  explicit AnyValue(const AnyType* of, Arguments&&... arguments) : AnyBox{of}, value(std::forward<Arguments>(arguments)...) {}
  void trace(tracer& t) const requires HasTrace<T> { t(value); }
  T value;
};
template <class T>
ptr<AnyBox> copy_any_box(const AnyBox& box);
template <class T>
void drop_any_box(const ptr<AnyBox>& box);
template <class T>
inline constexpr AnyType any_type{copy_any_box<T>, drop_any_box<T>};

template <class T, class... Arguments>
ptr<AnyBox> make_any_box(Arguments&&... arguments) {
  return make<AnyValue<T>>(&any_type<T>, std::forward<Arguments>(arguments)...);
}
template <class T>
ptr<AnyBox> copy_any_box(const AnyBox& box) { return make_any_box<T>(static_cast<const AnyValue<T>&>(box).value); }
template <class T>
void drop_any_box(const ptr<AnyBox>& box) {
  if constexpr (!droppable<T>::value) destroy_if_due(box.get());  // the collector may have been there, if the owner is garbage, too
}

}  // namespace detail

template <class T>
struct no_pointers<detail::AnyValue<T>> : no_pointers<T> {};
template <class T>
struct droppable<detail::AnyValue<T>> : droppable<T> {};

class any {
 public:
  any() noexcept = default;
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, any> && std::is_copy_constructible_v<std::decay_t<T>>)
  any(T&& value) : box_(detail::make_any_box<std::decay_t<T>>(std::forward<T>(value))) {}
  any(const any& other) {
    if (other.box_) box_ = other.box_->type->copy(*other.box_);
  }
  any(any&& other) noexcept : box_(other.box_) { other.box_ = nullptr; }
  any& operator=(const any& other) {
    return *this = any(other);
  }
  any& operator=(any&& other) noexcept {
    const ptr<detail::AnyBox> taken = other.box_;  // first: `other` may be a part of this one's value
    other.box_ = nullptr;
    reset();
    box_ = taken;
    return *this;
  }
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, any> && std::is_copy_constructible_v<std::decay_t<T>>)
  any& operator=(T&& value) {
    return *this = any(std::forward<T>(value));
  }
  ~any() = default;  // stores null through the barrier if the memory may live on (lull/element_ptr.h)

  template <class T, class... Arguments>
  std::decay_t<T>& emplace(Arguments&&... arguments) {
    reset();
    box_ = detail::make_any_box<std::decay_t<T>>(std::forward<Arguments>(arguments)...);
    return static_cast<detail::AnyValue<std::decay_t<T>>*>(box_.get())->value;
  }
  void reset() noexcept {
    if (!box_) return;
    const ptr<detail::AnyBox> old = box_;
    box_ = nullptr;  // first: the destructor may look here
    old->type->drop(old);
  }
  void swap(any& other) noexcept { std::swap(box_, other.box_); }
  bool has_value() const noexcept { return static_cast<bool>(box_); }
  template <class T>
  bool holds() const noexcept { return box_ && box_->type == &detail::any_type<T>; }
  void trace(tracer& t) const { t(box_); }

 private:
  template <class T>
  friend T* any_cast(any* a) noexcept;
  element_ptr<detail::AnyBox> box_;
};
template <>
struct droppable<any> : std::true_type {};

inline void swap(any& a, any& b) noexcept { a.swap(b); }
template <class T, class... Arguments>
any make_any(Arguments&&... arguments) {
  any a;
  a.emplace<T>(std::forward<Arguments>(arguments)...);
  return a;
}

// Null: it holds nothing or another type.
template <class T>
T* any_cast(any* a) noexcept {
  if (a == nullptr || !a->holds<std::remove_cv_t<T>>()) return nullptr;
  return &static_cast<detail::AnyValue<std::remove_cv_t<T>>*>(a->box_.get())->value;
}
template <class T>
const T* any_cast(const any* a) noexcept { return any_cast<T>(const_cast<any*>(a)); }
template <class T>
T any_cast(const any& a) {
  const auto* value = any_cast<std::remove_cvref_t<T>>(&a);
  if (value == nullptr) detail::throw_or_abort<std::bad_any_cast>();
  return static_cast<T>(*value);
}
template <class T>
T any_cast(any& a) {
  auto* value = any_cast<std::remove_cvref_t<T>>(&a);
  if (value == nullptr) detail::throw_or_abort<std::bad_any_cast>();
  return static_cast<T>(*value);
}

}  // namespace lull

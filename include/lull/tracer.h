// lull::tracer: what a type's trace() hands its pointers to.
//
//   void trace(lull::tracer& t) const { t(left, right, children); }
//
// trace() runs on collector threads while the program goes on: it must only pass member pointers (or arrays and
// aggregates of them with a trace() of their own), take no lock, allocate nothing and follow no pointer. It may run
// before the constructor has: the object is all zero then, so trace() is called without virtual dispatch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lull/detail/heap_range.h"
#include "lull/detail/kind.h"

namespace lull {

struct SlotLog;

class tracer {
 public:
  template <class... Members>
  void operator()(const Members&... members) { (member(members), ...); }

  // One word that may be a pointer into the heap. For members of types that have no trace().
  void visit(const std::uintptr_t* slot) {
    // acquire: pairs with the release in detail::store_word, so that the object's contents are visible
    const std::uintptr_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (slots_seen_ != nullptr) [[unlikely]] note_slot(slot);
    *next_++ = word;  // null or not, in the heap or not: the marker asks that of many words at once
    if (next_ == end_) [[unlikely]] flush_(*this);
  }

  // Every aligned word of [object, object + bytes), for members whose pointers one cannot name.
  void visit_words(const void* object, std::size_t bytes) {
    const auto* word = static_cast<const std::uintptr_t*>(object);
    for (std::size_t i = 0; i < bytes / sizeof(std::uintptr_t); ++i) visit(word + i);
  }

  // lull's own: the value counts if the key is reachable.
  void visit_ephemeron(const std::uintptr_t* key, const std::uintptr_t* value) { ephemeron_(*this, key, value); }
  void note_slot(const std::uintptr_t* slot);  // checking mode check_trace

 protected:
  tracer() = default;

  template <class Member>
  void member(const Member& m) {
    if constexpr (detail::HasTrace<Member>) m.Member::trace(*this);
    else static_assert(no_pointers<Member>::value, "trace() was given something that has no trace() of its own");
  }
  template <class Member, std::size_t N>
  void member(const Member (&members)[N]) {
    for (const auto& m : members) member(m);
  }
  template <class Member, std::size_t N>
  void member(const std::array<Member, N>& members) {
    for (const auto& m : members) member(m);
  }
  detail::HeapRange range_ = detail::heap_range;
  std::uintptr_t* next_ = nullptr;
  std::uintptr_t* end_ = nullptr;
  void (*flush_)(tracer&) = nullptr;  // makes room between next_ and end_
  void (*ephemeron_)(tracer&, const std::uintptr_t* key, const std::uintptr_t* value) = nullptr;
  SlotLog* slots_seen_ = nullptr;
};

}  // namespace lull

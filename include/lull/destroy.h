// lull::destroy: runs an object's destructor now, for those who know that nobody uses the object any more.
//
// The destructor (of the type that make() was told; of every element of an array) runs on the calling thread before the
// call returns, and never again. The memory is reclaimed like that of any unreachable object, one cycle earlier than after
// a destructor that the collector ran; references that are left stay valid as addresses, weak ones among them.
// Destroying an object with a destructor twice, or one whose destructor has run, stops the process. With
// LULL_DEBUG=scribble the object is filled with 0xdb, so that a stale use shows, and destroying a trivial object twice stops
// the process as well. A destructor that throws ends the process.
#pragma once

#include "lull/ptr.h"

namespace lull {
namespace detail {

void destroy_now(const void* object) noexcept;
void destroy_if_due(const void* object) noexcept;  // nothing happens if the destructor has run

}  // namespace detail

// `p` points to the object, a base part of it, or an array; the whole object is destroyed. Null: nothing happens.
template <class T>
void destroy(const ptr<T>& p) noexcept {
  if (p) detail::destroy_now(const_cast<const std::remove_cv_t<std::remove_extent_t<T>>*>(p.get()));
}

}  // namespace lull

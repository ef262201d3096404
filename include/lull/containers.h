// Containers of managed memory: Boost.Container's and Boost.Unordered's over lull::allocator, with the trace() that makes
// them members of traced types. Needs Boost's headers (1.74 or newer).
//
//   struct Order { lull::string name; lull::vector<lull::ptr<Item>> items; };
//   lull::root<lull::unordered_map<int, lull::ptr<Order>>> orders = lull::make<lull::unordered_map<int, lull::ptr<Order>>>();
//
// They live where a ptr may live: on a stack, in a managed object, or behind a root; never as globals or in malloc memory.
// Elements may be anything, also ptr and further containers. Interface, errors and thread-safety are Boost's. Iterators on a
// stack keep what they point into. A container of elements without destructors needs none itself when it becomes
// garbage, and costs the collector no finalization.
#pragma once

#include <boost/container/deque.hpp>
#include <boost/container/flat_map.hpp>
#include <boost/container/flat_set.hpp>
#include <boost/container/list.hpp>
#include <boost/container/map.hpp>
#include <boost/container/set.hpp>
#include <boost/container/string.hpp>
#include <boost/container/vector.hpp>
#include <boost/unordered_map.hpp>
#include <boost/unordered_set.hpp>
#include <functional>
#include <type_traits>
#include <utility>

#include "lull/allocator.h"
#include "lull/tracer.h"

namespace lull {

// `Container` with a trace() that takes every word of it for a possible pointer, as for a type without a trace().
// `Elements` decide whether its destructor matters.
template <class Container, class... Elements>
class managed_container : public Container {
 public:
  using Container::Container;
  managed_container() = default;
  managed_container(const managed_container&) = default;
  managed_container(managed_container&&) noexcept(std::is_nothrow_move_constructible_v<Container>) = default;
  managed_container& operator=(const managed_container&) = default;
  managed_container& operator=(managed_container&&) noexcept(std::is_nothrow_move_assignable_v<Container>) = default;
  using Container::operator=;

  void trace(tracer& t) const { t.visit_words(this, sizeof(*this)); }
};

template <class Container, class... Elements>
struct droppable<managed_container<Container, Elements...>> : std::bool_constant<(droppable<Elements>::value && ...)> {};

template <class T>
using vector = managed_container<boost::container::vector<T, allocator<T>>, T>;
template <class T>
using deque = managed_container<boost::container::deque<T, allocator<T>>, T>;
template <class T>
using list = managed_container<boost::container::list<T, allocator<T>>, T>;
template <class Char>
using basic_string = managed_container<boost::container::basic_string<Char, std::char_traits<Char>, allocator<Char>>, Char>;
using string = basic_string<char>;

template <class K, class V, class Less = std::less<K>>
using map = managed_container<boost::container::map<K, V, Less, allocator<std::pair<const K, V>>>, K, V, Less>;
template <class K, class Less = std::less<K>>
using set = managed_container<boost::container::set<K, Less, allocator<K>>, K, Less>;
template <class K, class V, class Less = std::less<K>>
using flat_map = managed_container<boost::container::flat_map<K, V, Less, allocator<std::pair<K, V>>>, K, V, Less>;
template <class K, class Less = std::less<K>>
using flat_set = managed_container<boost::container::flat_set<K, Less, allocator<K>>, K, Less>;

template <class K, class V, class Hash = boost::hash<K>, class Equal = std::equal_to<K>>
using unordered_map = managed_container<boost::unordered_map<K, V, Hash, Equal, allocator<std::pair<const K, V>>>, K, V, Hash, Equal>;
template <class K, class Hash = boost::hash<K>, class Equal = std::equal_to<K>>
using unordered_set = managed_container<boost::unordered_set<K, Hash, Equal, allocator<K>>, K, Hash, Equal>;

}  // namespace lull

// Kinds: what the collector knows of a type. One constant-initialised record per type, registered at first use.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lull {

class tracer;

// True for types that cannot hold a pointer into the heap: their objects are never scanned and need no zeroing.
// Specialise it for structs of such types.
template <class T>
struct no_pointers : std::bool_constant<std::is_arithmetic_v<T> || std::is_enum_v<T>> {};
template <class T, std::size_t N>
struct no_pointers<T[N]> : no_pointers<T> {};
template <class T, std::size_t N>
struct no_pointers<std::array<T, N>> : no_pointers<T> {};

// True for types whose destructor has nothing to do when the object and all it owns are garbage together: the collector
// does not run it. Specialise it for types whose destructor only releases managed memory.
template <class T>
struct droppable : std::is_trivially_destructible<T> {};
template <class T, class U>
struct droppable<std::pair<T, U>> : std::bool_constant<droppable<T>::value && droppable<U>::value> {};

namespace detail {

enum class Layout : std::uint8_t {
  no_pointers,   // never scanned
  traced,        // trace() names the pointers
  conservative,  // every aligned word that points into the heap counts
};

inline constexpr std::uint32_t kArrayClasses = 72;  // = pages::kSizeClasses, checked in gc/model/kinds.cc

// All fields but the atomic ones are constant.
struct Kind {
  // Byte offset of the kind's allocation slot in the thread's table; 0 until registered (slot 0 is always empty).
  std::atomic<std::uint32_t> slot_offset{0};
  // The last cycle in which ephemerons waited for objects of the kind (gc/model/ephemerons.h).
  mutable std::atomic<std::uint32_t> awaited_cycle{0};
  std::uint32_t object_bytes = 0;   // one object, or one element of an array kind
  std::uint32_t alignment = 0;
  Layout layout = Layout::conservative;
  bool is_array = false;
  bool is_weak_cell = false;
  bool from_c = false;  // a CKind (gc/api/c_kind.h); its name ends with a zero
  void (*trace)(const void* object, tracer& t) = nullptr;
  // Array kinds: the elements that overlap bytes [from, to) of the object. For slices and dirty cards.
  void (*trace_part)(const void* object, std::size_t from, std::size_t to, tracer& t) = nullptr;
  void (*destroy)(void* object) = nullptr;  // null: trivially destructible
  std::string_view name;
  std::atomic<void*> record{nullptr};  // the collector's; release: pairs with the acquire in gc/model/kinds.cc
  std::atomic<std::uint32_t>* array_offsets = nullptr;  // like slot_offset, by size class; array kinds only
};

// Whose tables the kinds' numbers are of. One where kinds are: gcc's linkage for such variables makes both one for all libraries of a process.
inline constinit std::atomic<const void*> collector_of_kinds{nullptr};

inline constexpr std::size_t kLargestSmallObject = 32 * 1024;

// An array object: its length, then the elements. The byte behind the last element keeps one-past-the-end pointers
// inside the object.
struct ArrayHeader {
  std::size_t length;  // atomic: the marker may meet the array between its allocation and the store of its length

  std::size_t load() const { return __atomic_load_n(&length, __ATOMIC_RELAXED); }
  void store(std::size_t n) { __atomic_store_n(&length, n, __ATOMIC_RELAXED); }
};
template <class T>
inline constexpr std::size_t array_offset = alignof(T) > sizeof(ArrayHeader) ? alignof(T) : sizeof(ArrayHeader);

template <class T>
ArrayHeader* array_header(T* elements) {
  return reinterpret_cast<ArrayHeader*>(reinterpret_cast<char*>(const_cast<std::remove_cv_t<T>*>(elements)) - sizeof(ArrayHeader));
}

template <class T>
concept HasTrace = requires(const T& object, tracer& t) { object.trace(t); };

template <class T>
constexpr Layout layout_of() {
  if constexpr (no_pointers<T>::value) return Layout::no_pointers;
  else if constexpr (HasTrace<T>) return Layout::traced;
  else return Layout::conservative;
}

template <class T>
constexpr std::string_view type_name() {
  std::string_view text = __PRETTY_FUNCTION__;  // "... [with T = int []; ...]" or "... [T = int[]]"
  const auto from = text.find("T = ") + 4;
  const auto semicolon = text.find(';', from);
  return text.substr(from, (semicolon != text.npos ? semicolon : text.rfind(']')) - from);
}

// Qualified, hence never virtual: the marker may meet an object whose constructor has not set its vptr yet.
template <class T>
void trace_object(const void* object, tracer& t) {
  if constexpr (HasTrace<T>) static_cast<const T*>(object)->T::trace(t);
}
template <class T>
void destroy_object(void* object) { std::destroy_at(static_cast<T*>(object)); }

template <class T>
std::size_t array_length_of(const void* object) {
  return reinterpret_cast<const ArrayHeader*>(static_cast<const char*>(object) + array_offset<T> - sizeof(ArrayHeader))->load();
}
template <class T>
void trace_array(const void* object, tracer& t) {
  auto* elements = reinterpret_cast<const T*>(static_cast<const char*>(object) + array_offset<T>);
  const std::size_t length = array_length_of<T>(object);
  for (std::size_t i = 0; i < length; ++i) trace_object<T>(elements + i, t);
}
template <class T>
void trace_array_part(const void* object, std::size_t from, std::size_t to, tracer& t) {
  auto* elements = reinterpret_cast<const T*>(static_cast<const char*>(object) + array_offset<T>);
  if (to <= array_offset<T>) return;
  const std::size_t first = from <= array_offset<T> ? 0 : (from - array_offset<T>) / sizeof(T);
  const std::size_t end = (to - array_offset<T> + sizeof(T) - 1) / sizeof(T), length = array_length_of<T>(object);
  for (std::size_t i = first; i < end && i < length; ++i) trace_object<T>(elements + i, t);
}
template <class T>
void destroy_array(void* object) {
  auto* elements = reinterpret_cast<T*>(static_cast<char*>(object) + array_offset<T>);
  std::destroy_n(elements, array_length_of<T>(object));
}

template <class T>
consteval std::uint32_t slot_bytes_for() {
  constexpr std::size_t unit = alignof(T) > 16 ? alignof(T) : 16;
  return static_cast<std::uint32_t>((sizeof(T) + unit - 1) / unit * unit);
}

template <class T>
struct KindOf {
  static_assert(alignof(T) <= 4096, "managed objects are aligned to at most a page");
  static_assert(sizeof(T) < std::size_t{1} << 31, "larger objects are arrays: lull::make_array");
  static constexpr bool kTrivial = droppable<T>::value;
  static inline constinit Kind object{.object_bytes = slot_bytes_for<T>(),
                                      .alignment = alignof(T),
                                      .layout = layout_of<T>(),
                                      .trace = trace_object<T>,
                                      .destroy = kTrivial ? nullptr : destroy_object<T>,
                                      .name = type_name<T>()};
  static inline constinit std::atomic<std::uint32_t> array_offsets[kArrayClasses] = {};
  static inline constinit Kind array{.object_bytes = sizeof(T),
                                     .alignment = alignof(T),
                                     .layout = layout_of<T>(),
                                     .is_array = true,
                                     .trace = trace_array<T>,
                                     .trace_part = trace_array_part<T>,
                                     .destroy = kTrivial ? nullptr : destroy_array<T>,
                                     .name = type_name<T[]>(),
                                     .array_offsets = array_offsets};
};

}  // namespace detail
}  // namespace lull

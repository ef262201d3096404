// Memory policy: the Boehm-Demers-Weiser collector with its defaults (conservative, parallel marking, stops the world).
#pragma once

#define GC_THREADS 1
#include <gc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <span>
#include <type_traits>
#include <utility>

#include "bench/report.h"

namespace bench {

// Objects of which the collector may know that they hold no pointers.
template <class T>
inline constexpr bool is_plain = false;
template <class T, std::size_t N>
inline constexpr bool is_plain<std::array<T, N>> = std::is_arithmetic_v<T>;

struct Memory {
  static constexpr const char* name = "bdwgc";
  static constexpr bool explicit_free = false;

  template <class T>
  using Field = T*;
  template <class T>
  using Local = T*;

  template <class T>
  using Table = std::span<T*>;
  template <class T>
  using Array = T*;
  template <class T>
  using Weak = T**;  // a cell that the collector does not scan and clears

  template <class T, class... Arguments>
  static Local<T> make(Arguments&&... arguments) {
    void* memory = is_plain<T> ? GC_MALLOC_ATOMIC(sizeof(T)) : GC_MALLOC(sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return std::construct_at(static_cast<T*>(memory), std::forward<Arguments>(arguments)...);
  }
  template <class T>
  static Table<T> make_table(std::size_t length) {
    void* memory = GC_MALLOC(length * sizeof(T*));
    if (memory == nullptr) throw std::bad_alloc();
    return Table<T>(static_cast<T**>(memory), length);
  }
  template <class T>
  static Local<T> make_finalized(auto&&... arguments) {
    T* object = make<T>(std::forward<decltype(arguments)>(arguments)...);
    GC_register_finalizer_no_order(object, [](void* dead, void*) { std::destroy_at(static_cast<T*>(dead)); }, nullptr, nullptr, nullptr);
    return object;
  }
  template <class T>
  static Array<T> make_array(std::size_t length) {
    void* memory = GC_MALLOC_ATOMIC(length * sizeof(T));  // not zeroed
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(std::memset(memory, 0, length * sizeof(T)));
  }
  template <class T>
  static void free(const T&) {}
  template <class T>
  static void free_array(const T&) {}
  static void collect() { GC_gcollect(); }

  template <class T>
  static Field<T> field(T* local) { return local; }
  template <class T>
  static Local<T> load(T* field) { return field; }
  template <class T>
  static Weak<T> weak_of(T* local) {
    auto** cell = static_cast<T**>(GC_MALLOC_ATOMIC(sizeof(T*)));
    if (cell == nullptr) throw std::bad_alloc();
    *cell = local;
    GC_general_register_disappearing_link(reinterpret_cast<void**>(cell), local);
    return cell;
  }
  template <class T>
  static Local<T> lock(T** weak) {
    return static_cast<T*>(GC_call_with_alloc_lock([](void* cell) -> void* { return *static_cast<T**>(cell); }, weak));
  }
  struct BlockingScope {
    BlockingScope() {}
  };

  static void begin() {
    GC_INIT();
    GC_allow_register_threads();
    GC_set_on_collection_event(on_event);
  }
  // std::thread calls pthread_create inside of the C++ library, where the collector's macros do not reach.
  struct ThreadScope {
    ThreadScope() {
      GC_stack_base base;
      GC_get_stack_base(&base);
      GC_register_my_thread(&base);
    }
    ThreadScope(const ThreadScope&) = delete;
    ThreadScope& operator=(const ThreadScope&) = delete;
    ~ThreadScope() { GC_unregister_my_thread(); }
  };

  static double gc_seconds() { return -1; }
  static void turn_off() { GC_disable(); }
  static const char* heap_columns() { return "heap_mib"; }
  static double heap_sample() { return static_cast<double>(GC_get_heap_size()) / (1 << 20); }
  static void write_histograms(const std::string&) {}
  static void add_statistics(Report& report) {
    report.add("cycles", GC_get_gc_no());
    report.add("stop_max_us", longest_stop_s_ * 1e6);
  }

 private:
  // Called under the collector's lock.
  static void on_event(GC_EventType event) {
    if (event == GC_EVENT_PRE_STOP_WORLD) stop_ = Stopwatch();
    if (event == GC_EVENT_POST_START_WORLD) longest_stop_s_ = std::max(longest_stop_s_, stop_.seconds());
  }
  static inline Stopwatch stop_;
  static inline double longest_stop_s_ = 0;
};

}  // namespace bench

// Memory policy: malloc and free by hand. Another allocator comes in by LD_PRELOAD.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bench/report.h"

namespace bench {

struct Memory {
  static constexpr const char* name = "malloc";
  static constexpr bool explicit_free = true;

  template <class T>
  using Field = T*;
  template <class T>
  using Local = T*;

  template <class T>
  using Table = std::vector<T*>;
  template <class T>
  using Array = T*;

  template <class T, class... Arguments>
  static Local<T> make(Arguments&&... arguments) {
    void* memory = std::malloc(sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return std::construct_at(static_cast<T*>(memory), std::forward<Arguments>(arguments)...);
  }
  template <class T>
  static Local<T> make_finalized(auto&&... arguments) { return make<T>(std::forward<decltype(arguments)>(arguments)...); }
  template <class T>
  static Table<T> make_table(std::size_t length) { return Table<T>(length); }
  template <class T>
  static Array<T> make_array(std::size_t length) {
    void* memory = std::calloc(length, sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  template <class T>
  static void free(T* object) {
    std::destroy_at(object);
    std::free(object);
  }
  template <class T>
  static void free_array(T* array) { std::free(array); }
  static void collect() {}

  template <class T>
  static Field<T> field(T* local) { return local; }
  template <class T>
  static Local<T> load(T* field) { return field; }

  static void begin() {}
  struct BlockingScope {
    BlockingScope() {}
  };
  struct ThreadScope {
    ThreadScope() {}
  };
  static double gc_seconds() { return 0; }
  static void turn_off() {}
  static const char* heap_columns() { return "-"; }
  static const char* heap_sample() { return "0"; }
  static void write_histograms(const std::string&) {}
  static void add_statistics(Report&) {}
};

}  // namespace bench

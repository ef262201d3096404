// Memory policy: malloc and free by hand. Another allocator comes in by LD_PRELOAD.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
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

  template <class T, class... Arguments>
  static Local<T> make(Arguments&&... arguments) {
    void* memory = std::malloc(sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return std::construct_at(static_cast<T*>(memory), std::forward<Arguments>(arguments)...);
  }
  template <class T>
  static Table<T> make_table(std::size_t length) { return Table<T>(length); }
  template <class T>
  static void free(T* object) { std::free(object); }
  static void collect() {}

  static void begin() {}
  struct ThreadScope {
    ThreadScope() {}
  };
  static void add_statistics(Report&) {}
};

}  // namespace bench

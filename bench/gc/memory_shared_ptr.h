// Memory policy: std::shared_ptr everywhere. Counts, so it frees by itself; cycles leak.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "bench/report.h"

namespace bench {

struct Memory {
  static constexpr const char* name = "shared_ptr";
  static constexpr bool explicit_free = false;

  template <class T>
  using Field = std::shared_ptr<T>;
  template <class T>
  using Local = std::shared_ptr<T>;

  template <class T>
  using Table = std::vector<std::shared_ptr<T>>;

  template <class T, class... Arguments>
  static Local<T> make(Arguments&&... arguments) { return std::make_shared<T>(std::forward<Arguments>(arguments)...); }
  template <class T>
  static Table<T> make_table(std::size_t length) { return Table<T>(length); }
  template <class T>
  static void free(const T&) {}
  static void collect() {}

  static void begin() {}
  struct ThreadScope {
    ThreadScope() {}
  };
  static void add_statistics(Report&) {}
};

}  // namespace bench

// Memory policy: std::shared_ptr everywhere. Counts, so it frees by itself; cycles leak.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
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
  template <class T>
  using Array = std::shared_ptr<T[]>;
  template <class T>
  using Weak = std::weak_ptr<T>;

  template <class T, class... Arguments>
  static Local<T> make(Arguments&&... arguments) { return std::make_shared<T>(std::forward<Arguments>(arguments)...); }
  template <class T>
  static Local<T> make_finalized(auto&&... arguments) { return make<T>(std::forward<decltype(arguments)>(arguments)...); }
  template <class T>
  static Table<T> make_table(std::size_t length) { return Table<T>(length); }
  template <class T>
  static Array<T> make_array(std::size_t length) { return std::make_shared<T[]>(length); }
  template <class T>
  static void free(const T&) {}
  template <class T>
  static void free_array(const T&) {}
  static void collect() {}

  template <class T>
  static Field<T> field(std::shared_ptr<T> local) { return local; }
  template <class T>
  static Local<T> load(const std::shared_ptr<T>& field) { return field; }
  template <class T>
  static Weak<T> weak_of(const std::shared_ptr<T>& local) { return local; }
  template <class T>
  static Local<T> lock(const Weak<T>& weak) { return weak.lock(); }

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

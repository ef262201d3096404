// Memory policy: managed objects, used as a programmer who minds speed would: lull::ptr in objects, plain pointers on
// the stack, where they are roots.
#pragma once

#include <cstddef>
#include <utility>

#include "bench/report.h"
#include "lull/lull.h"

namespace bench {

struct Memory {
  static constexpr const char* name = "lull";
  static constexpr bool explicit_free = false;

  template <class T>
  using Field = lull::ptr<T>;
  template <class T>
  using Local = T*;

  template <class T>
  using Table = lull::ptr<lull::ptr<T>[]>;
  template <class T>
  using Array = lull::ptr<T[]>;
  template <class T>
  using Weak = lull::weak_ptr<T>;

  template <class T, class... Arguments>
  static Local<T> make(Arguments&&... arguments) {
    return lull::make<T>(std::forward<Arguments>(arguments)...).get();
  }
  template <class T>
  static Local<T> make_finalized(auto&&... arguments) { return make<T>(std::forward<decltype(arguments)>(arguments)...); }
  template <class T>
  static Table<T> make_table(std::size_t length) { return lull::make_array<lull::ptr<T>>(length); }
  template <class T>
  static Array<T> make_array(std::size_t length) { return lull::make_array<T>(length); }
  template <class T>
  static void free(const T&) {}
  template <class T>
  static void free_array(const T&) {}
  static void collect() { lull::collect(); }

  template <class T>
  static Field<T> field(T* local) { return lull::ptr<T>(local); }
  template <class T>
  static Local<T> load(const lull::ptr<T>& field) { return field.get(); }
  template <class T>
  static Weak<T> weak_of(T* local) { return lull::weak_ptr<T>(lull::ptr<T>(local)); }
  template <class T>
  static Local<T> lock(const Weak<T>& weak) { return weak.lock().get(); }

  static void begin() {}
  using BlockingScope = lull::blocking_region;
  struct ThreadScope {  // threads attach by themselves
    ThreadScope() {}
  };

  // Processor time of collector and assists so far; negative: not known.
  static double gc_seconds() {
    const lull::mem_stats stats = lull::read_mem_stats();
    return stats.gc_cpu_seconds + stats.assist_cpu_seconds;
  }
  static void add_statistics(Report& report) {
    const lull::mem_stats stats = lull::read_mem_stats();
    report.add("cycles", stats.num_gc);
    report.add("gc_cpu_s", stats.gc_cpu_seconds);
    report.add("assist_cpu_s", stats.assist_cpu_seconds);
    report.add("stop_max_us", static_cast<double>(stats.handshake.max_ns) / 1000);
    report.add("stop_p999_us", static_cast<double>(stats.handshake.quantile_ns(.999)) / 1000);
  }
};

}  // namespace bench

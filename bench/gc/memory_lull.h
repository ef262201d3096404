// Memory policy: managed objects, used as a programmer who minds speed would: lull::ptr in objects, plain pointers on
// the stack, where they are roots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
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
  static void turn_off() { lull::set_gc_percent(-1); }

  // What tools/bench pause plots: the heap at one moment, and the histograms of a whole run.
  static const char* heap_columns() { return "objects_mib,spans_mib,goal_mib,cycles"; }
  static std::string heap_sample() {
    const lull::mem_stats stats = lull::read_mem_stats();
    std::ostringstream line;
    for (const std::uint64_t bytes : {stats.heap_alloc, stats.heap_inuse, stats.next_gc}) line << static_cast<double>(bytes) / (1 << 20) << ',';
    line << stats.num_gc;
    return line.str();
  }
  static void write_histograms(const std::string& path) {
    const lull::mem_stats stats = lull::read_mem_stats();
    std::ofstream file(path);
    file << "histogram,from_ns,to_ns,count\n";
    const auto write = [&](const char* name, const lull::histogram& h) {
      for (std::size_t i = 0; i < lull::histogram::bucket_count; ++i)
        if (h.buckets[i] != 0) file << name << ',' << h.bucket_low(i) << ',' << h.bucket_high(i) << ',' << h.buckets[i] << '\n';
    };
    write("handshake", stats.handshake);
    write("handshake_cpu", stats.handshake_cpu);
    write("time_to_safepoint", stats.time_to_safepoint);
    write("assist", stats.assist);
    write("alloc_slow", stats.alloc_slow);
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

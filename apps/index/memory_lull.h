// The memory policy "lull": the same program on lull's collector. Members as in memory_shared_ptr.h.
#pragma once

#include <lull/lull.h>

#include <cstddef>
#include <utility>

#include "apps/index/recording.h"
#include "apps/index/run_result.h"

namespace index_service {

struct LullMemory {
  static constexpr const char* kName = "lull";

  template <class T>
  using ptr = lull::ptr<T>;
  template <class T>
  using atomic_ptr = lull::atomic_ptr<T>;
  template <class T>
  using array = lull::ptr<T[]>;
  template <class T>
  using root = lull::root<T>;

  template <class T, class... Args>
  static ptr<T> make(Args&&... args) {
    return lull::make<T>(std::forward<Args>(args)...);
  }
  template <class T>
  static array<T> make_array(std::size_t n) {
    return lull::make_array<T>(n);
  }

  using BlockingRegion = lull::blocking_region;
  static void attach_thread() { lull::attach_thread(); }
  static void safepoint() { lull::safepoint(); }

  static CollectorFigures read_figures() {
    const lull::mem_stats stats = lull::read_mem_stats();
    return {.collections = stats.num_gc,
            .global_stops = stats.global_stops,
            .heap_bytes = stats.heap_alloc,
            .allocated_bytes = stats.total_alloc,
            .cpu_seconds = stats.gc_cpu_seconds + stats.assist_cpu_seconds,
            .pauses = {pause("handshake", stats.handshake), pause("assist", stats.assist),
                       pause("allocation_slow_path", stats.alloc_slow)}};
  }
  static void begin_recording() { recording::begin(); }
  static void sample_types(RunResult& result) { recording::sample_types(result); }
  static void finish_recording(RunResult& result) { recording::finish(result); }

 private:
  static PauseFigures pause(const char* kind, const lull::histogram& h) {
    return {kind, h.count, h.quantile_ns(0.5), h.quantile_ns(0.99), h.quantile_ns(0.999), h.max_ns, h};
  }
};

}  // namespace index_service

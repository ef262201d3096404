// lull/lull_c.h: the collector itself.
#include <algorithm>

#include "alloc/os/clock.h"
#include "gc/api/c_kind.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/events.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/mutator/allocation.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "gc/report/all_objects.h"
#include "lull/collect.h"
#include "lull/library.h"
#include "lull/mem_stats.h"

namespace lull::gc {
namespace {

using EventCallback = void (*)(const lull_event* event, void* data);

void call_c(Event event, CycleKind kind, void* function, void* data) {
  static_assert(static_cast<int>(Event::cycle_ends) == LULL_CYCLE_ENDS && static_cast<int>(Event::mark_begins) == LULL_MARK_BEGINS);
  const std::uint32_t before = current_cycle.load(std::memory_order_relaxed);
  const lull_event told{static_cast<lull_event_type>(event), event == Event::cycle_begins ? before + 1 : before,
                        kind == CycleKind::young, os::monotonic_ns()};
  reinterpret_cast<EventCallback>(function)(&told, data);
}

struct Walk {
  void (*visit)(void* object, const lull_kind* kind, std::size_t bytes, void* data);
  void* data;

  void see(Span& span, std::uint32_t slot) const {
    const Kind& kind = kind_of(span);
    void* object = reinterpret_cast<void*>(span.slot_address(slot));
    const std::size_t bytes = kind.from_c ? used_bytes(static_cast<const CKind&>(kind), object, span.slot_bytes) : span.slot_bytes;
    visit(object, program_kind(kind), bytes, data);
  }
};

void walk_all(void* data) {
  const Walk& walk = *static_cast<const Walk*>(data);
  for_each_object([&](Span& span, std::uint32_t slot) { walk.see(span, slot); });
}

}  // namespace
}  // namespace lull::gc

using namespace lull;

extern "C" void lull_collect(void) { collect(); }
extern "C" void lull_return_memory(void) { return_memory(); }
extern "C" void lull_collect_young(void) { collect_young(); }
extern "C" int lull_set_debug(const char* text) { return set_debug(text) ? 1 : 0; }
extern "C" int lull_set_gc_percent(int percent) { return set_gc_percent(percent); }
extern "C" std::uint64_t lull_set_min_heap(std::uint64_t bytes) { return set_min_heap(bytes); }
extern "C" std::uint64_t lull_set_memory_limit(std::uint64_t bytes) { return set_memory_limit(bytes); }

extern "C" void lull_set_out_of_memory(int (*function)(std::size_t bytes, void* data), void* data) {
  gc::set_out_of_memory({function, data});
}

extern "C" void lull_set_event_function(void (*function)(const lull_event* event, void* data), void* data) {
  if (function == nullptr) return gc::set_event_function({});
  gc::set_event_function({gc::call_c, reinterpret_cast<void*>(function), data});
}

extern "C" void lull_walk_heap(void (*visit)(void* object, const lull_kind* kind, std::size_t bytes, void* data), void* data) {
  gc::self();
  gc::Walk walk{visit, data};
  gc::collect_and_run_stopped(gc::walk_all, &walk);
}

extern "C" std::size_t lull_close_library(void* library, const char** type) {
  const library_use left = close_library(library);
  if (type != nullptr) *type = left.objects == 0 ? nullptr : left.type.data();
  return left.objects;
}

extern "C" void lull_read_stats(lull_stats* out) {
  const mem_stats s = read_mem_stats();
  *out = {};
  out->heap_bytes = s.heap_alloc;
  out->heap_objects = s.heap_objects;
  out->total_bytes = s.total_alloc;
  out->total_objects = s.mallocs;
  out->mapped_bytes = s.sys;
  out->metadata_bytes = s.metadata_bytes;
  out->next_cycle_bytes = s.next_gc;
  out->cycles = s.num_gc;
  out->young_cycles = s.num_young_gc;
  out->threads = s.threads;
  out->pauses = s.handshake.count;
  out->pause_p50_ns = s.handshake.quantile_ns(0.5);
  out->pause_p99_ns = s.handshake.quantile_ns(0.99);
  out->pause_p999_ns = s.handshake.quantile_ns(0.999);
  out->pause_max_ns = s.handshake.max_ns;
  out->pause_cpu_max_ns = s.handshake_cpu.max_ns;
  out->slow_p999_ns = s.alloc_slow.quantile_ns(0.999);
  out->slow_max_ns = s.alloc_slow.max_ns;
  out->assist_max_ns = s.assist.max_ns;
  out->gc_cpu_seconds = s.gc_cpu_seconds;
}

// lull::read_mem_stats: sums up what the layers count.
#include "lull/mem_stats.h"

#include <algorithm>

#include "alloc/os/thread.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/cycle/verifier.h"
#include "gc/mark/assist.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/heap_gate.h"
#include "gc/mutator/services.h"
#include "gc/report/cycle_log.h"
#include "gc/report/mem_stats.h"
#include "gc/report/memory_figures.h"
#include "gc/report/object_counts.h"
#include "gc/report/quiet.h"
#include "gc/weak/destructors.h"
#include "lull/metrics.h"

namespace lull {
namespace gc {
namespace {

void add_size(mem_stats& out, const SpanClass& c, const ObjectCounts& counts) {
  const auto size = static_cast<std::uint32_t>(c.large ? 0 : c.geometry.slot_bytes);
  std::uint32_t i = 0;
  while (i < out.by_size_count && out.by_size[i].size != size) ++i;
  if (i == out.by_size.size()) i = 0;
  if (i == out.by_size_count) out.by_size[out.by_size_count++].size = size;
  out.by_size[i].mallocs += counts.mallocs;
  out.by_size[i].frees += counts.frees;
  if (i == 0) out.large_alloc += counts.bytes();
}

// Rows of types by the number of their kind.
class TypeRows {
 public:
  explicit TypeRows(std::span<type_stats> rows) : rows_(rows) {}
  std::size_t filled() const { return filled_; }

  void add(const SpanClass& c, const ObjectCounts& counts) {
    const KindRecord* record = record_of(c);
    if (record == nullptr || rows_.empty()) return;
    const bool fits = record->number < rows_.size();
    type_stats& row = fits ? rows_[record->number] : rows_.back();
    filled_ = std::max(filled_, fits ? record->number + std::size_t{1} : rows_.size());
    overflown_ |= !fits;
    row.name = overflown_ && &row == &rows_.back() ? "(others)" : record->kind->name;
    row.mallocs += counts.mallocs;
    row.frees += counts.frees;
    row.bytes += counts.bytes();
    row.total_bytes += counts.allocated_bytes;
    const bool first_class_of_kind = &c == record->object || &c == record->large;
    if (!first_class_of_kind) return;  // once a kind
    row.live_objects += record->live_objects.load(std::memory_order_relaxed);
    row.live_bytes += record->live_bytes.load(std::memory_order_relaxed);
  }

 private:
  std::span<type_stats> rows_;
  std::size_t filled_ = 0;
  bool overflown_ = false;
};

std::size_t add_memory_and_objects(mem_stats& out, std::span<type_stats> types) {
  TypeRows rows(types);
  ObjectCounts total;
  out.by_size_count = 1;  // of size 0
  const MemoryFigures memory = memory_figures_with([&] {
    for_each_class([&](const SpanClass& c, const ObjectCounts& counts) {
      total += counts;
      add_size(out, c, counts);
      rows.add(c, counts);
    });
  });
  out.mallocs = total.mallocs;
  out.frees = total.frees;
  out.heap_objects = total.objects();
  out.total_alloc = total.allocated_bytes;
  out.heap_alloc = out.alloc = total.bytes();
  out.heap_sys = memory.heap_sys;
  out.heap_inuse = memory.heap_inuse;
  out.heap_idle = memory.heap_idle();
  out.heap_released = memory.heap_released;
  out.heap_huge = memory.heap_huge;
  out.mspan_inuse = memory.mspan_inuse;
  out.mspan_sys = memory.mspan_sys;
  out.mcache_inuse = out.mcache_sys = memory.mcache_sys;
  out.gc_sys = memory.gc_sys;
  out.other_sys = memory.other_sys;
  out.sys = memory.sys();
  out.metadata_bytes = memory.mspan_inuse + memory.gc_sys;
  return rows.filled();
}

void add_cycles(mem_stats& out) {
  const CycleTotals totals = cycle_totals();
  out.num_gc = totals.cycles;
  out.num_forced_gc = totals.forced;
  out.num_young_gc = totals.young;
  out.last_gc = totals.last_end_wall_ns;
  out.pause_ns = totals.pause_ns;
  out.pause_end = totals.pause_end;
  out.flush_rounds = totals.flush_rounds;
  out.promoted_bytes = totals.promoted_bytes;
  out.dirty_cards = totals.dirty_cards;
  out.heap_live = totals.heap_live;
  out.marked_objects = totals.marked_objects;
  out.gc_cpu_seconds = static_cast<double>(totals.gc_cpu_ns) * 1e-9;
  out.assist_cpu_seconds = static_cast<double>(totals.assist_cpu_ns) * 1e-9;
  const double available = static_cast<double>(totals.uptime_ns) * 1e-9 * os::processors();
  if (available > 0) out.gc_cpu_fraction = (out.gc_cpu_seconds + out.assist_cpu_seconds) / available;
  out.heap_over_goal_max = totals.over_goal_max;
  out.held_allocations = holds.count.load(std::memory_order_relaxed);
  out.hold_max_ns = holds.longest_ns.load(std::memory_order_relaxed);
  out.aborted_cycles = cycle_counts().aborted;
  out.next_gc = pacing.goal();
  out.enable_gc = pacing.gc_percent() >= 0;
  out.debug_gc = __atomic_load_n(&options.gctrace, __ATOMIC_RELAXED) != 0;
}

void add_handshakes(mem_stats& out) {
  out.handshake = handshake_stats.pause.snapshot();
  out.handshake_cpu = handshake_stats.pause_cpu.snapshot();
  out.time_to_safepoint = handshake_stats.time_to_safepoint.snapshot();
  out.assist = assists.duration.snapshot();
  out.alloc_slow = slow_allocations.snapshot();
  out.pause_total_ns = out.handshake.sum_ns;
  out.handshakes = handshake_stats.rounds.load(std::memory_order_relaxed);
  out.async_answers = handshake_stats.async_answers.load(std::memory_order_relaxed);
  out.global_stops = handshake_stats.global_stops.load(std::memory_order_relaxed);
  out.verifier_errors = verifier_errors();
  const DestructorCounts destructors = destructor_counts();
  out.destructors_run = destructors.run;
  out.destructors_pending = destructors.queued - destructors.run;
}

}  // namespace

std::size_t gather_mem_stats(mem_stats& out, std::span<type_stats> types) {
  const Quiet quiet;  // locks are taken below
  if (quiet) {
    const HeapVisit visit(*self_or_null());
    self_or_null()->cache.release_all(span_supply());  // so that the caller's own objects are all counted
  }
  out = {};
  std::fill(types.begin(), types.end(), type_stats{});
  const std::size_t rows = add_memory_and_objects(out, types);
  add_cycles(out);
  add_handshakes(out);
  out.threads = mutators.count_now();
  return rows;
}

}  // namespace gc

std::size_t read_mem_stats(mem_stats& out, std::span<type_stats> types) {
  gc::self();  // attaches
  return gc::gather_mem_stats(out, types);
}

void read_mem_stats(mem_stats& out) { read_mem_stats(out, {}); }

namespace metrics {

std::size_t read_types(std::span<type_stats> types) {
  const gc::Quiet quiet;
  std::fill(types.begin(), types.end(), type_stats{});
  gc::TypeRows rows(types);
  gc::for_each_class([&](const gc::SpanClass& c, const gc::ObjectCounts& counts) { rows.add(c, counts); });
  return rows.filled();
}

}  // namespace metrics
}  // namespace lull

// lull::read_mem_stats: sums up what the layers count.
#include "lull/mem_stats.h"

#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/thread.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/cycle/verifier.h"
#include "gc/mark/assist.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "gc/report/cycle_log.h"
#include "gc/weak/destructors.h"

namespace lull {
namespace gc {
namespace {

void add_size(mem_stats& out, std::uint32_t size, std::uint64_t mallocs, std::uint64_t frees) {
  std::uint32_t i = 0;
  while (i < out.by_size_count && out.by_size[i].size != size) ++i;
  if (i == out.by_size.size()) return;
  if (i == out.by_size_count) out.by_size[out.by_size_count++].size = size;
  out.by_size[i].mallocs += mallocs;
  out.by_size[i].frees += frees;
}

void add_objects(mem_stats& out) {
  std::uint64_t freed_bytes = 0;
  for (SpanClass* c = first_class(); c != nullptr; c = c->next) {
    // Frees first: on x86-64 a sum taken meanwhile never shows more freed than allocated.
    const std::uint64_t frees = c->freed_objects.load(std::memory_order_acquire);
    freed_bytes += c->freed_bytes.load(std::memory_order_acquire);
    const std::uint64_t mallocs = c->allocated_objects.load(std::memory_order_relaxed);
    out.mallocs += mallocs;
    out.frees += frees;
    out.total_alloc += c->allocated_bytes.load(std::memory_order_relaxed);
    add_size(out, static_cast<std::uint32_t>(c->geometry.slot_bytes), mallocs, frees);
  }
  out.heap_alloc = out.alloc = out.total_alloc - freed_bytes;
  out.heap_objects = out.mallocs - out.frees;
}

void add_memory(mem_stats& out) {
  const pages::PageStats pages = pages::page_heap.stats();
  const pages::SpanStats spans = pages::span_stats();
  out.heap_sys = pages.committed;
  out.heap_inuse = pages.used;
  out.heap_idle = pages.committed - pages.used;
  out.heap_released = pages.free_clean;
  out.heap_huge = pages.huge;
  out.mspan_inuse = spans.descriptor_bytes_used;
  out.mspan_sys = spans.descriptor_bytes_reserved;
  out.mcache_inuse = out.mcache_sys = std::uint64_t{mutators.count_now()} * sizeof(Mutator);
  constexpr std::uint64_t kTableBytesPerPage = sizeof(pages::PageClass) + sizeof(std::uint32_t);
  const std::uint64_t page_tables = (pages.committed >> kPageShift) * kTableBytesPerPage;
  const std::uint64_t cards = pages.committed >> detail::kCardShift;
  out.gc_sys = page_tables + cards;
  out.other_sys = os::meta_bytes() - out.mcache_sys;  // the records of mutators come from there
  out.sys = out.heap_sys + out.mspan_sys + out.mcache_sys + out.gc_sys + out.other_sys;
  out.metadata_bytes = out.mspan_inuse + page_tables + cards;
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
  out.heap_live = totals.heap_live;
  out.marked_objects = totals.marked_objects;
  out.gc_cpu_seconds = static_cast<double>(totals.gc_cpu_ns) * 1e-9;
  out.assist_cpu_seconds = static_cast<double>(totals.assist_cpu_ns) * 1e-9;
  const double available = static_cast<double>(totals.uptime_ns) * 1e-9 * os::processors();
  if (available > 0) out.gc_cpu_fraction = (out.gc_cpu_seconds + out.assist_cpu_seconds) / available;
  out.aborted_cycles = cycle_counts().aborted;
  out.next_gc = pacing.goal();
  out.enable_gc = pacing.gc_percent() >= 0;
  out.debug_gc = options.gctrace != 0;
}

void add_handshakes(mem_stats& out) {
  out.handshake = handshake_stats.pause.snapshot();
  out.handshake_cpu = handshake_stats.pause_cpu.snapshot();
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
}  // namespace gc

void read_mem_stats(mem_stats& out) {
  gc::Mutator& m = gc::self();
  gc::RuntimeSection section(m);  // locks are taken below
  m.cache.release_all(gc::span_supply());  // so that the caller's own objects are all counted
  out = {};
  gc::add_objects(out);
  gc::add_memory(out);
  gc::add_cycles(out);
  gc::add_handshakes(out);
  out.threads = gc::mutators.count_now();
}

}  // namespace lull

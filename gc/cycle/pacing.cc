#include "gc/cycle/pacing.h"

#include <new>

#include "alloc/os/clock.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/thread.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "gc/cycle/crew.h"
#include "gc/mark/assist.h"
#include "gc/mark/marker.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/pace/cpu_limiter.h"

namespace lull::gc {

constinit Pacing pacing;

namespace {

constinit os::Lock lock{os::LockRank::reports};
constinit CpuLimiter limiter;              // lock
constinit std::uint64_t past_assists_ns = 0;  // lock: of cycles that are over

// Made at first use, when the options are known; never destroyed.
Pacer& pacer_locked() {
  alignas(Pacer) static std::byte storage[sizeof(Pacer)];
  static Pacer* made = nullptr;
  if (made == nullptr) {
    PacerConfig config;
    config.generational = options.generational != 0;
    config.memory_limit = pages::memory_limit();
    config.gc_percent = static_cast<int>(options.gc_percent);
    made = new (storage) Pacer(config);
  }
  return *made;
}

// What counts against the limit and cannot hold objects: descriptors, tables, records, and the parts of spans in which no
// object is. Blocks of malloc count too: their spans are in use and not in heap_counters.
// `live`: heap_counters.live before the cycle took its garbage from it; the spans are still there.
std::uint64_t non_heap_bytes(std::uint64_t live) {
  const pages::PageStats pages = pages::page_heap.stats();
  const std::uint64_t tables = (pages.committed >> detail::kCardShift) + (pages.committed >> kPageShift) * (sizeof(pages::PageClass) + 4);
  return (pages.used > live ? pages.used - live : 0) + tables + pages::span_stats().descriptor_bytes_used + os::meta_bytes();
}

}  // namespace

// Driver: its own processor time is the clock's.
void Pacing::watch_cpu_locked() {
  const std::uint64_t gc = os::thread_cpu_ns() + crew.helper_ns() + past_assists_ns + assists.time_ns.load(std::memory_order_relaxed);
  limiter.update(os::monotonic_ns(), gc, os::processors());
}

void Pacing::publish_trigger_locked() { trigger_.store(pacer_locked().trigger(), std::memory_order_relaxed); }

int Pacing::set_gc_percent(int percent) {
  os::Locked locked(lock);
  const int previous = pacer_locked().gc_percent();
  pacer_locked().set_gc_percent(percent);
  publish_trigger_locked();
  return previous;
}

void Pacing::memory_limit_changed() {
  os::Locked locked(lock);
  pacer_locked().set_memory_limit(pages::memory_limit());
  publish_trigger_locked();
}

int Pacing::gc_percent() {
  os::Locked locked(lock);
  return pacer_locked().gc_percent();
}

std::uint64_t Pacing::goal() {
  os::Locked locked(lock);
  return pacer_locked().goal();
}

CycleKind Pacing::next_kind() {
  os::Locked locked(lock);
  return pacer_locked().next_cycle().kind;
}

PacingReport Pacing::report() {
  os::Locked locked(lock);
  Pacer& pacer = pacer_locked();
  return {pacer.last_cycle(), pacer.trigger(), pacer.goal(), pacer.next_cycle()};
}

os::Lock& pacing_lock_for_fork() { return lock; }

void Pacing::begin(const CycleStart& start) {
  os::Locked locked(lock);
  pacer_locked().set_memory_limit(pages::memory_limit());
  pacer_locked().set_non_heap_bytes(non_heap_bytes(start.heap_live));
  pacer_locked().begin_cycle(start);
}

void Pacing::revise() {
  os::Locked locked(lock);
  watch_cpu_locked();
  const double ratio = pacer_locked().assist_ratio(heap_counters.live.load(std::memory_order_relaxed),
                                                   mark_totals.scanned_bytes.load(std::memory_order_relaxed));
  assists.ratio.store(limiter.is_limiting() ? 0 : ratio, std::memory_order_relaxed);
}

void Pacing::end(const CycleEnd& end) {
  os::Locked locked(lock);
  watch_cpu_locked();
  past_assists_ns += assists.time_ns.load(std::memory_order_relaxed);
  pacer_locked().set_non_heap_bytes(non_heap_bytes(end.heap_live_at_end));
  pacer_locked().end_cycle(end);
  assists.ratio.store(0, std::memory_order_relaxed);
  publish_trigger_locked();
}

void Pacing::abort() {
  os::Locked locked(lock);
  past_assists_ns += assists.time_ns.load(std::memory_order_relaxed);
  pacer_locked().abort_cycle();
  assists.ratio.store(0, std::memory_order_relaxed);
  publish_trigger_locked();
}

}  // namespace lull::gc

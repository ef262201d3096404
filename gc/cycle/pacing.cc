#include "gc/cycle/pacing.h"

#include <algorithm>
#include <new>
#include <utility>

#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
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
#include "gc/mutator/handshake.h"
#include "gc/pace/cpu_limiter.h"
#include "gc/pace/tuner.h"

namespace lull::gc {

constinit Pacing pacing;

namespace {

constinit os::Lock lock{os::LockRank::reports};
constinit CpuLimiter limiter;              // lock
constinit Tuner tuner;                     // lock
constinit std::uint64_t past_assists_ns = 0;  // lock: of cycles that are over
constinit std::uint64_t seen_naps_ns = 0, lost_ns = 0;  // lock: see lost_in_naps_locked()

// Made at first use, when the options are known; never destroyed.
Pacer& pacer_locked() {
  alignas(Pacer) static std::byte storage[sizeof(Pacer)];
  static Pacer* made = nullptr;
  if (made == nullptr) {
    PacerConfig config;
    config.generational = options.generational != 0;
    config.memory_limit = pages::memory_limit();
    config.gc_percent = static_cast<int>(options.gc_percent);
    config.min_heap_bytes = options.min_heap_bytes;
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

struct LastCycle {  // lock: where the tuner's last sample ended
  std::uint64_t end_ns = 0, gc_ns = 0;
  histogram slow;  // only while a latency is asked for
};
constinit LastCycle last;

// Driver: its own processor time is the clock's.
std::uint64_t gc_ns_locked() {
  return os::thread_cpu_ns() + crew.helper_ns() + past_assists_ns + assists.time_ns.load(std::memory_order_relaxed);
}

// What recorders have counted since `before`, which becomes what they count now.
histogram exchange_difference(histogram& before, const histogram& now) {
  histogram since = now;
  since.count -= before.count;
  for (std::size_t i = 0; i < since.buckets.size(); ++i) since.buckets[i] -= before.buckets[i];
  before = now;
  return since;
}

}  // namespace

// What held threads lost, for the limiter: time that the program did not get, of which there is no more than processors.
// Only where the memory limit sets the goal: one of the percentage leaves room for a program to go on in after every cycle.
std::uint64_t Pacing::lost_in_naps_locked() {
  const std::uint64_t napped = holds.napped_ns.load(std::memory_order_relaxed);
  const std::uint64_t fresh = napped - std::exchange(seen_naps_ns, napped);
  if (pacer_locked().is_limited()) lost_ns += fresh * os::processors() / std::max(os::processors(), mutators.count_now());
  return lost_ns;
}

void Pacing::watch_cpu_locked() { limiter.update(os::monotonic_ns(), gc_ns_locked() + lost_in_naps_locked(), os::processors()); }

// `gc_ns`: before the cycle's counts of assists were added to the past ones.
void Pacing::tune_locked(std::uint64_t gc_ns) {
  const std::uint64_t now = os::monotonic_ns();
  if (tuner.is_on()) {
    TuneSample sample{.full = pacer_locked().last_cycle().kind == CycleKind::full,
                      .live = pacer_locked().heap_marked(),
                      .elapsed_ns = now - last.end_ns,
                      .gc_ns = gc_ns > last.gc_ns ? gc_ns - last.gc_ns : 0,
                      .processors = os::processors()};
    if (tuner.targets().latency_ns != 0) sample.latency_ns = exchange_difference(last.slow, slow_allocations.snapshot()).quantile_ns(0.99);
    if (const auto action = tuner.add(sample, pacer_locked().gc_percent())) pacer_locked().set_gc_percent(action->to);
  }
  last.end_ns = now;
  last.gc_ns = gc_ns;
}

bool Pacing::tune(const tune_targets& targets) {
  if (targets.min_percent <= 0 || targets.min_percent > targets.max_percent || !(targets.cpu_share >= 0 && targets.cpu_share <= 1)) return false;
  os::Locked locked(lock);
  tuner = Tuner(targets, pacer_locked().gc_percent());
  last.slow = slow_allocations.snapshot();
  return true;
}

std::size_t Pacing::tune_log(tune_action* out, std::size_t most) {
  os::Locked locked(lock);
  return tuner.copy_log(out, most);
}

void Pacing::publish_locked() {
  trigger_.store(pacer_locked().trigger(), std::memory_order_relaxed);
  publish_brake_locked();
}

void Pacing::publish_brake_locked() {
  const Brake brake = limiter.is_limiting() ? Brake{} : pacer_locked().brake();
  brake_from_.store(brake.from, std::memory_order_relaxed);
  brake_full_.store(brake.full, std::memory_order_relaxed);
}

void Pacing::relieve() {
  relief_.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in hold.cc, which then sees the smaller heap
  os::futex_wake_all(relief_);
}

int Pacing::set_gc_percent(int percent) {
  os::Locked locked(lock);
  const int previous = pacer_locked().gc_percent();
  pacer_locked().set_gc_percent(percent);
  publish_locked();
  return previous;
}

std::uint64_t Pacing::set_min_heap(std::uint64_t bytes) {
  os::Locked locked(lock);
  const std::uint64_t previous = pacer_locked().min_heap_bytes();
  pacer_locked().set_min_heap_bytes(bytes);
  publish_locked();
  return previous;
}

void Pacing::memory_limit_changed() {
  os::Locked locked(lock);
  pacer_locked().set_memory_limit(pages::memory_limit());
  publish_locked();
}

int Pacing::gc_percent() {
  os::Locked locked(lock);
  return pacer_locked().gc_percent();
}

std::uint64_t Pacing::goal() {
  os::Locked locked(lock);
  return pacer_locked().goal();
}

NextCycle Pacing::next_cycle() {
  os::Locked locked(lock);
  return pacer_locked().next_cycle();
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
  publish_brake_locked();
}

void Pacing::revise() {
  os::Locked locked(lock);
  watch_cpu_locked();
  const double ratio = pacer_locked().assist_ratio(heap_counters.live.load(std::memory_order_relaxed),
                                                   mark_totals.scanned_bytes.load(std::memory_order_relaxed));
  assists.ratio.store(limiter.is_limiting() ? 0 : ratio, std::memory_order_relaxed);
  publish_brake_locked();
}

void Pacing::end(const CycleEnd& end) {
  {
    os::Locked locked(lock);
    watch_cpu_locked();
    const std::uint64_t gc_ns = gc_ns_locked();
    past_assists_ns += assists.time_ns.load(std::memory_order_relaxed);
    pacer_locked().set_non_heap_bytes(non_heap_bytes(end.heap_live_at_end));
    pacer_locked().end_cycle(end);
    tune_locked(gc_ns);
    assists.ratio.store(0, std::memory_order_relaxed);
    publish_locked();
  }
  relieve();
}

void Pacing::abort() {
  {
    os::Locked locked(lock);
    past_assists_ns += assists.time_ns.load(std::memory_order_relaxed);
    pacer_locked().abort_cycle();
    assists.ratio.store(0, std::memory_order_relaxed);
    publish_locked();
  }
  relieve();
}

}  // namespace lull::gc

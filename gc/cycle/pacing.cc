#include "gc/cycle/pacing.h"

#include <new>

#include "alloc/os/lock.h"
#include "gc/mark/assist.h"
#include "gc/mark/marker.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation_stats.h"

namespace lull::gc {

constinit Pacing pacing;

namespace {

constinit os::Lock lock{os::LockRank::reports};

// Made at first use, when the options are known; never destroyed.
Pacer& pacer_locked() {
  alignas(Pacer) static std::byte storage[sizeof(Pacer)];
  static Pacer* made = nullptr;
  if (made == nullptr) {
    PacerConfig config;
    config.generational = options.generational != 0;
    config.gc_percent = static_cast<int>(options.gc_percent);
    made = new (storage) Pacer(config);
  }
  return *made;
}

}  // namespace

void Pacing::publish_trigger_locked() { trigger_.store(pacer_locked().trigger(), std::memory_order_relaxed); }

int Pacing::set_gc_percent(int percent) {
  os::Locked locked(lock);
  const int previous = pacer_locked().gc_percent();
  pacer_locked().set_gc_percent(percent);
  publish_trigger_locked();
  return previous;
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

os::Lock& pacing_lock_for_fork() { return lock; }

void Pacing::begin(const CycleStart& start) {
  os::Locked locked(lock);
  pacer_locked().begin_cycle(start);
}

void Pacing::revise() {
  os::Locked locked(lock);
  const double ratio = pacer_locked().assist_ratio(heap_counters.live.load(std::memory_order_relaxed),
                                                   mark_totals.scanned_bytes.load(std::memory_order_relaxed));
  assists.ratio.store(ratio, std::memory_order_relaxed);
}

void Pacing::end(const CycleEnd& end) {
  os::Locked locked(lock);
  pacer_locked().end_cycle(end);
  assists.ratio.store(0, std::memory_order_relaxed);
  publish_trigger_locked();
}

void Pacing::abort() {
  os::Locked locked(lock);
  pacer_locked().abort_cycle();
  assists.ratio.store(0, std::memory_order_relaxed);
  publish_trigger_locked();
}

}  // namespace lull::gc

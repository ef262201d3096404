#include "gc/report/object_samples.h"

#include <algorithm>
#include <new>

#include "alloc/cache/thread_cache.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/sample/sampler.h"
#include "alloc/sample/stack_memo.h"
#include "gc/cycle/cycle_events.h"
#include "gc/model/colour.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/services.h"
#include "gc/report/quiet.h"
#include "lull/object_profile.h"

namespace lull::gc {

constinit std::atomic<Site*> newest_site{nullptr};

namespace {

struct Record {
  Record* next = nullptr;
  std::uintptr_t address = 0;
  Site* site = nullptr;
  sample::Weight weight;
  std::uint64_t born = 0;      // what had been handed out
  std::uint32_t survived = 0;  // cycles
};

constexpr std::size_t kSiteBuckets = 1024;
constexpr std::size_t kRecordsAtOnce = 64;

constinit os::Lock lock{os::LockRank::reports};
constinit Site* buckets[kSiteBuckets] = {};                   // lock
constinit Record *young = nullptr, *old = nullptr;            // lock
constinit Record* free_records = nullptr;                     // lock
constinit std::atomic<bool> any_records{false};               // written under lock
constinit std::atomic<std::size_t> mean{0};
constinit std::uint32_t rounds = 0;                           // lock

Site*& bucket_of(const sample::Stack* stack, const Kind* kind) {
  const std::uintptr_t word = reinterpret_cast<std::uintptr_t>(stack) * 31 + reinterpret_cast<std::uintptr_t>(kind);
  return buckets[(word * 0x9e3779b97f4a7c15u >> 32) % kSiteBuckets];
}

Site* make_site_locked(const sample::Stack* stack, const Kind* kind, Site*& bucket) {
  void* memory = os::allocate_meta(sizeof(Site));
  if (memory == nullptr) return nullptr;
  auto* site = new (memory) Site;
  site->stack = stack;
  site->kind = kind;
  site->same_bucket = bucket;
  bucket = site;
  site->next.store(newest_site.load(std::memory_order_relaxed), std::memory_order_relaxed);
  newest_site.store(site, std::memory_order_release);  // release: pairs with the acquire in for_each_site()
  return site;
}

Site* site_locked(const sample::Stack* stack, const Kind* kind) {
  Site*& bucket = bucket_of(stack, kind);
  for (Site* s = bucket; s != nullptr; s = s->same_bucket)
    if (s->stack == stack && s->kind == kind) return s;
  return make_site_locked(stack, kind, bucket);
}

Record* take_record_locked() {
  if (free_records == nullptr) {
    auto* memory = static_cast<std::byte*>(os::allocate_meta(kRecordsAtOnce * sizeof(Record)));
    if (memory == nullptr) return nullptr;
    for (std::size_t i = 0; i < kRecordsAtOnce; ++i) {
      auto* record = new (memory + i * sizeof(Record)) Record;
      record->next = free_records;
      free_records = record;
    }
  }
  Record* record = free_records;
  free_records = record->next;
  return record;
}

void add(Site::Counter& counter, std::uint64_t n) { counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }

void note_death_locked(const Record& r, std::uint64_t handed) {
  Site& site = *r.site;
  const std::uint64_t life = handed > r.born ? handed - r.born : 0;
  Site::Deaths& deaths = site.deaths[lifetime_bucket(life)][survival_bucket(r.survived)];
  add(deaths.objects, r.weight.objects);
  add(deaths.bytes, r.weight.bytes);
  add(site.died, 1);
  if (r.survived == 0) add(site.died_young, 1);
  add(site.freed_objects, r.weight.objects);
  add(site.freed_bytes, r.weight.bytes);
  site.longest_life.store(std::max(site.longest_life.load(std::memory_order_relaxed), life), std::memory_order_relaxed);
}

void note_survival_locked(Record& r) {
  if (r.survived++ == 0) add(r.site->survivors, 1);
}

void put(Record*& list, Record& record) {
  record.next = list;
  list = &record;
}

// What a cycle that looked at all of `list` found; the living go to `old`.
void look_at_locked(Record* list, std::uint64_t handed) {
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed), epoch = mark_epoch.load(std::memory_order_relaxed);
  for (Record *r = list, *next; r != nullptr; r = next) {
    next = r->next;
    const ObjectRef object = resolve(r->address);
    if (!object || !is_candidate(object, cycle)) {  // born during the cycle
      put(young, *r);
    } else if (is_marked(object, epoch)) {
      note_survival_locked(*r);
      put(old, *r);
    } else {
      note_death_locked(*r, handed);
      put(free_records, *r);
    }
  }
}

}  // namespace

std::size_t object_sampling_mean() { return mean.load(std::memory_order_relaxed); }
std::uint32_t object_sampling_round() { return cache::sampling_round.load(std::memory_order_relaxed); }
os::Lock& object_samples_lock_for_fork() { return lock; }

std::uint32_t draw_objects_to_sample(std::size_t slot_bytes) {
  const std::size_t distance = object_sampling_mean();
  return distance == 0 ? ~0u : sample::blocks_before_sample(slot_bytes, distance) + 1;
}

bool draw_large_sample(std::size_t bytes) {
  const std::size_t distance = object_sampling_mean();
  return distance != 0 && sample::is_sample(bytes, distance);
}

void note_sampled(const SpanClass& c, std::size_t bytes, const void* object) {
  const std::size_t distance = object_sampling_mean();
  if (distance == 0) return;  // stopped just now
  const sample::Stack* stack = sample::intern_own_stack();
  const sample::Weight weight = sample::weight_of(bytes, bytes, distance);
  const std::uint64_t handed = heap_counters.handed.load(std::memory_order_relaxed);
  const os::Locked locked(lock);
  Site* site = site_locked(stack, static_cast<const Kind*>(c.kind));
  Record* record = site == nullptr ? nullptr : take_record_locked();
  if (record == nullptr) return;
  *record = {.next = young, .address = reinterpret_cast<std::uintptr_t>(object), .site = site, .weight = weight, .born = handed, .survived = 0};
  young = record;
  any_records.store(true, std::memory_order_relaxed);
  add(site->samples, 1);
  add(site->allocated_objects, weight.objects);
  add(site->allocated_bytes, weight.bytes);
}

void note_sampled_deaths(CycleKind kind, std::uint64_t handed) {
  if (!any_records.load(std::memory_order_relaxed)) return;
  const os::Locked locked(lock);
  Record *of_young = std::exchange(young, nullptr), *of_old = nullptr;
  if (kind == CycleKind::full) of_old = std::exchange(old, nullptr);
  look_at_locked(of_young, handed);
  look_at_locked(of_old, handed);
  any_records.store(young != nullptr || old != nullptr, std::memory_order_relaxed);
}

}  // namespace lull::gc

namespace lull::object_profile {

void start(std::size_t mean_bytes) {
  sample::prepare_captures();
  const gc::Quiet quiet;
  const os::Locked locked(gc::lock);
  gc::mean.store(mean_bytes == 0 ? sample::kUsualMean : mean_bytes, std::memory_order_relaxed);
  if (++gc::rounds == 0) ++gc::rounds;
  cache::sampling_round.store(gc::rounds, std::memory_order_relaxed);
}

void stop() {
  const gc::Quiet quiet;
  const os::Locked locked(gc::lock);
  cache::sampling_round.store(0, std::memory_order_relaxed);
  gc::mean.store(0, std::memory_order_relaxed);
}

bool is_on() { return gc::object_sampling_mean() != 0; }

totals read_totals() {
  totals t;
  std::uint64_t allocated = 0, freed = 0;
  gc::for_each_site([&](const gc::Site& s) {
    freed += s.freed_objects.load(std::memory_order_relaxed);
    t.live_bytes -= s.freed_bytes.load(std::memory_order_relaxed);
    allocated += s.allocated_objects.load(std::memory_order_relaxed);
    t.allocated_bytes += s.allocated_bytes.load(std::memory_order_relaxed);
    t.samples += s.samples.load(std::memory_order_relaxed);
    ++t.sites;
  });
  t.live_bytes += t.allocated_bytes;
  t.live_objects = (allocated - freed) >> sample::kObjectShift;
  t.allocated_objects = allocated >> sample::kObjectShift;
  return t;
}

}  // namespace lull::object_profile

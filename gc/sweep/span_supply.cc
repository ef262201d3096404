// Spans for thread caches (gc/mutator/services.h): partly free swept spans first, then unswept ones, swept on the way,
// then fresh ones.
//
// Which spans a thread may take depends on how far it is in a cycle:
//   its barriers are on          only spans from swept sets: nothing is being swept
//   between its handshake 3 and  only fresh spans: every other one still has to be swept with this cycle's marks
//     the opening of the sweep   near a memory limit it waits for that first, for a moment
//   otherwise                    all
// A span taken by a thread whose stack is black gets its snapshot at once, before anything is allocated in it: what is
// born from now on is no candidate (rule 11).
#include "alloc/os/checker.h"
#include "alloc/os/futex.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_table.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"
#include "gc/model/colour.h"
#include "gc/model/delay.h"
#include "gc/model/kinds.h"
#include "gc/model/span_index.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/services.h"
#include "gc/sweep/sweeper.h"

#include "alloc/pages/span_geometry.h"

namespace lull::gc {

constinit HeapCounters heap_counters;

namespace {

constexpr int kMostFullSpansSwept = 16;  // more delays the allocation, fewer grows the heap while full spans hold garbage

// Of the calling thread; see above. All of it is about one cycle: the next one may begin while the thread is still here, up to
// handshake 1, and is none of its business before.
struct Stage {
  std::uint32_t cycle;
  bool born_black;  // objects allocated now are no candidates of the running cycle
  bool fresh_only;
};

Stage stage_of(const Mutator& m) {
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed);
  // acquire: pairs with open_sweep
  const bool opened = opened_cycle.load(std::memory_order_acquire) == cycle;
  return {cycle, m.scanned_cycle == cycle && !opened, m.left_cycle == cycle && !opened};
}

// Between its handshake 3 and the opening of the sweep a thread would take a fresh span though others have room, and where objects die
// at random it never becomes empty again: bench/gc/limit, 50 MiB live under 64 MiB, held 80 MiB after six seconds, and 64 with this.
// Nobody waits for the caller: it has answered. Bounded, since the driver may have no processor.
Stage wait_for_the_sweep(const Mutator& m) {
  constexpr int kNaps = 20;
  constexpr std::uint64_t kNapNs = 50'000;  // longer: the program waits for nothing; shorter: it wakes more often
  Stage stage = stage_of(m);
  for (int i = 0; i < kNaps && stage.fresh_only; ++i) {
    os::futex_wait_for(opened_cycle, opened_cycle.load(std::memory_order_relaxed), kNapNs);  // a nap: nobody wakes it
    stage = stage_of(m);
  }
  return stage;
}

// nullptr when memory runs out.
Span* make_span(SpanClass& c, const pages::SpanGeometry& geometry) {
  Span* span = pages::create_span(geometry, owner_of(c));
  if (span != nullptr && options.poison != 0 && !c.large) os::forbid(span->base, std::size_t{span->slots} * span->slot_bytes);
  if (span == nullptr || index_created(c, *span)) return span;
  pages::destroy_span(span);
  return nullptr;
}

void take_over(const SpanClass& c, Span& span, const Stage& stage) {
  pages::page_heap.note_refilled(span.first_page());
  index_taken(c, span);
  delay_point("span taken");
  if (stage.born_black) take_snapshot(span, stage.cycle, 0, 0);
}

class SpanSupply final : public cache::SpanSource {
 public:
  Span* acquire(SpanClass& c) override {
    Mutator& m = *self_or_null();
    Stage stage = stage_of(m);
    if (stage.fresh_only && pages::memory_is_short()) stage = wait_for_the_sweep(m);
    Span* span = stage.fresh_only ? nullptr : take_partly_free(m, c);
    if (span == nullptr) span = make_span(c, c.geometry);
    if (span != nullptr) take_over(c, *span, stage);
    return span;
  }

  // Also by the driver for a blocked thread.
  void release(SpanClass& c, Span* span) override { c.put(span, sweep_generation.load(std::memory_order_relaxed)); }

  std::uint32_t objects_to_sample(const SpanClass& c) override { return draw_objects_to_sample(c.geometry.slot_bytes); }

  void note_hole(std::uintptr_t begin, std::size_t bytes) override {
    Mutator& m = *self_or_null();
    m.handed_bytes += bytes;
    m.unpublished_bytes += bytes;
    // After handshake 3 no more: nobody would forget the hole before the next cycle, to which it is old.
    const Stage stage = stage_of(m);
    if (!stage.born_black || stage.fresh_only) return;
    if (begin == m.born_begin + m.born_bytes) {  // the next piece
      m.born_bytes += bytes;
      return;
    }
    m.born_begin = begin;
    m.born_bytes = bytes;
  }

 private:
  static Span* take_partly_free(Mutator& m, SpanClass& c) {
    const SweepGenerations before = generations_now();
    if (Span* span = c.take_partial(before.any)) return span;
    if (Span* span = c.take_tenured_partial(before.full)) return span;
    SweepingSection section(m.sweeping);
    return section.allowed() ? sweep_for_room(c, generations_now()) : nullptr;
  }

  static Span* sweep_for_room(SpanClass& c, const SweepGenerations& now) {
    trace::Span timed(trace::What::sweep);
    std::uint32_t swept = 0;
    Span* span = sweep_for_room(c, now, swept);
    LULL_PROBE2(sweep, swept, span != nullptr);
    if (swept == 0) timed.drop();
    else timed.set_argument(swept);
    return span;
  }

  static Span* sweep_for_room(SpanClass& c, const SweepGenerations& now, std::uint32_t& count) {
    while (Span* span = take_unswept_partial(c, now)) {
      ++count;
      const Swept swept = sweep_span(*span);
      if (swept.objects < span->slots) return span;
      put_swept(c, span, swept, now);
    }
    for (int i = 0; i < kMostFullSpansSwept; ++i) {
      Span* span = take_unswept_full(c, now);
      if (span == nullptr) return nullptr;
      ++count;
      const Swept swept = sweep_span(*span);
      if (swept.objects < span->slots) return span;
      put_swept(c, span, swept, now);
    }
    return nullptr;
  }
};

constinit SpanSupply supply;

}  // namespace

cache::SpanSource& span_supply() { return supply; }

Span* make_large_span(Mutator& m, SpanClass& c, std::size_t bytes) {
  if (bytes > pages::reservation.size) return nullptr;  // page counts have 32 bits
  const pages::SpanGeometry geometry = pages::large_geometry(bytes);
  Span* span = make_span(c, geometry);
  if (span == nullptr) return nullptr;
  if (c.zero_slots && span->needs_zero) __builtin_memset(reinterpret_cast<void*>(span->base), 0, geometry.slot_bytes);
  take_over(c, *span, stage_of(m));
  cache::note_allocated(*span, 0, 1);
  c.count_allocated(1, geometry.slot_bytes);
  supply.note_hole(span->base, geometry.slot_bytes);
  publish_handed(m);
  supply.release(c, span);
  return span;
}

void release_span_async(SpanClass& c, Span* span) { supply.release(c, span); }

}  // namespace lull::gc

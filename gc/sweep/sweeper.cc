#include "gc/sweep/sweeper.h"

#include <cstring>

#include "alloc/os/checker.h"
#include "alloc/os/lock.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"
#include "gc/model/colour.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/model/span_index.h"
#include "gc/mutator/handshake.h"

namespace lull::gc {

constinit std::atomic<std::uint32_t> opened_cycle{0};

namespace {

constexpr int kScribble = 0xdb;  // words of it lie outside of the heap's range, so nobody takes them for pointers

void scribble(const pages::Span& span, std::uint32_t word, std::uint64_t freed) {
  for (; freed != 0; freed &= freed - 1) {
    const std::uint32_t slot = word * 64 + static_cast<std::uint32_t>(std::countr_zero(freed));
    std::memset(reinterpret_cast<void*>(span.slot_address(slot)), kScribble, span.slot_bytes);
  }
}

void forbid_slots(const pages::Span& span, std::uint32_t word, std::uint64_t freed) {
  for (; freed != 0; freed &= freed - 1)
    os::forbid(span.slot_address(word * 64 + static_cast<std::uint32_t>(std::countr_zero(freed))), span.slot_bytes);
}

void note_freed(SpanClass& c, const pages::Span& span, std::uint32_t freed) {
  c.count_freed(freed, std::uint64_t{freed} * span.slot_bytes);
}

void sweep_class(SpanClass& c, const SweepGenerations& now, HolePurge& purge) {
  for (;;) {
    pages::Span* span = c.take_partial(now.any - 1);
    const bool may_be_rested = span == nullptr;
    if (span == nullptr) span = c.take_tenured_partial(now.full - 1);
    const bool rested = may_be_rested && span != nullptr;
    if (span == nullptr) span = take_unswept_full(c, now);
    if (span == nullptr) return;
    const Swept swept = sweep_span(*span);
    if (swept.objects == 0) {
      index_destroyed(c, *span);
      pages::destroy_span(span);
    } else {
      purge.look_at(*span, rested);
      put_swept(c, span, swept, now);
    }
  }
}

bool anyone_sweeping() {
  bool any = false;
  for_each_mutator([&](Mutator& m) {
    // seq_cst: the driver's half of the Dekker handshake, after its store to sweep_open
    any |= m.sweeping.load(std::memory_order_seq_cst) != 0;
  });
  return any;
}

}  // namespace

SweepGenerations generations_now() {
  return {sweep_generation.load(std::memory_order_relaxed), full_generation.load(std::memory_order_relaxed)};
}

pages::Span* take_unswept_partial(SpanClass& c, const SweepGenerations& now) {
  pages::Span* span = c.take_partial(now.any - 1);
  return span != nullptr ? span : c.take_tenured_partial(now.full - 1);
}

pages::Span* take_unswept_full(SpanClass& c, const SweepGenerations& now) {
  pages::Span* span = c.take_full(now.any - 1);
  return span != nullptr ? span : c.take_tenured_full(now.full - 1);
}

void put_swept(SpanClass& c, pages::Span* span, const Swept& swept, const SweepGenerations& now) {
  delay_point();
  if (swept.tenured) return c.put_tenured(span, now.full);
  index_taken(c, *span);  // somebody has allocated in it since the cycle looked at its objects
  c.put(span, now.any);
}

Swept sweep_span(pages::Span& span) {
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed), epoch = mark_epoch.load(std::memory_order_relaxed);
  const bool has_snapshot = span.snapshot_cycle.load(std::memory_order_relaxed) == cycle;
  const bool has_marks = span.mark_cycle.load(std::memory_order_relaxed) == epoch;
  const BitWord* candidates = has_snapshot ? span.snapshot_bits() : span.alloc_bits();
  std::uint32_t freed = 0;
  std::uint64_t young = 0;  // born during the cycle: neither freed nor promoted
  for (std::uint32_t w = 0; w < span.words; ++w) {
    const std::uint64_t marks = has_marks ? span.mark_bits()[w].load(std::memory_order_relaxed) : 0;
    const std::uint64_t dead = candidates[w].load(std::memory_order_relaxed) & ~marks;
    BitWord& bits = span.alloc_bits()[w];
    const std::uint64_t alloc = bits.load(std::memory_order_relaxed) & ~dead;
    young |= alloc & ~marks;
    if (dead == 0) continue;
    if (options.scribble != 0) scribble(span, w, dead);
    if (options.poison != 0) forbid_slots(span, w, dead);
    bits.store(alloc, std::memory_order_relaxed);
    freed += static_cast<std::uint32_t>(std::popcount(dead));
  }
  if (freed != 0) {
    span.needs_zero = 1;
    span.holes_purged = 0;
    span.allocated -= freed;
    note_freed(class_of(span), span, freed);
  }
  return {span.allocated, young == 0};
}

SweepingSection::SweepingSection(std::atomic<std::uint32_t>& word) : word_(word) {
  // seq_cst: the thread's half of the Dekker handshake
  word_.exchange(1, std::memory_order_seq_cst);
  allowed_ = sweep_open.load(std::memory_order_seq_cst);
  delay_point();
}

void open_sweep(CycleKind kind) {
  if (kind == CycleKind::full) full_generation.fetch_add(1, std::memory_order_relaxed);
  sweep_generation.fetch_add(1, std::memory_order_relaxed);
  // release: pairs with the acquire in span_supply.cc: whoever sees the cycle opened sees the new generations
  delay_point();
  opened_cycle.store(current_cycle.load(std::memory_order_relaxed), std::memory_order_release);
  delay_point();
  sweep_open.store(true, std::memory_order_seq_cst);
}

void sweep_everything(HolePurge& purge) {
  const SweepGenerations now = generations_now();
  for (SpanClass* c = first_class(); c != nullptr; c = c->next) sweep_class(*c, now, purge);
  if (purge.bytes() != 0) pages::report_purged(purge.bytes());
  pages::nudge_purger();
}

void close_sweep() {
  HolePurge nothing;
  sweep_everything(nothing);
  sweep_open.store(false, std::memory_order_seq_cst);
  while (anyone_sweeping()) os::pause_cpu();
}

void reopen_without_sweeping() {
  opened_cycle.store(current_cycle.load(std::memory_order_relaxed), std::memory_order_release);
  sweep_open.store(true, std::memory_order_seq_cst);
}

}  // namespace lull::gc

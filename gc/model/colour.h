// Colours. An object is one slot of a managed span; for a cycle it is
//   not a candidate   born during the cycle (after its span's snapshot) or no object at all: neither marked nor freed
//   white             candidate, mark bit clear
//   grey              mark bit set, in some buffer or worklist
//   black             mark bit set and scanned
// Candidates come from the snapshot of the alloc bits (rule 11); "is this an object?" never asks the marks.
#pragma once

#include "alloc/base/bitmap.h"
#include "alloc/os/lock.h"
#include "alloc/pages/span.h"
#include "gc/model/phase.h"

namespace lull::gc {

using pages::Span;

struct ObjectRef {
  Span* span = nullptr;
  std::uint32_t slot = 0;
  explicit operator bool() const { return span != nullptr; }
  std::uintptr_t address() const { return span->slot_address(slot); }
};

// The slot that `word` points into, at any offset; empty for words that point nowhere of ours.
inline ObjectRef resolve(std::uintptr_t word) {
  Span* span = pages::managed_span_of(word);
  if (span == nullptr) return {};
  const std::uint32_t slot = span->slot_of(word);
  if (slot >= span->slots) return {};
  return {span, slot};
}

// Of 64 slots.
inline std::uint64_t candidates_of(Span& span, std::uint32_t word, std::uint32_t cycle) {
  // Order matters: alloc first, then the version. The owner publishes the version before it sets alloc bits of objects
  // born after the snapshot, so whoever sees such a bit sees the version too.
  // acquire: pairs with the release in cache::set_alloc_bits
  const std::uint64_t bits = span.alloc_bits()[word].load(std::memory_order_acquire);
  // acquire: pairs with the release in take_snapshot
  return span.snapshot_cycle.load(std::memory_order_acquire) == cycle ? span.snapshot_bits()[word].load(std::memory_order_relaxed) : bits;
}

inline bool is_candidate(const ObjectRef& o, std::uint32_t cycle) { return (candidates_of(*o.span, o.slot / 64, cycle) & bit_of(o.slot)) != 0; }

inline bool is_marked(const ObjectRef& o, std::uint32_t epoch) {
  // acquire: pairs with the release in claim_marks
  return o.span->mark_cycle.load(std::memory_order_acquire) == epoch &&
         // acquire: pairs with try_mark, for lock_cell in gc/weak/weak_cells.cc
         (o.span->mark_bits()[o.slot / 64].load(std::memory_order_acquire) & bit_of(o.slot)) != 0;
}

enum class MarkResult { newly, already, busy };  // busy: somebody is clearing this span's marks; try again later

// Makes the span's marks count for `epoch`: clears them unless that was done. False: somebody else is doing it.
[[gnu::noinline]] inline bool claim_marks_slow(Span& span, std::uint32_t epoch, std::uint32_t seen) {
  if (seen == pages::kMarkClearing) return false;
  if (!span.mark_cycle.compare_exchange_strong(seen, pages::kMarkClearing, std::memory_order_acquire)) return seen == epoch;
  for (std::uint32_t w = 0; w < span.words; ++w) span.mark_bits()[w].store(0, std::memory_order_relaxed);
  // release: pairs with the acquire loads of mark_cycle
  span.mark_cycle.store(epoch, std::memory_order_release);
  return true;
}
inline bool claim_marks(Span& span, std::uint32_t epoch) {
  const std::uint32_t seen = span.mark_cycle.load(std::memory_order_acquire);
  return seen == epoch ? true : claim_marks_slow(span, epoch, seen);
}

// Marks objects of one word, all of them candidates; the caller has made sure that termination is cancelled (rule 7). `fresh`: those that
// were white. False: somebody is clearing this span's marks.
inline bool try_mark(Span& span, BitWord& word, std::uint64_t wanted, std::uint32_t epoch, std::uint64_t& fresh) {
  if (!claim_marks(span, epoch)) return false;
  if ((wanted & ~word.load(std::memory_order_relaxed)) == 0) return true;
  // A locked instruction: drains the store buffer, as the model assumes of a shade. seq_cst: pairs with was_marked in
  // gc/model/ephemerons.h
  fresh = wanted & ~word.fetch_or(wanted, std::memory_order_seq_cst);
  return true;
}

inline MarkResult try_mark(const ObjectRef& o, std::uint32_t epoch) {
  std::uint64_t fresh = 0;
  if (!try_mark(*o.span, o.span->mark_bits()[o.slot / 64], bit_of(o.slot), epoch, fresh)) return MarkResult::busy;
  return fresh != 0 ? MarkResult::newly : MarkResult::already;
}

// Owner only. Slots [hole_first, hole_end) hold objects too, though their alloc bits are not set yet.
inline void take_snapshot(Span& span, std::uint32_t cycle, std::uint32_t hole_first, std::uint32_t hole_end) {
  if (span.snapshot_cycle.load(std::memory_order_relaxed) == cycle) return;
  for (std::uint32_t w = 0; w < span.words; ++w)
    span.snapshot_bits()[w].store(span.alloc_bits()[w].load(std::memory_order_relaxed), std::memory_order_relaxed);
  for_words_in_range(hole_first, hole_end, [&](std::uint32_t w, std::uint64_t mask) {
    BitWord& word = span.snapshot_bits()[w];
    word.store(word.load(std::memory_order_relaxed) | mask, std::memory_order_relaxed);
  });
  // release: pairs with the acquire in is_candidate
  span.snapshot_cycle.store(cycle, std::memory_order_release);
}

}  // namespace lull::gc

// A span: a run of pages cut into slots of one size, and the bitmaps over its slots.
//
//   cell 0                         cells 1 ...
//   +----------------------------+---------------------+------------------------+--------------------+
//   | geometry, links, versions  | alloc bits (words)  | snapshot bits (words)  | mark bits (words)  |  [destroy bits]
//   +----------------------------+---------------------+------------------------+--------------------+
//
// Bitmaps and who may write them (managed spans; "owner" = the thread that has the span in its cache, or the sweeper
// that claimed it, or the thread that created it; a span has one owner at a time):
//   alloc     owner        bit set = the slot holds an object (slots of the owner's current hole are not in it yet)
//   snapshot  owner        alloc as it was at the owner's stack scan of cycle `snapshot_cycle`
//   mark      any marker   atomically; meaningful while `mark_cycle` is the cycle in question
//   destroy   any          atomically; bit set = constructed and its destructor has still to run
// In words: candidate(slot, cycle) = snapshot_cycle == cycle ? snapshot[slot] : alloc[slot];
//           white(slot, cycle)     = candidate and not (mark_cycle == cycle and mark[slot]).
// A descriptor is never unmapped and its number never gets another size, so that a racy reader always sees a span.
#pragma once

#include <atomic>

#include "alloc/base/bitmap.h"
#include "alloc/base/units.h"
#include "alloc/pages/reservation.h"

namespace lull::pages {

struct SpanGeometry {
  std::size_t slot_bytes = 0;
  std::uint32_t slots = 0;
  PageCount pages;
  std::uint32_t reciprocal = 0;  // ceil(2^32 / slot_bytes); 0 when there is one slot
};

// slot_bytes must be a multiple of 8 and at most 32 KiB; see span_geometry.h for how `pages` is chosen.
constexpr std::uint32_t reciprocal_of(std::size_t slot_bytes) {
  return static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + slot_bytes - 1) / slot_bytes);
}

inline constexpr std::size_t kCellBytes = 64;
inline constexpr std::uint32_t kMarkClearing = ~0u;  // in mark_cycle: somebody is clearing the mark bits

class alignas(kCellBytes) Span {
 public:
  std::uintptr_t base = 0;
  void* owner_class = nullptr;  // cache::SpanClass*; null while the descriptor is unused
  const void* kind = nullptr;   // the collector's detail::Kind, here to save a marker one cold load
  std::size_t slot_bytes = 0;
  std::uint32_t slots = 0;
  std::uint32_t reciprocal = 0;
  std::uint32_t page_count = 0;
  std::uint16_t words = 0;       // words a bitmap
  std::uint8_t cells = 0;        // size of this descriptor
  std::uint8_t needs_zero : 1 = 0;  // owner only: free slots may hold old contents
  std::uint8_t bitmaps : 3 = 0;     // behind the header: 1 malloc, 2 malloc in secure mode or a heap object, 3 or 4 managed
  std::uint8_t secure : 1 = 0;      // of malloc in secure mode
  std::uint8_t holes_purged : 1 = 0;  // managed, owner only: the sweeper has given its holes back (gc/sweep/hole_purge.h) and freed no slot since
  std::atomic<std::uint32_t> next{0};            // SpanSet link
  std::atomic<std::uint32_t> snapshot_cycle{0};  // release by the owner: pairs with the acquire in is_candidate()
  std::atomic<std::uint32_t> mark_cycle{0};
  std::uint32_t allocated = 0;   // owner only: number of alloc bits set, as of the last sweep or release

  SpanId id() const {
    return static_cast<SpanId>((reinterpret_cast<std::uintptr_t>(this) -
                                reinterpret_cast<std::uintptr_t>(reservation.span_cells)) / kCellBytes);
  }
  PageIndex first_page() const { return page_of(base); }
  std::uintptr_t slot_address(std::uint32_t slot) const { return base + slot * slot_bytes; }
  std::uintptr_t end() const { return base + (std::uintptr_t{page_count} << kPageShift); }
  // Any address inside the span; the tail behind the last slot yields `slots`.
  std::uint32_t slot_of(std::uintptr_t address) const {
    return static_cast<std::uint32_t>(((address - base) * std::uint64_t{reciprocal}) >> 32);
  }

  BitWord* alloc_bits() { return bitmap(0); }
  BitWord* snapshot_bits() { return bitmap(1); }
  BitWord* mark_bits() { return bitmap(2); }
  BitWord* destroy_bits() { return bitmap(3); }  // only in spans with four bitmaps

  // Spans of malloc have a bitmap with bits set where a slot is free, and no marks: see alloc/front/shared_span.h.
  BitWord* free_bits() { return bitmap(0); }
  BitWord* live_bits() { return bitmap(1); }  // secure mode only: alloc/front/secure.h
  std::atomic<std::uint32_t>& free_state() { return mark_cycle; }
  // Of the purger (alloc/front/span_purge.h): system pages given back and not handed out since, a bit each; the free
  // count when it looked last.
  std::atomic<std::uint32_t>& purged_pages() { return snapshot_cycle; }
  std::atomic_ref<std::uint32_t> state_at_last_look() { return std::atomic_ref(allocated); }
  // A cell of zeros behind the header of a span of malloc with one block, which needs no bitmap: alloc/sample/sampler.h.
  void* of_block() { return this + 1; }

  // Spans of heap objects have two bitmaps and links in lists: see alloc/front/heap_span.h.
  BitWord* given_bits() { return bitmap(1); }
  std::atomic<std::uint32_t>& given_state() { return mark_cycle; }
  std::atomic<std::uint32_t>& list_previous() { return snapshot_cycle; }
  std::uint32_t& list_next() { return allocated; }
  const void*& list() { return kind; }

 private:
  BitWord* bitmap(unsigned n) { return reinterpret_cast<BitWord*>(this + 1) + n * std::size_t{words}; }
};
static_assert(sizeof(Span) == kCellBytes, "a descriptor header is one cell");

constexpr std::uint32_t cells_for(std::uint32_t slots, std::uint32_t bitmaps) {
  return static_cast<std::uint32_t>(1 + (bitmaps * words_for(slots) * 8 + kCellBytes - 1) / kCellBytes);
}

inline Span* span_with(SpanId id) {
  return reinterpret_cast<Span*>(reservation.span_cells) + static_cast<std::uint32_t>(id);
}

// The managed span that covers `word`, or nullptr. Async-signal-safe. The answer stays true as long as the span
// cannot die: while marking no managed span does.
inline Span* managed_span_of(std::uintptr_t word) {
  if (!in_heap(word)) return nullptr;
  const PageIndex page = page_of(word);
  // acquire: pairs with the release in publish() of span_table.cc, so that the descriptor is complete
  if (reservation.classes[page.value].load(std::memory_order_acquire) != PageClass::managed) return nullptr;
  return span_with(static_cast<SpanId>(reservation.owners[page.value].load(std::memory_order_relaxed)));
}

}  // namespace lull::pages

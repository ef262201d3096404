// The one reserved address range and the tables computed from it.
//
//   heap     [base, base + size)    pages of 8 KiB, reserved without memory, committed by the page heap
//   classes  2 bytes a page         what the page is (PageClass)
//   owners   4 bytes a page         number of the span that covers it
//   cards    1 byte per 512 bytes   dirty cards of the generational collector
//   spans    64-byte cells          span descriptors, addressed by number, never unmapped
//
// Tables cost memory only where they are touched. They are readable from the start and become writable as the heap grows,
// because strict overcommit and `ulimit -d` charge for all that is writable. Where they begin and end a page stays readable for
// ever, so that who runs over the end of a mapping beside them does not get far.
//
// Under `ulimit -v` address space is what is scarce. The range is then one of the limit's size at a place where the system puts
// nothing by itself, and it is mapped piece by piece as the heap grows: heap, stacks and everybody else share what
// there is in the order in which they ask, but for a part that the heap leaves. If somebody maps something into the range, which
// takes a fixed address, the heap ends there. Where there is no such place the range is reserved, halved until
// everything fits and leaves room for the rest of the program.
#pragma once

#include <atomic>

#include "alloc/base/units.h"
#include "alloc/os/lock.h"
#include "lull/detail/heap_range.h"

namespace lull::pages {

// What a page holds. Anything that is not managed is opaque to the collector. Small blocks of malloc are told by size
// class in the low byte, first_small and up; four more bits are the page's place in its span, so that free() finds the start
// of the span without its descriptor; the highest four are malloc's (alloc/front/neighbours.h).
// Blocks of heap objects (alloc/front/heap_object.h) are told by their descriptors. A guard page belongs to the span before it.
// Pages of root cells (gc/mutator/roots.h) belong to no span.
enum class PageClass : std::uint16_t { none = 0, managed = 1, large = 2, heap_small = 3, heap_large = 4, guard = 5, roots = 6, first_small = 16 };
constexpr std::uint8_t low_byte(PageClass c) { return static_cast<std::uint8_t>(c); }
constexpr std::uint32_t place_of(std::uint32_t entry) { return entry >> 8 & 15; }  // of small blocks of malloc

struct Reservation {
  std::uintptr_t base = 0;
  std::size_t size = 0;
  std::atomic<PageClass>* classes = nullptr;
  std::atomic<std::uint32_t>* owners = nullptr;
  bool on_demand = false;  // mapped piece by piece
  std::byte* span_cells = nullptr;
  std::size_t span_cells_bytes = 0;
};

extern Reservation reservation;  // constant after reserve_heap()

// Reserves the range and its tables; idempotent, thread-safe; false when not even the smallest range can be had.
[[nodiscard]] bool reserve_heap();
// Makes pages of the range usable, from the end of the last ones on. False when the system refuses. The page heap's lock.
[[nodiscard]] bool commit_heap(PageIndex first, PageCount n);
// Makes the tables writable as far as they are about the pages below `end`, or the cells of descriptors below `bytes`, and
// further: seldom more than a comparison. False when the system refuses. The caller holds the lock of what grows.
[[nodiscard]] bool commit_tables(PageIndex end);
[[nodiscard]] bool commit_span_cells(std::size_t bytes);
os::Lock& reserve_lock_for_fork();

inline bool in_heap(std::uintptr_t word) { return word - reservation.base < reservation.size; }
inline PageIndex page_of(std::uintptr_t address) {
  return {static_cast<std::uint32_t>((address - reservation.base) >> kPageShift)};
}
inline std::uintptr_t address_of(PageIndex page) {
  return reservation.base + (std::uintptr_t{page.value} << kPageShift);
}

}  // namespace lull::pages

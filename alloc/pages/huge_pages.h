// Huge pages where the heap is dense: translating addresses costs random access a fifth of its time.
//
// A chunk (2 MiB) becomes a huge page when
//   1 all of its pages are in spans, none was taken or released for a second and few of its spans of managed objects were filled
//     once more (note_refilled), so that what it holds is likely to live on, and
//   2 every system page of it has memory behind it, so that the process gets no larger.
// It is broken up again when a part of it is given back to the system. Each time that it is broken or turns out not to be
// dense doubles the time until the next look, so a chunk that comes and goes costs little; after five it is left alone
// until pages of it change hands.
// In a chunk: small -> huge (note_collapsed), huge -> small (forget_huge), small -> refused (note_collapsed), refused -> small
// (take, release). The purger's thread does it, for 5 ms in 100 at most. LULL_HUGE_PAGES=0 or the
// administrator ("never") switch it off. Rejected: MADV_HUGEPAGE, a flag of the mapping (mappings split, the kernel fills
// what was purged, and fresh chunks get memory that nobody asked for).
#pragma once

#include <cstdint>

#include "alloc/base/units.h"

namespace lull::pages {

enum class HugeState : std::uint8_t { small, huge, refused };

inline constexpr unsigned kSettledTicks = 10;  // of the purger, 100 ms each: fewer make young memory huge, more come late
inline constexpr std::uint8_t kMostAttempts = 5;
// Of a chunk that holds young memory; the count loses an eighth at each tick, so it is eight times the rate: 20 spans a second.
inline constexpr std::uint8_t kYoungRefills = 16;
constexpr unsigned ticks_until_huge(std::uint8_t attempts) { return kSettledTicks << attempts; }

// The program's wish, from the environment at the first call; the administrator's is asked for in make_dense_chunks_huge().
bool huge_pages_wanted();
// For programs and tests that decide at run time.
void set_huge_pages(bool wanted);

// One tick's work of the purger's thread. True: there may be more at the next one.
bool make_dense_chunks_huge();

// Gives the memory of any part of the heap back, whose pages the caller owns; breaks huge pages that it lies in.
void purge_range(std::uintptr_t at, std::size_t bytes);

}  // namespace lull::pages

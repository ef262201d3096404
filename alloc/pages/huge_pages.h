// Huge pages where the heap is dense: translating addresses costs random access a fifth of its time.
//
// A chunk (2 MiB) becomes a huge page when
//   1 all of its pages are in spans, none was taken or released for a second and few of its spans of managed objects were filled
//     once more (note_refilled), so that what it holds is likely to live on, and
//   2 every system page of it has memory behind it, so that the process gets no larger.
// It is broken up again when a part of it is given back to the system. Each time that it is broken or turns out not to be
// dense doubles the time until the next look, so a chunk that comes and goes costs little; after five it is left alone
// until pages of it change hands.
// A program that allocates with malloc alone and has 32 MiB in use gets the memory of fresh chunks as huge pages, too, when the first span of small blocks
// is taken from one (fill_fresh_chunk): one page fault instead of 512, which is what a large heap's growth costs. At most one chunk at a time is
// partly used for that, so the process grows by less than a sixteenth; what is still unused after a second goes back. Not beside the collector: a thread that
// waits 0.2 ms and more for the kernel answers no handshake.
// In a chunk: small -> huge (MakingHuge), huge -> small (forget_huge), small -> refused (MakingHuge), refused -> small
// (take, release). The purger's thread does it, for 5 ms in 100 at most. LULL_HUGE_PAGES=0 or the
// administrator ("never") switch it off. Rejected: MADV_HUGEPAGE for good, a flag of the mapping (mappings split, the kernel fills
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

// In use, for fresh chunks to be worth filling.
inline constexpr PageCount kHeapWorthFilling = pages_for(std::size_t{32} << 20);
// Gives the page's chunk, which had none, its memory at once, where that is wanted and allowed. Takes no lock but the page heap's.
void fill_fresh_chunk(PageIndex page);
// One has been filled, or not; for fill_fresh_chunk() and tests. After a slow one the next ones are left alone.
void note_fill(bool done, std::uint64_t took_ns);
std::uint32_t fresh_chunks_left_alone();
void never_slow_for_testing();  // whatever the machine is like
// The collector, when it starts: no chunk is filled any more.
void leave_fresh_chunks();

// One tick's work of the purger's thread. True: there may be more at the next one.
bool make_dense_chunks_huge();

// Gives the memory of any part of the heap back, whose pages the caller owns; breaks huge pages that it lies in.
bool purge_range(std::uintptr_t at, std::size_t bytes);

}  // namespace lull::pages

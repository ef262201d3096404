// lull::mem_stats: Go's runtime.MemStats in snake_case, and what lull adds.
//
// Bytes and counts are totals over all threads. Objects that running threads allocated in the span they are filling now
// (at most one span a type and thread) are not in the totals yet; the calling thread's are. True in every snapshot, whatever
// other threads do meanwhile:
//   sys = heap_sys + mspan_sys + mcache_sys + gc_sys + other_sys     mspan_inuse <= mspan_sys     mcache_inuse <= mcache_sys
//   heap_sys = heap_inuse + heap_idle        heap_released <= heap_idle
//   heap_alloc = alloc <= heap_inuse         heap_alloc <= total_alloc
//   mallocs - frees = heap_objects           frees <= mallocs, here and in each row of by_size and of types
//   mallocs = sum of by_size[i].mallocs = sum of types[i].mallocs; the same for frees
//   heap_alloc = large_alloc + sum of by_size[i].size * (by_size[i].mallocs - by_size[i].frees) = sum of types[i].bytes
//   total_alloc = sum of types[i].total_bytes
//   pause_total_ns = handshake.sum_ns        num_forced_gc <= num_gc        num_young_gc <= num_gc
//   a histogram's count = the sum of its buckets
// From one snapshot to a later one mallocs, frees, total_alloc, num_gc and the histograms never shrink.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "lull/histogram.h"

namespace lull {

struct size_stats {  // one slot size in use
  std::uint32_t size = 0;  // 0, always the first row: objects with a span of their own, and further sizes when the rows are full
  std::uint64_t mallocs = 0, frees = 0;
};

struct type_stats {  // one type of managed objects; T and T[] are two
  std::string_view name;
  std::uint64_t mallocs = 0, frees = 0;
  std::uint64_t bytes = 0;        // of those allocated and not freed
  std::uint64_t total_bytes = 0;  // allocated since the start
  std::uint64_t live_objects = 0, live_bytes = 0;  // there when the last full cycle had been swept
};

struct mem_stats {
  std::uint64_t alloc = 0, total_alloc = 0, sys = 0, lookups = 0, mallocs = 0, frees = 0;
  std::uint64_t heap_alloc = 0;     // bytes of allocated objects, reachable or not yet swept
  std::uint64_t heap_sys = 0;       // bytes of address space committed for the heap
  std::uint64_t heap_idle = 0;      // in no span
  std::uint64_t heap_inuse = 0;     // in spans
  std::uint64_t heap_released = 0;  // idle and given back to the system
  std::uint64_t heap_objects = 0;
  std::uint64_t stack_inuse = 0, stack_sys = 0;  // always 0: stacks belong to the program
  std::uint64_t mspan_inuse = 0, mspan_sys = 0, mcache_inuse = 0, mcache_sys = 0, buck_hash_sys = 0;
  std::uint64_t gc_sys = 0, other_sys = 0;
  std::uint64_t next_gc = 0;   // heap goal of the current or next cycle
  std::uint64_t last_gc = 0;   // end of the last cycle, nanoseconds since 1970
  std::uint64_t pause_total_ns = 0;            // time mutators spent in handshake operations, all threads
  std::array<std::uint64_t, 256> pause_ns{};   // longest handshake operation of a cycle; cycle n is at (n + 255) % 256
  std::array<std::uint64_t, 256> pause_end{};  // nanoseconds since 1970
  std::uint32_t num_gc = 0, num_forced_gc = 0;   // young cycles included
  double gc_cpu_fraction = 0;  // of the processor time available since the start
  bool enable_gc = true, debug_gc = false;
  std::array<size_stats, 128> by_size{};
  std::uint32_t by_size_count = 0;

  // What lull adds.
  std::uint64_t global_stops = 0;         // times all threads were stopped (modes verify, stw and noconcurrent only)
  std::uint64_t large_alloc = 0;          // bytes of the objects that by_size[0] counts
  std::uint64_t metadata_bytes = 0;       // descriptors, bitmaps, page tables and cards in use
  std::uint64_t heap_live = 0;            // survived the last cycle
  std::uint64_t heap_huge = 0;            // of heap_sys: made huge pages of the system, and not broken up by us since
  std::uint64_t marked_objects = 0;       // by the last cycle
  std::uint64_t promoted_bytes = 0;       // survived a young cycle and are old since; a sum over all of them
  std::uint64_t dirty_cards = 0;          // cards of 512 bytes that young cycles found stored into; likewise
  std::uint64_t flush_rounds = 0, async_answers = 0, handshakes = 0, aborted_cycles = 0;
  std::uint64_t destructors_pending = 0, destructors_run = 0;
  std::uint64_t verifier_errors = 0;
  std::uint32_t threads = 0, num_young_gc = 0;
  double gc_cpu_seconds = 0, assist_cpu_seconds = 0;  // assists: by the clock, at most 40 us for each 20 us slice of one
  double heap_over_goal_max = 0;       // the largest heap at the end of a cycle by the goal it had, since the start
  std::uint64_t held_allocations = 0;  // allocations that had to wait because the heap had passed its goal
  std::uint64_t hold_max_ns = 0;       // the longest of them
  histogram handshake;      // one handshake operation on one mutator, by the clock: its pause
  histogram handshake_cpu;  // the processor time of the same: the pause without the kernel's scheduling
  histogram time_to_safepoint;  // from the collector's request until a mutator begins the operation: it goes on with its own work meanwhile
  histogram assist;      // one assist of one allocation
  histogram alloc_slow;  // one allocation slow path, assists included
};

// Stops nobody. Copies five histograms of 8 KiB each: some microseconds. Nobody takes pages from the page heap or returns some while
// the counters are read, a microsecond for 100 types.
void read_mem_stats(mem_stats& out);
// The same, and a row for each type that was ever allocated, as many as `types` has room for; what does not fit is added to
// the last row, which has the name "(others)" then. Returns how many rows were filled.
std::size_t read_mem_stats(mem_stats& out, std::span<type_stats> types);
inline mem_stats read_mem_stats() {
  mem_stats out;
  read_mem_stats(out);
  return out;
}

}  // namespace lull

// lull::mem_stats: Go's runtime.MemStats in snake_case, and what lull adds.
//
// Bytes and counts are totals over all threads. Objects that running threads allocated in the span they are filling now
// (at most one span a type and thread) are not in the totals yet; the calling thread's are. Always true:
//   heap_sys = heap_inuse + heap_idle      heap_released <= heap_idle      mallocs - frees = heap_objects
//   sys = heap_sys + mspan_sys + mcache_sys + gc_sys + other_sys
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lull/histogram.h"

namespace lull {

struct size_stats {  // one slot size in use
  std::uint32_t size = 0;
  std::uint64_t mallocs = 0, frees = 0;
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
  std::uint64_t metadata_bytes = 0;       // descriptors, bitmaps, page tables and cards in use
  std::uint64_t heap_live = 0;            // survived the last cycle
  std::uint64_t heap_huge = 0;            // of heap_sys: made huge pages of the system, and not broken up by us since
  std::uint64_t marked_objects = 0;       // by the last cycle
  std::uint64_t flush_rounds = 0, async_answers = 0, handshakes = 0, aborted_cycles = 0;
  std::uint64_t destructors_pending = 0, destructors_run = 0;
  std::uint64_t verifier_errors = 0;
  std::uint32_t threads = 0, num_young_gc = 0;
  double gc_cpu_seconds = 0, assist_cpu_seconds = 0;
  histogram handshake;      // one handshake operation on one mutator, by the clock: its pause
  histogram handshake_cpu;  // the processor time of the same: the pause without the kernel's scheduling
  histogram assist;      // one assist of one allocation
  histogram alloc_slow;  // one allocation slow path, assists included
};

// Stops nobody. Copies four histograms of 8 KiB each: some microseconds.
void read_mem_stats(mem_stats& out);
inline mem_stats read_mem_stats() {
  mem_stats out;
  read_mem_stats(out);
  return out;
}

}  // namespace lull

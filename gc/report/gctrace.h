// One line a cycle, in the format of Go's GODEBUG=gctrace=1, so that the tools and the eyes trained on it
// work:
//
//   gc 12 @3.456s 2%: 0.018+1.3+0.076 ms clock, 0.054+0.35/1.2/0+0.23 ms cpu, 4->5->2 MB, 5 MB goal,
//     0 MB stacks, 0 MB globals, 2 P | full (old has grown), hs p99.9 12us max 20us, 1 flush, 0 stops          (all on one line)
//
// Up to " | " the numbers are Go's, with our handshakes in the place of Go's stops of the world. Format: Go's
// src/runtime/mgc.go (gcMarkTermination) and extern.go.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::gc {

struct CycleReport {
  std::uint64_t number = 0;        // of the cycle, from 1
  double start_seconds = 0;        // since the program's start
  double gc_cpu_percent = 0;       // of all processor time since the program's start
  double handshake_on_ms = 0;      // clock a+b+c: barriers on,
  double mark_clock_ms = 0;        //   marking,
  double terminate_ms = 0;         //   termination and barriers off
  double handshake_on_cpu_ms = 0;  // cpu a+b/c/d+e: the same, with the marking divided into
  double assist_cpu_ms = 0;        //   assists,
  double background_cpu_ms = 0;    //   background workers,
  double idle_cpu_ms = 0;          //   workers on processors that had nothing else to do
  double terminate_cpu_ms = 0;
  std::uint64_t heap_start = 0;   // heap_live at the start of the cycle, bytes
  std::uint64_t heap_end = 0;     //   and when marking ended
  std::uint64_t heap_marked = 0;  // what survived
  std::uint64_t goal = 0;         // that the cycle was paced for
  std::uint64_t stack_bytes = 0;
  std::uint64_t root_bytes = 0;
  unsigned workers = 0;  // processors used
  bool forced = false;   // by collect()

  // What lull adds.
  std::uint64_t handshake_p999_ns = 0;  // of all handshake operations on single mutators since the start
  std::uint64_t handshake_max_ns = 0;   // of this cycle's
  std::uint64_t flush_rounds = 0;  // until termination held
  std::uint64_t global_stops = 0;  // 0 in a normal cycle
  bool young = false;
  const char* reason = "";  // why the cycle is of its kind: name_of(CycleReason)
};

inline constexpr std::size_t kGctraceLineSize = 640;  // fits any report

// Writes the line, its '\n' and a terminating 0, and returns the length without the 0. In too small a buffer
// the line is cut, but still ends with '\n' and 0. Allocates nothing, takes no lock, does not depend on the
// locale.
std::size_t format_gctrace(const CycleReport& report, char* out, std::size_t size);

}  // namespace lull::gc

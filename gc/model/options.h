// Options, read once from the environment before the first object; the API's setters change the same fields.
//   LULL_DEBUG=name[=value],...   checking modes and traces, see kDebugOptions in options.cc
//   LULL_GC_PERCENT=n|off         heap growth goal
//   LULL_MIN_HEAP=bytes           smallest goal
//   LULL_GENERATIONAL=0           full cycles only (LULL_DEBUG=nogen is the same)
//   LULL_IDLE_SECONDS=n           a full cycle when nothing was collected for so long; 0: none
//   LULL_FINALIZERS=thread|manual who runs destructors
//   LULL_AUTO_TUNE=target,...     cpu=PERCENT, latency=TIME, memory=BYTES, min=PERCENT, max=PERCENT: lull/tune.h
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "lull/tune.h"

namespace lull::gc {

struct Options {
  std::int64_t gctrace = 0;             // 1: a line a cycle on standard error
  std::int64_t brake = 1;               // 0: allocations past the goal do not wait (gc/pace/brake.h)
  std::int64_t pacertrace = 0;          // 1: a line a cycle: what the pacer saw and plans
  std::int64_t scavtrace = 0;           // 1: a line whenever pages go back to the system
  std::int64_t alloctrace = 0;          // n: a line with the stack for every n-th allocation
  std::int64_t verify = 0;              // 1: re-mark under a stop after each cycle and compare
  std::int64_t scribble = 0;            // 1: fill freed slots with 0xdb
  std::int64_t poison = 0;              // 1: freed slots are forbidden to a memory checker (alloc/os/checker.h); 1 when there is one
  std::int64_t stress = 0;              // n: collect every n allocations
  std::int64_t stw = 0;                 // 1: stop the world for the whole mark
  std::int64_t noconcurrent = 0;        // 1: stop the world for mark and sweep
  std::int64_t check_trace = 0;         // 1: report fields that trace() forgets
  std::int64_t check_ptr_location = 0;  // 1: stop at a ptr where no one traces it
  std::int64_t rage = 0;                // 1: cycles back to back, tiny buffers
  std::int64_t tiny = 0;                // 1: tiny buffers
  std::int64_t delay = 0;               // n: random delays up to n us at every step of a protocol between threads
  std::int64_t late = 10'000;           // n: tells of threads that have not answered a handshake for n ms; 0: never
  std::int64_t noasync = 0;             // 1: no signals; threads answer at polls only
  std::int64_t generational = 1;        // 0: full cycles only
  std::int64_t gc_percent = 100;        // negative: off
  std::uint64_t min_heap_bytes = 4u << 20;
  std::int64_t manual_finalizers = 0;
  std::int64_t idle_seconds = 120;      // a full cycle when nothing was collected for so long; 0: none
  tune_targets auto_tune{};

  // Stacks are not scanned: frames and root functions are all a thread's roots (lull_use_precise_roots in lull/lull_c.h).
  std::int64_t precise_roots = 0;
  std::int64_t poll_at_stores = 0;  // set where signals cannot be used: a loop that only stores would never answer

  bool barrier_always_on() const { return check_ptr_location != 0 || poll_at_stores != 0; }
  // No allocation takes the fast path.
  bool one_at_a_time() const { return stress != 0 || alloctrace != 0 || poison != 0; }
  bool has_tiny_buffers() const { return (rage | tiny) != 0; }
  bool stops_world() const { return stw != 0 || noconcurrent != 0; }
};

extern Options options;

void read_options();                             // idempotent, thread-safe
// One of the variables above, by its name. False, and a line on standard error: something in it makes no sense; that had no effect.
bool parse_variable(std::string_view name, const char* text, Options& into);
enum class When : std::uint8_t { at_start, running };  // running: only what lull::set_debug() may change
bool parse_debug_options(const char* text, Options& into, When when = When::at_start);
bool parse_tune_targets(const char* text, tune_targets& into);  // what comes before the nonsense counts

}  // namespace lull::gc

// The modes of the oracle stress: a table of what each one sets and adds.
#pragma once

#include <cstdint>
#include <string_view>

#include "gc/model/options.h"

namespace lull::stress {

enum class Kinds : std::uint8_t { pacer_decides, full, young };

struct Mode {
  std::string_view name;
  const char* debug = "";      // as in LULL_DEBUG, beside `scribble`
  Kinds kinds = Kinds::pacer_decides;
  bool signals = false, failing_mappings = false, jumping_clocks = false;
  int percent = 20;            // small: many cycles
  int per_mille_of_steps = 1000;  // of what the run was asked for: some modes are slow
  int threads_times = 1;          // more threads than the run was asked for
  unsigned workers = 0;           // markers; 0: as many as the machine has, one if it has few processors
  int fibers_a_thread = 0;        // players on fibers that threads run by turns
};

inline constexpr Mode kModes[] = {
    {.name = "calm"},
    {.name = "young", .kinds = Kinds::young},
    {.name = "full", .debug = "nogen"},
    {.name = "rage", .debug = "rage"},
    {.name = "tiny", .debug = "tiny"},
    {.name = "delay", .debug = "delay=50"},
    {.name = "signals", .signals = true},
    {.name = "oom", .failing_mappings = true},
    {.name = "clock", .debug = "late=0", .jumping_clocks = true},
    {.name = "verify", .debug = "verify", .per_mille_of_steps = 500},
    {.name = "stress", .debug = "stress=50", .per_mille_of_steps = 300},
    {.name = "stw", .debug = "stw"},
    {.name = "parked", .debug = "stw", .signals = true},
    {.name = "noconcurrent", .debug = "noconcurrent"},
    {.name = "noasync", .debug = "noasync"},
    {.name = "checks", .debug = "check_trace,check_ptr_location,tiny"},
    {.name = "crowded", .debug = "verify,noasync", .signals = true, .per_mille_of_steps = 500, .threads_times = 2},
    {.name = "helpers", .debug = "tiny,delay=20", .workers = 4},
    {.name = "fibers", .debug = "rage", .fibers_a_thread = 6},
    {.name = "fibers_verify", .debug = "verify,delay=20", .signals = true, .per_mille_of_steps = 500, .fibers_a_thread = 4},
    {.name = "all", .debug = "rage,delay=20,late=0", .signals = true, .failing_mappings = true, .jumping_clocks = true, .per_mille_of_steps = 300, .workers = 4},
};

inline const Mode* find_mode(std::string_view name) {
  for (const Mode& mode : kModes)
    if (mode.name == name) return &mode;
  return nullptr;
}

}  // namespace lull::stress

// lull::auto_tune: the collector moves its own percentage (lull::set_gc_percent) to meet a target. docs/tuning.md
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull {

struct tune_targets {             // 0: no such target
  double cpu_share = 0;           // of all processors that the process may use, for collecting: 0.1 = 10 %
  std::uint64_t latency_ns = 0;   // 99 % of slow allocations (mem_stats::alloc_slow) take no longer
  std::uint64_t memory_bytes = 0; // largest heap; comes before the others. Unlike set_memory_limit() it does not collect without end
  int min_percent = 25, max_percent = 400;  // of the percentage
};

enum class tune_reason : std::uint32_t { memory_high, memory_low, cpu_high, cpu_low, latency_high, latency_low, bounds };
const char* name_of(tune_reason reason);

struct tune_action {
  std::uint64_t cycle = 0;  // after which, counted from the call of auto_tune()
  int from = 0, to = 0;     // percentage
  tune_reason reason = tune_reason::bounds;
  double seen = 0, target = 0;  // of what the reason names: a share, nanoseconds, or bytes
};

// From now on, until called again; without a target it stops and leaves the percentage as it is. False: the bounds are not
// 0 < min <= max, or a share is not in [0, 1]; nothing has changed then. While the percentage is negative (off) nothing is tuned.
// set_gc_percent() meanwhile sets where tuning goes on from. Thread-safe.
bool auto_tune(const tune_targets& targets);

// The newest actions, at most `most` and 64, the oldest first; returns how many. auto_tune() starts a new log. Thread-safe.
std::size_t read_tune_log(tune_action* out, std::size_t most);

}  // namespace lull

// Totals over all cycles.
#pragma once

#include <array>
#include <cstdint>

namespace lull::gc {

struct CycleTotals {
  std::uint32_t cycles = 0, forced = 0, young = 0;
  std::uint64_t last_end_wall_ns = 0, flush_rounds = 0;
  std::uint64_t heap_live = 0, marked_objects = 0;  // of the last cycle
  std::uint64_t promoted_bytes = 0, dirty_cards = 0;  // of young cycles
  std::uint64_t gc_cpu_ns = 0, assist_cpu_ns = 0, uptime_ns = 0;
  double over_goal_max = 0;                         // the largest peak of a cycle by its goal
  std::array<std::uint64_t, 256> pause_ns{}, pause_end{};  // by cycle; see mem_stats
};
CycleTotals cycle_totals();

}  // namespace lull::gc

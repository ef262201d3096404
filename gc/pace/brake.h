// How long an allocation is held because the heap has passed its goal: the last resort of pacing. Arithmetic only, like the pacer.
//
// Assists make a cycle end at its goal, but only where there is something to scan. While a handshake waits for a thread that
// has no processor, while a cycle ends, and until a cycle that is due begins, nothing else stands between a storm of
// allocations and the memory it can get. So every allocation that takes a fresh span pays with time, and the more the
// further the heap is past its goal. Held threads leave the processor to those that the collector waits for, and it answers for
// them. Go's assists wait without a bound instead, until the background workers have earned what they owe.
//
//   hold    ^                ._____ kMostNs
//           |              .
//           |            .
//           +----|-------|-----|---|--> heap_live
//              goal    from   full goal + 10 %, less near a memory limit
#pragma once

#include <cstdint>

namespace lull::gc {

struct Brake {
  // Per allocation. Longer: heaps as small as the smallest goal survive a storm while the collector gets no processor for longer
  // (four threads: 130 ms). Shorter: less of a wait, and more than the 8 KiB in this time that a thread always gets.
  static constexpr std::uint64_t kMostNs = 20'000'000;

  std::uint64_t from = ~0ull, full = ~0ull;  // from <= full; heap_live in bytes. The default never brakes

  std::uint64_t hold_ns(std::uint64_t heap_live) const;
};

// `goal`: by when the cycle should end, UINT64_MAX: never. `hard_goal`: by when it is made to end, >= goal.
Brake brake_for(std::uint64_t goal, std::uint64_t hard_goal);

}  // namespace lull::gc

// Assists: a thread that allocates while marking runs pays with scan work (Go's mark assist), so that a cycle ends by
// its goal however fast the program allocates. Background work is credit that threads draw on first; what is left is
// done in quanta of at most 20 us.
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/model/histogram.h"
#include "gc/mutator/mutator.h"

namespace lull::gc {

struct AssistControl {
  std::atomic<double> ratio{0};           // bytes of scan work a byte allocated; set by the driver
  std::atomic<std::int64_t> credit{0};    // bytes scanned in the background and not yet drawn
  std::atomic<std::uint64_t> work{0};     // bytes scanned by assists in this cycle
  std::atomic<std::uint64_t> time_ns{0};  // processor time they took in this cycle, from the clock
  HistogramRecorder duration;
};
extern AssistControl assists;

// In a runtime section of `m`, in which the state was seen to be `marking`.
void assist(Mutator& m);
// A quantum of scan work whatever is owed, which is paid off by it. False: there was none. In such a section, too.
bool assist_for_a_quantum(Mutator& m);

}  // namespace lull::gc

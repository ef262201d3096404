// Sweeping: free = candidate and not marked, a word at a time. Lazily by threads that need a span, and in the background.
//
// Sweeping is open from the end of a cycle to the start of the next one. Closing it is a Dekker handshake per thread:
// a thread sets its `sweeping` word and then reads `sweep_open`; the driver clears `sweep_open` and then reads every
// `sweeping` word. One of the two sees the other, so no span is swept with the marks of the next cycle.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/model/kinds.h"
#include "gc/mutator/mutator.h"

namespace lull::gc {

// The caller has taken the span out of an unswept set, in a sweeping section. Returns the slots that hold objects.
std::uint32_t sweep_span(pages::Span& span);

class [[nodiscard]] SweepingSection {
 public:
  explicit SweepingSection(std::atomic<std::uint32_t>& word);
  ~SweepingSection() { word_.store(0, std::memory_order_release); }
  bool allowed() const { return allowed_; }

 private:
  std::atomic<std::uint32_t>& word_;
  bool allowed_;
};

// Driver: starts the sweep of the cycle that has just ended; sweeps until nothing is left; ends it.
void open_sweep();
void sweep_everything();
void close_sweep();
// Instead of open_sweep after an aborted cycle: nothing is to be swept, threads go on as after a swept cycle.
void reopen_without_sweeping();

// Set once open_sweep has run for the cycle of that number.
extern std::atomic<std::uint32_t> opened_cycle;

struct SweepStats {
  std::atomic<std::uint64_t> spans{0}, freed_objects{0}, freed_bytes{0}, spans_released{0};
};
extern SweepStats sweep_stats;

}  // namespace lull::gc

// Sweeping: free = candidate and not marked, a word at a time. Lazily by threads that need a span, and in the background.
//
// Sweeping is open from the end of a cycle to the start of the next one. Closing it is a Dekker handshake per thread:
// a thread sets its `sweeping` word and then reads `sweep_open`; the driver clears `sweep_open` and then reads every
// `sweeping` word. One of the two sees the other, so no span is swept with the marks of the next cycle.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/model/kinds.h"
#include "gc/model/phase.h"
#include "gc/mutator/mutator.h"
#include "gc/sweep/hole_purge.h"

namespace lull::gc {

// Spans wait in two pairs of sets (alloc/cache/span_class.h): those that somebody has had in his cache since the last
// sweep, which every cycle sweeps, and tenured ones, which hold marked objects only and wait for the next full cycle.
struct SweepGenerations {
  std::uint32_t any, full;  // of the sets that hold swept spans; one less: what is still to be swept
};
SweepGenerations generations_now();

struct Swept {
  std::uint32_t objects;  // slots in use
  bool tenured;           // all of them marked
};
// The caller has taken the span out of an unswept set, in a sweeping section.
Swept sweep_span(pages::Span& span);
// Gives a swept span that holds objects to the sets.
void put_swept(SpanClass& c, pages::Span* span, const Swept& swept, const SweepGenerations& now);
// An unswept span, nullptr when there is none left.
pages::Span* take_unswept_partial(SpanClass& c, const SweepGenerations& now);
pages::Span* take_unswept_full(SpanClass& c, const SweepGenerations& now);

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
void open_sweep(CycleKind kind);
void sweep_everything(HolePurge& purge);
void close_sweep();
// Instead of open_sweep after an aborted cycle: nothing is to be swept, threads go on as after a swept cycle.
void reopen_without_sweeping();

// Set once open_sweep has run for the cycle of that number.
extern std::atomic<std::uint32_t> opened_cycle;

}  // namespace lull::gc

// Holds allocations while the heap is past its goal; how long and why: gc/pace/brake.h.
#include "alloc/os/clock.h"
#include "alloc/pages/memory_limit.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/pacing.h"
#include "gc/mark/assist.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/nap.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"

namespace lull::gc {

constinit HoldCounters holds;

namespace {

bool has_marking_work(const Mutator& m) {
  return m.block->barrier_on != 0 && mark_state.load(std::memory_order_acquire) == MarkState::marking;
}

bool pay_a_quantum(Mutator& m) {
  RuntimeSection section(m);
  return has_marking_work(m) && assist_for_a_quantum(m);
}

// Until a cycle ends, at most so long.
void await_relief(Mutator& m, std::uint32_t relief, std::uint64_t most_ns) {
  const std::uint64_t start = os::monotonic_ns();
  nap(m, pacing.relief(), relief, most_ns);
  holds.napped_ns.fetch_add(os::monotonic_ns() - start, std::memory_order_relaxed);
}

void note_hold(std::uint64_t ns) {
  holds.count.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t longest = holds.longest_ns.load(std::memory_order_relaxed);
  while (ns > longest && !holds.longest_ns.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
  }
}

// Until a cycle ends or the heap, with `more` bytes in it, is small enough for the time that has passed, of which `owed` is added.
void hold(Mutator& m, std::size_t more, std::uint64_t owed) {
  const std::uint64_t start = os::monotonic_ns();
  const std::uint32_t relief = pacing.relief().load(std::memory_order_acquire);  // acquire: pairs with relieve(), before the look at the heap
  for (;;) {
    const std::uint64_t allowed = pacing.hold_ns(heap_counters.live.load(std::memory_order_relaxed) + more) + owed;
    const std::uint64_t held = os::monotonic_ns() - start;
    if (held >= allowed || pacing.relief().load(std::memory_order_relaxed) != relief) return note_hold(held);
    if (!pay_a_quantum(m)) await_relief(m, relief, allowed - held);
  }
}

}  // namespace

void hold_allocation(Mutator& m) {
  m.hold_due = false;
  std::uint64_t owed = 0;
  const std::uint64_t now = pacing.hold_ns(heap_counters.live.load(std::memory_order_relaxed));
  // Near a memory limit nothing is put off: there the spans of one nap are room that is not there.
  if (pages::memory_is_short() || m.short_holds.add(now, pacing.relief().load(std::memory_order_relaxed), owed)) hold(m, 0, owed);
}

// An object of many spans pays before it is there, if a cycle is due that makes room for it.
void hold_before_large(Mutator& m, std::size_t bytes) {
  const std::uint64_t live = heap_counters.live.load(std::memory_order_relaxed);
  if (live >= pacing.trigger() && pacing.hold_ns(live + bytes) != 0 && options.brake != 0) hold(m, bytes, 0);
}

}  // namespace lull::gc

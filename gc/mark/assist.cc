#include "gc/mark/assist.h"

#include <algorithm>

#include "alloc/os/clock.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"
#include "gc/mark/marker.h"
#include "gc/model/phase.h"

namespace lull::gc {

constinit AssistControl assists;

namespace {

constexpr std::int64_t kWorthwhile = 8 * 1024;     // smaller debts wait: a quantum has fixed costs of about a microsecond
constexpr std::int64_t kMostDebt = 1 << 20;        // what could not be worked off is forgiven beyond this
constexpr std::uint64_t kQuantumNs = 20'000;       // longer hurts latency, shorter lets the heap overshoot
constexpr std::uint64_t kCheckEvery = 4 * 1024;    // bytes between two looks at the clock
// What took longer had lost its processor meanwhile. The clock of the thread's processor time would tell, but to read it is a system
// call, 0.7 us on a busy virtual machine: two of them were a fifteenth of a quantum.
constexpr std::uint64_t kMostProcessorNs = 2 * kQuantumNs;

std::int64_t draw_credit(std::int64_t wanted) {
  std::int64_t have = assists.credit.load(std::memory_order_relaxed);
  while (have > 0) {
    const std::int64_t drawn = std::min(have, wanted);
    if (assists.credit.compare_exchange_weak(have, have - drawn, std::memory_order_relaxed)) return drawn;
  }
  return 0;
}

// What it takes out of the pool is grey, and the driver cannot see it (rule 8). The caller has found the state to be `marking` in
// this runtime section, so that every round of flushes that may end marking waits for this thread's answer, which comes later.
std::int64_t scan_for_a_quantum(std::int64_t debt) {
  const std::uint64_t start = os::monotonic_ns();
  Marker marker;
  std::uint64_t now = start;
  bool empty = false;
  while (!empty && static_cast<std::int64_t>(marker.scanned_bytes()) < debt && now - start < kQuantumNs) {
    empty = marker.drain(kCheckEvery);
    now = os::monotonic_ns();
  }
  marker.hand_over_rest();
  // Such a round may have begun before these objects were black. A thread that answered early in it may since have taken the last
  // reference out of one of them and not have shaded it yet, and no mark was set here that would have cancelled the round.
  cancel_termination();
  now = os::monotonic_ns();
  const auto scanned = static_cast<std::int64_t>(marker.scanned_bytes());
  publish_counts(marker);
  assists.work.fetch_add(static_cast<std::uint64_t>(scanned), std::memory_order_relaxed);
  assists.time_ns.fetch_add(std::min(now - start, kMostProcessorNs), std::memory_order_relaxed);
  LULL_PROBE2(assist, scanned, now - start);
  if (scanned > 0) {
    assists.duration.record(now - start);
    trace::record(trace::What::assist, start, now, static_cast<std::uint64_t>(scanned));
  }
  return scanned;
}

}  // namespace

void assist(Mutator& m) {
  const double ratio = assists.ratio.load(std::memory_order_relaxed);
  const double owed = static_cast<double>(m.handed_bytes) * ratio;
  m.handed_bytes = 0;
  if (ratio == 0) {  // the collector has had its share of the processors (gc/pace/cpu_limiter.h): old debts are forgiven too
    m.assist_debt = 0;
    return;
  }
  m.assist_debt = std::min(m.assist_debt + static_cast<std::int64_t>(std::min(owed, double{kMostDebt})), kMostDebt);
  if (m.assist_debt < kWorthwhile) return;
  m.assist_debt -= draw_credit(m.assist_debt);
  if (m.assist_debt >= kWorthwhile && !grey_pool.empty()) m.assist_debt -= scan_for_a_quantum(m.assist_debt);
  // Deep in debt and nothing to scan: the markers have it all. The thread naps once it is out of its runtime section,
  // so that they get the processor rather than be outrun.
  m.nap_due = m.assist_debt >= kMostDebt;
}

bool assist_for_a_quantum(Mutator& m) {
  if (grey_pool.empty()) return false;
  const std::int64_t scanned = scan_for_a_quantum(kMostDebt);
  m.assist_debt -= scanned;
  return scanned > 0;
}

}  // namespace lull::gc

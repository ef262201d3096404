#include "alloc/pages/fresh_pages.h"

#include <algorithm>
#include <atomic>

#include "alloc/os/vm.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"

namespace lull::pages {
namespace {

constinit std::atomic<std::uint32_t> frontier{0};  // page; whoever moves it asks for what it moved over

}  // namespace

// Pages behind the span may be another's already, whose memory this asks for as well: contents stay. What the system refuses is
// faulted in as it is touched.
void ask_for_fresh(PageIndex first, PageCount n) {
  const std::uint32_t end = first.value + n.value;
  std::uint32_t seen = frontier.load(std::memory_order_relaxed);
  if (end <= seen || first.value < kHeapWorthPieces.value || memory_is_short()) return;
  const std::uint32_t from = std::max(first.value, seen);
  const std::uint32_t to = std::min(std::max(end, from + kFreshPiece.value), page_heap.end().value);
  // Relaxed: nothing is published. If another thread was faster its piece will do.
  if (!frontier.compare_exchange_strong(seen, to, std::memory_order_relaxed)) return;
  os::populate(reinterpret_cast<void*>(address_of({from})), PageCount{to - from}.bytes());
}

void forget_frontier_for_testing() { frontier.store(0, std::memory_order_relaxed); }

}  // namespace lull::pages

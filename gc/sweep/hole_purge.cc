#include "gc/sweep/hole_purge.h"

#include <bit>

#include "alloc/os/clock.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_holes.h"

namespace lull::gc {
namespace {

bool is_worth_it(const pages::Span& span, std::uint32_t holes) {
  const std::uint32_t pages = pages::system_pages(span), in_holes = static_cast<std::uint32_t>(std::popcount(holes));
  if (in_holes * 2 < pages) return false;
  return in_holes * 4 >= pages * 3 || !pages::page_heap.is_huge(span.first_page());
}

}  // namespace

HolePurge::HolePurge(const HolePurgePlan& plan) : plan_(plan), begin_ns_(os::monotonic_ns()) {}

bool HolePurge::has_to_stop() {
  stopped_ = stopped_ || os::monotonic_ns() - begin_ns_ >= plan_.most_ns || (plan_.has_to_stop != nullptr && plan_.has_to_stop());
  return stopped_;
}

void HolePurge::look_at(pages::Span& span, bool rested) {
  using Of = HolePurgePlan::Of;
  if (plan_.of == Of::nothing || (plan_.of == Of::rested && !rested) || span.holes_purged || span.slots == 1) return;
  if ((span.slots - span.allocated) * span.slot_bytes < pages::kSystemPage || has_to_stop()) return;
  const std::uint32_t holes = pages::whole_pages_of_holes(span, span.alloc_bits(), false);
  if (is_worth_it(span, holes)) bytes_ += pages::purge_system_pages(span, holes);
  span.holes_purged = 1;
}

}  // namespace lull::gc

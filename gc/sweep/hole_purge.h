// Gives the memory of holes in partly live spans back to the system. Objects do not move, so a heap that was large and has shrunk is left with
// an object here and there, and each would keep its span's memory for ever. malloc's counterpart: alloc/front/span_purge.h.
//
// The sweeper does it with the span in its hands: taken from the set of unswept spans and not yet given to a swept one, so no thread allocates in it, and
// a slot without alloc bit is no candidate of any cycle, so nobody reads it. Afterwards its pages read as zeros, which is what a free slot may hold anyway.
//
// A hole that is about to be used again would come and go. So spans are left alone unless they are
//   rested  nobody has had the span in a cache since the last full cycle: in every full cycle, for a 64th of the time since the one before, and not
//           while another cycle is due; or
//   any     in the cycle of a program that is idle, and when the program asks (lull::return_memory).
// At least half of a span's pages have to be in holes, three quarters where they are part of a huge page, which is broken by it.
#pragma once

#include <cstdint>

#include "alloc/pages/span.h"

namespace lull::gc {

struct HolePurgePlan {
  enum class Of : std::uint8_t { nothing, rested, all };
  Of of = Of::nothing;
  std::uint64_t most_ns = ~std::uint64_t{0};  // by the clock
  bool (*has_to_stop)() = nullptr;
};

// Of one sweep.
class HolePurge {
 public:
  HolePurge() = default;
  explicit HolePurge(const HolePurgePlan& plan);
  HolePurge(const HolePurge&) = delete;
  HolePurge& operator=(const HolePurge&) = delete;

  // A span that is not empty, right after its sweep; the sweeper owns it.
  void look_at(pages::Span& span, bool rested);
  bool has_done_all() const { return plan_.of == HolePurgePlan::Of::all && !stopped_; }
  std::size_t bytes() const { return bytes_; }

 private:
  bool has_to_stop();

  HolePurgePlan plan_;
  bool stopped_ = false;
  std::uint64_t begin_ns_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace lull::gc

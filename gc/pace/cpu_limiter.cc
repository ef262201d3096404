#include "gc/pace/cpu_limiter.h"

#include <algorithm>

namespace lull::gc {

void CpuLimiter::update(std::uint64_t now_ns, std::uint64_t gc_cpu_ns, unsigned processors) {
  const bool first = last_ns_ == 0;
  const std::uint64_t available = now_ns > last_ns_ ? (now_ns - last_ns_) * processors : 0;
  const std::uint64_t used = gc_cpu_ns > last_gc_ns_ ? gc_cpu_ns - last_gc_ns_ : 0;
  last_ns_ = std::max(now_ns, last_ns_);
  last_gc_ns_ = std::max(gc_cpu_ns, last_gc_ns_);
  if (first) return;
  const std::uint64_t gc = std::min(used, available), program = available - gc;
  fill_ = std::min(fill_ + gc, kCapacityNs + program);
  fill_ = fill_ > program ? fill_ - program : 0;
  // With some distance between on and off: it should not flicker.
  limiting_ = fill_ >= kCapacityNs || (limiting_ && fill_ > kCapacityNs / 2);
}

}  // namespace lull::gc

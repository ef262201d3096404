// Keeps the collector from taking the program's processors for good: near a memory limit the live heap leaves no room, every
// allocation makes a cycle due, and assists grow without bound (a death spiral). A leaky bucket, as Go's gcCPULimiter:
// https://github.com/golang/proposal/blob/master/design/48409-soft-memory-limit.md
//
// Collector time fills the bucket, the program's time drains it, so that it fills only while the collector takes more than
// half of what there is. While it is full nobody assists: the heap passes the limit instead.
#pragma once

#include <cstdint>

namespace lull::gc {

class CpuLimiter {
 public:
  // Processor time: more lets a burst of collections through, less punishes each.
  static constexpr std::uint64_t kCapacityNs = 500'000'000;

  // `gc_cpu_ns`: all that the collector has used since the start, assists included. Both only grow.
  void update(std::uint64_t now_ns, std::uint64_t gc_cpu_ns, unsigned processors);
  bool is_limiting() const { return limiting_; }
  std::uint64_t fill_ns() const { return fill_; }

 private:
  std::uint64_t last_ns_ = 0, last_gc_ns_ = 0, fill_ = 0;
  bool limiting_ = false;
};

}  // namespace lull::gc

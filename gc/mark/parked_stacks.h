// The collector's pass over parked stacks (rule 18): after handshake 2, once a cycle, by the driver and its helpers.
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/mark/marker.h"
#include "gc/mutator/fibers.h"

namespace lull::gc {

class ParkedStacks {
 public:
  void begin();  // driver: every thread is black
  // Reads grey stacks, until there are none left or about `budget` bytes are read. False: there are none left, but others may still be reading.
  bool read_some(Marker& marker, std::uint64_t budget);
  bool has_more() const { return next_.load(std::memory_order_relaxed) < stop_.load(std::memory_order_relaxed); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }    // read in this cycle
  std::uint32_t stacks() const { return stacks_.load(std::memory_order_relaxed); }  // likewise

 private:
  static constexpr std::uint32_t kClaim = 16;  // records at a time: larger leaves helpers idle, smaller has them meet at next_
  void read(FiberStack& stack, Marker& marker);

  std::atomic<std::uint32_t> next_{0}, stop_{0};
  std::atomic<std::uint32_t> stacks_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

extern ParkedStacks parked_stacks;

}  // namespace lull::gc

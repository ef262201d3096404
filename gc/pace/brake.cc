#include "gc/pace/brake.h"

#include <algorithm>

namespace lull::gc {
namespace {

// Even where a memory limit allows the heap nothing beyond its goal: held from the first byte on, a program whose live
// heap is larger than its limit would stand still between cycles.
constexpr std::uint64_t kLeastRoomPart = 20;

// Where the brake grips, as parts of the room beyond the goal. From: larger costs programs nothing whose cycles end a little late,
// and leaves less way to stop. Full: what threads have taken while nobody looked, and take at full brake, goes beyond it.
constexpr std::uint64_t kFromPart = 8;   // room / 8
constexpr std::uint64_t kBehindPart = 4;  // room - room / 4

}  // namespace

std::uint64_t Brake::hold_ns(std::uint64_t heap_live) const {
  if (heap_live < from) return 0;
  if (heap_live >= full) return kMostNs;
  const double part = static_cast<double>(heap_live - from) / static_cast<double>(full - from);
  return static_cast<std::uint64_t>(part * static_cast<double>(kMostNs));
}

Brake brake_for(std::uint64_t goal, std::uint64_t hard_goal) {
  const std::uint64_t room = std::max(hard_goal - goal, goal / kLeastRoomPart);
  if (goal > ~0ull - room) return {};
  return {goal + room / kFromPart, goal + room - room / kBehindPart};
}

}  // namespace lull::gc

// Where the heap is. Written once, before the first object exists; read by every pointer store.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::detail {

inline constexpr unsigned kCardShift = 9;  // 512 bytes a card: larger re-scans more for one store, smaller costs memory

struct HeapRange {
  std::uintptr_t base = 0;
  std::size_t size = 0;           // 0 until the heap exists: then nothing is ours
  std::uint8_t* cards = nullptr;  // one byte a card, 1 = dirty

  bool contains(std::uintptr_t word) const { return word - base < size; }
};

extern HeapRange heap_range;

}  // namespace lull::detail

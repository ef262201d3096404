// Grey objects: segments that one thread fills or empties without a lock, and one shared pool of them.
//
// An entry is the address of a marked object, or, told apart by the low bits (objects are aligned to 16),
//   bit 0  a raw word: not known to be an object, not marked; its other bits are the word's
//   bit 1  a large slice of a marked object, from this address on: kLargeSliceBytes, or up to the object's end
//   bit 2  a small slice: as much as a marker scans at a time
// Who hands a non-empty segment to the pool outside of an answer to a flush must cancel termination first (rule 8);
// hand_over() does. Segments come from mapped chunks and are reused for ever.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/model/options.h"

namespace lull::gc {

struct Segment {
  static constexpr std::uint32_t kTinyCapacity = 4;
  static constexpr std::uint32_t kCapacity = 510;  // 4 KiB a segment: larger hides work from others, smaller takes the lock oftener
  Segment* next = nullptr;
  std::uint32_t count = 0;
  std::uint32_t unused = 0;
  std::uintptr_t entries[kCapacity];

  bool full() const { return count >= limit(); }
  // Modes rage and tiny hand over after a few entries.
  static std::uint32_t limit() { return options.has_tiny_buffers() ? kTinyCapacity : kCapacity; }
};
static_assert(sizeof(Segment) == 4096);

constexpr std::uintptr_t raw_entry(std::uintptr_t word) { return word | 1; }
constexpr bool is_raw(std::uintptr_t entry) { return entry & 1; }

// Larger: more small slices to push at once (64, some 100 ns); smaller: more large ones for an object of gigabytes.
inline constexpr std::size_t kLargeSliceBytes = 256 * 1024;
constexpr std::uintptr_t large_slice(std::uintptr_t from) { return from | 2; }
constexpr std::uintptr_t small_slice(std::uintptr_t from) { return from | 4; }
constexpr bool is_slice(std::uintptr_t entry) { return entry & 6; }  // of entries that are not raw
constexpr bool is_large_slice(std::uintptr_t entry) { return entry & 2; }
constexpr std::uintptr_t slice_address(std::uintptr_t entry) { return entry & ~std::uintptr_t{6}; }

class GreyPool {
 public:
  // An empty segment; nullptr when memory runs out (the cycle must be aborted then).
  [[nodiscard]] Segment* fresh();
  void recycle(Segment* segment);
  // A non-empty segment of the pool, or nullptr.
  Segment* take();
  void put(Segment* segment);        // driver, workers: the state is marking, or the segment answers a flush
  void hand_over(Segment* segment);  // everybody else: cancels termination first
  bool empty() const { return count_.load(std::memory_order_seq_cst) == 0; }
  void drop_all();                   // aborted cycle
  os::Lock& lock_for_fork() { return lock_; }

 private:
  Segment* fresh_locked();
  os::Lock lock_{os::LockRank::worklist};
  Segment* work_ = nullptr;  // lock_
  Segment* free_ = nullptr;  // lock_
  std::atomic<std::uint32_t> count_{0};
};

extern GreyPool grey_pool;

// A thread's own grey objects on their way to the pool. A lost entry (no memory) makes the cycle abort.
class GreyBuffer {
 public:
  // Owner, in a runtime section.
  void push(std::uintptr_t entry) {
    if (segment_ == nullptr || segment_->full()) [[unlikely]] if (!make_room()) return;
    segment_->entries[segment_->count++] = entry;
  }
  // Also in a signal handler.
  Segment* detach() {
    Segment* s = segment_;
    segment_ = nullptr;
    return s;
  }
  bool empty() const { return segment_ == nullptr || segment_->count == 0; }

 private:
  bool make_room();
  Segment* segment_ = nullptr;
};

}  // namespace lull::gc

// The marker: one thread's view of marking, used by the driver, its helpers and assisting mutators.
//
// Words found in objects are marked first and pushed after (mark on push: every object is pushed at most once, objects
// without pointers never). Entries go from the local segment through a small FIFO that prefetches them (Cher, Hosking,
// Vitek 2004), because the object's own line is what marking waits for; mark bits and descriptors are dense and mostly
// in cache.
#pragma once

#include <cstdint>

#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/worklist.h"
#include "lull/tracer.h"

namespace lull::gc {

class Marker : private tracer {
 public:
  Marker();
  ~Marker();  // must be empty
  Marker(const Marker&) = delete;
  Marker& operator=(const Marker&) = delete;

  // A word that may point to an object: marks it if it is white. Cancels termination before it marks.
  void mark_word(std::uintptr_t word);
  // Takes entries from `segment`, which stays the caller's.
  void take_entries(Segment& segment);
  // Scans grey objects, also those in the pool, until there are none or about `budget` bytes are scanned. True: none.
  bool drain(std::uint64_t budget);
  // Puts everything that is left into the pool, cancelling termination.
  void hand_over_rest();

  std::uint64_t marked_objects() const { return marked_objects_; }
  std::uint64_t marked_bytes() const { return marked_bytes_; }
  std::uint64_t scanned_bytes() const { return scanned_bytes_; }
  void reset_counts() { marked_objects_ = marked_bytes_ = scanned_bytes_ = 0; }

 private:
  static constexpr std::uint32_t kWords = 256;
  static constexpr std::uint32_t kRing = 8;  // entries in flight: deeper exceeds the processor's line fill buffers

  static constexpr std::uint32_t kShareEvery = 64;   // objects between two looks at the pool
  static constexpr std::uint32_t kShareAtLeast = 32;  // entries: fewer are scanned before anybody could take them

  static void words_full(tracer& t);
  void process_words();
  void push(std::uintptr_t entry);
  bool make_room();
  bool refill();
  void share_when_pool_is_dry();
  std::uintptr_t next_entry();
  std::uintptr_t take_from_ring();
  void scan(std::uintptr_t entry);
  void scan_object(std::uintptr_t object);
  void scan_conservatively(std::uintptr_t object, std::size_t bytes);
  void check_traced(const Kind& kind, std::uintptr_t object, std::size_t bytes);

  Segment* local_ = nullptr;
  std::uint32_t cycle_, epoch_, ring_at_ = 0, until_share_ = kShareEvery;
  std::uint64_t marked_objects_ = 0, marked_bytes_ = 0, scanned_bytes_ = 0;
  std::uintptr_t ring_[kRing] = {};
  std::uintptr_t words_[kWords];
};

// Adds to the cycle's totals what a marker has done since its counts were reset, and resets them.
void publish_counts(Marker& marker);

struct MarkTotals {  // of the running cycle
  std::atomic<std::uint64_t> objects{0}, bytes{0}, scanned_bytes{0};
  void reset() {
    objects.store(0, std::memory_order_relaxed);
    bytes.store(0, std::memory_order_relaxed);
    scanned_bytes.store(0, std::memory_order_relaxed);
  }
};
extern MarkTotals mark_totals;

}  // namespace lull::gc

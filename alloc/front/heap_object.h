// Heap objects (include/lull/heap.h): blocks of their own that are freed together.
//
// A heap takes spans from the page heap as malloc does, of the same sizes, but no other heap's blocks and none of malloc's
// lie in them. Small blocks are handed out straight from a span's bitmap of free blocks, a word of which each size has at
// hand: no list runs through the blocks, so nobody's overflow leads the heap astray, blocks can be told from free places
// exactly, and nothing is touched before it is used.
//
//   bin       the span that blocks of a size come from at the moment, its word of free bits, and `partial`: spans with free
//             blocks
//   full      spans without free blocks, of all sizes; one goes to its bin when a block of it is freed
//   large     blocks of more than 32 KiB, a span each
//   given     spans of which blocks were freed by somebody who does not have the heap (heap_span.h)
// A span is in exactly one of: current of its bin, a bin's partial list, full list, large list; it may be in `given` besides.
//
// Pages of a heap have classes of their own, for which no thread has a bin: so malloc's fast paths know nothing of heaps,
// and a plain free() of a heap's block finds the heap on its slow path.
#pragma once

#include "alloc/front/block_sizes.h"
#include "alloc/front/heap_span.h"
#include "alloc/os/lock.h"
#include "lull/heap.h"

namespace lull::front {

enum class Sharing : bool { one_thread_at_a_time, locked };

class HeapObject {
 public:
  // Memory of these is recycled by alloc/front/heap_registry.h; a used one is as good as a new one after end().
  HeapObject();
  void begin(Sharing sharing);
  void end();  // frees everything

  [[nodiscard]] void* allocate(std::size_t bytes);
  [[nodiscard]] void* allocate_zeroed(std::size_t bytes);
  [[nodiscard]] void* allocate_aligned(std::size_t alignment, std::size_t bytes);
  [[nodiscard]] void* reallocate(void* address, std::size_t bytes);
  void free(void* address);
  void reset();
  std::size_t trim();

  int walk(lull_heap_visitor* visit, void* argument);
  lull_heap_stats read_stats();

  os::Lock& lock() { return lock_; }
  cache::SpanSet& given() { return given_; }
  // The large block is being freed; false: by somebody else, too. Page and list change together, also for a forked child.
  [[nodiscard]] bool forget_large(Span& span);
  void check_is_alive() const;    // stops the program if the heap was destroyed

  HeapObject* next = nullptr;  // of the registry
  HeapObject* previous = nullptr;

 private:
  struct HeapBin {
    BitWord* word;            // the word of free bits that the next block comes from; never null
    std::uintptr_t base = 0;  // address of its first slot
    std::size_t bytes = 0;
    Span* current = nullptr;
    SpanList partial;
  };
  class Use;  // a scope in which the caller has the heap for itself

  HeapBin& bin_of_span(const Span& span) { return bins_[bin_of(span.slot_bytes) - kFirstBin]; }
  void* allocate_small(HeapBin& bin);
  void* allocate_large(std::size_t bytes, std::size_t alignment, bool& zero);
  void free_small(Span& span, void* address);
  bool refill(HeapBin& bin);
  static bool aim_at_free_word(HeapBin& bin);
  static void aim_nowhere(HeapBin& bin);
  Span* create_small(const HeapBin& bin);
  void collect_given_spans();
  void has_free_blocks_now(Span& span);
  void release(Span& span);
  template <class Visit>
  void for_each_small(Visit&& visit);  // which may release the span

  HeapBin bins_[pages::kSizeClasses];
  SpanList full_;
  cache::SpanSet given_;
  SpanList large_;  // lock_: others free large blocks
  os::Lock lock_{os::LockRank::heap};
  Sharing sharing_ = Sharing::one_thread_at_a_time;
  bool alive_ = false;
  std::size_t released_bytes_ = 0;  // since the purger was told last
};

// free(), for an address in a page of a heap object. Any thread.
[[gnu::cold]] void free_in_heap(void* address);
// The heap of the block that covers `address`, used or free; nullptr when there is none.
HeapObject* heap_of(std::uintptr_t address);
// Whether the block is in use.
bool is_used_in_heap(std::uintptr_t address);
// The span of small blocks of a heap that covers `address`, which is in the reserved range; nullptr when there is none.
Span* heap_span_of(std::uintptr_t address);

}  // namespace lull::front

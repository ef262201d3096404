// A thread's cache (mcache): for each span class a span of its own and the hole in it that is being filled.
//
// Allocation bumps a cursor through the hole; the alloc bits of a hole are set when it is retired, so the fast path
// writes one word. Memory that was used before is handed out in pieces of the hole: [cursor, limit) is zero, what is free
// behind the limit still holds old contents, but for short holes, which are zeroed some at a time (AllocSlot::prepared).
// Whatever ends the slot forgets them: they are free slots like any others. Owner is one thread; every function runs in its runtime sections, except those named `_async`, which
// its signal handler may run at any instruction of the allocation fast path.
#pragma once

#include <utility>

#include "alloc/cache/span_class.h"
#include "lull/detail/thread_block.h"

namespace lull::cache {

using detail::AllocSlot;

// Where a cache gets spans from and returns them to.
class SpanSource {
 public:
  // A span with free slots, owned by the caller from now on; nullptr when memory runs out.
  virtual pages::Span* acquire(SpanClass& span_class) = 0;
  virtual void release(SpanClass& span_class, pages::Span* span) = 0;
  // The free slots [begin, begin + bytes) were handed to the thread.
  virtual void note_hole(std::uintptr_t begin, std::size_t bytes) = 0;
  // While objects are sampled. Drawn: how many objects of the class the thread allocates up to the next sample, itself included.
  virtual std::uint32_t objects_to_sample(const SpanClass&) { return ~0u; }

 protected:
  ~SpanSource() = default;
};

// 0: no object is a sample. Otherwise a number that is another one whenever sampling starts anew: what was drawn before is void.
// Holes end before the next sample, and the sample comes in a hole of its own: so the slow path sees it, and the fast path need
// not look for it.
extern std::atomic<std::uint32_t> sampling_round;

class ThreadCache {
 public:
  // Room for all span classes; false when memory runs out. The table is kept for the next owner when a thread ends.
  [[nodiscard]] bool initialise();
  AllocSlot* slots() { return slots_; }

  // Takes one object from the next hole of the span the slot has; nullptr when there is no hole left.
  void* allocate_in_span(SpanClass& span_class, SpanSource& source, std::uint32_t most_objects);
  // The same, getting another span when need be; nullptr when memory runs out.
  // `most_objects` bounds the hole (checking mode stress).
  void* allocate_slow(SpanClass& span_class, SpanSource& source, std::uint32_t most_objects);
  // Gives every span back.
  void release_all(SpanSource& source);

  // At any instruction of the fast path. The rest of each current hole counts as allocated: an allocation that was
  // interrupted between its limit check and its cursor store owns a cell in there; what nobody took is garbage for the
  // next cycle. Push: called with (class, span) for each span.
  template <class Push>
  void release_all_async(Push&& push);

  // In a forked child, of a thread that is gone: as release_all_async, for the same reason. What lies in the current holes is zero, or objects that
  // the thread was making or using, of which the child may see any part.
  void release_lost(SpanSource& source);

  // Calls visit(span, slot index of the first slot of the current hole, index of the first one not allocated).
  template <class Visit>
  void for_each_cached_span(Visit&& visit) const;

  void set_classes(SpanClass* const* by_index) { classes_ = by_index; }
  // Whether the object that was allocated last is a sample. Says so once.
  bool take_sample() { return std::exchange(sample_taken_, false); }

 private:
  std::uint32_t most_before_sample(const SpanClass& span_class, SpanSource& source, std::uint32_t round);
  void count_towards_sample(const SpanClass& span_class, std::uint32_t objects);
  void give_back_to_sample(const AllocSlot& slot, const SpanClass& span_class);
  void retire_hole(AllocSlot& slot, SpanClass& span_class);
  void retire_hole(AllocSlot& slot, SpanClass& span_class, std::uint32_t end);
  void extend_hole(AllocSlot& slot, SpanClass& span_class, SpanSource& source, std::uint32_t first, std::uint32_t most_objects, std::size_t bytes);
  bool open_next_hole(AllocSlot& slot, SpanClass& span_class, SpanSource& source, std::uint32_t most_objects);
  void count_allocated(SpanClass& span_class);
  void activate(AllocSlot& slot, std::uint32_t index);
  void deactivate(AllocSlot& slot, std::uint32_t index);

  AllocSlot* slots_ = nullptr;
  std::uint32_t* active_ = nullptr;  // indices of the slots that have a span
  std::uint32_t* uncounted_ = nullptr;  // by class: objects in retired holes that the class's counters do not have yet
  std::uint32_t active_count_ = 0;
  // By class: objects to be handed out up to the next sample, itself included; 0: not drawn. Every slot that is handed out is a
  // sample with the same probability, whatever came before, so it does not matter when it is drawn.
  std::uint32_t* to_sample_ = nullptr;
  std::uint32_t sampling_round_ = 0;  // that to_sample_ was drawn in
  bool sample_taken_ = false;
  SpanClass* const* classes_ = nullptr;
};

// Sets alloc bits [from, to).
inline void set_alloc_bits(pages::Span& span, std::uint32_t from, std::uint32_t to) {
  for_words_in_range(from, to, [&](std::uint32_t word, std::uint64_t mask) {
    BitWord& bits = span.alloc_bits()[word];
    // Plain read and write: the span's owner is the only writer. release: pairs with is_candidate() in gc/model/colour.h
    bits.store(bits.load(std::memory_order_relaxed) | mask, std::memory_order_release);
  });
}

// `objects` slots from `first` on hold objects from now on.
inline void note_allocated(pages::Span& span, std::uint32_t first, std::uint32_t objects) {
  set_alloc_bits(span, first, first + objects);
  span.allocated += objects;
}

// Once a span rather than once a hole: the counters are shared by all threads.
inline void ThreadCache::count_allocated(SpanClass& c) {
  c.count_allocated(uncounted_[c.index], c.geometry.slot_bytes);
  uncounted_[c.index] = 0;
}

// Slots that were handed out and go back unused: a sample is always used, so without this there would be too many.
inline void ThreadCache::give_back_to_sample(const AllocSlot& slot, const SpanClass& c) {
  std::uint32_t& left = to_sample_[c.index];
  if (sampling_round_ != 0 && left != 0) left += static_cast<std::uint32_t>((slot.limit - slot.cursor) / c.geometry.slot_bytes);
}

template <class Push>
void ThreadCache::release_all_async(Push&& push) {
  for (std::uint32_t i = 0; i < active_count_; ++i) {
    AllocSlot& slot = slots_[active_[i]];
    auto* span = static_cast<pages::Span*>(slot.span);
    const std::uintptr_t begin = slot.begin, limit = slot.limit;
    SpanClass& c = *classes_[active_[i]];
    give_back_to_sample(slot, c);
    slot = {};
    const auto objects = static_cast<std::uint32_t>((limit - begin) / span->slot_bytes);
    note_allocated(*span, span->slot_of(begin), objects);
    uncounted_[c.index] += objects;
    count_allocated(c);
    push(c, span);
  }
  active_count_ = 0;
}

template <class Visit>
void ThreadCache::for_each_cached_span(Visit&& visit) const {
  for (std::uint32_t i = 0; i < active_count_; ++i) {
    const AllocSlot& slot = slots_[active_[i]];
    auto* span = static_cast<pages::Span*>(slot.span);
    const std::uint32_t first = span->slot_of(slot.begin);
    visit(*span, first, first + static_cast<std::uint32_t>((slot.cursor - slot.begin) / span->slot_bytes));
  }
}

}  // namespace lull::cache

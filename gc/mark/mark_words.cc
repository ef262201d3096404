// From words to marks, in stages over a batch: each stage loads what the one before has asked for, and none but the last
// branches on what it loads. Words into the range's pages that are not ours, behind a span's last slot, or to marked objects
// (most of them, in most graphs) drop out on the way by not being counted.
#include <algorithm>
#include <bit>

#include "gc/mark/marker.h"
#include "gc/model/ephemerons.h"

namespace lull::gc {
namespace {

bool is_scanned(const Span& span) { return kind_of(span).layout != detail::Layout::no_pointers; }

}  // namespace

void Marker::words_full(tracer& t) { static_cast<Marker&>(t).process_words(); }

void Marker::process_words() {
  auto count = static_cast<std::size_t>(next_ - words_);
  next_ = words_;  // marking pushes, it does not trace: nothing is added meanwhile
  if (count <= kFewWords) {
    for (std::size_t i = 0; i < count; ++i) mark_word(words_[i]);
    return;
  }
  count = filter_(words_, count, words_, range_);
  for (std::size_t i = 0; i < count; i += kBatch) mark_batch(words_ + i, std::min<std::size_t>(count - i, kBatch));
}

inline MarkResult Marker::set_mark(const ObjectRef& object) {
  if (!is_candidate(object, cycle_)) return MarkResult::already;
  // Rules 7 and 8. The driver marks in other states too (done: what destructors need), which the call leaves alone.
  if (mark_state.load(std::memory_order_acquire) == MarkState::terminating) [[unlikely]]
    if (!cancel_termination()) return MarkResult::already;
  return try_mark(object, epoch_);
}

// Sets `wanted` in a word of the span's marks, all of them candidates; `fresh`: those that were not set. False: somebody is clearing the
// span's marks.
inline bool Marker::set_marks(Span& span, BitWord& marks, std::uint64_t wanted, std::uint64_t& fresh) {
  // Rules 7 and 8, as in set_mark.
  if (mark_state.load(std::memory_order_acquire) == MarkState::terminating) [[unlikely]]
    if (!cancel_termination()) return true;
  return try_mark(span, marks, wanted, epoch_, fresh);
}

void Marker::mark_white(const ObjectRef& object) {
  switch (set_mark(object)) {
    case MarkResult::already: return;
    case MarkResult::busy: return try_again(object);
    case MarkResult::newly: break;
  }
  ++marked_objects_;
  marked_bytes_ += object.span->slot_bytes;
  push(object.address(), is_scanned(*object.span));
  if (is_awaited(kind_of(*object.span), cycle_)) [[unlikely]] wake_ephemerons(object);
}

void Marker::try_again(const ObjectRef& object) {
  scanned_bytes_ += kBusyCost;
  push(raw_entry(object.address()));
}

// mark_white() for many, when the local segment has room for all of them.
template <class Place>
void Marker::mark_places(const Place* places, std::size_t count) {
  std::uint64_t objects = 0, bytes = 0;
  std::uintptr_t* top = top_;
  bool awaited = false;
  for (std::size_t i = 0; i < count; ++i) {
    const ObjectRef object{places[i].span, places[i].slot};
    const MarkResult result = set_mark(object);
    if (result == MarkResult::already) continue;
    if (result == MarkResult::busy) [[unlikely]] {
      top_ = top;
      try_again(object);
      top = top_;
      continue;
    }
    ++objects;
    bytes += object.span->slot_bytes;
    *top = object.address();
    top += is_scanned(*object.span);
    awaited |= is_awaited(kind_of(*object.span), cycle_);
  }
  top_ = top;
  marked_objects_ += objects;
  marked_bytes_ += bytes;
  if (awaited) [[unlikely]] wake_all(places, count);
}

// Marks objects of one word of the span's marks: one locked instruction for all of them.
inline void Marker::mark_group(Span& span, std::uint32_t word, std::uint64_t wanted) {
  BitWord& marks = span.mark_bits()[word];
  // acquire: as in is_marked
  if (span.mark_cycle.load(std::memory_order_acquire) == epoch_) wanted &= ~marks.load(std::memory_order_relaxed);
  if (wanted == 0) return;
  wanted &= candidates_of(span, word, cycle_);
  if (wanted == 0) return;
  std::uint64_t fresh = 0;
  if (!set_marks(span, marks, wanted, fresh)) [[unlikely]] {
    for (; wanted != 0; wanted &= wanted - 1) try_again({&span, word * 64 + static_cast<std::uint32_t>(std::countr_zero(wanted))});
    return;
  }
  push_group(span, word, fresh);
  if (is_awaited(kind_of(span), cycle_)) [[unlikely]]
    for (; fresh != 0; fresh &= fresh - 1) wake_ephemerons({&span, word * 64 + static_cast<std::uint32_t>(std::countr_zero(fresh))});
}

// Objects that have just been marked.
inline void Marker::push_group(const Span& span, std::uint32_t word, std::uint64_t fresh) {
  const std::size_t bytes = span.slot_bytes;
  const std::uintptr_t first = span.base + std::size_t{word} * 64 * bytes;
  const bool scanned = is_scanned(span), has_room = limit_ - top_ >= 64;
  std::uintptr_t* top = top_;
  std::uint64_t objects = 0;
  for (; fresh != 0; fresh &= fresh - 1, ++objects) {
    const std::uintptr_t object = first + static_cast<std::size_t>(std::countr_zero(fresh)) * bytes;
    if (!has_room) [[unlikely]] {
      push(object, scanned);
      top = top_;
      continue;
    }
    *top = object;
    top += scanned;
  }
  top_ = top;
  marked_objects_ += objects;
  marked_bytes_ += objects * bytes;
}

// The same as mark_places() where many share a word of marks with the next one, as the children of a node do in a tree that was built in
// order. What is pushed waits for the locked instruction, so this is slower where few do.
template <class Place>
void Marker::mark_neighbours(const Place* places, std::size_t count) {
  for (std::size_t i = 0; i < count;) {
    const Place& first = places[i];
    std::uint64_t wanted = 0;
    do wanted |= bit_of(places[i].slot);
    while (++i < count && places[i].marks == first.marks);
    mark_group(*first.span, first.slot / 64, wanted);
  }
}

// mark_batch() where nearly all words share a word of marks with the one before: what one of them loads is there for the others, so
// there is little to wait for, and instructions are what counts. Each group has the descriptor asked for that may be next but some, since what
// survived a young cycle lies in as many spans as there are groups.
void Marker::mark_dense_batch(const std::uintptr_t* words, std::size_t count) {
  const pages::Reservation heap = pages::reservation;
  Span* span = nullptr;
  const BitWord* marks = nullptr;  // of the group
  std::uint64_t wanted = 0;
  std::uint32_t group = 0;
  std::size_t groups = 0;
  const auto ask_for = [&heap](std::uintptr_t word) {
    const Span* const its = reinterpret_cast<const Span*>(heap.span_cells) + heap.owners[(word - heap.base) >> kPageShift].load(std::memory_order_relaxed);
    __builtin_prefetch(its);
    __builtin_prefetch(its + 1, 1);
  };
  for (std::size_t i = 0; i < std::min<std::size_t>(count, kWordsAhead); i += kWordsAhead / 4) ask_for(words[i]);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t page = (words[i] - heap.base) >> kPageShift;
    // acquire: as in mark_batch
    if (heap.classes[page].load(std::memory_order_acquire) != pages::PageClass::managed) continue;
    Span* const its = reinterpret_cast<Span*>(heap.span_cells) + heap.owners[page].load(std::memory_order_relaxed);
    const std::uint32_t slot = its->slot_of(words[i]);
    if (slot >= its->slots) continue;
    const BitWord* const its_marks = its->mark_bits() + slot / 64;
    if (its_marks != marks) {
      if (marks != nullptr) mark_group(*span, group, wanted);
      span = its;
      marks = its_marks;
      group = slot / 64;
      wanted = 0;
      ++groups;
      if (i + kWordsAhead < count) ask_for(words[i + kWordsAhead]);
    }
    wanted |= bit_of(slot);
  }
  if (marks != nullptr) mark_group(*span, group, wanted);
  is_dense_ = groups * kGroupsPart <= count;  // also of marked objects
}

// Those that were not newly marked have nobody waiting, or he is deferred again.
template <class Place>
void Marker::wake_all(const Place* places, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (is_awaited(kind_of(*places[i].span), cycle_)) wake_ephemerons({places[i].span, places[i].slot});
}

// All words lie in the heap's range.
void Marker::mark_batch(const std::uintptr_t* words, std::size_t count) {
  if (is_dense_) return mark_dense_batch(words, count);
  struct {
    Span* span;
    std::uintptr_t word;
  } found[kBatch];
  struct Place {
    Span* span;
    BitWord* marks;
    std::uint32_t slot;
  } places[kBatch];
  std::size_t managed = 0, slots = 0, white = 0, neighbours = 0;
  const BitWord* last = nullptr;
  const pages::Reservation heap = pages::reservation;  // copies: each acquire would have the compiler load them again
  const std::uint32_t epoch = epoch_;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t page = (words[i] - heap.base) >> kPageShift;
    // acquire: pairs with the release in publish(), as in managed_span_of
    const bool ours = heap.classes[page].load(std::memory_order_acquire) == pages::PageClass::managed;
    Span* span = reinterpret_cast<Span*>(heap.span_cells) + heap.owners[page].load(std::memory_order_relaxed);
    __builtin_prefetch(span);
    found[managed] = {span, words[i]};
    managed += ours;
  }
  for (std::size_t i = 0; i < managed; ++i) {
    Span* span = found[i].span;
    const std::uint32_t slot = span->slot_of(found[i].word);
    BitWord* marks = span->mark_bits() + slot / 64;
    __builtin_prefetch(marks, 1);
    places[slots] = {span, marks, slot};
    slots += slot < span->slots;
  }
  for (std::size_t i = 0; i < slots; ++i) {
    const Place place = places[i];
    // acquire: as in is_marked
    const bool counts = place.span->mark_cycle.load(std::memory_order_acquire) == epoch;
    const std::uint64_t bit = place.marks->load(std::memory_order_relaxed) >> (place.slot & 63) & 1;
    const bool is_white = !(counts & (bit != 0));
    places[white] = place;
    white += is_white;
    neighbours += is_white & (place.marks == last);
    last = is_white ? place.marks : last;
  }
  is_dense_ = neighbours * kGroupsPart >= white && white * kTellingPart >= count;
  if (limit_ - top_ >= static_cast<std::ptrdiff_t>(white)) [[likely]]
    return neighbours * kNeighboursPart > white ? mark_neighbours(places, white) : mark_places(places, white);
  for (std::size_t i = 0; i < white; ++i) mark_white({places[i].span, places[i].slot});
}

void Marker::mark_word(std::uintptr_t word) {
  const ObjectRef object = resolve(word);
  if (object && !is_marked(object, epoch_)) mark_white(object);
}

}  // namespace lull::gc

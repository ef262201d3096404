#include "alloc/cache/thread_cache.h"

#include <algorithm>
#include <cstring>

#include "alloc/base/check.h"
#include "alloc/os/checker.h"
#include "alloc/os/vm.h"

namespace lull::detail {

namespace {
constinit AllocSlot empty_slots[kMostSpanClasses] = {};  // never written: every allocation misses
}

constinit PoolLocal* no_pools[kMostPools + 1] = {};

__thread ThreadBlock thread_block __attribute__((tls_model("initial-exec"))) = {empty_slots, kBarrierAlways, 0, nullptr, nullptr, no_pools, 0};

}  // namespace lull::detail

namespace lull::cache {

constinit std::atomic<std::uint32_t> sampling_round{0};

bool ThreadCache::initialise() {
  if (slots_ != nullptr) return true;
  constexpr std::size_t bytes = detail::kMostSpanClasses * (sizeof(AllocSlot) + 3 * sizeof(std::uint32_t));
  auto* table = static_cast<std::byte*>(os::map(bytes));
  if (table == nullptr) return false;
  slots_ = reinterpret_cast<AllocSlot*>(table);
  active_ = reinterpret_cast<std::uint32_t*>(table + detail::kMostSpanClasses * sizeof(AllocSlot));
  uncounted_ = active_ + detail::kMostSpanClasses;
  to_sample_ = uncounted_ + detail::kMostSpanClasses;
  return true;
}

namespace {

// Constructors read before they write (null over null), and a page that is read first faults twice, the second time with
// an interrupt to every processor that runs the program. Binary trees, depth 20: wall 2.46 -> 2.19 s.
void touch_pages(std::uintptr_t begin, std::size_t bytes) {
  constexpr std::size_t kSystemPage = 4096;
  for (std::uintptr_t at = round_up(begin, kSystemPage); at < begin + bytes; at += kSystemPage)
    *reinterpret_cast<volatile char*>(at) = 0;
}

// Memory that was used before comes in pieces: a piece is zeroed when it is handed out, the lines of the next one are asked for
// then, and arrive while the program fills this one. All at once, the program waits for every line of a span. Larger: more
// lines than the processor can ask for at a time; smaller: more visits to the slow path. The first piece of a hole is short:
// in a fresh span nobody has asked for it, otherwise that was done when the hole before it was handed out. Binary trees, depth 20: the
// program's processor time 1.65 -> 1.48 s. A queue among whose objects others die, which fill its holes: 0.74 -> 0.61 s a GiB.
constexpr std::size_t kPieceBytes = 2048, kFirstPieceBytes = 512;
constexpr std::size_t kLineBytes = 64;
constexpr std::uint32_t kWholeHole = ~0u;  // as `most_objects`: no bound

// Four at a time, so up to three lines too many: asking for a line that is not there does no harm.
void ask_for_lines(std::uintptr_t from, std::uintptr_t to) {
  for (std::uintptr_t at = round_up(from, kLineBytes); at < to; at += 4 * kLineBytes) {
    __builtin_prefetch(reinterpret_cast<const void*>(at), 1);
    __builtin_prefetch(reinterpret_cast<const void*>(at + kLineBytes), 1);
    __builtin_prefetch(reinterpret_cast<const void*>(at + 2 * kLineBytes), 1);
    __builtin_prefetch(reinterpret_cast<const void*>(at + 3 * kLineBytes), 1);
  }
}

// The first slot that begins at or behind `address`, where one ends.
std::uint32_t slot_from(const pages::Span& span, std::uintptr_t address) {
  return address == span.base ? 0 : span.slot_of(address - 1) + 1;
}

bool is_set(const BitWord* words, std::uint32_t index) { return words[index / 64].load(std::memory_order_relaxed) & bit_of(index); }

// Where a span is fragmented its holes are a few objects long, and finding the next one costs more than filling it. So all holes of one word of the
// alloc bits are zeroed together, and the next one is found in that word, without the bitmap; meanwhile the lines of the next word's are asked
// for, a hole at a time. More: they leave the first cache before they are used. `young death 100 10 1.5 queue`.
constexpr std::size_t kMostPreparedBytes = 4096;

std::uint64_t without_lowest_run(std::uint64_t bits) { return bits & (bits + (bits & -bits)); }
std::uint32_t lowest_run(std::uint64_t bits) { return static_cast<std::uint32_t>(std::countr_one(bits >> std::countr_zero(bits))); }

// Free slots of a word, from the slot `first` on.
std::uint64_t free_in_word(pages::Span& span, std::uint32_t first) {
  const std::uint32_t word = first / 64, left = span.slots - word * 64;
  return ~span.alloc_bits()[word].load(std::memory_order_relaxed) & mask_between(first % 64, left);
}

// The holes of the word of `first`, a free slot, are the next ones. False: there is one, or too much of them.
bool prepare_word(AllocSlot& slot, pages::Span& span, std::uint32_t first, bool zero) {
  const std::uint64_t free = free_in_word(span, first);
  if (without_lowest_run(free) == 0 || count_bits(free) * span.slot_bytes > kMostPreparedBytes) return false;
  slot.prepared = free;
  slot.prepared_word = first / 64;
  const std::uint32_t next = (slot.prepared_word + 1) * 64;
  slot.unasked = next < span.slots ? free_in_word(span, next) : 0;
  for (std::uint64_t left = zero ? free : 0; left != 0; left = without_lowest_run(left)) {
    const auto at = static_cast<std::uint32_t>(std::countr_zero(left));
    std::memset(reinterpret_cast<void*>(span.slot_address(slot.prepared_word * 64 + at)), 0, lowest_run(left) * span.slot_bytes);
  }
  return true;
}

// The first of the prepared holes is the slot's. True, for the callers' sake.
bool open_prepared_hole(AllocSlot& slot, pages::Span& span, SpanSource& source) {
  const auto at = static_cast<std::uint32_t>(std::countr_zero(slot.prepared));
  slot.begin = slot.cursor = span.slot_address(slot.prepared_word * 64 + at);
  slot.limit = slot.begin + lowest_run(slot.prepared) * span.slot_bytes;
  slot.prepared = without_lowest_run(slot.prepared);
  source.note_hole(slot.begin, slot.limit - slot.begin);
  if (slot.unasked == 0) return true;
  const std::uint32_t ahead = (slot.prepared_word + 1) * 64 + static_cast<std::uint32_t>(std::countr_zero(slot.unasked));
  const std::uintptr_t from = span.slot_address(ahead);
  ask_for_lines(from, from + lowest_run(slot.unasked) * span.slot_bytes);
  slot.unasked = without_lowest_run(slot.unasked);
  return true;
}

// Slot `used` is in use. The lines of live objects behind the hole stay with who uses them.
void ask_for_hole_behind(pages::Span& span, std::uint32_t used) {
  const std::uint32_t next = next_clear(span.alloc_bits(), used, span.slots);
  if (next == span.slots) return;
  const std::uintptr_t from = span.slot_address(next);
  const std::uint32_t most = from + kFirstPieceBytes < span.end() ? slot_from(span, from + kFirstPieceBytes) : span.slots;
  ask_for_lines(from, span.slot_address(next_set(span.alloc_bits(), next, most)));
}

// Free slots [from, to), before they are handed out.
void prepare(const pages::Span& span, const SpanClass& c, std::uintptr_t from, std::uintptr_t to) {
  os::allow(from, to - from);
  if (!c.zero_slots) return;
  if (span.needs_zero) std::memset(reinterpret_cast<void*>(from), 0, to - from);
  else touch_pages(from, to - from);
}

void* take_object(AllocSlot& slot, const SpanClass& c) {
  const std::uintptr_t object = slot.cursor;
  slot.cursor = object + c.geometry.slot_bytes;
  return reinterpret_cast<void*>(object);
}

}  // namespace

// Inlined, since most visits only go on in the hole.
[[gnu::always_inline]] inline bool ThreadCache::open_next_hole(AllocSlot& slot, SpanClass& c, SpanSource& source, std::uint32_t most_objects) {
  auto& span = *static_cast<pages::Span*>(slot.span);
  const std::uint32_t at = slot_from(span, slot.limit);
  LULL_DCHECK(slot.cursor == slot.limit, "a hole is given up before it is used up");
  const bool may_prepare = most_objects == kWholeHole && sampling_round.load(std::memory_order_relaxed) == 0;
  if (!may_prepare) slot.prepared = 0;
  if (slot.prepared != 0) {
    retire_hole(slot, c, at);
    return open_prepared_hole(slot, span, source);
  }
  const bool may_go_on = slot.begin != slot.limit && most_objects == kWholeHole && at != span.slots;  // a bounded one is a hole of its own
  if (may_go_on && !is_set(span.alloc_bits(), at)) {
    extend_hole(slot, c, source, at, most_objects, kPieceBytes);
    return true;
  }
  retire_hole(slot, c, at);
  const std::uint32_t first = next_clear(span.alloc_bits(), at, span.slots);
  slot.begin = slot.cursor = slot.limit = span.slot_address(first);
  if (first == span.slots) return false;
  const bool is_fresh = c.zero_slots && !span.needs_zero;  // touched rather than zeroed, and seldom fragmented
  if (may_prepare && !is_fresh && os::checker() == os::Checker::none && prepare_word(slot, span, first, c.zero_slots))
    return open_prepared_hole(slot, span, source);
  extend_hole(slot, c, source, first, most_objects, kFirstPieceBytes);
  return true;
}

void* ThreadCache::allocate_in_span(SpanClass& c, SpanSource& source, std::uint32_t most_objects) {
  AllocSlot& slot = slots_[c.index];
  if (slot.span == nullptr) return nullptr;
  const bool room = slot.cursor + c.geometry.slot_bytes <= slot.limit;  // another caller's slow path may have made some
  return room || open_next_hole(slot, c, source, most_objects) ? take_object(slot, c) : nullptr;
}

void* ThreadCache::allocate_slow(SpanClass& c, SpanSource& source, std::uint32_t most_objects) {
  AllocSlot& slot = slots_[c.index];
  for (;;) {
    if (void* object = allocate_in_span(c, source, most_objects)) return object;
    if (slot.span != nullptr) {
      count_allocated(c);
      source.release(c, static_cast<pages::Span*>(slot.span));
    }
    slot.span = nullptr;
    pages::Span* span = source.acquire(c);
    if (span == nullptr) {
      deactivate(slot, c.index);
      return nullptr;
    }
    activate(slot, c.index);
    slot = {span->base, span->base, span->base, span};
  }
}

void ThreadCache::deactivate(AllocSlot& slot, std::uint32_t index) {
  for (std::uint32_t i = 0; i < active_count_; ++i)
    if (active_[i] == index) active_[i] = active_[--active_count_];
  slot = {};
}

void ThreadCache::activate(AllocSlot& slot, std::uint32_t index) {
  const bool listed = slot.begin != 0;  // a slot that has had a span since the last release is in the list
  if (listed) return;
  active_[active_count_++] = index;
  // Its page is there from now on: release_all writes to it, in an answer to a handshake, and a first touch took 16 to 33 us of it.
  *static_cast<volatile std::uint32_t*>(&uncounted_[index]) = uncounted_[index];
}

void ThreadCache::retire_hole(AllocSlot& slot, SpanClass& c) {
  retire_hole(slot, c, slot_from(*static_cast<pages::Span*>(slot.span), slot.cursor));
}

// `end`: the cursor's slot.
inline void ThreadCache::retire_hole(AllocSlot& slot, SpanClass& c, std::uint32_t end) {
  if (slot.cursor == slot.begin) return;
  auto& span = *static_cast<pages::Span*>(slot.span);
  const std::uint32_t first = span.slot_of(slot.begin);
  note_allocated(span, first, end - first);
  uncounted_[c.index] += end - first;
}

// Hands out slots from the hole's limit on, which is where the free slot `first` begins, up to the next one in use and about `bytes` of them.
inline void ThreadCache::extend_hole(AllocSlot& slot, SpanClass& c, SpanSource& source, std::uint32_t first, std::uint32_t most_objects,
                                     std::size_t bytes) {
  auto& span = *static_cast<pages::Span*>(slot.span);
  const std::uintptr_t from = slot.limit;
  std::uint32_t most = span.slots;
  if (most_objects != kWholeHole) most = std::min(most_objects, most - first) + first;
  else if (span.needs_zero && from + bytes < span.end()) most = std::min(slot_from(span, from + bytes), most);
  const std::uint32_t round = sampling_round.load(std::memory_order_relaxed);
  if (round != 0) most = std::min(most_before_sample(c, source, round), most - first) + first;
  const std::uint32_t end = next_set(span.alloc_bits(), first, most);
  if (round != 0) count_towards_sample(c, end - first);
  slot.limit = span.slot_address(end);
  prepare(span, c, from, slot.limit);
  if (end == most) ask_for_lines(slot.limit, std::min(slot.limit + kPieceBytes, span.end()));
  else ask_for_hole_behind(span, end);
  source.note_hole(from, slot.limit - from);
}

// How many objects of the class may be handed out at once: a sample comes alone.
std::uint32_t ThreadCache::most_before_sample(const SpanClass& c, SpanSource& source, std::uint32_t round) {
  if (sampling_round_ != round) {
    std::memset(to_sample_, 0, detail::kMostSpanClasses * sizeof(std::uint32_t));
    sampling_round_ = round;
  }
  std::uint32_t& left = to_sample_[c.index];
  if (left == 0) left = source.objects_to_sample(c);
  return left == 1 ? 1 : left - 1;
}

void ThreadCache::count_towards_sample(const SpanClass& c, std::uint32_t objects) {
  std::uint32_t& left = to_sample_[c.index];
  sample_taken_ = left == 1;  // by the caller's caller, at once
  left -= objects;
}

void ThreadCache::release_all(SpanSource& source) {
  for (std::uint32_t i = 0; i < active_count_; ++i) {
    AllocSlot& slot = slots_[active_[i]];
    SpanClass& c = *classes_[active_[i]];
    give_back_to_sample(slot, c);
    retire_hole(slot, c);
    count_allocated(c);
    source.release(c, static_cast<pages::Span*>(slot.span));
    slot = {};
  }
  active_count_ = 0;
}

void ThreadCache::release_lost(SpanSource& source) {
  for (std::uint32_t i = 0; i < active_count_; ++i) slots_[active_[i]].cursor = slots_[active_[i]].limit;
  release_all(source);
}

}  // namespace lull::cache

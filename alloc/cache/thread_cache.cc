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

// Slot `used` is in use.
void ask_for_hole_behind(pages::Span& span, std::uint32_t used) {
  const std::uint32_t next = next_clear(span.alloc_bits(), used, span.slots);
  if (next == span.slots) return;
  const std::uintptr_t from = span.slot_address(next);
  ask_for_lines(from, std::min(from + kFirstPieceBytes, span.end()));
}

// Free slots [from, to), before they are handed out.
void prepare(const pages::Span& span, const SpanClass& c, std::uintptr_t from, std::uintptr_t to) {
  os::allow(from, to - from);
  if (!c.zero_slots) return;
  if (span.needs_zero) std::memset(reinterpret_cast<void*>(from), 0, to - from);
  else touch_pages(from, to - from);
}

// The first slot that begins at or behind `address`, where one ends.
std::uint32_t slot_from(const pages::Span& span, std::uintptr_t address) {
  return address == span.base ? 0 : span.slot_of(address - 1) + 1;
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
  const bool may_go_on = slot.begin != slot.limit && most_objects == kWholeHole;  // a bounded one is a hole of its own
  if (may_go_on && extend_hole(slot, c, source, most_objects, kPieceBytes)) return true;
  retire_hole(slot, c);
  const std::uint32_t first = next_clear(span.alloc_bits(), slot_from(span, slot.cursor), span.slots);
  slot.begin = slot.cursor = slot.limit = span.slot_address(first);
  return first != span.slots && extend_hole(slot, c, source, most_objects, kFirstPieceBytes);
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
  auto& span = *static_cast<pages::Span*>(slot.span);
  const auto objects = static_cast<std::uint32_t>((slot.cursor - slot.begin) / span.slot_bytes);
  if (objects == 0) return;
  note_allocated(span, span.slot_of(slot.begin), objects);
  uncounted_[c.index] += objects;
}

// Hands out slots from the hole's limit on, up to the next one in use and about `bytes` of them. False: the hole is used up.
bool ThreadCache::extend_hole(AllocSlot& slot, SpanClass& c, SpanSource& source, std::uint32_t most_objects, std::size_t bytes) {
  auto& span = *static_cast<pages::Span*>(slot.span);
  const std::uintptr_t from = slot.limit;
  const std::uint32_t first = slot_from(span, from);
  std::uint32_t most = span.slots;
  if (most_objects != kWholeHole) most = std::min(most_objects, most - first) + first;
  else if (span.needs_zero && from + bytes < span.end()) most = std::min(slot_from(span, from + bytes), most);
  const std::uint32_t round = sampling_round.load(std::memory_order_relaxed);
  if (round != 0) most = std::min(most_before_sample(c, source, round), most - first) + first;
  const std::uint32_t end = next_set(span.alloc_bits(), first, most);
  if (end == first) return false;
  if (round != 0) count_towards_sample(c, end - first);
  slot.limit = span.slot_address(end);
  prepare(span, c, from, slot.limit);
  if (end == most) ask_for_lines(slot.limit, std::min(slot.limit + kPieceBytes, span.end()));
  else ask_for_hole_behind(span, end);
  source.note_hole(from, slot.limit - from);
  return true;
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

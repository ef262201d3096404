#include "alloc/cache/thread_cache.h"

#include <cstring>

#include "alloc/base/check.h"
#include "alloc/os/vm.h"

namespace lull::detail {

namespace {
constinit AllocSlot empty_slots[kMostSpanClasses] = {};  // never written: every allocation misses
}

constinit PoolLocal* no_pools[256] = {};

__thread ThreadBlock thread_block __attribute__((tls_model("initial-exec"))) = {empty_slots, kBarrierAlways, 0, nullptr, nullptr, no_pools, 0};

}  // namespace lull::detail

namespace lull::cache {

bool ThreadCache::initialise() {
  if (slots_ != nullptr) return true;
  constexpr std::size_t bytes = detail::kMostSpanClasses * (sizeof(AllocSlot) + 2 * sizeof(std::uint32_t));
  auto* table = static_cast<std::byte*>(os::map(bytes));
  if (table == nullptr) return false;
  slots_ = reinterpret_cast<AllocSlot*>(table);
  active_ = reinterpret_cast<std::uint32_t*>(table + detail::kMostSpanClasses * sizeof(AllocSlot));
  uncounted_ = active_ + detail::kMostSpanClasses;
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

void* take_object(AllocSlot& slot, const SpanClass& c) {
  const std::uintptr_t object = slot.cursor;
  slot.cursor = object + c.geometry.slot_bytes;
  return reinterpret_cast<void*>(object);
}

}  // namespace

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
  if (!listed) active_[active_count_++] = index;
}

void ThreadCache::retire_hole(AllocSlot& slot, SpanClass& c) {
  auto& span = *static_cast<pages::Span*>(slot.span);
  const auto objects = static_cast<std::uint32_t>((slot.cursor - slot.begin) / span.slot_bytes);
  if (objects == 0) return;
  note_allocated(span, span.slot_of(slot.begin), objects);
  uncounted_[c.index] += objects;
}

bool ThreadCache::open_next_hole(AllocSlot& slot, SpanClass& c, SpanSource& source, std::uint32_t most_objects) {
  auto& span = *static_cast<pages::Span*>(slot.span);
  retire_hole(slot, c);
  const std::uint32_t from = slot.cursor == span.base ? 0 : span.slot_of(slot.cursor - 1) + 1;
  const std::uint32_t first = next_clear(span.alloc_bits(), from, span.slots);
  slot.begin = slot.cursor = slot.limit = span.slot_address(first);
  if (first == span.slots) return false;
  std::uint32_t end = next_set(span.alloc_bits(), first, span.slots);
  if (end - first > most_objects) end = first + most_objects;
  const std::size_t bytes = (end - first) * span.slot_bytes;
  if (c.zero_slots) {
    if (span.needs_zero) std::memset(reinterpret_cast<void*>(slot.begin), 0, bytes);
    else touch_pages(slot.begin, bytes);
  }
  slot.limit = slot.begin + bytes;
  source.note_hole(slot.begin, bytes);
  return true;
}

void ThreadCache::release_all(SpanSource& source) {
  for (std::uint32_t i = 0; i < active_count_; ++i) {
    AllocSlot& slot = slots_[active_[i]];
    SpanClass& c = *classes_[active_[i]];
    retire_hole(slot, c);
    count_allocated(c);
    source.release(c, static_cast<pages::Span*>(slot.span));
    slot = {};
  }
  active_count_ = 0;
}

}  // namespace lull::cache

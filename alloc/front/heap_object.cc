#include "alloc/front/heap_object.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/heap.h"
#include "alloc/front/large_block.h"
#include "alloc/front/misuse.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"

namespace lull::front {
namespace {

using pages::PageClass;

constinit BitWord no_free_bits{0};  // never written

PageClass class_at(std::uintptr_t address) {
  // acquire: pairs with the release in publish() of span_table.cc
  return pages::reservation.classes[pages::page_of(address).value].load(std::memory_order_acquire);
}
Span* span_at(std::uintptr_t address) {
  const auto id = pages::reservation.owners[pages::page_of(address).value].load(std::memory_order_relaxed);
  return pages::span_with(static_cast<SpanId>(id));
}
HeapObject& owner_of(const Span& span) { return *static_cast<HeapObject*>(span.owner_class); }

// Stops the program unless a block starts at `address`.
Place place_of(const Span& span, std::uintptr_t address) {
  const std::uint32_t slot = span.slot_of(address);
  if (slot >= span.slots || span.slot_address(slot) != address) report_bad_free(reinterpret_cast<void*>(address));
  return {slot / 64, bit_of(slot)};
}

void free_large_of_heap(void* address) {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  Span* span = span_at(start);
  if (span->base != start) report_bad_free(address);
  bool was_in_use;
  {
    const Visiting visiting(own_bins_or_null());  // a forked child finds it in the heap, or its pages free
    was_in_use = owner_of(*span).forget_large(*span);
    if (was_in_use) pages::destroy_span(span);
  }
  if (!was_in_use) report_double_free(address);
  pages::nudge_purger();
}

}  // namespace

// In a shared heap under its lock. The purger is told of pages without it: starting its thread allocates.
class HeapObject::Use {
 public:
  explicit Use(HeapObject& heap) : heap_(heap) {
    if (heap_.sharing_ == Sharing::locked) heap_.lock_.lock();
  }
  ~Use() {
    const bool released = heap_.released_bytes_ != 0;
    if (released) heap_.released_bytes_ = 0;
    if (heap_.sharing_ == Sharing::locked) heap_.lock_.unlock();
    if (released) pages::nudge_purger();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  HeapObject& heap_;
};

HeapObject::HeapObject() {
  for (std::uint32_t b = 0; b < pages::kSizeClasses; ++b) {
    bins_[b].bytes = bytes_of_bin(b + kFirstBin);
    aim_nowhere(bins_[b]);
  }
}

void HeapObject::begin(Sharing sharing) {
  sharing_ = sharing;
  alive_ = true;
}

void HeapObject::check_is_alive() const {
  if (!alive_) fatal("use of heap %p, which was destroyed", static_cast<const void*>(this));
}

// Blocks.

inline void* HeapObject::allocate_small(HeapBin& bin) {
  std::uint64_t bits = bin.word->load(std::memory_order_relaxed);
  if (bits == 0) [[unlikely]] {
    if (!refill(bin)) return nullptr;
    bits = bin.word->load(std::memory_order_relaxed);
  }
  bin.word->store(bits & (bits - 1), std::memory_order_relaxed);
  return reinterpret_cast<void*>(bin.base + static_cast<std::size_t>(std::countr_zero(bits)) * bin.bytes);
}

void* HeapObject::allocate(std::size_t bytes) {
  bool zero;
  if (bytes > kSmallMost) return allocate_large(bytes, 1, zero);
  do {
    const Use use(*this);
    if (void* block = allocate_small(bins_[bin_of(bytes) - kFirstBin])) [[likely]] return block;
  } while (give_all_large_back());  // without the lock, which has a higher rank
  return nullptr;
}

void* HeapObject::allocate_zeroed(std::size_t bytes) {
  bool zero = false;
  void* block = bytes > kSmallMost ? allocate_large(bytes, 1, zero) : allocate(bytes);
  if (block != nullptr && !zero) std::memset(block, 0, bytes);
  return block;
}

void* HeapObject::allocate_aligned(std::size_t alignment, std::size_t bytes) {
  const std::size_t size = size_for_alignment(alignment, bytes);
  bool zero;
  return size <= kSmallMost ? allocate(size) : allocate_large(size, alignment, zero);
}

void* HeapObject::allocate_large(std::size_t bytes, std::size_t alignment, bool& zero) {
  check_is_alive();
  Span* span = create_large_span(bytes, alignment, {.span_class = this, .page_class = PageClass::heap_large, .bitmaps = 2});
  if (span == nullptr) return nullptr;
  zero = span->needs_zero == 0;
  os::Locked locked(lock_);
  large_.push(*span);
  return reinterpret_cast<void*>(span->base);
}

bool HeapObject::forget_large(Span& span) {
  os::Locked locked(lock_);
  auto& page_class = pages::reservation.classes[span.first_page().value];
  // relaxed: the page heap's lock orders the pages' next use
  if (page_class.load(std::memory_order_relaxed) != PageClass::heap_large) return false;
  page_class.store(PageClass::none, std::memory_order_relaxed);
  large_.remove(span);
  return true;
}

void* HeapObject::reallocate(void* address, std::size_t bytes) {
  const std::size_t have = usable_size(address);
  if (heap_of(reinterpret_cast<std::uintptr_t>(address)) != this) report_foreign_heap(address);
  if (resize_in_place(address, have, bytes)) return address;
  void* moved = allocate(bytes);
  if (moved == nullptr) return bytes <= have ? address : nullptr;
  std::memcpy(moved, address, std::min(have, bytes));
  free(address);
  return moved;
}

void HeapObject::free(void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  const PageClass page = pages::in_heap(word) ? class_at(word) : PageClass::none;
  if (page != PageClass::heap_small && page != PageClass::heap_large) report_foreign_heap(address);
  Span* span = span_at(word);
  if (&owner_of(*span) != this) report_foreign_heap(address);
  if (page == PageClass::heap_large) return free_large_of_heap(address);
  const Use use(*this);
  free_small(*span, address);
}

void HeapObject::free_small(Span& span, void* address) {
  const auto [w, bit] = place_of(span, reinterpret_cast<std::uintptr_t>(address));
  const std::uint64_t free = span.free_bits()[w].load(std::memory_order_relaxed);
  if ((free | span.given_bits()[w].load(std::memory_order_relaxed)) & bit) report_double_free(address);
  span.free_bits()[w].store(free | bit, std::memory_order_relaxed);
  const bool is_current = span.list() == nullptr;
  if (!is_current && (full_.has(span) || (free | bit) == mask_of_word(span, w))) has_free_blocks_now(span);
}

void free_in_heap(void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (class_at(word) == PageClass::heap_large) return free_large_of_heap(address);
  const Visiting visiting(own_bins_or_null());  // a forked child finds bit, count and link together
  Span* span = span_at(word);
  give_to_heap(*span, place_of(*span, word), owner_of(*span).given());
}

// Spans.

// Where the next blocks come from; false: the current span has none.
bool HeapObject::aim_at_free_word(HeapBin& bin) {
  if (bin.current == nullptr) return false;
  for (std::uint32_t w = 0; w < bin.current->words; ++w) {
    if (bin.current->free_bits()[w].load(std::memory_order_relaxed) == 0) continue;
    bin.word = &bin.current->free_bits()[w];
    bin.base = bin.current->slot_address(w * 64);
    return true;
  }
  return false;
}

void HeapObject::aim_nowhere(HeapBin& bin) {
  bin.current = nullptr;
  bin.word = &no_free_bits;
}

bool HeapObject::refill(HeapBin& bin) {
  check_is_alive();
  if (aim_at_free_word(bin)) return true;
  if (bin.current != nullptr) full_.push(*bin.current);
  aim_nowhere(bin);
  collect_given_spans();
  if (Span* span = bin.partial.first()) {
    bin.partial.remove(*span);
    bin.current = span;
  } else {
    bin.current = create_small(bin);
  }
  return aim_at_free_word(bin);
}

Span* HeapObject::create_small(const HeapBin& bin) {
  Span* span = pages::create_span(geometry_of_bin(bin_of(bin.bytes)),
                                  {.span_class = this, .page_class = PageClass::heap_small, .bitmaps = 2});
  if (span != nullptr) free_all(*span);
  return span;
}

void HeapObject::collect_given_spans() {
  while (Span* span = given_.pop()) {
    collect_given(*span);
    has_free_blocks_now(*span);
  }
}

// The span was full, or may be wholly free. One that is goes back if its bin has another one to take blocks from next.
void HeapObject::has_free_blocks_now(Span& span) {
  HeapBin& bin = bin_of_span(span);
  if (full_.has(span)) {
    full_.remove(span);
    bin.partial.push(span);
  }
  if (!bin.partial.has(span) || bin.partial.is_only(span) || !is_all_free(span)) return;
  bin.partial.remove(span);
  release(span);
}

void HeapObject::release(Span& span) {
  released_bytes_ += PageCount{span.page_count}.bytes();
  pages::destroy_span(&span);
}

// All together.

template <class Visit>
void HeapObject::for_each_small(Visit&& visit) {
  const auto each = [&](Span* span) {
    while (span != nullptr) {
      Span* following = SpanList::after(*span);
      visit(*span);
      span = following;
    }
  };
  for (HeapBin& bin : bins_) {
    if (bin.current != nullptr) visit(*bin.current);
    each(bin.partial.first());
  }
  each(full_.first());
}

void HeapObject::end() {
  check_is_alive();
  reset();
  for_each_small([&](Span& span) { release(span); });
  for (HeapBin& bin : bins_) {
    aim_nowhere(bin);
    bin.partial = {};
  }
  alive_ = false;
  released_bytes_ = 0;
  pages::nudge_purger();
}

void HeapObject::reset() {
  check_is_alive();
  while (Span* span = given_.pop()) span->given_state().store(0, std::memory_order_relaxed);
  while (Span* span = large_.first()) free_large_of_heap(reinterpret_cast<void*>(span->base));
  while (Span* span = full_.first()) {
    full_.remove(*span);
    bin_of_span(*span).partial.push(*span);
  }
  for_each_small([](Span& span) { free_all(span); });
}

std::size_t HeapObject::trim() {
  check_is_alive();
  const Use use(*this);
  collect_given_spans();
  for_each_small([&](Span& span) {
    if (!is_all_free(span)) return;
    HeapBin& bin = bin_of_span(span);
    if (bin.current == &span) aim_nowhere(bin);
    else bin.partial.remove(span);
    release(span);
  });
  return released_bytes_;
}

int HeapObject::walk(lull_heap_visitor* visit, void* argument) {
  check_is_alive();
  int stopped = 0;
  for_each_small([&](Span& span) {
    for (std::uint32_t w = 0; w < span.words; ++w)
      for (std::uint64_t used = used_bits(span, w); used != 0 && stopped == 0; used &= used - 1) {
        const std::uint32_t slot = w * 64 + static_cast<std::uint32_t>(std::countr_zero(used));
        stopped = visit(reinterpret_cast<void*>(span.slot_address(slot)), span.slot_bytes, argument);
      }
  });
  for (Span* span = large_.first(); span != nullptr && stopped == 0; span = SpanList::after(*span))
    stopped = visit(reinterpret_cast<void*>(span->base), span->slot_bytes, argument);
  return stopped;
}

lull_heap_stats HeapObject::read_stats() {
  check_is_alive();
  lull_heap_stats stats = {};
  const Use use(*this);
  for_each_small([&](Span& span) {
    std::size_t blocks = 0;
    for (std::uint32_t w = 0; w < span.words; ++w) blocks += static_cast<std::size_t>(std::popcount(used_bits(span, w)));
    stats.blocks += blocks;
    stats.used_bytes += blocks * span.slot_bytes;
    stats.held_bytes += PageCount{span.page_count}.bytes();
  });
  if (sharing_ == Sharing::one_thread_at_a_time) lock_.lock();
  for (Span* span = large_.first(); span != nullptr; span = SpanList::after(*span)) {
    ++stats.blocks;
    stats.used_bytes += span->slot_bytes;
    stats.held_bytes += span->slot_bytes;
  }
  if (sharing_ == Sharing::one_thread_at_a_time) lock_.unlock();
  return stats;
}

// By address.

Span* heap_span_of(std::uintptr_t address) {
  return class_at(address) == PageClass::heap_small ? span_at(address) : nullptr;
}

HeapObject* heap_of(std::uintptr_t address) {
  if (!pages::in_heap(address)) return nullptr;
  if (Span* span = heap_span_of(address)) return span->slot_of(address) < span->slots ? &owner_of(*span) : nullptr;
  const LargeBlock block = large_block_of(address);
  return block && class_at(block.start) == PageClass::heap_large ? &owner_of(*span_at(block.start)) : nullptr;
}

bool is_used_in_heap(std::uintptr_t address) {
  Span* span = heap_span_of(address);
  if (span == nullptr) return true;  // a large block
  const std::uint32_t slot = span->slot_of(address);
  return (used_bits(*span, slot / 64) & bit_of(slot)) != 0;
}

}  // namespace lull::front

#include "gc/remember/cards.h"

#include <algorithm>
#include <bit>

#include "alloc/os/vm.h"
#include "alloc/pages/span_table.h"
#include "gc/model/colour.h"
#include "gc/mutator/roots.h"

namespace lull::gc {

constinit DirtyCards dirty_cards;

namespace {

constexpr std::uint32_t kCardsPerPage = kPageSize >> detail::kCardShift;
constexpr std::size_t kCardBytes = std::size_t{1} << detail::kCardShift;
using CardWord = std::uint64_t;  // eight cards
constexpr std::uint32_t kWordsPerPage = kCardsPerPage / sizeof(CardWord);
static_assert(kCardsPerPage == 16, "DirtyPage::cards has a bit for each");

// A bit for each byte that is not zero; dirty cards are 1 and nothing else.
std::uint32_t bits_of(CardWord cards) { return static_cast<std::uint32_t>((cards * 0x0102040810204080u) >> 56); }

// Reads and cleans the cards of a page. Mutators store their bytes meanwhile (relaxed, no partner: handshake 2 is the
// fence), and may lose them.
std::uint32_t take_page(std::uint32_t page) {
  auto* words = reinterpret_cast<CardWord*>(detail::heap_range.cards + std::size_t{page} * kCardsPerPage);
  std::uint32_t dirty = 0;
  for (std::uint32_t i = 0; i < kWordsPerPage; ++i) {
    const CardWord cards = __atomic_load_n(words + i, __ATOMIC_RELAXED);
    if (cards == 0) [[likely]] continue;
    __atomic_store_n(words + i, CardWord{0}, __ATOMIC_RELAXED);
    dirty |= bits_of(cards) << (i * 8);
  }
  return dirty;
}

// Scans the marked objects of `span` in [from, to). An object without parts is scanned whole, once: `last` remembers it.
void scan_range(Marker& marker, Span& span, std::uintptr_t from, std::uintptr_t to, std::uintptr_t& last) {
  const std::uint32_t end = std::min(span.slot_of(std::min(to, span.end()) - 1) + 1, span.slots);
  const BitWord* marks = span.mark_bits();
  for (std::uint32_t slot = next_set(marks, span.slot_of(from), end); slot < end; slot = next_set(marks, slot + 1, end)) {
    const ObjectRef object{&span, slot};
    if (object.address() != last && marker.scan_part(object, from, to)) last = object.address();
  }
}

// Most dirty cards lie among young objects: constructors dirty them. What is marked meanwhile is scanned by its marker.
bool has_old_objects(const Span& span) {
  return kind_of(span).layout != detail::Layout::no_pointers &&
         // acquire: pairs with the release in claim_marks
         span.mark_cycle.load(std::memory_order_acquire) == mark_epoch.load(std::memory_order_relaxed);
}

void scan_root_cells(Marker& marker, RootChunk& chunk, std::uintptr_t from, std::uintptr_t to) {
  for (std::uintptr_t at = std::max(from, reinterpret_cast<std::uintptr_t>(chunk.cells)); at < to; at += sizeof(std::uintptr_t))
    // acquire: pairs with the release in detail::store_word
    marker.mark_word(__atomic_load_n(reinterpret_cast<std::uintptr_t*>(at), __ATOMIC_ACQUIRE));
}

}  // namespace

bool is_card_dirty(std::uintptr_t slot) {
  const std::size_t card = (slot - detail::heap_range.base) >> detail::kCardShift;
  return __atomic_load_n(detail::heap_range.cards + card, __ATOMIC_RELAXED) != 0;
}

// Kept for the next cycle; what is behind the list's end is never touched.
bool DirtyCards::make_room(std::size_t pages) {
  if (pages <= capacity_) return true;
  const std::size_t capacity = std::bit_ceil(pages);
  void* memory = os::map(capacity * sizeof(DirtyPage));
  if (memory == nullptr) return false;
  if (list_ != nullptr) os::unmap(list_, capacity_ * sizeof(DirtyPage));
  list_ = static_cast<DirtyPage*>(memory);
  capacity_ = capacity;
  return true;
}

void DirtyCards::take(CycleKind kind) {
  const std::uint32_t end = pages::heap_end().value;
  count_ = 0;
  listed_cards_ = 0;
  const bool list = kind == CycleKind::young;
  if (list && !make_room(end)) {
    cycle_must_abort.store(true, std::memory_order_relaxed);
    return;
  }
  for (std::uint32_t page = 0; page < end; ++page) {
    const std::uint32_t dirty = take_page(page);
    if (dirty == 0 || !list) continue;
    list_[count_++] = {page, dirty};
    listed_cards_ += static_cast<std::uint32_t>(std::popcount(dirty));
  }
}

void DirtyCards::scan(Marker& marker) {
  std::uintptr_t last = 0;
  for (const DirtyPage* dirty = list_; dirty != list_ + count_; ++dirty) {
    const std::uintptr_t base = pages::address_of(PageIndex{dirty->page});
    Span* span = pages::managed_span_of(base);
    RootChunk* const roots = span == nullptr ? root_chunk_of(base) : nullptr;
    if (roots == nullptr && (span == nullptr || !has_old_objects(*span))) continue;
    for (std::uint32_t cards = dirty->cards; cards != 0;) {
      const auto first = static_cast<std::uint32_t>(std::countr_zero(cards));
      const auto run = static_cast<std::uint32_t>(std::countr_one(cards >> first));
      const std::uintptr_t from = base + first * kCardBytes, to = from + run * kCardBytes;
      if (roots != nullptr) scan_root_cells(marker, *roots, from, to);
      else scan_range(marker, *span, from, to, last);
      cards &= ~(((1u << run) - 1) << first);
    }
  }
  count_ = 0;
}

}  // namespace lull::gc

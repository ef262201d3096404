// Holes of a span that hold whole system pages: what can be given back to the system while the span has other slots in use.
#pragma once

#include <cstdint>

#include "alloc/base/bitmap.h"
#include "alloc/pages/huge_pages.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span.h"
#include "alloc/pages/span_geometry.h"

namespace lull::pages {

inline constexpr std::size_t kSystemPage = 4096;  // where they are larger, the system rounds what it is given
inline constexpr std::uint32_t kMostSystemPages = kLargestSpanPages * (kPageSize / kSystemPage);  // in a span of more than one slot
static_assert(kMostSystemPages <= 32, "a word has a bit for every system page of a span");

constexpr std::uint32_t system_pages(const Span& span) { return span.page_count * static_cast<std::uint32_t>(kPageSize / kSystemPage); }

// System pages, a bit each, with no byte in a slot whose bit is other than `free_bit`. Word: uint64_t or BitWord. Not for spans of one slot.
template <class Word>
std::uint32_t whole_pages_of_holes(const Span& span, const Word* bits, bool free_bit) {
  std::uint32_t whole = 0;
  for (std::uint32_t at = next_bit(bits, 0, span.slots, free_bit); at < span.slots;) {
    const std::uint32_t end = next_bit(bits, at, span.slots, !free_bit);
    const std::size_t first = round_up(at * span.slot_bytes, kSystemPage) / kSystemPage;
    // Behind a free last slot there is nothing. (Behind a used one neither, but whether to break a huge page up is asked of holes.)
    const std::size_t end_bytes = end == span.slots ? span.end() - span.base : end * span.slot_bytes;
    const std::size_t last = end_bytes / kSystemPage;
    if (first < last) whole |= static_cast<std::uint32_t>(mask_between(static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last)));
    at = next_bit(bits, end, span.slots, free_bit);
  }
  return whole;
}

// Gives these pages back; bytes. The caller owns the slots that they lie in.
inline std::size_t purge_system_pages(const Span& span, std::uint32_t pages) {
  std::size_t bytes = 0;
  while (pages != 0) {
    const auto first = static_cast<std::uint32_t>(std::countr_zero(pages));
    const auto length = static_cast<std::uint32_t>(std::countr_one(pages >> first));
    if (purge_range(span.base + first * kSystemPage, length * kSystemPage)) bytes += length * kSystemPage;
    pages &= length + first >= 32 ? 0 : ~std::uint32_t{0} << (first + length);
  }
  page_heap.note_purged_holes(bytes);
  return bytes;
}

}  // namespace lull::pages

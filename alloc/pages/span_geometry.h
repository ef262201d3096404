// How many pages a span of a given slot size has: as few as keep the waste behind the last slot within 12.5 %,
// and at least 16 KiB, so that a refill of the thread cache pays for its cost with enough objects.
#pragma once

#include "alloc/pages/span.h"

namespace lull::pages {

inline constexpr std::size_t kLargestSlot = 32 * 1024;   // larger objects have a span of their own
inline constexpr std::uint32_t kSmallestSpanPages = 2;   // larger holds more memory per thread and type, smaller refills oftener
inline constexpr std::uint32_t kLargestSpanPages = 16;   // slot_of() is exact for spans up to 128 KiB
inline constexpr std::uint32_t kFewestSlots = 4;

constexpr bool wastes_little(std::size_t slot_bytes, std::size_t span_bytes) {
  return span_bytes / slot_bytes >= kFewestSlots && span_bytes % slot_bytes * 8 <= span_bytes;
}

constexpr SpanGeometry geometry_for(std::size_t slot_bytes) {
  std::uint32_t pages = kSmallestSpanPages;
  while (pages < kLargestSpanPages && !wastes_little(slot_bytes, PageCount{pages}.bytes())) ++pages;
  return {slot_bytes, static_cast<std::uint32_t>(PageCount{pages}.bytes() / slot_bytes), {pages}, reciprocal_of(slot_bytes)};
}

constexpr SpanGeometry large_geometry(std::size_t bytes) {
  const PageCount pages = pages_for(bytes);
  return {pages.bytes(), 1, pages, 0};
}

}  // namespace lull::pages

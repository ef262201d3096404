// Sizes of malloc's small blocks. Their classes are those of alloc/pages/size_classes.h, numbered from
// PageClass::first_small so that a page's class byte is the index of its bin in a thread's bins.
#pragma once

#include <array>

#include "alloc/pages/size_classes.h"
#include "alloc/pages/span_geometry.h"

namespace lull::front {

using BinIndex = std::uint8_t;

inline constexpr std::size_t kSmallMost = 32 * 1024;  // larger blocks have a span of their own
inline constexpr std::uint32_t kFirstBin = static_cast<std::uint32_t>(pages::PageClass::first_small);
inline constexpr std::uint32_t kBins = kFirstBin + pages::kSizeClasses;

constexpr std::size_t bytes_of_bin(std::uint32_t bin) { return pages::size_of_class(bin - kFirstBin); }

// Spans of malloc: at least 64 blocks where that fits 32 KiB, fewer of larger ones, and at most one part in 16 behind the
// last block. Fresh pages are touched only as blocks are handed out, so a long span costs memory only once it is used.
constexpr pages::SpanGeometry geometry_of_bin(std::uint32_t bin) {
  const std::size_t bytes = bytes_of_bin(bin);
  std::uint32_t count = pages_for(bytes * 64).value;
  count = count < 2 ? 2 : count > 4 ? 4 : count;
  const auto wastes_little = [&](std::uint32_t n) {
    const std::size_t span_bytes = PageCount{n}.bytes();
    return span_bytes / bytes >= pages::kFewestSlots && span_bytes % bytes * 16 <= span_bytes;
  };
  while (count < pages::kLargestSpanPages && !wastes_little(count)) ++count;
  return {bytes, static_cast<std::uint32_t>(PageCount{count}.bytes() / bytes), {count}, pages::reciprocal_of(bytes)};
}

// For an offset in a span: offset is a multiple of the block's size iff offset * inverse < inverse, mod 2^32. Exact for
// offsets below 128 KiB and sizes up to 32 KiB (Lemire, Kaser, Kurz, "Faster remainder by direct computation", 2019).
constexpr std::uint32_t inverse_of_bin(std::uint32_t bin) { return pages::reciprocal_of(bytes_of_bin(bin)); }

namespace block_size_tables {

constexpr auto make_bins() {
  std::array<BinIndex, kSmallMost / 16 + 1> bins{};
  for (std::size_t units = 0; units < bins.size(); ++units)
    bins[units] = static_cast<BinIndex>(kFirstBin + pages::size_class_of(units == 0 ? 1 : units * 16));
  return bins;
}
inline constexpr auto kBinOfUnits = make_bins();
static_assert(kBins <= 256);

}  // namespace block_size_tables

// bytes <= kSmallMost; 0 counts as 1.
constexpr BinIndex bin_of(std::size_t bytes) { return block_size_tables::kBinOfUnits[(bytes + 15) / 16]; }

}  // namespace lull::front

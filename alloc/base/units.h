// Units of the heap. Addresses are std::uintptr_t, byte counts std::size_t; pages and span numbers are types of
// their own, because every one of the three fits a 32-bit integer and mixing them up is the classic mistake.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace lull {

inline constexpr unsigned kPageShift = 13;  // 8 KiB: larger wastes more in half-empty spans, smaller makes the tables larger
inline constexpr std::size_t kPageSize = std::size_t{1} << kPageShift;

struct PageIndex {  // counted from the start of the reserved range
  std::uint32_t value = 0;
  auto operator<=>(const PageIndex&) const = default;
};

struct PageCount {
  std::uint32_t value = 0;
  auto operator<=>(const PageCount&) const = default;
  constexpr std::size_t bytes() const { return std::size_t{value} << kPageShift; }
};

constexpr PageIndex operator+(PageIndex at, PageCount n) { return {at.value + n.value}; }
// Saturates: the largest count is more than any heap has, so an absurd size fails as "too large" further down.
constexpr PageCount pages_for(std::size_t bytes) {
  const std::size_t pages = (bytes >> kPageShift) + ((bytes & (kPageSize - 1)) != 0), most = ~std::uint32_t{0};
  return {static_cast<std::uint32_t>(pages < most ? pages : most)};
}

// Number of a span descriptor in the descriptor table (alloc/pages/span_table.h); 0 is "none".
enum class SpanId : std::uint32_t { none = 0 };

constexpr std::size_t round_up(std::size_t n, std::size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace lull

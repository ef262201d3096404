#include "alloc/pages/span_holes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/alloc/span_at_base.h"
#include "tests/alloc/support.h"

namespace lull::pages {
namespace {

// By its definition: a page is whole if no byte of it lies in a used slot. What is behind the last slot belongs to it.
std::uint32_t whole_pages_by_bytes(const Span& span, const std::vector<std::uint64_t>& used) {
  std::uint32_t whole = 0;
  for (std::uint32_t page = 0; page < system_pages(span); ++page) {
    bool is_whole = true;
    for (std::size_t at = page * kSystemPage; at < (page + 1) * kSystemPage; at += 8) {
      const std::size_t slot = std::min(at / span.slot_bytes, std::size_t{span.slots} - 1);
      if ((used[slot / 64] >> (slot % 64) & 1) != 0) is_whole = false;
    }
    if (is_whole) whole |= std::uint32_t{1} << page;
  }
  return whole;
}

void expect_the_same(const Span& span, const std::vector<std::uint64_t>& used) {
  std::vector<std::uint64_t> free(used.size());
  for (std::size_t w = 0; w < used.size(); ++w) free[w] = ~used[w];
  const std::uint32_t expected = whole_pages_by_bytes(span, used);
  ASSERT_EQ(expected, whole_pages_of_holes(span, used.data(), false)) << span.slot_bytes;
  ASSERT_EQ(expected, whole_pages_of_holes(span, free.data(), true)) << span.slot_bytes;
}

TEST(SpanHoles, ArePagesWithoutAByteOfAUsedSlot) {
  const int seed = ::testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  std::size_t some = 0;
  for (std::size_t slot_bytes = 16; slot_bytes <= kLargestSlot; slot_bytes += slot_bytes < 1024 ? 16 : 136) {
    const SpanAtBase span(geometry_for(slot_bytes));
    std::vector<std::uint64_t> used(words_for(span.slots));
    expect_the_same(span, used);
    for (std::uint32_t slot = 0; slot < span.slots; ++slot) {  // one used slot at each place
      std::vector<std::uint64_t> one(used.size());
      one[slot / 64] |= bit_of(slot);
      expect_the_same(span, one);
    }
    for (int round = 0; round < 50; ++round) {
      const std::uint64_t share = 1 + random() % span.slots;
      for (std::uint32_t slot = 0; slot < span.slots; ++slot) {
        used[slot / 64] &= ~bit_of(slot);
        if (random() % share == 0) used[slot / 64] |= bit_of(slot);
      }
      expect_the_same(span, used);
      some += whole_pages_of_holes(span, used.data(), false) != 0;
    }
  }
  EXPECT_LT(1000u, some);
}

}  // namespace
}  // namespace lull::pages

#include "alloc/base/units.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace lull {
namespace {

static_assert(!std::is_convertible_v<PageIndex, PageCount> && !std::is_convertible_v<PageCount, PageIndex>);
static_assert(!std::is_convertible_v<std::uint32_t, PageCount> && !std::is_convertible_v<SpanId, std::uint32_t>);

TEST(Units, PagesForRoundsUp) {
  EXPECT_EQ(PageCount{0}, pages_for(0));
  EXPECT_EQ(PageCount{1}, pages_for(1));
  EXPECT_EQ(PageCount{1}, pages_for(kPageSize));
  EXPECT_EQ(PageCount{2}, pages_for(kPageSize + 1));
  EXPECT_EQ(std::size_t{3} * 8192, PageCount{3}.bytes());
}

TEST(Units, APageCountReachesAcrossTheLargestRange) {
  const std::size_t four_tib = std::size_t{1} << 42;
  EXPECT_EQ(four_tib, pages_for(four_tib).bytes());
  EXPECT_EQ(four_tib, pages_for(four_tib - 1).bytes());
}

// make_array<char>(1 << 45) got an object of one page: the number of pages, 2^32 + 1, was cut to 32 bits.
TEST(Units, MoreBytesThanPagesCanCountAreStillMoreThanThereAre) {
  for (const std::size_t bytes : {std::size_t{1} << 45, (std::size_t{1} << 45) + 1, std::size_t{1} << 46, ~std::size_t{0}})
    EXPECT_GT(pages_for(bytes).bytes(), std::size_t{1} << 42) << bytes;
}

TEST(Units, RoundUpYieldsTheNextMultiple) {
  EXPECT_EQ(0u, round_up(0, 64));
  EXPECT_EQ(64u, round_up(1, 64));
  EXPECT_EQ(64u, round_up(64, 64));
  EXPECT_EQ(72u, round_up(65, 24));
}

TEST(Units, AnIndexAndACountAddUpToAnIndex) {
  EXPECT_EQ(PageIndex{12}, PageIndex{5} + PageCount{7});
  EXPECT_LT(PageIndex{5}, PageIndex{5} + PageCount{1});
}

}  // namespace
}  // namespace lull

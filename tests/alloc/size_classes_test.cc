#include "alloc/pages/size_classes.h"

#include <gtest/gtest.h>

#include "alloc/pages/span_geometry.h"

namespace lull::pages {
namespace {

TEST(SizeClasses, EverySizeGetsTheSmallestClassThatHoldsIt) {
  std::uint32_t smallest = 0;
  for (std::size_t n = 1; n <= kLargestSlot; ++n) {
    while (size_of_class(smallest) < n) ++smallest;
    ASSERT_EQ(smallest, size_class_of(n)) << n;
  }
  EXPECT_EQ(kSizeClasses - 1, smallest);
}

TEST(SizeClasses, WasteIsBelowAStepOf16BytesUpTo256AndAnEighthAbove) {
  for (std::size_t n = 1; n <= kLargestSlot; ++n) {
    const std::size_t waste = size_of_class(size_class_of(n)) - n;
    if (n <= 256) {
      ASSERT_LT(waste, 16u) << n;
    } else {
      ASSERT_LT(waste * 8, n) << n;
    }
  }
}

TEST(SizeClasses, SizesRiseAndAreMultiplesOfTheSlotAlignment) {
  for (std::uint32_t c = 0; c < kSizeClasses; ++c) {
    EXPECT_EQ(0u, size_of_class(c) % kSlotAlignment) << c;
    if (c > 0) {
      EXPECT_GT(size_of_class(c), size_of_class(c - 1));
    }
  }
  EXPECT_EQ(16u, size_of_class(0));
  EXPECT_EQ(kLargestSlot, size_of_class(kSizeClasses - 1));
}

// What aligned arrays rely on: an alignment divides some class at or above each of its multiples.
TEST(SizeClasses, PowersOfTwoAreClasses) {
  for (std::size_t n = 16; n <= kLargestSlot; n *= 2) EXPECT_EQ(n, size_of_class(size_class_of(n)));
}

}  // namespace
}  // namespace lull::pages

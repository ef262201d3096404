#include "alloc/pages/span_geometry.h"

#include <gtest/gtest.h>

#include "tests/alloc/span_at_base.h"
#include "tests/alloc/support.h"

namespace lull::pages {
namespace {

template <class Check>
void for_each_slot_size(std::size_t step, Check&& check) {
  for (std::size_t slot_bytes = step; slot_bytes <= kLargestSlot; slot_bytes += step) check(geometry_for(slot_bytes));
}

TEST(SpanGeometry, SlotsFillTheSpanUpToAnEighth) {
  for_each_slot_size(8, [](const SpanGeometry& g) {
    const std::size_t tail = g.pages.bytes() - g.slots * g.slot_bytes;
    ASSERT_LE(g.slots * g.slot_bytes, g.pages.bytes());
    ASSERT_LT(tail, g.slot_bytes);
    ASSERT_LE(tail * 8, g.pages.bytes()) << g.slot_bytes;
  });
}

TEST(SpanGeometry, ASpanHasAtLeastFourSlotsAndTwoToSixteenPages) {
  for_each_slot_size(8, [](const SpanGeometry& g) {
    ASSERT_GE(g.slots, kFewestSlots) << g.slot_bytes;
    ASSERT_GE(g.pages.value, kSmallestSpanPages) << g.slot_bytes;
    ASSERT_LE(g.pages.value, kLargestSpanPages) << g.slot_bytes;
  });
}

TEST(SpanGeometry, ASpanHasNoMorePagesThanItMust) {
  for_each_slot_size(8, [](const SpanGeometry& g) {
    for (std::uint32_t fewer = kSmallestSpanPages; fewer < g.pages.value; ++fewer)
      ASSERT_FALSE(wastes_little(g.slot_bytes, PageCount{fewer}.bytes())) << g.slot_bytes << " " << fewer;
  });
}

TEST(SpanGeometry, TheDescriptorFitsItsShareOfTheCells) {
  for_each_slot_size(16, [](const SpanGeometry& g) {
    ASSERT_LE(cells_for(g.slots, 4) * kCellBytes, g.pages.bytes() / 16) << g.slot_bytes;
    ASSERT_GE((cells_for(g.slots, 3) - 1) * kCellBytes, 3 * words_for(g.slots) * 8) << g.slot_bytes;
    ASSERT_GE((cells_for(g.slots, 4) - 1) * kCellBytes, 4 * words_for(g.slots) * 8) << g.slot_bytes;
  });
}

TEST(SlotOf, IsExactAroundEverySlotBoundaryOfEverySlotSize) {
  for_each_slot_size(8, [](const SpanGeometry& g) {
    const SpanAtBase span(g);
    for (std::uint32_t slot = 0; slot < g.slots; ++slot) {
      const std::uintptr_t start = kBase + slot * g.slot_bytes;
      ASSERT_EQ(start, span.slot_address(slot));
      ASSERT_EQ(slot, span.slot_of(start)) << g.slot_bytes;
      ASSERT_EQ(slot, span.slot_of(start + 1)) << g.slot_bytes;
      ASSERT_EQ(slot, span.slot_of(start + g.slot_bytes - 1)) << g.slot_bytes;
      if (slot > 0) {
        ASSERT_EQ(slot - 1, span.slot_of(start - 1)) << g.slot_bytes;
      }
    }
  });
}

// Every byte, the tail included; every slot size but where a sanitizer makes that take long.
TEST(SlotOf, IsExactForEveryByteOfASpan) {
  const std::size_t step = testing::kSanitized ? 16 * 37 : 16;
  for_each_slot_size(step, [](const SpanGeometry& g) {
    const SpanAtBase span(g);
    std::uint32_t slot = 0, wrong = 0;
    std::uintptr_t next = kBase + g.slot_bytes;
    for (std::uintptr_t address = kBase; address < span.end(); ++address) {
      if (address == next) {
        ++slot;
        next += g.slot_bytes;
      }
      wrong += span.slot_of(address) != slot;
    }
    ASSERT_EQ(0u, wrong) << g.slot_bytes;
    ASSERT_GE(span.slot_of(span.end() - 1) + 1, g.slots) << g.slot_bytes;
  });
}

// Hole ends lie at the end of a span whose slots leave no tail.
TEST(SlotOf, TheEndOfTheLastSlotIsTheNumberOfSlots) {
  for_each_slot_size(8, [](const SpanGeometry& g) {
    ASSERT_EQ(g.slots, SpanAtBase(g).slot_of(kBase + g.slots * g.slot_bytes)) << g.slot_bytes;
  });
}

TEST(LargeGeometry, IsOneSlotOfWholePages) {
  for (const std::size_t bytes : {kLargestSlot + 1, kLargestSlot + 4096, std::size_t{1} << 20, (std::size_t{1} << 30) + 1}) {
    const SpanGeometry g = large_geometry(bytes);
    EXPECT_EQ(1u, g.slots);
    EXPECT_EQ(g.pages.bytes(), g.slot_bytes);
    EXPECT_GE(g.slot_bytes, bytes);
    EXPECT_LT(g.slot_bytes, bytes + kPageSize);
    for (const std::size_t offset : {std::size_t{0}, bytes / 2, bytes - 1})
      EXPECT_EQ(0u, SpanAtBase(g).slot_of(kBase + offset));
  }
}

}  // namespace
}  // namespace lull::pages

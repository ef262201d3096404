#include "alloc/cache/span_class.h"

#include "alloc/cache/thread_cache.h"
#include "alloc/pages/span_geometry.h"
#include "alloc/pages/span_table.h"
#include "tests/alloc/support.h"

namespace lull::cache {
namespace {

using pages::Span;

class SpanClassTest : public ::testing::Test {
 protected:
  SpanClassTest() { class_.geometry = pages::geometry_for(48); }  // 341 slots: the last word has bits of no slot
  ~SpanClassTest() override {
    for (Span* span : spans_) pages::destroy_span(span);
  }
  // With slots [0, allocated) in use.
  Span* make(std::uint32_t allocated) {
    Span* span = pages::create_span(class_.geometry, {.span_class = &class_});
    set_alloc_bits(*span, 0, allocated);
    spans_.push_back(span);
    return span;
  }
  SpanClass class_;
  std::vector<Span*> spans_;
};

TEST_F(SpanClassTest, ASpanWithAFreeSlotIsPartial) {
  const std::uint32_t slots = class_.geometry.slots;
  ASSERT_NE(0u, slots % 64);
  for (const std::uint32_t allocated : {0u, 1u, slots / 2, slots - 1}) {
    Span* span = make(allocated);
    class_.put(span, 0);
    EXPECT_EQ(nullptr, class_.take_full(0)) << allocated;
    EXPECT_EQ(span, class_.take_partial(0)) << allocated;
  }
}

TEST_F(SpanClassTest, AFreeSlotAnywhereMakesASpanPartial) {
  const std::uint32_t slots = class_.geometry.slots;
  for (const std::uint32_t hole : {0u, 63u, 64u, slots - 2}) {
    Span* span = make(hole);
    set_alloc_bits(*span, hole + 1, slots);
    class_.put(span, 0);
    EXPECT_EQ(span, class_.take_partial(0)) << hole;
  }
}

TEST_F(SpanClassTest, ASpanWithoutAFreeSlotIsFull) {
  Span* span = make(class_.geometry.slots);
  class_.put(span, 0);
  EXPECT_EQ(nullptr, class_.take_partial(0));
  EXPECT_EQ(span, class_.take_full(0));
  EXPECT_EQ(nullptr, class_.take_full(0));
}

TEST_F(SpanClassTest, ALargeObjectsSpanIsFullWhileItsObjectLives) {
  class_.geometry = pages::large_geometry(100'000);
  Span* span = make(1);
  class_.put(span, 0);
  EXPECT_EQ(span, class_.take_full(0));
  span->alloc_bits()[0].store(0);
  class_.put(span, 0);
  EXPECT_EQ(span, class_.take_partial(0));
}

// Generation g sees what was put under g; under g - 1 the same spans are those that still have to be swept.
TEST_F(SpanClassTest, OpeningASweepTurnsEverySetIntoAnUnsweptOne) {
  for (const std::uint32_t generation : {0u, 7u, ~0u}) {
    Span *partial = make(1), *full = make(class_.geometry.slots);
    class_.put(partial, generation);
    class_.put(full, generation);
    const std::uint32_t next = generation + 1;
    EXPECT_EQ(nullptr, class_.take_partial(next));
    EXPECT_EQ(nullptr, class_.take_full(next));
    EXPECT_EQ(partial, class_.take_partial(next - 1));
    EXPECT_EQ(full, class_.take_full(next - 1));
    class_.put(partial, next);
    EXPECT_EQ(partial, class_.take_partial(next));
    EXPECT_EQ(nullptr, class_.take_partial(next - 1));
  }
}

}  // namespace
}  // namespace lull::cache

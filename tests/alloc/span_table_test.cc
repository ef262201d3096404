#include "alloc/pages/span_table.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_geometry.h"
#include "tests/alloc/support.h"

namespace lull::pages {
namespace {

constexpr std::size_t kAll = ~std::size_t{0};

std::uint32_t number_of(const Span* span) { return static_cast<std::uint32_t>(span->id()); }

BitWord* first_bitmap_word(Span& span) { return span.alloc_bits(); }
std::size_t bitmap_words(const Span& span) { return (span.cells - 1u) * kCellBytes / sizeof(BitWord); }

class SpanTableTest : public ::testing::Test {
 protected:
  SpanTableTest() {
    destroy_span(create_span(geometry_for(16), {}));  // the first one makes the heap
    page_heap.purge(0, kAll);
    spans_before_ = span_stats().spans;
    used_before_ = page_heap.stats().used;
  }
  ~SpanTableTest() override {
    os::fail_mapping_for_testing(-1);
    page_heap.check_invariants();
    EXPECT_EQ(spans_before_, span_stats().spans);
    EXPECT_EQ(used_before_, page_heap.stats().used);
  }

  std::uint64_t spans_before_ = 0, used_before_ = 0;
};

TEST_F(SpanTableTest, ANewSpanIsWhatItsGeometryAndOwnerSay) {
  int owner_class, kind;
  for (const std::size_t slot_bytes : {16u, 48u, 160u, 4096u, 32768u}) {
    const SpanGeometry g = geometry_for(slot_bytes);
    Span* span = create_span(g, {.span_class = &owner_class, .kind = &kind});
    ASSERT_NE(nullptr, span);
    EXPECT_EQ(slot_bytes, span->slot_bytes);
    EXPECT_EQ(g.slots, span->slots);
    EXPECT_EQ(g.reciprocal, span->reciprocal);
    EXPECT_EQ(g.pages.value, span->page_count);
    EXPECT_EQ(words_for(g.slots), span->words);
    EXPECT_EQ(&owner_class, span->owner_class);
    EXPECT_EQ(&kind, span->kind);
    EXPECT_EQ(0u, span->base % kPageSize);
    EXPECT_EQ(span->base + g.pages.bytes(), span->end());
    EXPECT_EQ(0u, span->allocated);
    EXPECT_EQ(0u, span->snapshot_cycle.load());
    EXPECT_EQ(0u, span->mark_cycle.load());
    EXPECT_NE(SpanId::none, span->id());
    EXPECT_EQ(span, span_with(span->id()));
    destroy_span(span);
  }
}

TEST_F(SpanTableTest, TheBitmapsAreDisjointAndWithinTheDescriptor) {
  for (const bool with_destroy_bits : {false, true})
    for (const std::size_t slot_bytes : {16u, 48u, 1040u, 32768u}) {
      Span* span = create_span(geometry_for(slot_bytes), {.bitmaps = with_destroy_bits ? 4u : 3u});
      std::vector<BitWord*> bitmaps{span->alloc_bits(), span->snapshot_bits(), span->mark_bits()};
      if (with_destroy_bits) bitmaps.push_back(span->destroy_bits());
      auto* end = reinterpret_cast<std::byte*>(span + 1);
      for (BitWord* bitmap : bitmaps) {
        EXPECT_GE(reinterpret_cast<std::byte*>(bitmap), end);
        end = reinterpret_cast<std::byte*>(bitmap + words_for(span->slots));
      }
      EXPECT_LE(end, reinterpret_cast<std::byte*>(span) + span->cells * kCellBytes);
      destroy_span(span);
    }
}

TEST_F(SpanTableTest, EveryAddressOfASpanLeadsToIt) {
  Span* before = create_span(geometry_for(16), {});
  Span* span = create_span(geometry_for(26000), {});
  Span* after = create_span(geometry_for(16), {});
  ASSERT_EQ(before->end(), span->base);
  ASSERT_EQ(span->end(), after->base);
  for (std::uintptr_t address = span->base; address < span->end(); address += 8) ASSERT_EQ(span, managed_span_of(address));
  EXPECT_EQ(before, managed_span_of(span->base - 1));
  EXPECT_EQ(after, managed_span_of(span->end()));
  const std::uintptr_t inside = span->base + 8192;
  destroy_span(span);
  EXPECT_EQ(nullptr, managed_span_of(inside));
  EXPECT_EQ(nullptr, managed_span_of(0));
  EXPECT_EQ(nullptr, managed_span_of(reservation.base + reservation.size));
  EXPECT_EQ(nullptr, managed_span_of(reservation.base + reservation.size - 1));
  destroy_span(before);
  destroy_span(after);
}

TEST_F(SpanTableTest, SpansOfMallocAreOpaqueToTheCollector) {
  for (const PageClass page_class : {PageClass::large, PageClass::first_small, static_cast<PageClass>(20)}) {
    Span* span = create_span(geometry_for(64), {.page_class = page_class, .bitmaps = 1});
    EXPECT_EQ(nullptr, managed_span_of(span->base));
    for_each_span([&](Span* visited) { EXPECT_NE(visited, span); });
    destroy_span(span);
  }
}

TEST_F(SpanTableTest, PagesOfSmallBlocksTellTheirPlaceInTheSpan) {
  const auto size_class = static_cast<PageClass>(20);
  Span* span = create_span(geometry_for(26000), {.page_class = size_class, .bitmaps = 1});
  for (std::uint32_t p = 0; p < span->page_count; ++p) {
    const auto entry = static_cast<std::uint32_t>(reservation.classes[span->first_page().value + p].load());
    EXPECT_EQ(20u, entry & 0xff);
    EXPECT_EQ(p, entry >> 8);
  }
  destroy_span(span);
}

TEST_F(SpanTableTest, ALargeSpanShrinksAndGrowsInPlace) {
  Span* span = create_span(large_geometry(40 * kPageSize), {.page_class = PageClass::large, .bitmaps = 1, .publish_all = false});
  const std::uintptr_t base = span->base;
  shrink_span(span, {10});
  EXPECT_EQ(10u, span->page_count);
  EXPECT_EQ(10 * kPageSize, span->slot_bytes);
  Span* behind = create_span(large_geometry(5 * kPageSize), {.page_class = PageClass::large, .bitmaps = 1, .publish_all = false});
  const bool is_adjacent = behind->base == span->end();
  EXPECT_TRUE(!is_adjacent || !extend_span(span, {1}));
  destroy_span(behind);
  EXPECT_TRUE(extend_span(span, {30}));
  EXPECT_EQ(base, span->base);
  EXPECT_EQ(40u, span->page_count);
  EXPECT_FALSE(extend_span(span, {1u << 30}));
  destroy_span(span);
  page_heap.check_invariants();
}

// While a span is published, a walk may find its first page still without one and meet it at a later page; it counted the
// span's pages from there and skipped the spans behind it.
TEST_F(SpanTableTest, AWalkThatMeetsASpanHalfPublishedMissesNothingBehindIt) {
  std::vector<Span*> spans;
  for (const std::size_t slot_bytes : {64u, 20000u, 64u, 64u, 64u})
    spans.push_back(create_span(geometry_for(slot_bytes), {}));
  ASSERT_GT(spans[1]->page_count, 4u);
  for (std::uint32_t hidden = 1; hidden < spans[1]->page_count; ++hidden) {
    const PageIndex page = spans[1]->first_page() + PageCount{hidden - 1};
    reservation.classes[page.value].store(PageClass::none);
    std::vector<Span*> visited;
    for_each_span([&](Span* span) { visited.push_back(span); });
    EXPECT_EQ(spans, visited) << hidden << " pages hidden";
  }
  for (std::uint32_t p = 0; p < spans[1]->page_count; ++p)
    reservation.classes[spans[1]->first_page().value + p].store(PageClass::managed);
  for (Span* span : spans) destroy_span(span);
}

TEST_F(SpanTableTest, NeedsZeroIsTruthful) {
  Span* span = create_span(geometry_for(64), {});
  EXPECT_EQ(0, span->needs_zero);
  auto* memory = reinterpret_cast<unsigned char*>(span->base);
  EXPECT_TRUE(std::all_of(memory, memory + 16384, [](unsigned char b) { return b == 0; }));
  std::memset(memory, 1, 16384);
  destroy_span(span);
  span = create_span(geometry_for(64), {});
  ASSERT_EQ(memory, reinterpret_cast<unsigned char*>(span->base));
  EXPECT_NE(0, span->needs_zero);
  destroy_span(span);
  page_heap.purge(0, kAll);
  span = create_span(geometry_for(64), {});
  EXPECT_EQ(0, span->needs_zero);
  destroy_span(span);
}

TEST_F(SpanTableTest, AFreedDescriptorServesTheNextSpanOfItsSizeOnly) {
  const SpanGeometry small = geometry_for(2048), large = geometry_for(16);
  ASSERT_NE(cells_for(small.slots, 3), cells_for(large.slots, 3));
  Span* first = create_span(small, {});
  destroy_span(first);
  Span* other = create_span(large, {});
  Span* again = create_span(small, {});
  EXPECT_NE(first, other);
  EXPECT_EQ(first, again);
  destroy_span(other);
  destroy_span(again);
}

// A late reader of malloc's state word finds a state word, whatever has become of the descriptor.
TEST_F(SpanTableTest, AFreedDescriptorServesSpansWithAsManyBitmapsOnly) {
  const SpanGeometry g = large_geometry(3 * kPageSize);
  ASSERT_EQ(cells_for(g.slots, 1), cells_for(g.slots, 2));
  Span* of_malloc = create_span(g, {.bitmaps = 1});
  destroy_span(of_malloc);
  Span* of_heap = create_span(g, {.bitmaps = 2});
  Span* managed = create_span(g, {});
  EXPECT_NE(of_malloc, of_heap);
  EXPECT_NE(of_malloc, managed);
  destroy_span(of_heap);
  Span* again = create_span(g, {.bitmaps = 1});
  EXPECT_EQ(of_malloc, again);
  for (Span* span : {managed, again}) destroy_span(span);
}

// Random spans of many sizes come and go. All bits of a descriptor are set before it is freed.
TEST_F(SpanTableTest, DescriptorsNeverOverlapNeverChangeSizeAndStartWithZeroBitmaps) {
  std::mt19937_64 random(testing::seed_of_this_run());
  std::map<std::uint32_t, std::uint32_t> size_of;  // of every number ever seen, in cells
  std::vector<Span*> live;
  for (int i = 0; i < testing::scaled(50'000); ++i) {
    if (live.size() < 300 && random() % 2 == 0) {
      const std::size_t slot_bytes = random() % 2 == 0 ? (random() % 32 + 1) * 16 : (random() % 2048 + 1) * 16;
      Span* span = create_span(random() % 50 == 0 ? large_geometry(slot_bytes * 10) : geometry_for(slot_bytes),
                               {.bitmaps = random() % 2 == 0 ? 4u : 3u});
      ASSERT_NE(nullptr, span);
      const auto [at, fresh] = size_of.emplace(number_of(span), span->cells);
      ASSERT_EQ(at->second, span->cells) << "number " << at->first << " got another size";
      if (fresh) {
        ASSERT_TRUE(at == size_of.begin() || std::prev(at)->first + std::prev(at)->second <= at->first);
        ASSERT_TRUE(std::next(at) == size_of.end() || at->first + at->second <= std::next(at)->first);
      }
      for (std::size_t w = 0; w < bitmap_words(*span); ++w) ASSERT_EQ(0u, first_bitmap_word(*span)[w].load());
      live.push_back(span);
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      Span* span = live.back();
      live.pop_back();
      for (std::size_t w = 0; w < bitmap_words(*span); ++w) first_bitmap_word(*span)[w].store(~std::uint64_t{0});
      span->mark_cycle.store(kMarkClearing);
      span->snapshot_cycle.store(7);
      destroy_span(span);
    }
  }
  std::sort(live.begin(), live.end(), [](Span* a, Span* b) { return a->base < b->base; });
  std::vector<Span*> visited;
  for_each_span([&](Span* span) { visited.push_back(span); });
  EXPECT_EQ(live, visited) << "each span once, by address";
  for (Span* span : live) destroy_span(span);
}

TEST_F(SpanTableTest, StatisticsCountSpansAndTheirDescriptors) {
  const SpanStats before = span_stats();
  Span* span = create_span(geometry_for(16), {});
  const SpanStats with = span_stats();
  EXPECT_EQ(before.spans + 1, with.spans);
  EXPECT_EQ(before.descriptor_bytes_used + span->cells * kCellBytes, with.descriptor_bytes_used);
  EXPECT_GE(with.descriptor_bytes_reserved, with.descriptor_bytes_used);
  destroy_span(span);
  EXPECT_EQ(before.descriptor_bytes_used, span_stats().descriptor_bytes_used);
}

TEST_F(SpanTableTest, WithoutPagesThereIsNoSpanAndNothingIsLost) {
  std::vector<Span*> spans;
  os::fail_mapping_for_testing(0, true);
  while (Span* span = create_span(geometry_for(32768), {})) spans.push_back(span);
  EXPECT_EQ(nullptr, create_span(large_geometry(std::size_t{1} << 30), {}));
  os::fail_mapping_for_testing(-1);
  Span* span = create_span(geometry_for(32768), {});
  ASSERT_NE(nullptr, span);
  destroy_span(span);
  for (Span* s : spans) destroy_span(s);
}

// 2^45 bytes and a bit: the page count was cut to 32 bits, and a span of one page said it held them.
TEST_F(SpanTableTest, ObjectsLargerThanTheAddressSpaceAreRefused) {
  const std::size_t two_to_45 = std::size_t{1} << 45;
  for (const std::size_t bytes : {reservation.size + 1, two_to_45, two_to_45 + 17, 2 * two_to_45, kAll - kPageSize, kAll})
    EXPECT_EQ(nullptr, create_span(large_geometry(bytes), {})) << bytes;
}

TEST_F(SpanTableTest, ThreadsMakeAndRetireSpansAtTheSameTime) {
  const std::uint64_t seed = testing::seed_of_this_run();
  std::atomic<int> wrong{0};
  testing::run_together(4, [&](unsigned t) {
    std::mt19937_64 random(seed + t);
    std::vector<Span*> mine;
    for (int i = 0; i < testing::scaled(20'000); ++i) {
      if (mine.size() < 30 && random() % 2 == 0) {
        Span* span = create_span(geometry_for((random() % 64 + 1) * 16), {.span_class = &mine});
        span->allocated = t;
        mine.push_back(span);
      } else if (!mine.empty()) {
        std::swap(mine[random() % mine.size()], mine.back());
        Span* span = mine.back();
        mine.pop_back();
        const bool ours = span->owner_class == &mine && span->allocated == t && managed_span_of(span->end() - 1) == span;
        if (!ours) wrong.fetch_add(1);
        destroy_span(span);
      }
    }
    for (Span* span : mine) destroy_span(span);
  });
  EXPECT_EQ(0, wrong.load());
}

TEST_F(SpanTableTest, TheChildOfAForkCanMakeSpansThoughOthersWereAtIt) {
  std::atomic<bool> done{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i)
    busy.emplace_back([&] {
      while (!done.load()) destroy_span(create_span(geometry_for(64), {}));
    });
  for (int i = 0; i < 10; ++i) {
    page_heap.lock_across_fork();
    span_table_lock_for_fork().lock_across_fork();
    const auto unlock = [] {
      span_table_lock_for_fork().unlock_across_fork();
      page_heap.unlock_across_fork();
    };
    const auto child = testing::run_in_child([&] {
      ::alarm(20);
      unlock();
      Span* span = create_span(geometry_for(64), {});
      LULL_CHILD_EXPECT(span != nullptr);
      destroy_span(span);
      page_heap.check_invariants();
    });
    unlock();
    EXPECT_TRUE(child.exited_well()) << child.errors;
  }
  done.store(true);
  for (std::thread& thread : busy) thread.join();
}

// The cells of a small range run out before its pages do when every span has the largest descriptor.
TEST(SpanTableDeathTest, WithoutADescriptorThePagesGoBack) {
  if (testing::kSanitized) GTEST_SKIP() << "a sanitizer needs its own address space";
  testing::expect_success_in_new_process([] {
    const rlimit limit{std::size_t{140} << 20, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
    const SpanGeometry greedy{8, 1024, {1}, reciprocal_of(8)};
    std::vector<Span*> spans;
    while (Span* span = create_span(greedy, {.bitmaps = 4})) spans.push_back(span);
    const std::uint64_t used = page_heap.stats().used;
    LULL_CHILD_EXPECT(used == spans.size() * kPageSize && used + kPageSize < reservation.size);
    for (int i = 0; i < 3; ++i) LULL_CHILD_EXPECT(create_span(greedy, {.bitmaps = 4}) == nullptr);
    LULL_CHILD_EXPECT(page_heap.stats().used == used);
    page_heap.check_invariants();
    destroy_span(spans.back());
    LULL_CHILD_EXPECT(create_span(greedy, {.bitmaps = 4}) == spans.back());
  });
}

}  // namespace
}  // namespace lull::pages

#include "alloc/cache/thread_cache.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <set>

#include "alloc/os/vm.h"
#include "tests/alloc/thread_cache_fixture.h"

namespace lull::cache {
namespace {

TEST_F(ThreadCacheTest, ObjectsFillTheirSpansAndNeverOverlap) {
  for (const std::size_t slot_bytes : {16u, 24u, 48u, 112u, 1008u, 2064u, 20000u, 32768u}) {
    SpanClass& c = add_class(slot_bytes);
    source_.budget = 3;
    std::vector<std::byte*> objects = allocate_until_exhausted(c);
    ASSERT_EQ(3 * c.geometry.slots, objects.size()) << slot_bytes;
    std::sort(objects.begin(), objects.end());
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const auto address = reinterpret_cast<std::uintptr_t>(objects[i]);
      Span* span = pages::managed_span_of(address);
      ASSERT_NE(nullptr, span);
      ASSERT_EQ(address, span->slot_address(span->slot_of(address)));
      ASSERT_EQ(&c, span->owner_class);
      ASSERT_LE(address + slot_bytes, span->end());
      ASSERT_TRUE(i == 0 || objects[i - 1] + slot_bytes <= objects[i]);
    }
  }
}

TEST_F(ThreadCacheTest, MemoryIsZeroWhateverThePagesHeld) {
  SpanClass& c = add_class(80);
  ASSERT_NO_FATAL_FAILURE(dirty_the_page_heap(1 << 20));
  source_.budget = 3;
  const std::size_t expected = 3 * c.geometry.slots;
  std::size_t objects = 0;
  while (std::byte* object = allocate(c, objects % 2 == 0 ? 7 : kNoBound)) {
    ASSERT_TRUE(is_filled_with(object, 80, 0)) << objects;
    std::memset(object, 0xff, 80);
    ++objects;
  }
  EXPECT_EQ(expected, objects);
}

// A constructor's first access is a read. A page that is read first is mapped to the system's page of zeroes, and faults again
// when it is written.
TEST_F(ThreadCacheTest, FreshPagesAreThereBeforeTheProgramTouchesThem) {
  SpanClass& c = add_class(80);
  Span* span = source_.make(c);
  const std::size_t bytes = span->page_count * kPageSize;
  ASSERT_EQ(0, ::madvise(reinterpret_cast<void*>(span->base), bytes, MADV_DONTNEED));
  span->needs_zero = 0;
  source_.waiting[&c] = {span};
  ASSERT_NE(nullptr, allocate(c, kNoBound));
  std::vector<unsigned char> resident(bytes / 4096);
  ASSERT_EQ(0, ::mincore(reinterpret_cast<void*>(span->base), bytes, resident.data()));
  EXPECT_EQ(resident.size(), static_cast<std::size_t>(std::count_if(resident.begin(), resident.end(), [](unsigned char r) { return (r & 1) != 0; })));
}

TEST_F(ThreadCacheTest, OldMemoryIsZeroedAndHandedOutInPieces) {
  SpanClass& c = add_class(48);
  Span* span = source_.make(c);
  std::memset(reinterpret_cast<void*>(span->base), kOldContents, span->page_count * kPageSize);
  span->needs_zero = 1;
  source_.waiting[&c] = {span};
  source_.budget = 0;
  const std::uint32_t last = span->slots - 1;
  set_alloc_bits(*span, last, last + 1);  // the last piece is short of a slot
  span->allocated = 1;
  std::uintptr_t zeroed = span->base;
  for (std::uint32_t slot = 0; slot < last; ++slot) {
    const std::byte* object = allocate(c);
    ASSERT_EQ(span->slot_address(slot), reinterpret_cast<std::uintptr_t>(object));
    ASSERT_TRUE(is_filled_with(object, 48, 0));
    ASSERT_EQ(owner_.slot_of(c).limit - span->base, source_.noted) << "what was handed out and no more";
    if (owner_.slot_of(c).limit == zeroed) continue;
    zeroed = owner_.slot_of(c).limit;
    ASSERT_LE(zeroed, span->slot_address(slot) + 4096) << "in pieces";
    ASSERT_TRUE(is_filled_with(reinterpret_cast<void*>(zeroed), span->end() - zeroed, kOldContents)) << "not before it is handed out";
  }
  EXPECT_EQ(nullptr, allocate(c));
  EXPECT_EQ(span->slots, alloc_bits_set(*span));
  EXPECT_EQ(span->slots, span->allocated);
}

// A handshake's answer by signal: what was not handed out stays free.
TEST_F(ThreadCacheTest, WhatIsLeftOfAHoleBehindThePieceStaysFree) {
  SpanClass& c = add_class(64);
  Span* span = source_.make(c);
  span->needs_zero = 1;
  source_.waiting[&c] = {span};
  allocate(c);
  cache_.release_all_async([](SpanClass&, Span*) {});
  EXPECT_GT(span->allocated, 0u);
  EXPECT_LT(span->allocated, span->slots);
  EXPECT_EQ(span->allocated, alloc_bits_set(*span));
}

// Giving spans back is part of a handshake's answer, which a page fault makes ten times as long.
TEST_F(ThreadCacheTest, GivingSpansBackTouchesNoFreshPage) {
  const auto faults = [] {
    rusage usage{};
    EXPECT_EQ(0, ::getrusage(RUSAGE_THREAD, &usage));
    return usage.ru_minflt;
  };
  const auto give_back = [&] { cache_.release_all_async([](SpanClass&, Span*) {}); };
  // Each index is in a page of its own of every table. The first class is there for the code.
  for (const std::uint32_t index : {2000u, 4000u, 6000u}) {
    SpanClass& c = add_class_at(index, 64);
    source_.waiting[&c] = {source_.make(c)};
    ASSERT_NE(nullptr, allocate(c));
    const long before = faults();
    give_back();
    if (index == 2000) continue;
    EXPECT_EQ(before, faults()) << index;
  }
}

TEST_F(ThreadCacheTest, AClassCountsItsObjectsWhenTheirSpanIsGivenBack) {
  SpanClass& c = add_class(64);
  for (int i = 0; i < 10; ++i) ASSERT_NE(nullptr, allocate(c, 3));  // some holes
  EXPECT_EQ(0u, c.allocated_objects.load());
  cache_.release_all(source_);
  EXPECT_EQ(10u, c.allocated_objects.load());
  EXPECT_EQ(640u, c.allocated_bytes.load());
}

TEST_F(ThreadCacheTest, KindsWithoutPointersKeepTheCostOfZeroing) {
  SpanClass& c = add_class(80, /*zero_slots=*/false);
  ASSERT_NO_FATAL_FAILURE(dirty_the_page_heap(1 << 20));
  source_.budget = 1;
  for (const std::byte* object : allocate_until_exhausted(c)) ASSERT_TRUE(is_filled_with(object, 80, kOldContents));
}

TEST_F(ThreadCacheTest, HolesOfAFragmentedSpanAreReusedExactly) {
  std::mt19937_64 random(testing::seed_of_this_run());
  for (int round = 0; round < 60; ++round) {
    SpanClass& c = add_class((random() % 60 + 1) * 16);
    Span* span = source_.make(c);
    std::memset(reinterpret_cast<void*>(span->base), kOldContents, span->page_count * kPageSize);
    span->needs_zero = 1;
    std::vector<std::byte*> holes;
    const std::uint64_t run_length = random() % 20 + 1;
    bool free = random() % 2 == 0;
    for (std::uint32_t slot = 0; slot < span->slots; ++slot) {
      if (random() % run_length == 0) free = !free;
      if (free) holes.push_back(reinterpret_cast<std::byte*>(span->slot_address(slot)));
      else set_alloc_bits(*span, slot, slot + 1);
    }
    const auto used = alloc_bits_set(*span);
    span->allocated = used;
    source_.waiting[&c] = {span};
    source_.budget = 0;
    const std::size_t noted = source_.noted;
    ASSERT_EQ(holes, allocate_until_exhausted(c)) << "each hole once, in the order of addresses";
    ASSERT_EQ(holes.size() * c.geometry.slot_bytes, source_.noted - noted);
    ASSERT_EQ(span->slots, alloc_bits_set(*span));
    ASSERT_EQ(span->slots, span->allocated);
    const std::set<std::byte*> reused(holes.begin(), holes.end());
    for (std::uint32_t slot = 0; slot < span->slots; ++slot) {
      auto* object = reinterpret_cast<std::byte*>(span->slot_address(slot));
      ASSERT_TRUE(is_filled_with(object, c.geometry.slot_bytes, reused.contains(object) ? 0 : kOldContents)) << slot;
    }
  }
}

// A span of 64-byte slots of which every third is in use, waiting for the class.
class ShortHoles : public ThreadCacheTest {
 protected:
  ShortHoles() : class_(add_class(64)), span_(*source_.make(class_)) {
    std::memset(reinterpret_cast<void*>(span_.base), kOldContents, span_.page_count * kPageSize);
    span_.needs_zero = 1;
    for (std::uint32_t slot = 2; slot < span_.slots; slot += 3) set_alloc_bits(span_, slot, slot + 1);
    used_ = span_.allocated = alloc_bits_set(span_);
    source_.waiting[&class_] = {&span_};
    source_.budget = 0;
  }
  ~ShortHoles() override { sampling_round.store(0); }
  std::byte* at(std::uint32_t slot) const { return reinterpret_cast<std::byte*>(span_.slot_address(slot)); }
  // Everything that is left, once each and in order.
  void expect_the_rest(std::uint32_t slot) {
    for (; slot < span_.slots; ++slot) {
      if (slot % 3 == 2) continue;
      ASSERT_EQ(at(slot), allocate(class_));
      ASSERT_TRUE(is_filled_with(at(slot), 64, 0)) << slot;
    }
    EXPECT_EQ(nullptr, allocate(class_));
    EXPECT_EQ(span_.slots, span_.allocated);
  }

  SpanClass& class_;
  Span& span_;
  std::uint32_t used_;
};

TEST_F(ShortHoles, AreZeroedAWordOfBitsAtATime) {
  ASSERT_EQ(at(0), allocate(class_));
  EXPECT_EQ(at(2), reinterpret_cast<std::byte*>(owner_.slot_of(class_).limit));
  for (std::uint32_t slot = 0; slot < 128; ++slot)
    EXPECT_TRUE(is_filled_with(at(slot), 64, slot < 64 && slot % 3 != 2 ? 0 : kOldContents)) << slot;
  EXPECT_EQ(128u, source_.noted) << "what was handed out and no more";
  expect_the_rest(1);
}

TEST_F(ShortHoles, StayFreeUntilTheyAreHandedOut) {
  for (int i = 0; i < 3; ++i) allocate(class_);
  cache_.release_all_async([](SpanClass&, Span*) {});
  EXPECT_EQ(0u, owner_.slot_of(class_).prepared);
  EXPECT_EQ(used_ + 4, alloc_bits_set(span_));
  EXPECT_EQ(used_ + 4, span_.allocated);
  source_.waiting[&class_] = {&span_};
  expect_the_rest(6);
}

TEST_F(ShortHoles, AreForgottenWhereHolesHaveABound) {
  allocate(class_), allocate(class_);
  ASSERT_EQ(at(3), allocate(class_, 1));
  EXPECT_EQ(at(4), reinterpret_cast<std::byte*>(owner_.slot_of(class_).limit));
  EXPECT_EQ(0u, owner_.slot_of(class_).prepared);
  expect_the_rest(4);
}

TEST_F(ShortHoles, AreForgottenWhenSamplingBegins) {
  allocate(class_), allocate(class_);
  source_.to_sample = 2;
  sampling_round.store(1);
  ASSERT_EQ(at(3), allocate(class_));
  EXPECT_EQ(at(4), reinterpret_cast<std::byte*>(owner_.slot_of(class_).limit)) << "the sample comes alone";
  EXPECT_FALSE(cache_.take_sample());
  ASSERT_EQ(at(4), allocate(class_));
  EXPECT_TRUE(cache_.take_sample());
  source_.to_sample = 1000;
  expect_the_rest(6);
}

TEST_F(ThreadCacheTest, HolesOfMuchMemoryComeOneByOne) {
  SpanClass& c = add_class(256);
  Span* span = source_.make(c);
  std::memset(reinterpret_cast<void*>(span->base), kOldContents, span->page_count * kPageSize);
  span->needs_zero = 1;
  set_alloc_bits(*span, 1, 2);
  source_.waiting[&c] = {span};
  ASSERT_NE(nullptr, allocate(c));
  EXPECT_EQ(0u, owner_.slot_of(c).prepared);
  EXPECT_TRUE(is_filled_with(reinterpret_cast<void*>(span->slot_address(2)), 256, kOldContents));
}

TEST_F(ThreadCacheTest, ReleasingLeavesAllocBitsForTheObjectsHandedOutOnly) {
  SpanClass &a = add_class(32), &b = add_class(4096);
  std::set<std::byte*> objects;
  for (int i = 0; i < 700; ++i) objects.insert(allocate(a));
  for (int i = 0; i < 3; ++i) objects.insert(allocate(b));
  cache_.release_all(source_);
  std::size_t bits = 0;
  for (const auto& [c, span] : source_.released) {
    EXPECT_EQ(c, span->owner_class);
    EXPECT_EQ(span->allocated, alloc_bits_set(*span));
    for (std::uint32_t slot = 0; slot < span->slots; ++slot) {
      ASSERT_EQ(objects.contains(reinterpret_cast<std::byte*>(span->slot_address(slot))), has_alloc_bit(*span, slot));
      bits += has_alloc_bit(*span, slot);
    }
  }
  EXPECT_EQ(703u, bits);
  EXPECT_EQ(700u, a.allocated_objects.load());
  EXPECT_EQ(700u * 32, a.allocated_bytes.load());
  EXPECT_EQ(3u, b.allocated_objects.load());
  EXPECT_EQ(3u * 4096, b.allocated_bytes.load());
}

TEST_F(ThreadCacheTest, EverySpanIsReleasedOnceAndTheSlotsAreEmptyAfterwards) {
  for (int i = 0; i < 20; ++i) allocate(add_class(64));
  cache_.release_all(source_);
  std::set<Span*> released;
  for (const auto& [c, span] : source_.released) EXPECT_TRUE(released.insert(span).second);
  EXPECT_EQ(std::set<Span*>(source_.spans.begin(), source_.spans.end()), released);
  for (const auto& c : classes_) {
    EXPECT_EQ(0u, owner_.slot_of(*c).limit);
    EXPECT_EQ(nullptr, owner_.slot_of(*c).span);
  }
  cache_.release_all(source_);
  EXPECT_EQ(20u, source_.released.size());
}

TEST_F(ThreadCacheTest, AnAsynchronousReleaseCountsTheRestOfTheHoleAsAllocated) {
  SpanClass& c = add_class(64);
  Span* span = source_.make(c);
  set_alloc_bits(*span, 10, 12);
  set_alloc_bits(*span, 20, 21);
  span->allocated = 3;
  source_.waiting[&c] = {span};
  for (int i = 0; i < 13; ++i) allocate(c);  // slots 0 to 9, then 12 to 14 of the hole [12, 20)
  std::vector<std::pair<SpanClass*, Span*>> pushed;
  cache_.release_all_async([&](SpanClass& pc, Span* ps) { pushed.emplace_back(&pc, ps); });
  EXPECT_EQ((std::vector<std::pair<SpanClass*, Span*>>{{&c, span}}), pushed);
  for (std::uint32_t slot = 0; slot < span->slots; ++slot) EXPECT_EQ(slot <= 20, has_alloc_bit(*span, slot)) << slot;
  EXPECT_EQ(21u, span->allocated);
  EXPECT_EQ(18u, c.allocated_objects.load());
  cache_.release_all(source_);
  EXPECT_TRUE(source_.released.empty()) << "nothing is left in the cache";
}

TEST_F(ThreadCacheTest, AnAsynchronousReleaseOfAnExhaustedSpanAddsNothing) {
  SpanClass& c = add_class(20000);  // leaves a tail behind its last slot
  const std::uint32_t slots = c.geometry.slots;
  for (std::uint32_t i = 0; i < slots; ++i) allocate(c);
  EXPECT_EQ(nullptr, cache_.allocate_in_span(c, source_, kNoBound));
  cache_.release_all_async([&](SpanClass&, Span* span) { EXPECT_EQ(slots, span->allocated); });
  EXPECT_EQ(slots, c.allocated_objects.load());
}

// The handler ran between the limit check and the cursor store of the fast path: the object is the interrupted thread's,
// and the store leaves a cursor behind in a slot without a span.
TEST_F(ThreadCacheTest, AnAllocationInterruptedByAnAsynchronousReleaseKeepsItsObject) {
  SpanClass& c = add_class(64);
  allocate(c);
  AllocSlot& slot = owner_.slot_of(c);
  const std::uintptr_t object = slot.cursor, next = object + 64;
  ASSERT_LE(next, slot.limit);
  Span* span = nullptr;
  cache_.release_all_async([&](SpanClass&, Span* pushed) { span = pushed; });
  slot.cursor = next;
  EXPECT_TRUE(has_alloc_bit(*span, span->slot_of(object)));

  std::byte* other = allocate(c);
  ASSERT_NE(nullptr, other);
  EXPECT_NE(span, pages::managed_span_of(reinterpret_cast<std::uintptr_t>(other)));
  cache_.release_all(source_);
  ASSERT_EQ(1u, source_.released.size()) << "the new span only, and once";
  EXPECT_EQ(1u, source_.released[0].second->allocated);
}

// The same, but now no span can be had at first.
TEST_F(ThreadCacheTest, ALeftoverCursorIsHarmlessWhenMemoryRunsOutAfterIt) {
  SpanClass& c = add_class(64);
  allocate(c);
  AllocSlot& slot = owner_.slot_of(c);
  const std::uintptr_t next = slot.cursor + 64;
  cache_.release_all_async([](SpanClass&, Span*) {});
  slot.cursor = next;
  source_.budget = 0;
  EXPECT_EQ(nullptr, allocate(c));
  EXPECT_EQ(nullptr, cache_.allocate_in_span(c, source_, kNoBound));
  source_.budget = 1;
  EXPECT_NE(nullptr, allocate(c));
  cache_.release_all(source_);
  EXPECT_EQ(1u, source_.released.size());
}

TEST_F(ThreadCacheTest, RunningOutIsAValueAndMemoryThatComesBackIsUsed) {
  SpanClass &c = add_class(1024), &other = add_class(1024);
  allocate(other);
  source_.budget = 2;
  EXPECT_EQ(2u * c.geometry.slots, allocate_until_exhausted(c).size());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(nullptr, allocate(c));
  EXPECT_EQ(2u, source_.released.size()) << "full spans are not kept";
  EXPECT_NE(nullptr, allocate(other)) << "another class still has room";

  Span* span = source_.released[0].second;
  span->alloc_bits()[0].store(span->alloc_bits()[0].load() & ~std::uint64_t{0b101});
  span->allocated -= 2;
  source_.waiting[&c] = {span};
  EXPECT_EQ(reinterpret_cast<std::byte*>(span->slot_address(0)), allocate(c));
  EXPECT_EQ(reinterpret_cast<std::byte*>(span->slot_address(2)), allocate(c));
  EXPECT_EQ(nullptr, allocate(c));
  source_.released.clear();
  cache_.release_all(source_);
  ASSERT_EQ(1u, source_.released.size());
  EXPECT_EQ(&other, source_.released[0].first) << "the exhausted class has nothing to give back";
}

TEST_F(ThreadCacheTest, AClassThatRanOutAndRecoveredIsReleasedLikeAnyOther) {
  SpanClass& c = add_class(1024);
  source_.budget = 1;
  allocate_until_exhausted(c);
  source_.released.clear();
  source_.budget = 1;
  EXPECT_NE(nullptr, allocate(c));
  cache_.release_all(source_);
  ASSERT_EQ(1u, source_.released.size());
  EXPECT_EQ(1u, source_.released[0].second->allocated);
}

TEST_F(ThreadCacheTest, ASpanIsLeftOnlyWhenItIsFull) {
  SpanClass& c = add_class(256);
  for (std::uint32_t i = 0; i < c.geometry.slots; ++i) allocate(c);
  EXPECT_EQ(1, source_.acquisitions);
  EXPECT_TRUE(source_.released.empty());
  allocate(c);
  EXPECT_EQ(2, source_.acquisitions);
  ASSERT_EQ(1u, source_.released.size());
  EXPECT_EQ(c.geometry.slots, source_.released[0].second->allocated);
}

TEST_F(ThreadCacheTest, AllocatingInASpanNeverGetsAnotherOne) {
  SpanClass& c = add_class(256);
  EXPECT_EQ(nullptr, cache_.allocate_in_span(c, source_, kNoBound));
  EXPECT_EQ(0, source_.acquisitions);
  allocate(c);
  for (std::uint32_t i = 1; i < c.geometry.slots; ++i) ASSERT_NE(nullptr, cache_.allocate_in_span(c, source_, kNoBound));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(nullptr, cache_.allocate_in_span(c, source_, kNoBound));
  EXPECT_EQ(1, source_.acquisitions);
  EXPECT_NE(nullptr, allocate(c));
}

TEST_F(ThreadCacheTest, ABoundOnTheHoleIsKeptAndLosesNoSlot) {
  for (const std::uint32_t most : {1u, 3u, 64u}) {
    SpanClass& c = add_class(96);
    std::set<std::byte*> objects;
    for (std::uint32_t i = 0; i < c.geometry.slots; ++i) {
      const std::size_t noted = source_.noted;
      objects.insert(allocate(c, most));
      ASSERT_LE(owner_.slot_of(c).limit - owner_.slot_of(c).begin, most * 96);
      ASSERT_EQ(owner_.slot_of(c).begin, source_.newest_hole);
      ASSERT_EQ(i % most == 0 ? std::min(most, c.geometry.slots - i) * 96 : 0, source_.noted - noted);
    }
    EXPECT_EQ(c.geometry.slots, objects.size());
    EXPECT_EQ(1u, source_.spans.size()) << "all in one span";
    cache_.release_all(source_);
    for (Span* span : std::exchange(source_.spans, {})) pages::destroy_span(span);
  }
}

TEST_F(ThreadCacheTest, TheWalkOverCachedSpansShowsTheCurrentHoles) {
  SpanClass &c = add_class(64), &full = add_class(32768);
  for (int i = 0; i < 5; ++i) allocate(c, 3);
  for (std::uint32_t i = 0; i < full.geometry.slots; ++i) allocate(full);
  std::map<Span*, std::pair<std::uint32_t, std::uint32_t>> seen;
  cache_.for_each_cached_span([&](Span& span, std::uint32_t first, std::uint32_t next) { seen[&span] = {first, next}; });
  ASSERT_EQ(2u, seen.size());
  EXPECT_EQ(std::pair(3u, 5u), seen[source_.spans[0]]) << "slots 0 to 2 were a hole of their own";
  EXPECT_EQ(std::pair(0u, full.geometry.slots), seen[source_.spans[1]]);
  EXPECT_EQ(3u, alloc_bits_set(*source_.spans[0]));
}

TEST_F(ThreadCacheTest, ATableThatCannotBeMappedIsAValueAndIsMappedOnce) {
  ThreadCache other;
  os::fail_mapping_for_testing(0);
  EXPECT_FALSE(other.initialise());
  EXPECT_TRUE(other.initialise());
  AllocSlot* slots = other.slots();
  EXPECT_TRUE(other.initialise()) << "the next owner finds it";
  EXPECT_EQ(slots, other.slots());
  EXPECT_NE(cache_.slots(), slots);
}

TEST(ThreadBlock, StartsInTheStateThatMissesEveryFastPath) {
  std::thread([] {
    EXPECT_EQ(detail::kBarrierAlways, detail::thread_block.barrier_on);
    EXPECT_EQ(nullptr, detail::thread_block.mutator);
    for (std::uint32_t i = 0; i < kMostSpanClasses; ++i) ASSERT_EQ(0u, detail::thread_block.slots[i].limit);
  }).join();
}

}  // namespace
}  // namespace lull::cache

// What the tests of thread caches share: a source of spans under the test's control, and a thread's side of a cache.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "alloc/cache/thread_cache.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"
#include "alloc/pages/span_geometry.h"
#include "alloc/pages/span_table.h"
#include "tests/alloc/support.h"

namespace lull::cache {

using detail::kMostSpanClasses;
using pages::Span;

inline constexpr std::uint32_t kNoBound = ~0u;
inline constexpr unsigned char kOldContents = 0xab;

inline bool is_filled_with(const void* at, std::size_t bytes, unsigned char value) {
  const auto* begin = static_cast<const unsigned char*>(at);
  return std::all_of(begin, begin + bytes, [=](unsigned char b) { return b == value; });
}
inline bool has_alloc_bit(Span& span, std::uint32_t slot) {
  return (span.alloc_bits()[slot / 64].load() & bit_of(slot)) != 0;
}
inline std::uint32_t alloc_bits_set(Span& span) {
  std::uint32_t set = 0;
  for (std::uint32_t w = 0; w < span.words; ++w)
    set += static_cast<std::uint32_t>(std::popcount(span.alloc_bits()[w].load()));
  return set;
}

// Pages that spans will be made of hold old contents from here on.
inline void dirty_the_page_heap(std::size_t bytes) {
  const pages::PageRun run = pages::page_heap.allocate(pages_for(bytes));
  ASSERT_TRUE(run.found);
  std::memset(reinterpret_cast<void*>(pages::address_of(run.first)), kOldContents, bytes);
  pages::page_heap.release(run.first, pages_for(bytes));
}

// First the spans that a test put in `waiting`, then as many new ones as the budget allows.
class FakeSource final : public SpanSource {
 public:
  ~FakeSource() {
    for (Span* span : spans) pages::destroy_span(span);
  }
  Span* make(SpanClass& c) {
    Span* span = pages::create_span(c.geometry, {.span_class = &c});
    spans.push_back(span);
    return span;
  }
  Span* acquire(SpanClass& c) override {
    ++acquisitions;
    if (auto& queue = waiting[&c]; !queue.empty()) {
      Span* span = queue.back();
      queue.pop_back();
      return span;
    }
    if (budget == 0) return nullptr;
    --budget;
    return make(c);
  }
  void release(SpanClass& c, Span* span) override { released.emplace_back(&c, span); }
  std::uint32_t objects_to_sample(const SpanClass&) override { return to_sample; }
  void note_hole(std::uintptr_t begin, std::size_t bytes) override {
    newest_hole = begin;
    noted += bytes;
  }

  int budget = 1000, acquisitions = 0;
  std::uintptr_t newest_hole = 0;
  std::uint32_t to_sample = ~0u;  // while sampling_round says that somebody samples
  std::size_t noted = 0;
  std::map<SpanClass*, std::vector<Span*>> waiting;
  std::vector<std::pair<SpanClass*, Span*>> released;
  std::vector<Span*> spans;  // every one made
};

// A thread's side of a cache. The tables of caches are kept for ever, as those of threads are.
class CacheOwner {
 public:
  explicit CacheOwner(SpanClass* const* by_index) {
    EXPECT_TRUE(cache.initialise());
    cache.set_classes(by_index);
  }
  AllocSlot& slot_of(const SpanClass& c) { return cache.slots()[c.index]; }

  // The fast path of lull::make, and its slow path.
  std::byte* allocate(SpanClass& c, SpanSource& source, std::uint32_t most_objects = kNoBound) {
    AllocSlot& slot = slot_of(c);
    const std::uintptr_t object = slot.cursor, next = object + c.geometry.slot_bytes;
    if (next > slot.limit) return static_cast<std::byte*>(cache.allocate_slow(c, source, most_objects));
    slot.cursor = next;
    return reinterpret_cast<std::byte*>(object);
  }

  ThreadCache cache;
};

class ThreadCacheTest : public ::testing::Test {
 protected:
  SpanClass& add_class(std::size_t slot_bytes, bool zero_slots = true) {
    return add_class_at(static_cast<std::uint32_t>(classes_.size()) + 1, slot_bytes, zero_slots);
  }
  SpanClass& add_class_at(std::uint32_t index, std::size_t slot_bytes, bool zero_slots = true) {
    classes_.push_back(std::make_unique<SpanClass>());
    SpanClass& c = *classes_.back();
    c.geometry = pages::geometry_for(slot_bytes);
    c.index = index;
    c.zero_slots = zero_slots;
    by_index_[c.index] = &c;
    return c;
  }
  std::byte* allocate(SpanClass& c, std::uint32_t most_objects = kNoBound) {
    return owner_.allocate(c, source_, most_objects);
  }
  std::vector<std::byte*> allocate_until_exhausted(SpanClass& c) {
    std::vector<std::byte*> objects;
    while (std::byte* object = allocate(c)) objects.push_back(object);
    return objects;
  }

  std::vector<std::unique_ptr<SpanClass>> classes_;
  std::vector<SpanClass*> by_index_ = std::vector<SpanClass*>(kMostSpanClasses);
  FakeSource source_;
  CacheOwner owner_{by_index_.data()};
  ThreadCache& cache_ = owner_.cache;
};

}  // namespace lull::cache

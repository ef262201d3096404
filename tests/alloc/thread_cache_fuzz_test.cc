// Thread caches beside a model that knows every object, and many of them at the same central sets.
#include "tests/alloc/thread_cache_fixture.h"

namespace lull::cache {
namespace {

// Random allocation in many classes, released in both ways, with a sweep by hand in between; beside it a model that
// knows every object.
class CacheFuzz : public ThreadCacheTest {
 protected:
  struct Object {
    SpanClass* c;
    unsigned char fill;
  };

  void allocate_some() {
    SpanClass& c = *classes_[random_() % classes_.size()];
    const std::uint32_t bounds[] = {1, 2, 7, kNoBound, kNoBound, kNoBound};
    const std::uint32_t most = bounds[random_() % std::size(bounds)];
    source_.budget = random_() % 16 == 0 ? 0 : 1000;
    for (std::uint64_t n = random_() % 30 + 1; n > 0; --n) {
      std::byte* object = allocate(c, most);
      if (object == nullptr && source_.budget == 0) return;
      ASSERT_NE(nullptr, object);
      ASSERT_TRUE(!c.zero_slots || is_filled_with(object, c.geometry.slot_bytes, 0));
      const auto fill = static_cast<unsigned char>(random_() % 255 + 1);
      ASSERT_TRUE(live_.emplace(object, Object{&c, fill}).second) << "handed out twice";
      std::memset(object, fill, c.geometry.slot_bytes);
    }
  }

  // The unused rest of every current hole, in bytes.
  std::size_t unused() {
    std::size_t rest = 0;
    for (const auto& c : classes_) rest += owner_.slot_of(*c).limit - owner_.slot_of(*c).cursor;
    return rest;
  }

  void release() {
    unused_ += unused();
    cache_.release_all(source_);
    for (const auto& [c, span] : source_.released) idle_.push_back(span);
    source_.released.clear();
    expect_bits_for_live_objects_only();
  }

  void release_async() {
    const std::size_t rest = unused();
    for (const auto& [c, span] : source_.released) idle_.push_back(span);  // full ones, left earlier
    source_.released.clear();
    std::size_t garbage = 0;
    cache_.release_all_async([&](SpanClass&, Span* span) {
      idle_.push_back(span);
      for (std::uint32_t slot = 0; slot < span->slots; ++slot)
        if (has_alloc_bit(*span, slot) && !live_.contains(object_at(*span, slot))) {
          garbage += span->slot_bytes;
          free_slot(*span, slot);
        }
    });
    ASSERT_EQ(rest, garbage);
    expect_bits_for_live_objects_only();
  }

  // Frees some objects of spans that no cache has; every such span with room serves again, empty ones go back.
  void sweep() {
    for (Span* span : std::exchange(idle_, {})) {
      for (std::uint32_t slot = 0; slot < span->slots; ++slot)
        if (has_alloc_bit(*span, slot) && random_() % 2 == 0) {
          std::byte* object = object_at(*span, slot);
          ASSERT_TRUE(is_filled_with(object, span->slot_bytes, live_.at(object).fill)) << "changed under its owner";
          live_.erase(object);
          std::memset(object, 0xdb, span->slot_bytes);
          free_slot(*span, slot);
        }
      if (span->allocated == 0) {
        std::erase(source_.spans, span);
        pages::destroy_span(span);
      } else if (span->allocated < span->slots) {
        source_.waiting[static_cast<SpanClass*>(span->owner_class)].push_back(span);
      } else {
        idle_.push_back(span);
      }
    }
  }

  void expect_counters_to_agree() {
    std::uint64_t bytes = 0;
    for (const auto& c : classes_) bytes += c->allocated_bytes.load();
    EXPECT_EQ(source_.noted, bytes + unused_);
  }

  std::mt19937_64 random_{testing::seed_of_this_run()};
  std::map<std::byte*, Object> live_;
  std::size_t unused_ = 0;  // handed out in holes and never taken

 private:
  static std::byte* object_at(const Span& span, std::uint32_t slot) {
    return reinterpret_cast<std::byte*>(span.slot_address(slot));
  }
  static void free_slot(Span& span, std::uint32_t slot) {
    span.alloc_bits()[slot / 64].fetch_and(~bit_of(slot));
    --span.allocated;
    span.needs_zero = 1;
  }

  void expect_bits_for_live_objects_only() {
    std::size_t bits = 0;
    for (Span* span : source_.spans) {
      ASSERT_EQ(span->allocated, alloc_bits_set(*span));
      bits += span->allocated;
    }
    ASSERT_EQ(live_.size(), bits);
    for (const auto& [object, what] : live_) {
      Span* span = pages::managed_span_of(reinterpret_cast<std::uintptr_t>(object));
      ASSERT_TRUE(has_alloc_bit(*span, span->slot_of(reinterpret_cast<std::uintptr_t>(object))));
    }
  }

  std::vector<Span*> idle_;  // in no cache
};

TEST_F(CacheFuzz, AgreesWithAModelThatKnowsEveryObject) {
  for (int i = 0; i < 24; ++i) add_class((random_() % (i % 4 == 0 ? 2048 : 40) + 1) * 16, i % 5 != 0);
  for (int i = 0; i < testing::scaled(6'000); ++i) {
    const std::uint64_t dice = random_() % 64;
    if (dice == 0) release();
    else if (dice == 1) release_async();
    else if (dice == 2) release(), sweep();
    else allocate_some();
    if (HasFatalFailure()) FAIL() << "at operation " << i;
  }
  release();
  expect_counters_to_agree();
}

class CacheStress : public ThreadCacheTest {};

// Threads with caches of their own share classes through the central sets. Between the rounds somebody frees half of the
// objects, as a sweep does.
class SetSource final : public SpanSource {
 public:
  explicit SetSource(std::uint32_t generation) : generation_(generation) {}
  Span* acquire(SpanClass& c) override {
    if (Span* span = c.take_partial(generation_)) return span;
    return pages::create_span(c.geometry, {.span_class = &c});
  }
  void release(SpanClass& c, Span* span) override { c.put(span, generation_); }
  void note_hole(std::uintptr_t, std::size_t) override {}

 private:
  std::uint32_t generation_;
};

TEST_F(CacheStress, ThreadsShareClassesAndNeverAnObject) {
  constexpr unsigned kThreads = 4;
  for (const std::size_t slot_bytes : {16u, 64u, 208u, 5000u / 16 * 16}) add_class(slot_bytes);
  const std::uint64_t seed = testing::seed_of_this_run();
  const int per_round = testing::scaled(20'000);
  struct Mine {
    std::byte* object;
    SpanClass* c;
  };
  std::vector<Mine> objects[kThreads];
  std::atomic<int> wrong{0};
  std::vector<std::unique_ptr<CacheOwner>> owners;
  for (unsigned t = 0; t < kThreads; ++t) owners.push_back(std::make_unique<CacheOwner>(by_index_.data()));
  const auto mark_of = [](unsigned t) { return static_cast<unsigned char>(t + 1); };

  const auto free_half = [&](std::mt19937_64& random) {
    for (unsigned t = 0; t < kThreads; ++t)
      std::erase_if(objects[t], [&](const Mine& it) {
        if (!is_filled_with(it.object, it.c->geometry.slot_bytes, mark_of(t))) wrong.fetch_add(1);
        if (random() % 2 == 0) return false;
        const auto address = reinterpret_cast<std::uintptr_t>(it.object);
        Span* span = pages::managed_span_of(address);
        if (!has_alloc_bit(*span, span->slot_of(address))) wrong.fetch_add(1);
        span->alloc_bits()[span->slot_of(address) / 64].fetch_and(~bit_of(span->slot_of(address)));
        span->needs_zero = 1;
        --span->allocated;
        return true;
      });
  };
  constexpr std::uint32_t kRounds = 6;
  std::mt19937_64 random(seed);
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    testing::run_together(kThreads, [&](unsigned t) {
      SetSource source(round);
      std::mt19937_64 dice(seed + round * kThreads + t);
      for (int i = 0; i < per_round; ++i) {
        SpanClass& c = *classes_[dice() % 16 == 0 ? 3 : dice() % 3];
        std::byte* object = owners[t]->allocate(c, source);
        if (!is_filled_with(object, c.geometry.slot_bytes, 0)) wrong.fetch_add(1);
        std::memset(object, mark_of(t), c.geometry.slot_bytes);
        objects[t].push_back({object, &c});
        if (dice() % 4096 == 0) owners[t]->cache.release_all(source);
        if (dice() % 8192 == 0)
          owners[t]->cache.release_all_async([&](SpanClass& pc, Span* span) { source.release(pc, span); });
      }
      owners[t]->cache.release_all(source);
    });
    free_half(random);
    for (const auto& c : classes_) {
      while (Span* span = c->take_partial(round)) c->put(span, round + 1);
      while (Span* span = c->take_full(round)) c->put(span, round + 1);
    }
  }
  EXPECT_EQ(0, wrong.load());
  for (const auto& c : classes_) {
    while (Span* span = c->take_partial(kRounds)) pages::destroy_span(span);
    while (Span* span = c->take_full(kRounds)) pages::destroy_span(span);
  }
}

}  // namespace
}  // namespace lull::cache

// lull/arena_pool.h: every step of the life cycle that is allowed and every one that is not, batches, references that dangle, what
// objects keep alive, and handles that other threads let go.
#include "lull/arena_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "gc/model/options.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::arena_pool;
using lull::pooled_state;
using lull::ptr;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

struct Request {
  void reset() {
    ++resets;
    text.clear();
    result = nullptr;
  }
  void trace(lull::tracer& t) const { t(result); }
  ptr<long> result;
  std::vector<int> text;
  int resets = 0;
};

TEST(ArenaPoolDeathTest, EveryOtherStepStops) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (unsigned from = 0; from < 4; ++from)
    for (unsigned to = 0; to < 4; ++to) {
      const auto step = [&] {
        lull::detail::PooledState state;
        for (unsigned s = 1; s <= from; ++s) state.advance(pooled_state(s), "requests");
        state.advance(pooled_state(to), "requests");
        return state.load();
      };
      if (to == (from + 1) % 4) EXPECT_EQ(step(), pooled_state(to));
      else EXPECT_DEATH(step(), "lull: an object of the arena pool 'requests' is .* and was about to become");
    }
}

TEST(ArenaPool, ResetsInBatchesAndKeepsCapacity) {
  arena_pool<Request> requests("requests", 4);
  std::set<Request*> seen;
  for (int i = 0; i < 3; ++i) {
    auto r = requests.get();
    seen.insert(r.get());
    r->text.resize(1000);
  }
  EXPECT_EQ(seen.size(), 3u) << "what came back was handed out before its reset";
  for (Request* r : seen) EXPECT_EQ(r->text.size(), 1000u);
  EXPECT_EQ(requests.reset_batch(1), 1u);
  EXPECT_EQ(requests.reset_batch(), 2u);
  EXPECT_EQ(requests.reset_batch(), 0u);
  for (Request* r : seen) {
    EXPECT_TRUE(r->text.empty() && r->resets == 1);
    EXPECT_GE(r->text.capacity(), 1000u);
  }
  for (int i = 0; i < 4; ++i) requests.get().release();  // the fourth fills a batch
  EXPECT_EQ(requests.reset_batch(), 0u);
}

TEST(ArenaPool, GrowsBySlabsAndHandsOutDifferentObjects) {
  arena_pool<Request> requests;
  std::vector<arena_pool<Request>::handle> held;
  std::set<Request*> seen;
  for (std::uint64_t i = 0; i < 200; ++i) {
    held.push_back(requests.get({.trace_id = i, .tenant_id = 7}));
    EXPECT_TRUE(seen.insert(held.back().get()).second);
  }
  EXPECT_EQ(held[150].tags().trace_id, 150u);
  EXPECT_EQ(requests.bound(), 200u);
  EXPECT_EQ(requests.size(), 256u);
  held.clear();
  EXPECT_EQ(requests.bound(), 0u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(requests.get()->text.size(), 0u);
  EXPECT_EQ(requests.size(), 256u);
}

TEST(ArenaPoolDeathTest, MisuseIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    arena_pool<Request> requests("requests");
    auto r = requests.get();
    auto dangling = r.ref();
    r.release();
    dangling->text.clear();
  }, "lull: use of 0x.*, which has gone back to the arena pool 'requests' since");
  EXPECT_DEATH({
    auto* requests = new arena_pool<Request>("requests");
    auto r = requests->get();
    delete requests;
  }, "lull: the arena pool 'requests' ends while 1 of its objects are bound");
  EXPECT_DEATH({
    arena_pool<Request> requests("requests");
    std::thread([&] { requests.get(); }).join();
  }, "lull: the arena pool 'requests' belongs to another thread");
}

TEST(ArenaPool, ARefIsValidForItsUseOnly) {
  arena_pool<Request> requests("requests", 1);
  auto first = requests.get();
  const auto use = first.ref();
  EXPECT_TRUE(use.is_valid() && use.get() == first.get());
  Request* object = first.get();
  first.release();
  auto second = requests.get();
  EXPECT_EQ(second.get(), object);
  EXPECT_TRUE(second.ref().is_valid());
  EXPECT_FALSE(use.is_valid());
}

[[gnu::noinline]] Hidden use(arena_pool<Request>& requests) {
  auto r = requests.get();
  r->result = lull::make<long>(42);
  return Hidden(r->result.get());
}

// The pool lives in malloc memory, and so does what leads to the object.
TEST(ArenaPool, ObjectsKeepWhatTheyReferToUntilTheyAreReset) {
  auto requests = std::make_unique<arena_pool<Request>>("requests");
  Hidden kept, returned;
  auto handle = std::make_unique<arena_pool<Request>::handle>(requests->get());
  elsewhere([&] {
    (*handle)->result = lull::make<long>(1);
    kept = Hidden((*handle)->result.get());
  });
  returned = use(*requests);
  clear_stack_below();
  lull::collect();
  EXPECT_TRUE(is_allocated(kept) && is_allocated(returned));
  requests->reset_batch();
  clear_stack_below();
  lull::collect();
  EXPECT_TRUE(is_allocated(kept));
  EXPECT_FALSE(is_allocated(returned));
}

TEST(ArenaPool, OfArenas) {
  arena_pool<lull::arena> arenas("arenas", 1);
  for (int i = 0; i < 100; ++i) {
    auto arena = arenas.get();
    EXPECT_EQ(arena->used(), 0u);
    for (int k = 0; k < 1000; ++k) arena->make<int>(k);
  }
}

// Other threads use objects and let them go while the owner goes on, under collections.
TEST(ArenaPool, HandlesComeBackFromOtherThreads) {
  lull::gc::options.stress = 100;
  arena_pool<Request> requests("requests", 8);
  std::atomic<bool> wrong{false};
  for (int round = 0; round < scaled(20) + 1; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      std::vector<arena_pool<Request>::handle> given;
      for (int i = 0; i < 50; ++i) given.push_back(requests.get());
      threads.emplace_back([&wrong, given = std::move(given)]() mutable {
        for (auto& r : given) {
          if (r->result || !r->text.empty()) wrong = true;
          r->result = lull::make<long>(1);
          r->text.push_back(1);
          r.release();
        }
      });
    }
    for (int i = 0; i < 200; ++i) {
      auto r = requests.get();
      if (r->result || !r->text.empty()) wrong = true;
      r->result = lull::make<long>(i);
    }
    for (auto& t : threads) t.join();
  }
  lull::gc::options.stress = 0;
  EXPECT_FALSE(wrong);
  EXPECT_EQ(requests.bound(), 0u);
  EXPECT_LE(requests.size(), 512u);
}

// What bound objects refer to is found by every one of these cycles.
TEST(ArenaPool, CollectingAtEveryAllocation) {
  lull::gc::options.stress = 1;
  arena_pool<Request> requests("requests", 4);
  int wrong = 0;
  for (int i = 0; i < scaled(100) + 1; ++i) {
    auto first = requests.get(), second = requests.get();
    wrong += first->result != nullptr || second->result != nullptr;
    first->result = lull::make<long>(i);
    second->result = lull::make<long>(-i);
    lull::make<long>(7);
    wrong += *first->result != i || *second->result != -i;
  }
  lull::gc::options.stress = 0;
  EXPECT_EQ(wrong, 0);
}

}  // namespace

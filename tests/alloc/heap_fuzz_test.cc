// Random calls with several heaps and malloc by several threads, against a shadow of what every heap holds: contents, owner,
// addresses, and after each round what a walk finds.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "lull/heap.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::scaled;

struct Held {
  unsigned char* block = nullptr;
  std::size_t size = 0;
  unsigned char value = 0;
};

// Blocks of malloc on their way from one thread to another.
class Exchange {
 public:
  Held swap(std::size_t place, Held held) {
    std::lock_guard guard(mutex_);
    return std::exchange(places_[place % std::size(places_)], held);
  }

 private:
  std::mutex mutex_;
  Held places_[64];
};

enum class Mappings { succeed, fail };

class Fuzzer {
 public:
  Fuzzer(std::uint64_t seed, Exchange& exchange, Mappings mappings) : random_(seed), exchange_(exchange), mappings_(mappings) {}

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) {
      if (mappings_ == Mappings::fail && random_() % 64 == 0) os::fail_mapping_for_testing(static_cast<int>(random_() % 4));
      step(heaps_[random_() % std::size(heaps_)]);
    }
    for (Shadow& shadow : heaps_) end(shadow);
  }

 private:
  struct Shadow {
    lull_heap* heap = nullptr;
    std::map<unsigned char*, Held> blocks;
  };

  std::size_t any_size() {
    const std::size_t most = random_() % 16 != 0 ? 1024 : std::size_t{1} << (random_() % (random_() % 64 == 0 ? 22 : 17));
    return random_() % (most + 1);
  }

  void step(Shadow& s) {
    if (s.heap == nullptr) s.heap = lull_heap_create(random_() % 2 ? LULL_HEAP_SHARED : 0);
    if (s.heap == nullptr) return;
    const auto choice = random_() % 1000;
    if (choice < 450) allocate(s);
    else if (choice < 700) release_any(s);
    else if (choice < 800) reallocate_any(s);
    else if (choice < 950) change_hands(s);
    else if (choice < 990) ask(s);
    else if (choice < 995) compare(s);
    else if (choice < 997) lull_heap_trim(s.heap), compare(s);
    else if (choice < 999) reset(s);
    else end(s);
  }

  void allocate(Shadow& s) {
    const std::size_t size = any_size(), alignment = random_() % 8 == 0 ? std::size_t{1} << (random_() % 15) : 0;
    const bool zeroed = alignment == 0 && random_() % 4 == 0;
    auto* block = static_cast<unsigned char*>(alignment != 0 ? lull_heap_aligned_alloc(s.heap, alignment, size)
                                              : zeroed       ? lull_heap_calloc(s.heap, 1, size)
                                                             : lull_heap_malloc(s.heap, size));
    if (block == nullptr) {
      ASSERT_EQ(Mappings::fail, mappings_);
      return;
    }
    ASSERT_TRUE(alignment == 0 || reinterpret_cast<std::uintptr_t>(block) % alignment == 0) << alignment << ' ' << size;
    for (std::size_t i = 0; zeroed && i < size; ++i) ASSERT_EQ(0, block[i]);
    enter(s, block, size);
  }

  void enter(Shadow& s, unsigned char* block, std::size_t size) {
    const auto above = s.blocks.lower_bound(block);
    ASSERT_TRUE(above == s.blocks.end() || block + lull_malloc_usable_size(block) <= above->first);
    ASSERT_TRUE(above == s.blocks.begin() || std::prev(above)->first + std::prev(above)->second.size <= block);
    const Held held{block, size, static_cast<unsigned char>(random_())};
    std::memset(block, held.value, size);
    s.blocks[block] = held;
  }
  static void check(const Held& held) {
    for (std::size_t i = 0; i < held.size; i += 1 + held.size / 500) ASSERT_EQ(held.value, held.block[i]) << "of " << held.size;
    ASSERT_TRUE(held.size == 0 || held.value == held.block[held.size - 1]);
  }
  std::optional<Held> take_any(Shadow& s) {
    if (s.blocks.empty()) return {};
    // Near a random block: cheap, and random enough.
    auto at = s.blocks.lower_bound(s.blocks.begin()->first + random_() % (1 + static_cast<std::size_t>(s.blocks.rbegin()->first - s.blocks.begin()->first)));
    if (at == s.blocks.end()) --at;
    const Held held = at->second;
    s.blocks.erase(at);
    check(held);
    return held;
  }
  void release_any(Shadow& s) {
    const std::optional<Held> held = take_any(s);
    if (!held) return;
    std::memset(held->block, 0xdd, std::min<std::size_t>(held->size, 64));
    if (random_() % 3 == 0) lull_free(held->block);
    else lull_heap_free(s.heap, held->block);
  }
  void reallocate_any(Shadow& s) {
    const std::optional<Held> held = take_any(s);
    if (!held) return;
    const std::size_t wanted = any_size() + 1;
    auto* moved = static_cast<unsigned char*>(lull_heap_realloc(s.heap, held->block, wanted));
    if (moved == nullptr) {
      ASSERT_EQ(Mappings::fail, mappings_);
      s.blocks[held->block] = *held;
      return;
    }
    for (std::size_t i = 0; i < std::min(held->size, wanted); ++i) ASSERT_EQ(held->value, moved[i]);
    enter(s, moved, std::min(wanted, lull_malloc_usable_size(moved)));
  }
  // Others get a copy: the heap might end before they free its block.
  void change_hands(Shadow& s) {
    const std::optional<Held> mine = take_any(s);
    if (!mine) return;
    auto* outside = static_cast<unsigned char*>(lull_malloc(mine->size));
    if (outside != nullptr) std::memcpy(outside, mine->block, mine->size);
    lull_free(mine->block);
    if (outside == nullptr) return;
    const Held other = exchange_.swap(random_(), {outside, mine->size, mine->value});
    if (other.block == nullptr) return;
    check(other);
    lull_free(other.block);
  }
  void ask(Shadow& s) {
    if (s.blocks.empty()) return;
    const Held& held = std::next(s.blocks.begin(), static_cast<long>(random_() % std::min<std::size_t>(s.blocks.size(), 50)))->second;
    ASSERT_EQ(s.heap, lull_heap_of(held.block + (held.size == 0 ? 0 : random_() % held.size)));
    ASSERT_GE(lull_malloc_usable_size(held.block), held.size);
    for (const Shadow& other : heaps_) ASSERT_EQ(&other == &s, lull_heap_owns(other.heap, held.block) == 1);
  }
  void compare(Shadow& s) {
    struct Seen {
      const Shadow& shadow;
      std::size_t all = 0, known = 0, bytes = 0;
    } seen{s};
    lull_heap_walk(s.heap, [](void* block, std::size_t size, void* argument) {
      Seen& so_far = *static_cast<Seen*>(argument);
      const auto at = so_far.shadow.blocks.find(static_cast<unsigned char*>(block));
      so_far.known += at != so_far.shadow.blocks.end() && at->second.size <= size;
      so_far.bytes += size;
      ++so_far.all;
      return 0;
    }, &seen);
    ASSERT_EQ(s.blocks.size(), seen.known);
    ASSERT_EQ(s.blocks.size(), seen.all);
    const lull_heap_stats stats = lull_heap_read_stats(s.heap);
    ASSERT_EQ(s.blocks.size(), stats.blocks);
    ASSERT_EQ(seen.bytes, stats.used_bytes);
    ASSERT_LE(seen.bytes, stats.held_bytes);
  }
  void check_all(Shadow& s) {
    for (const auto& [block, held] : s.blocks) check(held);
    s.blocks.clear();
  }
  void reset(Shadow& s) {
    check_all(s);
    lull_heap_reset(s.heap);
  }
  void end(Shadow& s) {
    check_all(s);
    lull_heap_destroy(std::exchange(s.heap, nullptr));
  }

  std::mt19937_64 random_;
  Exchange& exchange_;
  Mappings mappings_;
  Shadow heaps_[4];
};

void run_fuzzers(Mappings mappings) {
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  Exchange exchange;
  lull::testing::run_together(3, [&](unsigned t) { Fuzzer(seed + t, exchange, mappings).run(scaled(200'000)); });
  os::fail_mapping_for_testing(-1);
  for (std::size_t place = 0; place < 64; ++place) lull_free(exchange.swap(place, {}).block);
  lull_malloc_trim(0);
  pages::page_heap.check_invariants();
  EXPECT_EQ(0u, pages::page_heap.stats().used);
}

TEST(HeapFuzz, EveryHeapHasItsBlocksAndNoOthers) { run_fuzzers(Mappings::succeed); }
TEST(HeapFuzz, AlsoWhenMappingsFail) { run_fuzzers(Mappings::fail); }

}  // namespace
}  // namespace lull::front

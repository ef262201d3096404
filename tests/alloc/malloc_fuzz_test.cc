// Random calls of malloc's whole family by several threads against a shadow: what every block holds, and which addresses
// are taken. Blocks change hands; in the second mode mappings fail now and then.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "alloc/front/heap.h"
#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

using lull::testing::scaled;

struct Held {
  unsigned char* block = nullptr;
  std::size_t size = 0;
  std::size_t alignment = 0;  // 0: not asked for
  unsigned char value = 0;
  bool may_be_freed_with_size = true;
};

// Which addresses are whose, in full: two blocks that overlap are found when the second is entered.
class Map {
 public:
  void enter(const Held& held) {
    const auto start = reinterpret_cast<std::uintptr_t>(held.block), end = start + lull_malloc_usable_size(held.block);
    std::lock_guard guard(mutex_);
    const auto above = ends_.lower_bound(start);
    ASSERT_TRUE(above == ends_.end() || above->first >= end) << "overlaps the block above";
    ASSERT_TRUE(above == ends_.begin() || std::prev(above)->second <= start) << "overlaps the block below";
    ends_[start] = end;
  }
  void leave(const Held& held) {
    std::lock_guard guard(mutex_);
    ASSERT_EQ(1u, ends_.erase(reinterpret_cast<std::uintptr_t>(held.block)));
  }
  // Blocks on the way from one thread to another: leaves this one, takes what was there.
  Held exchange(std::size_t place, const Held& held) {
    std::lock_guard guard(mutex_);
    return std::exchange(waiting_[place % waiting_.size()], held);
  }
  void free_all() {
    for (const Held& held : waiting_) lull_free(held.block);
  }

 private:
  std::mutex mutex_;
  std::array<Held, 64> waiting_;
  std::map<std::uintptr_t, std::uintptr_t> ends_;
};

enum class Mappings { succeed, fail };

class Fuzzer {
 public:
  Fuzzer(std::uint64_t seed, Map& map, Mappings mappings) : random_(seed), map_(map), mappings_(mappings) {}

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) {
      if (mappings_ == Mappings::fail && random_() % 64 == 0) os::fail_mapping_for_testing(static_cast<int>(random_() % 4));
      step();
    }
    for (Held& held : held_) release(held);
    held_.clear();
  }

 private:
  // Small mostly; each power of two up to 2 MiB now and then.
  std::size_t any_size() {
    const std::size_t most = random_() % 16 != 0 ? 1024 : std::size_t{1} << (random_() % (random_() % 64 == 0 ? 22 : 17));
    return random_() % (most + 1);
  }
  void step() {
    const auto choice = random_() % 100;
    if (choice < 5) change_hands();
    else if (choice < 6 && random_() % 32 == 0) lull_malloc_trim(random_() % 2 * 100'000);
    else if (choice < 50 && held_.size() < 400) allocate_any();
    else if (held_.empty()) return;
    else if (choice < 65) reallocate_any();
    else release_any();
  }

  void allocate_any() {
    Held held{.size = any_size()};
    void* block = nullptr;
    switch (random_() % 5) {
      case 0: case 1: block = lull_malloc(held.size); break;
      case 2: block = allocate_and_expect_zeros(held.size); break;
      case 3: {
        held.alignment = std::size_t{1} << random_() % 15;
        block = lull_aligned_alloc(held.alignment, held.size);
        break;
      }
      default: {
        held.alignment = std::size_t{8} << random_() % 12;
        if (lull_posix_memalign(&block, held.alignment, held.size) != 0) block = nullptr;
      }
    }
    accept(held, block);
  }
  void* allocate_and_expect_zeros(std::size_t size) {
    auto* block = static_cast<unsigned char*>(lull_calloc(1, size));
    for (std::size_t i = 0; block != nullptr && i < size; ++i)
      if (block[i] != 0) ADD_FAILURE() << "calloc left " << int{block[i]} << " at " << i << " of " << size;
    return block;
  }
  void accept(Held held, void* block) {
    if (block == nullptr) {
      ASSERT_EQ(Mappings::fail, mappings_) << "out of memory with " << held.size;
      return;
    }
    held.block = static_cast<unsigned char*>(block);
    ASSERT_EQ(0u, reinterpret_cast<std::uintptr_t>(block) % std::max<std::size_t>(held.alignment, 16));
    ASSERT_GE(lull_malloc_usable_size(block), held.size);
    map_.enter(held);
    fill(held);
    held_.push_back(held);
  }

  // The first and the last bytes: all of small blocks, the ends of large ones.
  template <class Visit>
  void for_checked(const Held& held, std::size_t size, Visit&& visit) {
    const std::size_t head = std::min<std::size_t>(size, 600);
    visit(held.block, head);
    if (size > head) visit(held.block + size - std::min<std::size_t>(size - head, 64), std::min<std::size_t>(size - head, 64));
  }
  void fill(Held& held) {
    held.value = static_cast<unsigned char>(random_());
    for_checked(held, held.size, [&](unsigned char* at, std::size_t n) { std::memset(at, held.value, n); });
  }
  void check(const Held& held) {
    for_checked(held, held.size, [&](const unsigned char* at, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(held.value, at[i]) << "of a block of " << held.size;
    });
  }

  Held take_any() {
    std::swap(held_[random_() % held_.size()], held_.back());
    const Held held = held_.back();
    held_.pop_back();
    check(held);
    return held;
  }
  void reallocate_any() {
    Held held = take_any();
    const std::size_t wanted = any_size() + 1, before = held.size;
    map_.leave(held);
    void* moved = random_() % 2 ? lull_realloc(held.block, wanted) : lull_reallocarray(held.block, 1, wanted);
    if (moved != nullptr) {
      held.block = static_cast<unsigned char*>(moved);
      const std::size_t kept = std::min<std::size_t>({before, wanted, 600});
      for (std::size_t i = 0; i < kept; ++i) ASSERT_EQ(held.value, held.block[i]) << before << " -> " << wanted << " at " << i;
      held.size = wanted;
      held.alignment = 0;
      // A block that could not move to a smaller place is still the old one.
      held.may_be_freed_with_size = mappings_ == Mappings::succeed;
    } else {
      ASSERT_EQ(Mappings::fail, mappings_);
    }
    map_.enter(held);
    fill(held);
    held_.push_back(held);
  }
  void release_any() {
    Held held = take_any();
    release(held);
  }
  void release(Held& held) {
    check(held);
    map_.leave(held);
    std::memset(held.block, 0xdd, std::min<std::size_t>(held.size, 64));
    if (!held.may_be_freed_with_size || random_() % 2) lull_free(held.block);
    else if (held.alignment != 0) lull_free_aligned_sized(held.block, held.alignment, held.size);
    else lull_free_sized(held.block, held.size);
  }

  void change_hands() {
    if (held_.empty()) return;
    const Held other = map_.exchange(random_(), take_any());
    if (other.block == nullptr) return;
    check(other);
    held_.push_back(other);
  }

  std::mt19937_64 random_;
  Map& map_;
  Mappings mappings_;
  std::vector<Held> held_;
};

void run_fuzzers(Mappings mappings) {
  const std::uint64_t seed = lull::testing::seed_of_this_run();
  Map map;
  std::vector<Fuzzer> fuzzers;
  for (unsigned t = 0; t < 4; ++t) fuzzers.emplace_back(seed + t, map, mappings);
  lull::testing::run_together(4, [&](unsigned t) { fuzzers[t].run(scaled(250'000)); });
  os::fail_mapping_for_testing(-1);
  map.free_all();
  lull_malloc_trim(0);
  pages::page_heap.check_invariants();
  EXPECT_EQ(0u, pages::page_heap.stats().used);
}

TEST(MallocFuzz, EveryBlockIsItsOwnersAlone) { run_fuzzers(Mappings::succeed); }
TEST(MallocFuzz, AlsoWhenMappingsFail) { run_fuzzers(Mappings::fail); }

}  // namespace
}  // namespace lull::front

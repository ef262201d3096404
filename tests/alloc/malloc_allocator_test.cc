// lull::malloc_allocator and lull::malloc_resource(): what [allocator.requirements] and std::pmr ask of them.
#include "lull/malloc_allocator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"
#include "tests/alloc/support.h"

namespace lull {
namespace {

template <class T>
using Vector = std::vector<T, malloc_allocator<T>>;
using Traits = std::allocator_traits<malloc_allocator<int>>;

static_assert(Traits::is_always_equal::value && Traits::propagate_on_container_move_assignment::value);
static_assert(std::is_same_v<Traits::rebind_alloc<char>, malloc_allocator<char>>);
static_assert(std::is_empty_v<malloc_allocator<int>> && sizeof(Vector<int>) == sizeof(std::vector<int>));
static_assert(std::is_nothrow_default_constructible_v<malloc_allocator<int>>);
static_assert(malloc_allocator<int>() == malloc_allocator<char>() && !(malloc_allocator<int>() != malloc_allocator<int>()));

bool is_block_of_lull(const void* address) { return pages::in_heap(reinterpret_cast<std::uintptr_t>(address)); }

constinit malloc_allocator<int> static_allocator;

TEST(MallocAllocator, IsOfConstantInitialisation) {
  int* block = static_allocator.allocate(3);
  EXPECT_TRUE(is_block_of_lull(block));
  static_allocator.deallocate(block, 3);
}

TEST(MallocAllocator, ServesContainersOfEveryKind) {
  using Text = std::basic_string<char, std::char_traits<char>, malloc_allocator<char>>;
  std::map<int, Text, std::less<>, malloc_allocator<std::pair<const int, Text>>> ordered;
  std::unordered_map<int, Vector<int>, std::hash<int>, std::equal_to<>, malloc_allocator<std::pair<const int, Vector<int>>>> hashed;
  std::list<Text, malloc_allocator<Text>> list;
  for (int i = 0; i < 1000; ++i) {
    ordered.emplace(i, Text(static_cast<std::size_t>(i), 'x'));
    hashed[i % 37].push_back(i);
    list.emplace_front(static_cast<std::size_t>(i), 'y');
  }
  EXPECT_TRUE(is_block_of_lull(ordered.at(900).data()) && is_block_of_lull(hashed.at(5).data()));
  EXPECT_EQ(900u, ordered.at(900).size());
  EXPECT_EQ(28u, hashed.at(0).size());
  auto moved = std::move(list);
  moved.splice(moved.end(), list);
  EXPECT_EQ(1000u, moved.size());
}

struct alignas(64) Line {
  char bytes[64];
};
struct alignas(16384) Wide {
  char bytes[16384];
};
TEST(MallocAllocator, KeepsTheAlignmentOfOverAlignedTypes) {
  for (std::size_t n = 1; n < 1000; n += n / 3 + 1) {
    const Vector<Line> lines(n);
    EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(lines.data()) % alignof(Line));
  }
  std::list<Vector<Wide>> kept;  // so that several are there at once: one may be aligned by chance
  for (std::size_t n = 1; n < 8; ++n)
    EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(kept.emplace_back(n % 3 + 1).data()) % alignof(Wide));
}

constexpr std::size_t kLargestSmall = 32768;

template <class T>
void expect_room(std::size_t count) {
  malloc_allocator<T> allocator;
  const auto got = allocator.allocate_at_least(count);
  EXPECT_GE(got.count, count);
  const std::size_t usable = lull_malloc_usable_size(got.ptr);
  EXPECT_LE(got.count * sizeof(T), usable);
  const std::size_t spare = usable > kLargestSmall ? usable / 8 : 0;  // a large block may be an eighth longer than it had to be
  EXPECT_TRUE(alignof(T) > 16 || got.count >= (usable - spare) / sizeof(T)) << count << " of " << sizeof(T);
  allocator.deallocate(got.ptr, count);  // the standard allows any number from `count` to the one given
  const auto again = allocator.allocate_at_least(count);
  allocator.deallocate(again.ptr, again.count);
}
TEST(MallocAllocator, AtLeastGivesAllThatTheBlockHasRoomFor) {
  struct Odd { char bytes[24]; };
  for (std::size_t n = 1; n < 9000; n += n / 5 + 1) {
    expect_room<char>(n);
    expect_room<Odd>(n);
    expect_room<Line>(n);
  }
}

TEST(MallocAllocator, ThrowsWhatTheStandardSays) {
  malloc_allocator<long> allocator;
  EXPECT_THROW(static_cast<void>(allocator.allocate(~std::size_t{0} / 2)), std::bad_array_new_length);
  EXPECT_THROW(static_cast<void>(allocator.allocate_at_least(~std::size_t{0})), std::bad_array_new_length);
  EXPECT_THROW(static_cast<void>(allocator.allocate(~std::size_t{0} / 16)), std::bad_alloc);
  EXPECT_THROW(static_cast<void>(malloc_allocator<Line>().allocate(~std::size_t{0} / 128)), std::bad_alloc);
  EXPECT_THROW(static_cast<void>(malloc_resource()->allocate(~std::size_t{0} / 4)), std::bad_alloc);
}

TEST(MallocAllocator, NoElementsAreABlockToo) {
  malloc_allocator<int> allocator;
  int* a = allocator.allocate(0);
  int* b = allocator.allocate(0);
  EXPECT_NE(a, b);
  allocator.deallocate(a, 0);
  allocator.deallocate(b, 0);
}

using MallocAllocatorDeathTest = ::testing::Test;
TEST(MallocAllocatorDeathTest, AWrongNumberOfElementsStopsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ malloc_allocator<int> a; a.deallocate(a.allocate(100), 10); }, "lull: delete of 0x.* with size 40, but its block has 416 bytes");
}

TEST(MallocResource, ServesPmrContainersAndEveryAlignment) {
  std::pmr::unordered_map<int, std::pmr::string> map(malloc_resource());
  for (int i = 0; i < 1000; ++i) map[i] = std::string(static_cast<std::size_t>(i), 'z');
  EXPECT_TRUE(is_block_of_lull(map.at(999).data()));
  for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2)
    for (const std::size_t bytes : {0u, 1u, 17u, 1000u, 40'000u}) {
      void* block = malloc_resource()->allocate(bytes, alignment);
      EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(block) % alignment);
      malloc_resource()->deallocate(block, bytes, alignment);
    }
}

TEST(MallocResource, IsOneAndEqualToItsLike) {
  memory_resource other;
  EXPECT_EQ(malloc_resource(), malloc_resource());
  EXPECT_TRUE(malloc_resource()->is_equal(other));
  EXPECT_FALSE(malloc_resource()->is_equal(*std::pmr::null_memory_resource()));
}

// It was made after this container, and would be destroyed before it.
struct LivesLonger {
  std::pmr::vector<int>* vector = nullptr;
  ~LivesLonger() { delete vector; }
} lives_longer;
TEST(MallocResource, OutlivesStaticContainers) {
  lull::testing::expect_success_in_new_process([] {
    lives_longer.vector = new std::pmr::vector<int>(1000, malloc_resource());
    std::exit(0);
  });
}

}  // namespace
}  // namespace lull

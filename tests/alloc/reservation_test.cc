// The range is made once a process, so every case runs in a process of its own.
#include "alloc/pages/reservation.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fcntl.h>

#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_geometry.h"
#include "alloc/pages/span_table.h"
#include "tests/alloc/support.h"

namespace lull::pages {
namespace {

using testing::expect_success_in_new_process;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kHugePage = 2 * kMiB;

void limit_address_space(std::size_t bytes) {
  rlimit limit;
  LULL_CHILD_EXPECT(::getrlimit(RLIMIT_AS, &limit) == 0);
  limit.rlim_cur = bytes;  // the soft limit, so that it can be raised again
  LULL_CHILD_EXPECT(::setrlimit(RLIMIT_AS, &limit) == 0);
}

void expect_consistent_tables() {
  const std::size_t pages = reservation.size >> kPageShift;
  LULL_CHILD_EXPECT(reservation.on_demand ? reservation.size % (16 * kMiB) == 0 : std::has_single_bit(reservation.size));
  LULL_CHILD_EXPECT(reservation.size >= 64 * kMiB);
  LULL_CHILD_EXPECT(reservation.base % kHugePage == 0);
  LULL_CHILD_EXPECT(detail::heap_range.base == reservation.base && detail::heap_range.size == reservation.size);

  // Readable as they are; writable as far as somebody asked for.
  for (const std::size_t page : {std::size_t{0}, pages / 2, pages - 1}) {
    LULL_CHILD_EXPECT(reservation.owners[page].load() == 0 && reservation.classes[page].load() == PageClass::none);
    LULL_CHILD_EXPECT(commit_tables({static_cast<std::uint32_t>(page + 1)}));
  }
  LULL_CHILD_EXPECT(reservation.span_cells[reservation.span_cells_bytes - 1] == std::byte{0});
  LULL_CHILD_EXPECT(commit_span_cells(reservation.span_cells_bytes) && !commit_span_cells(reservation.span_cells_bytes + 1));
  struct Table { void* at; std::size_t bytes, alignment; };
  const Table tables[] = {{reservation.owners, pages * 4, 4},
                          {reservation.classes, pages, 1},
                          {detail::heap_range.cards, reservation.size >> detail::kCardShift, 1},
                          {reservation.span_cells, reservation.span_cells_bytes, kCellBytes},
                          {reinterpret_cast<void*>(reservation.base), reservation.size, kHugePage}};
  // Nobody can write over their ends.
  const auto is_writable = [](const void* at) {
    const int null = ::open("/dev/zero", O_RDONLY);
    const bool done = ::read(null, const_cast<void*>(at), 1) == 1;
    ::close(null);
    return done;
  };
  LULL_CHILD_EXPECT(is_writable(reservation.owners) && !is_writable(reinterpret_cast<std::byte*>(reservation.owners) - 1));
  LULL_CHILD_EXPECT(!is_writable(reservation.span_cells + reservation.span_cells_bytes));
  for (const Table& table : tables) {
    const auto from = reinterpret_cast<std::uintptr_t>(table.at), to = from + table.bytes;
    LULL_CHILD_EXPECT(from % table.alignment == 0);
    for (const Table& other : tables) {
      const auto begin = reinterpret_cast<std::uintptr_t>(other.at);
      LULL_CHILD_EXPECT(&table == &other || to <= begin || begin + other.bytes <= from);
    }
    if (&table == std::end(tables) - 1) break;  // the heap itself is not committed
    auto* bytes = static_cast<volatile std::uint8_t*>(table.at);
    for (const std::size_t at : {std::size_t{0}, table.bytes / 2, table.bytes - 1}) {
      LULL_CHILD_EXPECT(bytes[at] == 0);
      bytes[at] = 0xff;
      bytes[at] = 0;
    }
  }
}

// Pages, spans, and room for the rest of the program: two threads and 8 MiB.
void expect_working_heap() {
  const PageRun run = page_heap.allocate({300});
  LULL_CHILD_EXPECT(run.found && run.zero);
  std::memset(reinterpret_cast<void*>(address_of(run.first)), 1, PageCount{300}.bytes());
  page_heap.release(run.first, {300});
  Span* span = create_span(geometry_for(48), {});
  LULL_CHILD_EXPECT(span != nullptr && managed_span_of(span->base + 100) == span);
  destroy_span(span);
  page_heap.check_invariants();

  void* room = os::map(8 * kMiB);
  LULL_CHILD_EXPECT(room != nullptr);
  pthread_t threads[2];
  const auto nothing = [](void*) -> void* { return nullptr; };
  for (pthread_t& thread : threads) LULL_CHILD_EXPECT(pthread_create(&thread, nullptr, nothing, nullptr) == 0);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  os::unmap(room, 8 * kMiB);
}

TEST(ReservationDeathTest, IsAlignedAmpleAndItsTablesAreDisjoint) {
  expect_success_in_new_process([] {
    LULL_CHILD_EXPECT(reserve_heap());
    if (!testing::kSanitized) LULL_CHILD_EXPECT(reservation.size >= 64 * 1024 * kMiB);
    expect_consistent_tables();
    expect_working_heap();
  });
}

TEST(ReservationDeathTest, CostsNoMemoryUntilItIsUsed) {
  expect_success_in_new_process([] {
    const std::size_t before = testing::resident_bytes();
    LULL_CHILD_EXPECT(reserve_heap());
    LULL_CHILD_EXPECT(testing::resident_bytes() < before + 2 * kMiB);
  });
}

TEST(ReservationDeathTest, IsMadeOnceWhoeverAsks) {
  expect_success_in_new_process([] {
    std::uintptr_t seen[4] = {};
    testing::run_together(4, [&](unsigned t) {
      LULL_CHILD_EXPECT(reserve_heap());
      seen[t] = reservation.base;
    });
    for (const std::uintptr_t base : seen) LULL_CHILD_EXPECT(base != 0 && base == seen[0]);
    LULL_CHILD_EXPECT(reserve_heap() && reservation.base == seen[0]);
  });
}

TEST(ReservationDeathTest, PagesAndAddressesTranslateBothWays) {
  expect_success_in_new_process([] {
    LULL_CHILD_EXPECT(!in_heap(0) && !in_heap(~std::uintptr_t{0}));  // nothing is ours before there is a heap
    LULL_CHILD_EXPECT(reserve_heap());
    const std::uintptr_t base = reservation.base, end = base + reservation.size;
    const auto last = static_cast<std::uint32_t>((reservation.size >> kPageShift) - 1);
    LULL_CHILD_EXPECT(in_heap(base) && in_heap(end - 1));
    LULL_CHILD_EXPECT(!in_heap(base - 1) && !in_heap(end) && !in_heap(0) && !in_heap(~std::uintptr_t{0}));
    for (const std::uint32_t page : {0u, 1u, last / 2, last}) {
      const std::uintptr_t address = address_of({page});
      LULL_CHILD_EXPECT(page_of(address).value == page && page_of(address + kPageSize - 1).value == page);
    }
    LULL_CHILD_EXPECT(address_of({0}) == base && address_of({last}) == end - kPageSize);
    LULL_CHILD_EXPECT(detail::heap_range.contains(base) && !detail::heap_range.contains(end));
  });
}

class UnderALimit : public ::testing::Test {
 protected:
  void SetUp() override {
    if (testing::kSanitized) GTEST_SKIP() << "a sanitizer needs its own address space";
  }
};
using UnderALimitDeathTest = UnderALimit;

// The tables of the whole range, 17 GB, used to be writable at once: under strict overcommit each process was charged them.
TEST_F(UnderALimitDeathTest, OfWritableMemoryTheRangeIsAsLargeAsEver) {
  expect_success_in_new_process([] {
    rlimit limit{64 * kMiB, RLIM_INFINITY};
    LULL_CHILD_EXPECT(::setrlimit(RLIMIT_DATA, &limit) == 0);
    LULL_CHILD_EXPECT(reserve_heap());
    LULL_CHILD_EXPECT(reservation.size >= 64 * 1024 * kMiB);
    const PageRun run = page_heap.allocate({2000});
    LULL_CHILD_EXPECT(run.found && create_span(geometry_for(48), {}) != nullptr);
  });
}

TEST_F(UnderALimitDeathTest, OfSixHundredMegabytesTheHeapStillWorks) {
  expect_success_in_new_process([] {
    limit_address_space(600 * kMiB);
    LULL_CHILD_EXPECT(reserve_heap());
    LULL_CHILD_EXPECT(reservation.on_demand && reservation.size > 580 * kMiB);
    expect_consistent_tables();
    expect_working_heap();
  });
}

// Under `ulimit -v 1126400` (1100 MB) the largest range that fitted left 3 MB: no thread could be started any more, not even
// the collector's own.
TEST_F(UnderALimitDeathTest, OfAnySizeTheHeapLeavesRoomForThreads) {
  for (std::size_t limit = 130; limit < 1400; limit += 45) {
    SCOPED_TRACE(limit);
    expect_success_in_new_process([&] {
      limit_address_space(limit * kMiB);
      LULL_CHILD_EXPECT(reserve_heap());
      expect_working_heap();
    });
  }
}

// The heap used to reserve its range at once, the largest power of two that fitted: half of the limit or less was out of reach.
TEST_F(UnderALimitDeathTest, NearlyAllOfItCanBeHad) {
  for (const std::size_t limit : {200u, 256u, 600u, 1000u, 1100u, 2100u, 5000u}) {
    SCOPED_TRACE(limit);
    expect_success_in_new_process([&] {
      limit_address_space(limit * kMiB);
      const std::size_t others = testing::mapped_bytes();
      std::size_t got = 0;
      for (const std::uint32_t pages : {256u, 1u})
        while (page_heap.allocate({pages}).found) got += PageCount{pages}.bytes();
      LULL_CHILD_EXPECT(got >= limit * kMiB * 85 / 100 && got + others < limit * kMiB);
      page_heap.check_invariants();
      void* room = os::map(limit * kMiB / 40);
      LULL_CHILD_EXPECT(room != nullptr);  // is left for others
    });
  }
}

TEST_F(UnderALimitDeathTest, TheHeapTakesNoMoreThanItUses) {
  expect_success_in_new_process([] {
    limit_address_space(1000 * kMiB);
    LULL_CHILD_EXPECT(page_heap.allocate({1}).found);
    LULL_CHILD_EXPECT(os::map(800 * kMiB) != nullptr);
    std::size_t got = 0;
    while (page_heap.allocate({256}).found) got += 2 * kMiB;
    LULL_CHILD_EXPECT(got > 50 * kMiB && got < 200 * kMiB);
  });
}

TEST_F(UnderALimitDeathTest, AMappingOfSomebodyElseEndsTheHeap) {
  expect_success_in_new_process([] {
    limit_address_space(1000 * kMiB);
    const PageRun first = page_heap.allocate({1});
    LULL_CHILD_EXPECT(first.found);
    auto* wall = reinterpret_cast<void*>(reservation.base + 100 * kMiB);
    LULL_CHILD_EXPECT(os::map_at(wall, kPageSize));
    std::memset(wall, 0x77, kPageSize);
    std::size_t got = 0;
    while (page_heap.allocate({256}).found) got += 2 * kMiB;
    LULL_CHILD_EXPECT(got >= 80 * kMiB && got <= 100 * kMiB);
    LULL_CHILD_EXPECT(std::all_of(static_cast<char*>(wall), static_cast<char*>(wall) + kPageSize, [](char c) { return c == 0x77; }));
    page_heap.release(first.first, {1});
    LULL_CHILD_EXPECT(page_heap.allocate({1}).found);
    page_heap.check_invariants();
  });
}

TEST_F(UnderALimitDeathTest, AFailureWhileTheHeapGrowsLosesNothing) {
  for (int n = 0; n < 12; ++n)
    expect_success_in_new_process([&] {
      limit_address_space(1000 * kMiB);
      os::fail_mapping_for_testing(n, true);
      for (int i = 0; i < 3; ++i) static_cast<void>(page_heap.allocate({300}).found);
      os::fail_mapping_for_testing(-1);
      expect_working_heap();
    });
}

TEST_F(UnderALimitDeathTest, TooSmallForAnyHeapFailsCleanlyAndCanBeTriedAgain) {
  expect_success_in_new_process([] {
    const std::size_t before = testing::mapped_bytes();
    for (const std::size_t room : {std::size_t{0}, 64 * kMiB / 1024, 128 * kMiB / 1024}) {
      limit_address_space(before + room);
      LULL_CHILD_EXPECT(!reserve_heap());
      LULL_CHILD_EXPECT(reservation.size == 0 && detail::heap_range.size == 0 && reservation.classes == nullptr);
      LULL_CHILD_EXPECT(!page_heap.allocate({1}).found);
      LULL_CHILD_EXPECT(testing::mapped_bytes() == before);
    }
    limit_address_space(before + 24 * kMiB);
    LULL_CHILD_EXPECT(reserve_heap());
    const PageRun run = page_heap.allocate({1});
    LULL_CHILD_EXPECT(run.found);
    page_heap.release(run.first, {1});
  });
}

// The mappings of an attempt: range, tables, probe for what is left.
TEST(ReservationDeathTest, IsHalvedWhenAnyOfItsMappingsIsRefused) {
  const std::size_t least = std::size_t{1} << 36, most = std::size_t{1} << 42;
  const std::size_t usual = std::clamp(std::bit_ceil(os::physical_memory() * 8), least, most);
  for (const int refused : {-1, 0, 1, 2}) {
    SCOPED_TRACE(refused);
    expect_success_in_new_process([&] {
      const std::size_t before = testing::mapped_bytes();
      os::fail_mapping_for_testing(refused);
      LULL_CHILD_EXPECT(reserve_heap());
      LULL_CHILD_EXPECT(reservation.size == (refused < 0 ? usual : usual / 2));
      const std::size_t tables = reservation.size / kPageSize * 6 + reservation.size / 512 + reservation.span_cells_bytes;
      const bool nothing_else = testing::mapped_bytes() - before <= reservation.size + tables + kMiB;
      LULL_CHILD_EXPECT(nothing_else || testing::kSanitized);
      expect_consistent_tables();
      expect_working_heap();
    });
  }
}

}  // namespace
}  // namespace lull::pages

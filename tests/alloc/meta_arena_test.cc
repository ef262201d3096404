#include "alloc/os/meta_arena.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "alloc/os/lock.h"
#include "alloc/os/vm.h"
#include "tests/alloc/support.h"

namespace lull::os {
namespace {

// Everything handed out so far: start -> end.
class Records {
 public:
  void add(void* at, std::size_t bytes) {
    ASSERT_NE(nullptr, at);
    const auto start = reinterpret_cast<std::uintptr_t>(at);
    ASSERT_EQ(0u, start % 64);
    const auto* begin = static_cast<const std::byte*>(at);
    ASSERT_TRUE(std::all_of(begin, begin + bytes, [](std::byte b) { return b == std::byte{0}; }));
    std::memset(at, 0xff, bytes);
    const auto next = ends_.lower_bound(start);
    ASSERT_TRUE(next == ends_.end() || start + bytes <= next->first);
    ASSERT_TRUE(next == ends_.begin() || std::prev(next)->second <= start);
    ends_[start] = start + bytes;
  }

 private:
  std::map<std::uintptr_t, std::uintptr_t> ends_;
};

TEST(MetaArena, RecordsAreZeroAlignedAndDisjoint) {
  Records records;
  std::mt19937_64 random(testing::seed_of_this_run());
  for (int i = 0; i < 3000; ++i) {
    const std::size_t bytes = random() % 100 == 0 ? random() % (600 * 1024) + 1 : random() % 500 + 1;
    ASSERT_NO_FATAL_FAILURE(records.add(allocate_meta(bytes), bytes));
  }
}

TEST(MetaArena, ThreadsGetDisjointRecords) {
  constexpr unsigned kThreads = 4;
  const int each = testing::scaled(60'000);
  std::vector<std::uintptr_t> records[kThreads];
  testing::run_together(kThreads, [&](unsigned t) {
    for (int i = 0; i < each; ++i) records[t].push_back(reinterpret_cast<std::uintptr_t>(allocate_meta(64)));
  });
  std::vector<std::uintptr_t> all;
  for (const auto& some : records) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  EXPECT_NE(0u, all.front());
  for (std::size_t i = 1; i < all.size(); ++i) ASSERT_GE(all[i] - all[i - 1], 64u);
}

TEST(MetaArena, WhatIsMappedIsCountedAndCoversWhatIsHandedOut) {
  const std::size_t before = meta_bytes();
  for (int i = 0; i < 100; ++i) ASSERT_NE(nullptr, allocate_meta(64 * 1024));
  const std::size_t grown = meta_bytes() - before;
  EXPECT_GE(grown + 256 * 1024, 100u * 64 * 1024);
  EXPECT_LE(grown, 101u * 64 * 1024 + 256 * 1024);
}

TEST(MetaArena, RunningOutIsAValueAndNothingIsLostByIt) {
  while (allocate_meta(64) != nullptr) fail_mapping_for_testing(0);  // until the current chunk is used up
  const std::size_t before = meta_bytes();
  fail_mapping_for_testing(0, true);
  EXPECT_EQ(nullptr, allocate_meta(64));
  EXPECT_EQ(nullptr, allocate_meta(std::size_t{1} << 20));
  fail_mapping_for_testing(-1);
  EXPECT_EQ(before, meta_bytes());
  Records records;
  records.add(allocate_meta(64), 64);
  records.add(allocate_meta(std::size_t{1} << 20), std::size_t{1} << 20);
}

TEST(MetaArena, TheChildOfAForkCanAllocateThoughOthersWereAtIt) {
  std::atomic<bool> done{false};
  std::thread busy([&] {
    while (!done.load()) static_cast<void>(allocate_meta(64));
  });
  for (int i = 0; i < 10; ++i) {
    meta_lock_for_fork().lock_across_fork();
    const auto child = testing::run_in_child([] {
      ::alarm(20);
      meta_lock_for_fork().unlock_across_fork();
      LULL_CHILD_EXPECT(allocate_meta(64) != nullptr);
    });
    meta_lock_for_fork().unlock_across_fork();
    EXPECT_TRUE(child.exited_well()) << child.errors;
  }
  done.store(true);
  busy.join();
}

}  // namespace
}  // namespace lull::os

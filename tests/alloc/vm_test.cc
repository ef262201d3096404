#include "alloc/os/vm.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

#include "tests/alloc/support.h"

namespace lull::os {
namespace {

constexpr std::size_t kBytes = std::size_t{1} << 20;
constexpr std::size_t kHugePage = std::size_t{1} << 21;

bool is_zero(const void* at, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(at);
  return std::all_of(begin, begin + bytes, [](std::byte b) { return b == std::byte{0}; });
}

bool is_mapped(std::uintptr_t page) {
  unsigned char resident;
  return ::mincore(reinterpret_cast<void*>(page), 4096, &resident) == 0;
}

class Vm : public ::testing::Test {
 protected:
  ~Vm() override { fail_mapping_for_testing(-1); }
};
using VmDeathTest = Vm;

TEST_F(Vm, AReservationIsAlignedAndExactlyAsLargeAsAskedFor) {
  for (int round = 0; round < 8; ++round) {
    const std::size_t before = testing::mapped_bytes();
    void* at = reserve(kBytes + 4096, kHugePage);
    ASSERT_NE(nullptr, at);
    EXPECT_EQ(0u, reinterpret_cast<std::uintptr_t>(at) % kHugePage);
    if (!testing::kSanitized) {
      EXPECT_EQ(before + kBytes + 4096, testing::mapped_bytes());
    }
    const auto start = reinterpret_cast<std::uintptr_t>(at);
    for (std::size_t offset = 0; offset < kBytes + 4096; offset += 4096) ASSERT_TRUE(is_mapped(start + offset));
    unmap(at, kBytes + 4096);
  }
}

TEST_F(VmDeathTest, ReservedMemoryCannotBeTouchedBeforeItIsCommitted) {
  auto* at = static_cast<volatile char*>(reserve(kBytes, 4096));
  ASSERT_NE(nullptr, at);
  EXPECT_DEATH(at[0] = 1, "");
}

TEST_F(Vm, CommittedMemoryIsZeroAndWritable) {
  auto* at = static_cast<char*>(reserve(kBytes, kHugePage));
  ASSERT_TRUE(commit(at + 8192, 8192));
  EXPECT_TRUE(is_zero(at + 8192, 8192));
  std::memset(at + 8192, 0x5a, 8192);
  EXPECT_TRUE(commit(at + 8192, 8192)) << "committing twice does no harm";
  EXPECT_EQ(0x5a, at[8192]);
  unmap(at, kBytes);
}

TEST_F(Vm, MappedMemoryIsZeroAndWritable) {
  auto* at = static_cast<char*>(map(kBytes));
  ASSERT_NE(nullptr, at);
  EXPECT_TRUE(is_zero(at, kBytes));
  std::memset(at, 1, kBytes);
  unmap(at, kBytes);
  EXPECT_FALSE(is_mapped(reinterpret_cast<std::uintptr_t>(at)));
}

TEST_F(Vm, PurgedMemoryReadsAsZeroAndItsNeighboursKeepTheirContents) {
  auto* at = static_cast<char*>(map(kBytes));
  std::memset(at, 0x77, kBytes);
  purge(at + 8192, 16384);
  EXPECT_TRUE(is_zero(at + 8192, 16384));
  for (const std::size_t offset : {std::size_t{0}, std::size_t{8191}, std::size_t{8192 + 16384}, kBytes - 1})
    EXPECT_EQ(0x77, at[offset]) << offset;
  at[8192] = 1;
  EXPECT_EQ(1, at[8192]) << "still committed";
  unmap(at, kBytes);
}

TEST_F(Vm, PurgingGivesTheMemoryBackToTheSystem) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "the shadow stays resident";
  constexpr std::size_t kMuch = std::size_t{32} << 20;
  void* at = map(kMuch);
  std::memset(at, 1, kMuch);
  const std::size_t before = testing::resident_bytes();
  purge(at, kMuch);
  EXPECT_LE(testing::resident_bytes() + kMuch * 9 / 10, before);
  unmap(at, kMuch);
}

TEST_F(Vm, PurgingWhatTheSystemRefusesSaysSo) {
  void* at = map(kBytes);
  unmap(at, kBytes);
  errno = 42;
  EXPECT_FALSE(purge(at, kBytes));
  EXPECT_EQ(42, errno);
}

// The plain request is refused then.
TEST_F(Vm, LockedMemoryIsPurgedOrLeftAsItIs) {
  auto* at = static_cast<char*>(map(kBytes));
  if (::mlock(at, 1) != 0) GTEST_SKIP() << "no memory may be locked";
  at[0] = 1;
  EXPECT_EQ(purge(at, kBytes) ? 0 : 1, at[0]);
  unmap(at, kBytes);
}

TEST_F(Vm, WhatCannotBeHadIsAValueAndErrnoIsKept) {
  errno = EXDEV;
  EXPECT_EQ(nullptr, reserve(std::size_t{1} << 60, kHugePage));
  EXPECT_EQ(nullptr, map(std::size_t{1} << 60));
  void* at = map(kBytes);
  unmap(at, kBytes);
  EXPECT_FALSE(commit(at, kBytes));
  EXPECT_EQ(EXDEV, errno);
}

TEST_F(Vm, PhysicalMemoryIsAPlausibleNumberOfPages) {
  EXPECT_GE(physical_memory(), std::size_t{64} << 20);
  EXPECT_LE(physical_memory(), std::size_t{1} << 50);
  EXPECT_EQ(0u, physical_memory() % 4096);
}

// One of each, in this order: reserve, commit, map. True where it worked.
std::vector<bool> try_all() {
  static void* reserved = reserve(kBytes, 4096);
  std::vector<bool> worked;
  void* first = reserve(kBytes, 4096);
  worked.push_back(first != nullptr);
  worked.push_back(commit(reserved, kBytes));
  void* second = map(kBytes);
  worked.push_back(second != nullptr);
  if (first != nullptr) unmap(first, kBytes);
  if (second != nullptr) unmap(second, kBytes);
  return worked;
}

TEST_F(Vm, AnInjectedFaultHitsTheNthMappingOnly) {
  const std::vector<bool> all(3, true);
  EXPECT_EQ(all, try_all());
  for (int n = 0; n < 3; ++n) {
    fail_mapping_for_testing(n);
    std::vector<bool> expected = all;
    expected[static_cast<std::size_t>(n)] = false;
    EXPECT_EQ(expected, try_all()) << n;
    EXPECT_EQ(all, try_all()) << n;
  }
}

TEST_F(Vm, AStickyFaultHitsEveryMappingFromTheNthOn) {
  EXPECT_EQ(std::vector<bool>(3, true), try_all());
  for (int n = 0; n < 3; ++n) {
    fail_mapping_for_testing(n, true);
    std::vector<bool> expected(3, false);
    std::fill_n(expected.begin(), n, true);
    EXPECT_EQ(expected, try_all()) << n;
    EXPECT_EQ(std::vector<bool>(3, false), try_all()) << n;
    fail_mapping_for_testing(-1);
    EXPECT_EQ(std::vector<bool>(3, true), try_all()) << n;
  }
}

TEST_F(Vm, GivingMemoryBackNeverFails) {
  void* at = map(kBytes);
  fail_mapping_for_testing(0, true);
  purge(at, kBytes);
  unmap(at, kBytes);
  EXPECT_EQ(nullptr, map(kBytes)) << "purge and unmap do not count as mappings";
}

TEST_F(Vm, OneFaultHitsOneOfManyThreads) {
  constexpr unsigned kThreads = 4;
  fail_mapping_for_testing(50);
  std::atomic<int> failed{0};
  testing::run_together(kThreads, [&](unsigned) {
    for (int i = 0; i < 100; ++i) {
      void* at = map(4096);
      if (at == nullptr) failed.fetch_add(1);
      else unmap(at, 4096);
    }
  });
  EXPECT_EQ(1, failed.load());
}

}  // namespace
}  // namespace lull::os

#include "alloc/pages/huge_pages.h"

#include <cerrno>

#include "alloc/os/huge_pages.h"
#include "tests/alloc/huge_pages_support.h"
#include "tests/alloc/page_heap_pages.h"

namespace lull::pages {
namespace {

constexpr std::size_t kChunkBytes = PageCount{kChunkPages}.bytes(), kSystemPage = 4096;

TEST(HugePageMode, IsTheWordInBrackets) {
  EXPECT_EQ(os::HugePageMode::always, os::parse_huge_page_mode("[always] madvise never\n"));
  EXPECT_EQ(os::HugePageMode::madvise, os::parse_huge_page_mode("always [madvise] never\n"));
  EXPECT_EQ(os::HugePageMode::never, os::parse_huge_page_mode("always madvise [never]\n"));
  EXPECT_EQ(os::HugePageMode::unknown, os::parse_huge_page_mode(""));
}

TEST(HugePageMode, MissingPagesAreThoseNeverTouchedOrPurged) {
  auto* at = static_cast<char*>(os::map(64 * kSystemPage));
  EXPECT_EQ(64u, os::missing_pages(at, 64 * kSystemPage));
  for (const std::size_t page : {0u, 7u, 63u}) at[page * kSystemPage] = 1;
  EXPECT_EQ(61u, os::missing_pages(at, 64 * kSystemPage));
  os::purge(at, kSystemPage);
  EXPECT_EQ(62u, os::missing_pages(at, 64 * kSystemPage));
  os::unmap(at, 64 * kSystemPage);
}

class HugePages : public PageHeapTest {
 protected:
  void SetUp() override {
    set_huge_pages(true);
    if (!testing::huge_pages_work(kChunkBytes)) GTEST_SKIP() << "no huge pages on this machine";
    huge_before_ = testing::huge_bytes();
  }
  // A chunk of one's own, touched.
  static Pages dense_chunk() {
    const Pages chunk = *take(kChunkPages);
    stamp(chunk, chunk.first);
    return chunk;
  }
  static void settle(unsigned ticks) {
    for (unsigned i = 0; i < ticks; ++i) page_heap.tick();
  }
  static void make_huge() {
    while (make_dense_chunks_huge() && page_heap.find_dense({0}).found) {
    }
  }
  std::size_t made_huge() const { return testing::huge_bytes() - huge_before_; }

 private:
  std::size_t huge_before_ = 0;
};

TEST_F(HugePages, ComeWhereAChunkIsDenseAndLivesOnAndSplitNoMapping) {
  std::vector<Pages> chunks;
  for (int i = 0; i < 6; ++i) chunks.push_back(dense_chunk());
  const std::size_t before = testing::mappings();
  for (const int i : {1, 3, 5}) give(chunks[static_cast<std::size_t>(i)]);
  settle(kSettledTicks - 1);
  make_huge();
  EXPECT_EQ(0u, page_heap.stats().huge);
  EXPECT_TRUE(make_dense_chunks_huge()) << "they may be ripe later";
  for (const int i : {1, 3, 5}) chunks[static_cast<std::size_t>(i)] = dense_chunk();  // taken now: young
  settle(1);
  make_huge();
  EXPECT_EQ(3 * kChunkBytes, page_heap.stats().huge);
  EXPECT_EQ(3 * kChunkBytes, made_huge());
  EXPECT_EQ(before, testing::mappings());
  for (const Pages& chunk : chunks) EXPECT_TRUE(has_stamp(chunk, chunk.first));
  settle(kSettledTicks);
  make_huge();
  EXPECT_EQ(6 * kChunkBytes, made_huge());
  EXPECT_FALSE(make_dense_chunks_huge()) << "nothing is left to do";
  for (const Pages& chunk : chunks) give(chunk);
  page_heap.purge(0, kAll);
  EXPECT_EQ(0u, made_huge());
  EXPECT_EQ(0u, page_heap.stats().huge);
}

TEST_F(HugePages, TakeNoMemoryThatTheProgramHasNotTouched) {
  const Pages chunk = dense_chunk();
  os::purge(chunk.memory() + 77 * kSystemPage, kSystemPage);
  const std::size_t missing = os::missing_pages(chunk.memory(), kChunkBytes);
  settle(kSettledTicks);
  make_huge();
  EXPECT_EQ(0u, made_huge());
  EXPECT_EQ(missing, os::missing_pages(chunk.memory(), kChunkBytes));
  chunk.memory()[77 * kSystemPage] = std::byte{1};
  settle(2 * kSettledTicks - 1);
  make_huge();
  EXPECT_EQ(0u, made_huge()) << "looked at in vain: the next look comes after twice the time";
  settle(1);
  make_huge();
  EXPECT_EQ(kChunkBytes, made_huge());
  give(chunk);
}

TEST_F(HugePages, AreLeftAloneAfterFiveLooksUntilPagesChangeHands) {
  const Pages chunk = dense_chunk(), beside = *take(1);
  os::purge(chunk.memory(), kSystemPage);
  for (std::uint8_t i = 0; i < kMostAttempts; ++i) {
    EXPECT_TRUE(make_dense_chunks_huge()) << unsigned{i};
    settle(ticks_until_huge(i));
    EXPECT_TRUE(page_heap.find_dense({0}).found) << unsigned{i};
    make_huge();
  }
  EXPECT_FALSE(make_dense_chunks_huge()) << "the purger may sleep";
  settle(10 * ticks_until_huge(kMostAttempts));
  EXPECT_FALSE(page_heap.find_dense({0}).found);
  page_heap.release(chunk.index(), {1});
  ASSERT_TRUE(page_heap.take(chunk.index(), {1}));
  EXPECT_TRUE(make_dense_chunks_huge());
  give(chunk);
  give(beside);
}

TEST_F(HugePages, BreakWhereAPartGoesBackAndThatPartIsFree) {
  const Pages chunk = dense_chunk();
  settle(kSettledTicks);
  make_huge();
  ASSERT_EQ(kChunkBytes, made_huge());
  page_heap.release({chunk.first + 10}, {20});
  page_heap.purge(0, kAll);
  EXPECT_EQ(0u, made_huge());
  EXPECT_EQ(0u, page_heap.stats().huge);
  EXPECT_EQ(PageCount{20}.bytes() / kSystemPage, os::missing_pages(chunk.memory(), kChunkBytes));
  EXPECT_TRUE(has_stamp({chunk.first, 10}, chunk.first));
  EXPECT_TRUE(has_stamp({chunk.first + 30, kChunkPages - 30}, chunk.first));
  ASSERT_TRUE(page_heap.take({chunk.first + 10}, {20}));
  EXPECT_TRUE(is_zero({chunk.first + 10, 20}));
  stamp({chunk.first + 10, 20}, chunk.first);
  settle(kSettledTicks);
  make_huge();
  EXPECT_EQ(0u, made_huge()) << "what broke waits longer";
  settle(kSettledTicks);
  make_huge();
  EXPECT_EQ(kChunkBytes, made_huge());
  give(chunk);
}

// As the purger does for blocks inside of spans.
TEST_F(HugePages, BreakWhereARangeInsideASpanGoesBackAlsoAcrossChunks) {
  const Pages chunks = *take(3 * kChunkPages);
  stamp(chunks, 1);
  settle(kSettledTicks);
  make_huge();
  ASSERT_EQ(3 * kChunkBytes, made_huge());
  purge_range(address_of(chunks.index()) + kChunkBytes - 2 * kSystemPage, 5 * kSystemPage);
  EXPECT_EQ(kChunkBytes, made_huge());
  EXPECT_EQ(kChunkBytes, page_heap.stats().huge);
  EXPECT_EQ(2u, os::missing_pages(chunks.memory(), kChunkBytes));
  EXPECT_EQ(3u, os::missing_pages(chunks.memory() + kChunkBytes, kChunkBytes));
  give(chunks);
}

TEST_F(HugePages, LeaveMemoryThatIsFilledAgainAndAgain) {
  const Pages young = dense_chunk(), old = dense_chunk();
  for (unsigned tick = 0; tick < 3 * kSettledTicks; ++tick) {
    for (std::uint32_t span = 0; span < 4; ++span) page_heap.note_refilled({young.first + span * 2});
    if (tick % 2 == 0) page_heap.note_refilled({old.first + tick});
    settle(1);
  }
  make_huge();
  EXPECT_EQ(kChunkBytes, made_huge());
  EXPECT_TRUE(make_dense_chunks_huge()) << "it may grow old";
  settle(3 * kSettledTicks);
  make_huge();
  EXPECT_EQ(2 * kChunkBytes, made_huge());
  give(young);
  give(old);
}

TEST_F(HugePages, ComeOnlyWhereTheyAreWanted) {
  const Pages chunk = dense_chunk();
  settle(kSettledTicks);
  set_huge_pages(false);
  EXPECT_FALSE(make_dense_chunks_huge());
  EXPECT_EQ(0u, made_huge());
  give(chunk);
}

TEST_F(HugePages, LeaveWhatAForkedChildShares) {
  const Pages chunk = dense_chunk();
  settle(kSettledTicks);
  page_heap.refuse_huge_after_fork();
  make_huge();
  EXPECT_EQ(0u, made_huge());
  give(chunk);
}

TEST(HugePagesDeathTest, EnvironmentSwitchesThemOff) {
  testing::expect_success_in_new_process([] {
    ::setenv("LULL_HUGE_PAGES", "0", 1);
    LULL_CHILD_EXPECT(!huge_pages_wanted());
    set_huge_pages(true);
    LULL_CHILD_EXPECT(huge_pages_wanted());
  });
}

}  // namespace
}  // namespace lull::pages

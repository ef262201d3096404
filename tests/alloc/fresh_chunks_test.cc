// Fresh chunks of a heap that serves malloc alone get their memory as a huge page (alloc/pages/huge_pages.h).
#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "alloc/front/fork_gate.h"
#include "alloc/os/huge_pages.h"
#include "alloc/pages/huge_pages.h"
#include "alloc/pages/memory_limit.h"
#include "tests/alloc/huge_pages_support.h"
#include "tests/alloc/page_heap_pages.h"

namespace lull::pages {
namespace {

constexpr std::size_t kChunkBytes = PageCount{kChunkPages}.bytes(), kSystemPage = 4096;
constexpr std::uint32_t kSpan = 2;  // pages

std::size_t missing(std::uint32_t chunk) { return os::missing_pages(Pages{chunk * kChunkPages, 1}.memory(), kChunkBytes); }

// 32 MiB are taken and untouched, so that the next chunk is worth filling. Every case in a process of its own: the decision is made once.
class FreshChunks : public ::testing::Test {
 protected:
  void SetUp() override {
    set_huge_pages(true);
    if (os::huge_page_mode() != os::HugePageMode::madvise || !testing::huge_pages_work(kChunkBytes)) GTEST_SKIP() << "no huge pages on this machine";
    if (!is_about_slow_ones_) never_slow_for_testing();
    heap_ = *take(kHeapWorthFilling.value);
    chunk_ = page_heap_end_of_used();
  }
  ~FreshChunks() override {
    if (heap_.count != 0) give(heap_);
    page_heap.check_invariants();
    EXPECT_EQ(0u, page_heap.stats().used) << "the test keeps pages";
  }
  // The chunk that the next small run comes from.
  static std::uint32_t page_heap_end_of_used() { return (kHeapWorthFilling.value + kChunkPages - 1) / kChunkPages; }

  Pages heap_;
  std::uint32_t chunk_ = 0;
  bool is_about_slow_ones_ = false;
};

class SlowFreshChunks : public FreshChunks {
 protected:
  SlowFreshChunks() { is_about_slow_ones_ = true; }
};

TEST_F(FreshChunks, ComeAsOneHugePageAndSplitNoMapping) {
  const std::size_t huge = testing::huge_bytes(), dirty = page_heap.dirty_bytes();
  const Pages first = *take(kSpan);
  ASSERT_EQ(chunk_, first.first / kChunkPages);
  EXPECT_EQ(0u, missing(chunk_));
  EXPECT_EQ(huge + kChunkBytes, testing::huge_bytes());
  EXPECT_EQ(kChunkBytes, page_heap.stats().huge);
  EXPECT_EQ(dirty + kChunkBytes - first.length().bytes(), page_heap.dirty_bytes()) << "what has memory can be given back";
  const std::size_t before = testing::mappings();
  std::vector<Pages> more;
  bool zero = false;
  for (std::uint32_t taken = kSpan; taken < 3 * kChunkPages; taken += kSpan) {
    more.push_back(*take(kSpan, &zero));
    EXPECT_TRUE(zero);
    EXPECT_TRUE(is_zero(more.back()));
    stamp(more.back(), taken);
  }
  page_heap.check_invariants();
  EXPECT_EQ(huge + 3 * kChunkBytes, testing::huge_bytes());
  EXPECT_EQ(before, testing::mappings());
  EXPECT_EQ(0u, testing::mappings_with_flag("hg"));
  EXPECT_EQ(dirty, page_heap.dirty_bytes());
  for (const Pages& run : more) give(run);
  give(first);
}

TEST_F(FreshChunks, GoBackWithWhatNobodyTook) {
  const Pages first = *take(kSpan), second = *take(kSpan);
  stamp(first, 1), stamp(second, 2);
  EXPECT_EQ(kChunkBytes - 2 * first.length().bytes(), page_heap.purge(0, kAll));
  EXPECT_EQ(0u, page_heap.dirty_bytes());
  EXPECT_EQ((kChunkPages - 2 * kSpan) * kPageSize / kSystemPage, missing(chunk_));
  EXPECT_EQ(0u, page_heap.stats().huge);
  EXPECT_TRUE(has_stamp(first, 1) && has_stamp(second, 2));
  bool zero = false;
  const Pages third = *take(kSpan, &zero);
  EXPECT_TRUE(zero) << "purged";
  EXPECT_TRUE(is_zero(third));
  EXPECT_EQ((kChunkPages - 3 * kSpan) * kPageSize / kSystemPage, missing(chunk_)) << "the chunk is no longer fresh";
  page_heap.check_invariants();
  for (const Pages& run : {first, second, third}) give(run);
}

// A page that was used and released is not zero, whatever its neighbours are.
TEST_F(FreshChunks, KnowTheirZerosUntilTheyAreUsed) {
  const Pages first = *take(kSpan);
  stamp(first, 1);
  give(first);
  page_heap.check_invariants();
  bool zero = true;
  const Pages again = *take(kSpan, &zero), beyond = *take(kSpan);
  EXPECT_EQ(first.first, again.first);
  EXPECT_FALSE(zero);
  give(again);
  give(beyond);
  page_heap.purge(0, kAll);
  EXPECT_EQ(kChunkBytes / kSystemPage, missing(chunk_));
  const Pages anew = *take(kSpan, &zero);
  EXPECT_TRUE(zero);
  EXPECT_EQ(0u, missing(chunk_)) << "wholly purged, it is fresh again";
  give(anew);
}

TEST_F(FreshChunks, PurgedInPartKeepTheirCounts) {
  const Pages first = *take(kSpan);
  EXPECT_EQ(3 * kPageSize, page_heap.purge(0, 3 * kPageSize));
  page_heap.check_invariants();
  bool zero = true;
  const Pages second = *take(kSpan, &zero);
  EXPECT_TRUE(is_zero(second) || !zero);
  page_heap.purge(0, kAll);
  EXPECT_EQ(0u, page_heap.dirty_bytes());
  give(first);
  give(second);
}

TEST_F(FreshChunks, AreLeftAloneForLongRuns) {
  const Pages large = *take(9);
  EXPECT_EQ(kChunkBytes / kSystemPage, missing(chunk_));
  const Pages small = *take(kSpan);
  EXPECT_EQ(kChunkBytes / kSystemPage, missing(chunk_)) << "somebody has pages of it";
  give(large);
  give(small);
}

TEST_F(FreshChunks, AreLeftAloneInASmallHeap) {
  page_heap.release({heap_.first + heap_.count - kChunkPages}, {kChunkPages});
  heap_.count -= kChunkPages;
  const Pages small = *take(kSpan);
  EXPECT_EQ(kChunkBytes / kSystemPage, missing(small.first / kChunkPages));
  give(small);
}

TEST_F(FreshChunks, AreLeftAloneNearTheMemoryLimit) {
  set_memory_limit(kHeapWorthFilling.bytes() + kChunkBytes);
  const Pages one = *take(1), small = *take(kSpan);
  EXPECT_GE(missing(chunk_), kChunkBytes / kSystemPage - 2);
  set_memory_limit(0);
  give(one);
  give(small);
}

// A virtual machine's host may have to find the memory first, and takes longer for it than the page faults that are saved.
TEST_F(SlowFreshChunks, AreFollowedByOnesThatAreLeftAlone) {
  note_fill(true, 999'999);
  EXPECT_EQ(0u, fresh_chunks_left_alone());
  for (const std::uint32_t many : {2u, 4u, 8u, 16u, 32u, 64u, 128u, 256u, 256u}) {
    note_fill(many != 32, many == 32 ? 1 : 1'500'000);
    EXPECT_EQ(many, fresh_chunks_left_alone());
  }
  note_fill(true, 1);
  note_fill(false, 1);
  EXPECT_EQ(2u, fresh_chunks_left_alone());
  std::vector<Pages> spans;
  for (std::uint32_t i = 0; i < 3 * kChunkPages / kSpan; ++i) spans.push_back(*take(kSpan));
  EXPECT_EQ(kChunkBytes / kSystemPage, missing(chunk_));
  EXPECT_EQ(kChunkBytes / kSystemPage, missing(chunk_ + 1));
  EXPECT_EQ(0u, missing(chunk_ + 2));  // slow or not
  for (const Pages& run : spans) give(run);
}

TEST_F(FreshChunks, AreLeftAloneBesideTheCollectorAndWhenNotWanted) {
  for (void (*refuse)() : {+[] { leave_fresh_chunks(); }, +[] { set_huge_pages(false); }}) {
    refuse();
    const Pages small = *take(kSpan);
    EXPECT_EQ(kChunkBytes / kSystemPage, missing(chunk_));
    give(small);
  }
}

// The range is marked once chunks are filled: dense ones become huge all the same.
TEST_F(FreshChunks, BesideThemDenseOnesBecomeHuge) {
  const Pages first = *take(kSpan);
  const Pages dense = *take(kChunkPages);
  stamp(dense, 7);
  for (unsigned i = 0; i < kSettledTicks; ++i) page_heap.tick();
  const std::size_t before = testing::mappings(), huge = testing::huge_bytes();
  while (make_dense_chunks_huge() && page_heap.find_dense({0}).found) {
  }
  EXPECT_EQ(huge + kChunkBytes, testing::huge_bytes());
  EXPECT_EQ(before, testing::mappings());
  EXPECT_TRUE(has_stamp(dense, 7));
  give(first);
  give(dense);
}

TEST_F(FreshChunks, AreFilledBesideThreadsThatUseThem) {
  std::atomic<bool> bad{false};
  std::vector<std::thread> threads;
  for (std::uint64_t id = 1; id <= 4; ++id)
    threads.emplace_back([id, &bad] {
      for (int round = 0; round < 20; ++round) {
        std::vector<Pages> mine;
        bool zero = false;
        for (int i = 0; i < 200; ++i) {
          mine.push_back(*take(kSpan, &zero));
          if (zero && !is_zero(mine.back())) bad = true;
          stamp(mine.back(), id);
        }
        for (const Pages& run : mine) {
          if (!has_stamp(run, id)) bad = true;
          give(run);
        }
        if (id == 1) page_heap.purge(0, kAll);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(bad);
}

// Idle since it was committed, the rest of the chunk would go back at the next tick.
TEST_F(FreshChunks, AreNotIdleWhenTheyAreFilled) {
  constexpr unsigned kTicks = 5;
  const Pages neighbour = *take(kChunkPages);  // the heap has the chunk behind it by now
  for (unsigned i = 0; i < kTicks; ++i) page_heap.tick();
  const Pages first = *take(kSpan);
  ASSERT_EQ(0u, missing(first.first / kChunkPages));
  EXPECT_EQ(0u, page_heap.purge(kTicks, kAll));
  EXPECT_EQ(kChunkBytes - first.length().bytes(), page_heap.purge(0, kAll));
  give(first), give(neighbour);
}

TEST_F(FreshChunks, HaveMemoryThatIsTakenBeforeParkedRuns) {
  const Pages first = *take(kSpan), parked = *take(kSpan);
  page_heap.park(parked.index(), parked.length());
  const Pages next = *take(kSpan);
  EXPECT_EQ(parked.first + kSpan, next.first);
  const PageRun again = page_heap.allocate({kSpan}, {1}, Placement::parked);
  EXPECT_EQ(parked.first, again.first.value) << "still aside";
  for (const Pages& run : {first, parked, next}) give(run);
}

// What fill_fresh_chunk() does, and another thread between the touch and the note.
TEST_F(FreshChunks, AreNotTakenForHugeWhenAPartWasPurgedMeanwhile) {
  leave_fresh_chunks();
  ASSERT_TRUE(os::forbid_huge_pages(Pages{chunk_ * kChunkPages, 1}.memory(), kChunkBytes));
  const Pages first = *take(kSpan), second = *take(kSpan);
  ASSERT_EQ(chunk_, first.first / kChunkPages);
  const std::size_t huge = page_heap.stats().huge;
  {
    PageHeap::MakingHuge making({chunk_ * kChunkPages});
    ASSERT_TRUE(os::touch_huge(Pages{chunk_ * kChunkPages, 1}.memory(), kChunkBytes));
    stamp(second, 2);
    give(second);
    EXPECT_EQ(second.length().bytes(), page_heap.purge(0, kAll));
    making.note_filled();
  }
  page_heap.check_invariants();
  EXPECT_EQ(huge, page_heap.stats().huge);
  EXPECT_EQ(kChunkBytes - first.length().bytes(), page_heap.dirty_bytes());
  {
    PageHeap::MakingHuge making({chunk_ * kChunkPages});
    EXPECT_NE(0u, page_heap.purge(0, kSystemPage * 2));
    making.note_collapsed(true);
  }
  EXPECT_EQ(huge, page_heap.stats().huge);
  page_heap.purge(0, kAll);
  EXPECT_EQ(kChunkBytes - first.length().bytes(), missing(chunk_) * kSystemPage);
  give(first);
}

class ForkedPages : public FreshChunks {
 protected:
  ForkedPages() { front::install_fork_handlers(); }
  // In how many of the children `is_wrong` holds, while another thread does `work` all the time.
  template <class Work, class Wrong>
  static int count_children(int children, Work&& work, Wrong&& is_wrong) {
    std::atomic<bool> stop{false};
    std::thread other([&] {
      while (!stop) work();
    });
    int wrong = 0;
    for (int i = 0; i < children; ++i) {
      const pid_t child = fork();
      if (child == 0) _exit(is_wrong() ? 1 : 0);
      int status = 0;
      waitpid(child, &status, 0);
      wrong += status != 0;
    }
    stop = true;
    other.join();
    return wrong;
  }
};

TEST_F(ForkedPages, AreNotInUseForEverThatAnotherThreadGivesBack) {
  leave_fresh_chunks();
  const std::uint64_t used = page_heap.stats().used;
  std::atomic<bool> purging{false};
  const auto purge = [&] {
    const Pages run = *take(200);
    stamp(run, 1);
    give(run);
    purging = true;
    page_heap.purge(0, kAll);
    purging = false;
  };
  EXPECT_EQ(0, count_children(300, purge, [&] { return purging && page_heap.stats().used > used; }));
}

TEST_F(ForkedPages, KeepNoFlagOfAMappingThatAnotherThreadHasSet) {
  const Pages first = *take(kSpan), dense = *take(kChunkPages);
  stamp(dense, 7);
  const auto collapse = [&] {
    {
      PageHeap::MakingHuge making(dense.index());
      making.note_collapsed(os::collapse_forbidden(dense.memory(), kChunkBytes));
    }
    os::purge(dense.memory(), kChunkBytes);
    stamp(dense, 7);
  };
  EXPECT_EQ(0, count_children(100, collapse, [] { return testing::mappings_with_flag("hg") != 0; }));
  give(first), give(dense);
}

}  // namespace
}  // namespace lull::pages

#include "alloc/pages/fresh_pages.h"

#include "alloc/os/huge_pages.h"
#include "alloc/pages/memory_limit.h"
#include "tests/alloc/page_heap_pages.h"

namespace lull::pages {
namespace {

constexpr std::uint32_t kPiece = kFreshPiece.value, kSmall = kHeapWorthPieces.value;

bool is_there(std::uint32_t page) { return os::missing_pages(reinterpret_cast<void*>(address_of({page})), kPageSize) == 0; }

bool kernel_can_populate() {
  void* at = os::map(kPageSize);
  os::populate(at, kPageSize);
  const bool can = os::missing_pages(at, kPageSize) == 0;
  os::unmap(at, kPageSize);
  return can;
}

// The heap is free; what lies behind a run of kSmall pages was never touched or is purged.
class FreshPages : public PageHeapTest {
 protected:
  void SetUp() override {
    if (!kernel_can_populate()) GTEST_SKIP() << "no MADV_POPULATE_WRITE";
    forget_frontier_for_testing();
    below_ = take(kSmall);
    ASSERT_TRUE(below_);
    ASSERT_EQ(0u, below_->first);
    // What an earlier case asked for and did not use.
    const Pages rest{kSmall, page_heap.end().value - kSmall};
    if (rest.count != 0) os::purge(rest.memory(), rest.length().bytes());
  }
  void TearDown() override {
    if (below_) give(*below_);
  }
  Pages take_and_ask(std::uint32_t n) {
    const auto run = take(n);
    ask_for_fresh(run->index(), run->length());
    return *run;
  }

 private:
  std::optional<Pages> below_;
};

TEST_F(FreshPages, AreAskedForAPieceAtATime) {
  const Pages first = take_and_ask(2);
  EXPECT_TRUE(is_there(first.first) && is_there(first.first + kPiece - 1));
  EXPECT_FALSE(is_there(first.first + kPiece));
  const Pages second = take_and_ask(kPiece - 2);  // within the piece
  EXPECT_FALSE(is_there(first.first + kPiece));
  const Pages third = take_and_ask(1);
  EXPECT_TRUE(is_there(third.first) && is_there(third.first + kPiece - 1));
  EXPECT_FALSE(is_there(third.first + kPiece));
  for (const Pages& run : {first, second, third}) give(run);
}

TEST_F(FreshPages, OfALongSpanAreAllAskedFor) {
  const Pages run = take_and_ask(kPiece + 3);
  EXPECT_TRUE(is_there(run.first) && is_there(run.first + kPiece + 2));
  EXPECT_FALSE(is_there(run.first + kPiece + 3));
  give(run);
}

TEST_F(FreshPages, BehindAGapAreAskedForFromTheSpanOn) {
  const Pages first = take_and_ask(1);
  const auto gap = take(3 * kPiece);  // a large block, say
  const Pages second = take_and_ask(1);
  EXPECT_FALSE(is_there(gap->first + 2 * kPiece));
  EXPECT_TRUE(is_there(second.first) && is_there(second.first + kPiece - 1));
  for (const Pages& run : {first, *gap, second}) give(run);
}

TEST_F(FreshPages, ThatWerePurgedComeBackOneByOne) {
  give(take_and_ask(kPiece));
  page_heap.purge(0, kAll);
  const Pages again = take_and_ask(2);
  EXPECT_FALSE(is_there(again.first));
  give(again);
}

TEST_F(FreshPages, KeepWhatIsInThem) {
  const auto others = take(kPiece);
  stamp(*others, 7);
  ask_for_fresh(others->index(), {1});
  EXPECT_TRUE(has_stamp(*others, 7));
  give(*others);
}

TEST_F(FreshPages, OfASmallHeapAreNotAskedFor) {
  ask_for_fresh({kSmall - 1}, {1});
  EXPECT_FALSE(is_there(kSmall));
}

TEST_F(FreshPages, NearTheMemoryLimitAreNotAskedFor) {
  const std::size_t before = set_memory_limit(PageCount{kSmall}.bytes());
  const Pages run = take_and_ask(1);
  EXPECT_TRUE(memory_is_short());
  EXPECT_FALSE(is_there(run.first));
  give(run);
  set_memory_limit(before);
}

}  // namespace
}  // namespace lull::pages

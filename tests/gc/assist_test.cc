// gc/mark/assist.h: what a thread owes for what it allocates while the heap is marked, and who pays it. Nothing is grey here, so
// that nobody scans: only the books are looked at.
#include "gc/mark/assist.h"

#include <gtest/gtest.h>

#include "gc/mutator/runtime_section.h"
#include "lull/lull.h"

namespace lull::gc {
namespace {

constexpr std::int64_t kKiB = 1024;

class Assist : public testing::Test {
 protected:
  Assist() {
    set_gc_percent(-1);
    attach_thread();
    self().assist_debt = 0;
    self().nap_due = false;
  }
  ~Assist() override {
    assists.ratio = 0;
    assists.credit = 0;
    self().assist_debt = 0;
    self().nap_due = false;
    self().handed_bytes = 0;
  }
  // Has `bytes` handed out, and pays for them.
  void allocate(std::int64_t bytes) {
    RuntimeSection section(self());
    self().handed_bytes = static_cast<std::uint64_t>(bytes);
    assist(self());
    EXPECT_EQ(self().handed_bytes, 0u);
  }
  std::int64_t debt() { return self().assist_debt; }
};

TEST_F(Assist, SmallDebtsWaitThoughThereIsCredit) {
  assists.ratio = 2;
  assists.credit = 100 * kKiB;
  allocate(3 * kKiB);
  EXPECT_EQ(debt(), 6 * kKiB);
  EXPECT_EQ(assists.credit.load(), 100 * kKiB);
}

TEST_F(Assist, CreditIsDrawnOnce) {
  assists.ratio = 2;
  assists.credit = 50 * kKiB;
  allocate(20 * kKiB);
  EXPECT_EQ(debt(), 0);
  EXPECT_EQ(assists.credit.load(), 10 * kKiB);
  allocate(20 * kKiB);  // of what there is, all
  EXPECT_EQ(debt(), 30 * kKiB);
  EXPECT_EQ(assists.credit.load(), 0);
  EXPECT_FALSE(self().nap_due);
}

TEST_F(Assist, WhoOwesTheMostThereCanBeNapsAndOwesNoMore) {
  assists.ratio = 1;
  for (int i = 0; i < 10; ++i) allocate(600 * kKiB);
  EXPECT_EQ(debt(), 1024 * kKiB);
  EXPECT_TRUE(self().nap_due);
  assists.credit = 2000 * kKiB;
  allocate(8 * kKiB);
  EXPECT_EQ(debt(), 0);
  EXPECT_FALSE(self().nap_due);
}

TEST_F(Assist, DebtsAreForgivenWhereNobodyIsToAssist) {
  assists.ratio = 1;
  allocate(600 * kKiB);
  assists.ratio = 0;
  allocate(8);
  EXPECT_EQ(debt(), 0);
}

}  // namespace
}  // namespace lull::gc

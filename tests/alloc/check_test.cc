#include "alloc/base/check.h"

#include "tests/alloc/support.h"

namespace lull {
namespace {

using testing::run_in_child;

TEST(Check, FatalWritesOneLineAndAborts) {
  const auto child = run_in_child([] { fatal("%s has %d pages", "span", 7); });
  EXPECT_EQ("lull: span has 7 pages\n", child.errors);
  EXPECT_TRUE(child.aborted());
}

TEST(Check, ALongMessageIsCutAndStaysOneLine) {
  for (const std::size_t length : {400u, 503u, 504u, 505u, 506u, 507u, 2000u}) {
    const std::string message(length, 'x');
    const auto child = run_in_child([&] { fatal("%s", message.c_str()); });
    EXPECT_TRUE(child.aborted());
    ASSERT_LE(child.errors.size(), 512u);
    EXPECT_EQ("lull: " + message.substr(0, child.errors.size() - 7) + "\n", child.errors) << length;
    EXPECT_GE(child.errors.size(), std::min<std::size_t>(length + 7, 505)) << length;
  }
}

TEST(Check, AFailedCheckNamesItsMessageAndItsCondition) {
  const auto child = run_in_child([] {
    const int pages = 3;
    LULL_CHECK(pages == 4, "page heap: lost a page");
  });
  EXPECT_EQ("lull: page heap: lost a page (pages == 4)\n", child.errors);
  EXPECT_TRUE(child.aborted());
}

TEST(Check, AConditionThatHoldsIsEvaluatedOnce) {
  int evaluations = 0;
  LULL_CHECK(++evaluations == 1, "evaluated twice");
  EXPECT_EQ(1, evaluations);
}

TEST(Check, DebugChecksStopDebugBuildsAndCostReleaseBuildsNothing) {
  const auto child = run_in_child([] {
    [[maybe_unused]] int evaluations = 0;
    LULL_DCHECK(++evaluations > 1, "debug only");
    if (evaluations != 0) ::_exit(1);
  });
#if LULL_DEBUG_CHECKS
  EXPECT_TRUE(child.aborted());
  EXPECT_EQ("lull: debug only (++evaluations > 1)\n", child.errors);
#else
  EXPECT_TRUE(child.exited_well());
#endif
}

TEST(Check, FatalWorksWhenNothingCanBeMapped) {
  if (testing::kSanitized) GTEST_SKIP() << "a sanitizer maps memory of its own";
  const auto child = run_in_child([] {
    const rlimit nothing{1, 1};
    ::setrlimit(RLIMIT_AS, &nothing);
    fatal("out of luck: %u", 5u);
  });
  EXPECT_EQ("lull: out of luck: 5\n", child.errors);
  EXPECT_TRUE(child.aborted());
}

}  // namespace
}  // namespace lull

// Misuse of lull/lull_c.h stops the process with one line.
#include <gtest/gtest.h>

#include <cstring>

#include "lull/lull_c.h"
#include "lull/thread.h"

namespace {

TEST(CMisuseDeathTest, AKindThatWasNotDescribed) {
  static lull_kind kind;
  EXPECT_EQ(lull_new(&kind), nullptr);  // zero bytes out of an empty hole: the fast path asks no more
  EXPECT_DEATH(lull_new_bytes(&kind, 10), "before lull_kind_init");
}

TEST(CMisuseDeathTest, TheWrongAllocationForAKind) {
  static lull_kind fixed, variable;
  lull_kind_info info{};
  info.name = "thing";
  info.bytes = 16;
  info.scan = LULL_CONSERVATIVE;
  ASSERT_EQ(lull_kind_init(&fixed, &info), 0);
  info.variable = 1;
  ASSERT_EQ(lull_kind_init(&variable, &info), 0);
  EXPECT_DEATH(lull_new(&variable), "kind thing: lull_new of a kind of variable size");
  EXPECT_DEATH(lull_new_bytes(&fixed, 16), "kind thing: lull_new_bytes of a kind of fixed size");
  EXPECT_DEATH(lull_enable_finalizer(lull_new(&fixed)), "kind thing has no finalize function");
}

TEST(CMisuse, AWayOfScanningThatThereIsNotIsRefused) {
  static lull_kind kind;
  lull_kind_info info{};
  info.name = "thing";
  info.bytes = 16;
  const int unknown = LULL_CONSERVATIVE + 1;
  static_assert(sizeof unknown == sizeof info.scan);
  std::memcpy(&info.scan, &unknown, sizeof unknown);
  EXPECT_EQ(lull_kind_init(&kind, &info), -1);
}

TEST(CMisuseDeathTest, AFinalizerThatEntersAndDoesNotLeave) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    static lull_kind kind;
    lull_kind_info info{};
    info.name = "thing";
    info.bytes = 16;
    info.scan = LULL_NO_POINTERS;
    info.finalize = [](void*) { lull_enter_native(); };
    lull_kind_init(&kind, &info);
    for (int i = 0; i < 100; ++i) lull_enable_finalizer(lull_new(&kind));
    lull_collect();
    lull_wait_for_finalizers();
  }, "a destructor or callback entered a blocking region");
}

TEST(CMisuseDeathTest, ClosingNoLibrary) {
  EXPECT_DEATH(lull_close_library(nullptr, nullptr), "close_library: no library");
}

TEST(CMisuseDeathTest, DetachingInABlockingRegion) {
  lull_attach_thread();
  EXPECT_DEATH({
    const lull::blocking_region region;
    lull::detach_thread();
  }, "lull::detach_thread: in a blocking region");
}

TEST(CMisuseDeathTest, LeavingWhatWasNotEntered) {
  lull_attach_thread();
  EXPECT_DEATH(lull_leave_native(), "in no native region");
}

TEST(CMisuseDeathTest, DetachingWithFrames) {
  lull_attach_thread();
  LULL_FRAME(v, 1);
  EXPECT_DEATH(lull_detach_thread(), "the thread has frames");
  LULL_END_FRAME(v);
}

TEST(CMisuseDeathTest, RemovingRootsThatWereNotAdded) {
  EXPECT_DEATH(lull_remove_roots([](void*, lull_tracer*) {}, nullptr), "no such roots");
}

TEST(CMisuseDeathTest, EnablingAFinalizerOfNoObject) {
  lull_attach_thread();
  int local = 0;
  EXPECT_DEATH(lull_enable_finalizer(&local), "is no object");
}

}  // namespace

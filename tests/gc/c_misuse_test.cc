// Misuse of lull/lull_c.h stops the process with one line.
#include <gtest/gtest.h>

#include "lull/lull_c.h"

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

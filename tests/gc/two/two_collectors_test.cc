// Two libraries of one process, each with a collector of its own. What gcc makes of types is one for both, so the second would allocate by the
// first one's tables.
#include <dlfcn.h>
#include <gtest/gtest.h>

namespace {

int use(const char* library) {
  void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return -1;
  const auto use_collector = reinterpret_cast<int (*)()>(::dlsym(handle, "use_collector"));
  return use_collector == nullptr ? -2 : use_collector();
}

using TwoCollectorsDeathTest = ::testing::Test;

TEST(TwoCollectors, OneIsWell) { EXPECT_EQ(1000, use(LULL_TEST_COLLECTOR_1)); }

TEST(TwoCollectorsDeathTest, TheSecondSaysSoAndStops) {
  EXPECT_DEATH({
    use(LULL_TEST_COLLECTOR_1);
    use(LULL_TEST_COLLECTOR_2);
  }, "lull: two collectors in one process");
}

}  // namespace

// What the environment may say (gc/model/options.h).
#include "gc/model/options.h"

#include <gtest/gtest.h>

namespace lull::gc {
namespace {

TEST(GcOptions, NogenTurnsYoungCyclesOff) {
  Options options;
  EXPECT_EQ(options.generational, 1);
  EXPECT_TRUE(parse_debug_options("nogen", options));
  EXPECT_EQ(options.generational, 0);
  EXPECT_TRUE(parse_debug_options("verify,nogen=0", options));
  EXPECT_EQ(options.generational, 1);
  EXPECT_EQ(options.verify, 1);
  EXPECT_FALSE(parse_debug_options("nogenx", options));
}

}  // namespace
}  // namespace lull::gc

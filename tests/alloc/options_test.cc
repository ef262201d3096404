// LULL_MALLOC: what is understood, and that nothing in it can do harm.
#include "alloc/front/options.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/alloc/support.h"

namespace lull::front {
namespace {

MallocOptions parsed(const char* text, bool understood = true) {
  MallocOptions options;
  EXPECT_EQ(understood, parse_malloc_options(text, options)) << text;
  return options;
}

TEST(MallocOptions, AreOffByDefaultAndSetByNameOrValue) {
  EXPECT_EQ(0, parsed("").secure);
  EXPECT_EQ(0, parsed("").guard);
  EXPECT_EQ(1, parsed("secure").secure);
  EXPECT_EQ(0, parsed("secure").guard);
  EXPECT_EQ(100, parsed("guard").guard);
  EXPECT_EQ(17, parsed("guard=17").guard);
  EXPECT_EQ(1, parsed("guard=17,secure").secure);
  EXPECT_EQ(17, parsed("guard=17,secure").guard);
  EXPECT_EQ(0, parsed("secure,secure=0").secure) << "the last one wins";
  EXPECT_EQ(1, parsed(",,secure,,").secure);
}

TEST(MallocOptions, WhatIsNotUnderstoodHasNoEffectAndTheRestHas) {
  for (const char* text : {"sekure", "secure=2", "secure=", "secure=-1", "secure=yes", "guard=99999999999", "guard=12345678901234567890123",
                           "guard=0x10", "guard= 1", "=", "=1", " secure", "SECURE", "secure=1=1", "secures", "secur"}) {
    const MallocOptions options = parsed(text, false);
    EXPECT_EQ(0, options.secure) << text;
    EXPECT_EQ(0, options.guard) << text;
    const std::string longer = std::string(text) + ",guard=3";
    EXPECT_EQ(3, parsed(longer.c_str(), false).guard) << longer;
  }
}

TEST(MallocOptions, AnyTextIsTolerated) {
  std::mt19937_64 random(lull::testing::seed_of_this_run());
  const std::string pieces[] = {"secure", "guard", "=", ",", "1", "999", "-", " ", "\x01", "\xff", "%s%n", "\n"};
  for (int i = 0; i < lull::testing::scaled(100'000); ++i) {
    std::string text;
    for (std::size_t n = random() % 20; n > 0; --n)
      text += random() % 3 == 0 ? std::string(1, static_cast<char>(random() % 255 + 1)) : pieces[random() % std::size(pieces)];
    MallocOptions options;
    parse_malloc_options(text.c_str(), options);
    ASSERT_TRUE(options.secure == 0 || options.secure == 1);
    ASSERT_TRUE(options.guard >= 0 && options.guard <= 1'000'000'000);
  }
  MallocOptions options;
  EXPECT_FALSE(parse_malloc_options(std::string(1 << 20, 'x').c_str(), options));
}

TEST(MallocOptions, TheEnvironmentIsReadOnceAndComplainedAboutOnce) {
  const auto outcome = lull::testing::run_in_child([] {
    ::setenv("LULL_MALLOC", "guard=7,\x1b[2Jbad,worse", 1);
    lull::testing::run_together(4, [](unsigned) { LULL_CHILD_EXPECT(malloc_options().guard == 7); });
    ::setenv("LULL_MALLOC", "guard=8", 1);
    LULL_CHILD_EXPECT(malloc_options().guard == 7 && malloc_options().secure == 0);
  });
  EXPECT_TRUE(outcome.exited_well());
  EXPECT_EQ("lull: LULL_MALLOC: cannot make sense of '?[2Jbad'\n", outcome.errors);
}

TEST(MallocOptions, ALongComplaintIsCut) {
  const auto outcome = lull::testing::run_in_child([] {
    ::setenv("LULL_MALLOC", std::string(5000, 'x').c_str(), 1);
    malloc_options();
  });
  EXPECT_EQ("lull: LULL_MALLOC: cannot make sense of '" + std::string(40, 'x') + "...'\n", outcome.errors);
}

}  // namespace
}  // namespace lull::front

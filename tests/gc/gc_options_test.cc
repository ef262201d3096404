// What the environment may say (gc/model/options.h).
#include "gc/model/options.h"

#include <gtest/gtest.h>

namespace lull::gc {
namespace {

TEST(GcOptions, BytesHaveSuffixes) {
  EXPECT_EQ(parse_bytes("1"), 1);
  EXPECT_EQ(parse_bytes("3K"), 3 << 10);
  EXPECT_EQ(parse_bytes("3k"), 3 << 10);
  EXPECT_EQ(parse_bytes("64M"), 64 << 20);
  EXPECT_EQ(parse_bytes("64MiB"), 64 << 20);
  EXPECT_EQ(parse_bytes("64MB"), 64 << 20);
  EXPECT_EQ(parse_bytes("64B"), 64);
  EXPECT_EQ(parse_bytes("2G"), std::int64_t{2} << 30);
  EXPECT_EQ(parse_bytes("1T"), std::int64_t{1} << 40);
}

TEST(GcOptions, WhatIsNoNumberOfBytesIsRefused) {
  for (const char* text : {"", "M", "-1", "0", "1X", "1MM", "1 M", "1Mi", "9223372036854775807K", "8388608T", "off", "\xff"})
    EXPECT_EQ(parse_bytes(text), -1) << text;
  EXPECT_EQ(parse_bytes("8388607T"), std::int64_t{8388607} << 40);
}

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

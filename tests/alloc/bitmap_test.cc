#include "alloc/base/bitmap.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/alloc/support.h"

namespace lull {
namespace {

TEST(Bitmap, MaskBetweenHasExactlyTheBitsOfTheRange) {
  for (std::uint32_t from = 0; from <= 64; ++from)
    for (std::uint32_t to = 0; to <= 64; ++to) {
      std::uint64_t expected = 0;
      for (std::uint32_t bit = from; bit < to; ++bit) expected |= bit_of(bit);
      ASSERT_EQ(expected, mask_between(from, to)) << from << " " << to;
    }
}

TEST(Bitmap, WordsForCountsStartedWords) {
  EXPECT_EQ(0u, words_for(0));
  EXPECT_EQ(1u, words_for(1));
  EXPECT_EQ(1u, words_for(64));
  EXPECT_EQ(2u, words_for(65));
}

TEST(Bitmap, ARangeIsVisitedOnceWordByWordAndNothingElse) {
  constexpr std::uint32_t kBits = 200;
  for (std::uint32_t from = 0; from <= kBits; ++from)
    for (std::uint32_t to = 0; to <= kBits; ++to) {
      std::uint64_t words[words_for(kBits)] = {};
      std::uint32_t next_word = from / 64;
      for_words_in_range(from, to, [&](std::uint32_t word, std::uint64_t mask) {
        ASSERT_EQ(next_word++, word);
        ASSERT_NE(0u, mask);
        words[word] |= mask;
      });
      for (std::uint32_t bit = 0; bit < kBits; ++bit)
        ASSERT_EQ(bit >= from && bit < to, (words[bit / 64] & bit_of(bit)) != 0) << from << " " << to << " " << bit;
    }
}

// Both kinds of words hold the same bits; what lies behind `bits` in the last word is noise.
class NextBit : public ::testing::Test {
 protected:
  void fill(std::mt19937_64& random, std::uint32_t bits) {
    plain_.assign(words_for(bits) + 1, 0);
    atomic_ = std::vector<BitWord>(plain_.size());
    const unsigned density = random() % 4;  // sparse, even, dense, uniform words
    for (std::size_t w = 0; w < plain_.size(); ++w) {
      std::uint64_t word = random();
      if (density == 0) word &= random() & random() & random();
      if (density == 1) word |= random() | random() | random();
      if (density == 2) word = random() % 2 == 0 ? 0 : ~std::uint64_t{0};
      plain_[w] = word;
      atomic_[w].store(word, std::memory_order_relaxed);
    }
  }

  std::uint32_t naive(std::uint32_t from, std::uint32_t bits, bool wanted) const {
    while (from < bits && ((plain_[from / 64] & bit_of(from)) != 0) != wanted) ++from;
    return std::min(from, bits);
  }

  std::vector<std::uint64_t> plain_;
  std::vector<BitWord> atomic_;
};

TEST_F(NextBit, FindsWhatALinearSearchFinds) {
  std::mt19937_64 random(testing::seed_of_this_run());
  for (std::uint32_t bits = 1; bits <= 260; ++bits)
    for (int round = 0; round < 4; ++round) {
      fill(random, bits);
      for (std::uint32_t from = 0; from < bits; ++from) {
        const std::uint32_t set = naive(from, bits, true), clear = naive(from, bits, false);
        ASSERT_EQ(set, next_set(plain_.data(), from, bits)) << from << " of " << bits;
        ASSERT_EQ(clear, next_clear(plain_.data(), from, bits)) << from << " of " << bits;
        ASSERT_EQ(set, next_set(atomic_.data(), from, bits)) << from << " of " << bits;
        ASSERT_EQ(clear, next_clear(atomic_.data(), from, bits)) << from << " of " << bits;
      }
    }
}

TEST_F(NextBit, BehindTheEndThereIsNone) {
  const std::uint64_t all[] = {~std::uint64_t{0}, ~std::uint64_t{0}};
  EXPECT_EQ(100u, next_set(all, 100, 100));
  EXPECT_EQ(100u, next_clear(all, 0, 100));
  EXPECT_EQ(0u, next_set(all, 0, 0));
}

}  // namespace
}  // namespace lull

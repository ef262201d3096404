// The copy of a stack: exactly the words in the heap's range, in order, however many and wherever they begin; and when its memory goes
// back.
#include "gc/mutator/word_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "lull/lull.h"

namespace lull::gc {
namespace {

using Words = std::vector<std::uintptr_t>;

class WordBufferTest : public testing::Test {
 protected:
  void SetUp() override {
    lull::attach_thread();
    ASSERT_NE(detail::heap_range.size, 0u);
    ASSERT_TRUE(buffer.reserve());
  }

  // `per_cent` of them lie in the range, some at its very ends; the others just outside, or anywhere.
  Words make_words(std::size_t count, unsigned per_cent) {
    const std::uintptr_t base = detail::heap_range.base, end = base + detail::heap_range.size;
    const std::uintptr_t inside[] = {base, end - 1, base + random_() % detail::heap_range.size}, outside[] = {base - 1, end, random_() >> 20, 0};
    Words words(count);
    for (auto& word : words) word = random_() % 100 < per_cent ? inside[random_() % 3] : outside[random_() % 4];
    return words;
  }

  static Words expected(const Words& words, std::size_t from = 0) {
    Words kept;
    std::copy_if(words.begin() + static_cast<std::ptrdiff_t>(from), words.end(), std::back_inserter(kept),
                 [](std::uintptr_t word) { return detail::heap_range.contains(word); });
    return kept;
  }

  bool copy(const Words& words, std::size_t skip_bytes = 0) {
    const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
    return buffer.copy_range(begin + skip_bytes, begin + words.size() * sizeof(words[0]));
  }
  Words kept() const { return Words(buffer.begin(), buffer.end()); }

  WordBuffer buffer;

 private:
  std::mt19937_64 random_{1};
};

TEST_F(WordBufferTest, KeepsTheWordsInTheHeapsRangeInOrder) {
  for (std::size_t count = 0; count < 70; ++count) {
    const Words words = make_words(count, 50);
    ASSERT_TRUE(copy(words));
    EXPECT_EQ(kept(), expected(words)) << count;
    buffer.clear();
  }
}

TEST_F(WordBufferTest, AlignsARangeInwards) {
  const Words words = make_words(20, 100);
  ASSERT_TRUE(copy(words, 1));
  EXPECT_EQ(kept(), expected(words, 1));
  buffer.clear();
  const auto begin = reinterpret_cast<std::uintptr_t>(words.data());
  ASSERT_TRUE(buffer.copy_range(begin + 8, begin + 8 + 15));
  EXPECT_EQ(buffer.size(), 1u);
  buffer.clear();
  ASSERT_TRUE(buffer.copy_range(begin + 1, begin + 8));
  EXPECT_EQ(buffer.size(), 0u);
}

TEST_F(WordBufferTest, AppendsWhatComesLater) {
  const Words first = make_words(1000, 30), second = make_words(37, 80);
  ASSERT_TRUE(copy(first));
  ASSERT_TRUE(copy(second));
  Words all = expected(first);
  const Words rest = expected(second);
  all.insert(all.end(), rest.begin(), rest.end());
  EXPECT_EQ(kept(), all);
}

TEST_F(WordBufferTest, GrowsForDeepStacks) {
  for (const unsigned per_cent : {3u, 50u, 100u}) {
    const Words words = make_words(100'000, per_cent);
    ASSERT_TRUE(copy(words));
    EXPECT_EQ(kept(), expected(words)) << per_cent;
    buffer.clear();
  }
}

TEST_F(WordBufferTest, KeepsItsMemoryAsLongAsTheStackIsDeep) {
  const std::size_t usual = buffer.capacity();
  const Words deep = make_words(100'000, 100), shallow = make_words(100, 100);
  ASSERT_TRUE(copy(deep));
  const std::size_t large = buffer.capacity();
  ASSERT_GE(large, deep.size());
  buffer.clear();
  buffer.shrink();
  EXPECT_EQ(buffer.capacity(), large);
  ASSERT_TRUE(copy(shallow));
  buffer.clear();
  buffer.shrink();
  EXPECT_EQ(buffer.capacity(), usual);
  ASSERT_TRUE(copy(deep));
  EXPECT_EQ(kept(), deep);
  buffer.clear();
  buffer.give_back();
  EXPECT_EQ(buffer.capacity(), usual);
}

}  // namespace
}  // namespace lull::gc

// gc/model/word_filter.h: every form keeps the same words, in order, in place or not, and stays within its slack.
#include "gc/model/word_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace lull::gc {
namespace {

struct Form {
  const char* name;
  WordFilter filter;
};

std::vector<Form> forms() {
  std::vector<Form> all{{"scalar", filter_words}};
  if (const WordFilter f = filter_words_avx2()) all.push_back({"avx2", f});
  if (const WordFilter f = filter_words_avx512()) all.push_back({"avx512", f});
  return all;
}

constexpr std::uintptr_t kBase = 0x7f0000000000, kSize = std::uintptr_t{1} << 36;

// Words around both ends, far away in both halves of the address space, and inside.
std::uintptr_t some_word(std::mt19937_64& random) {
  switch (random() % 6) {
    case 0: return 0;
    case 1: return kBase - 1 + random() % 3;
    case 2: return kBase + kSize - 2 + random() % 4;
    case 3: return random();
    default: return kBase + random() % kSize;
  }
}

TEST(WordFilter, EveryFormKeepsWhatLiesInTheRange) {
  detail::HeapRange range;
  range.base = kBase;
  range.size = kSize;
  std::mt19937_64 random(7);
  constexpr std::uintptr_t kGuard = 0x1234;
  for (const Form& form : forms()) {
    for (std::size_t count = 0; count < 70; ++count) {
      for (int round = 0; round < 20; ++round) {
        std::vector<std::uintptr_t> words(count), kept;
        for (std::uintptr_t& word : words) word = some_word(random);
        for (std::uintptr_t word : words)
          if (range.contains(word)) kept.push_back(word);
        std::vector<std::uintptr_t> out(count + kFilterSlack + 1, kGuard);
        const std::size_t n = form.filter(words.data(), count, out.data(), range);
        EXPECT_EQ(out.back(), kGuard) << form.name;
        out.resize(n);
        EXPECT_EQ(out, kept) << form.name << " of " << count;
        std::vector<std::uintptr_t> in_place = words;
        in_place.resize(count + kFilterSlack);
        in_place.resize(form.filter(in_place.data(), count, in_place.data(), range));
        EXPECT_EQ(in_place, kept) << form.name << " in place";
      }
    }
  }
}

TEST(WordFilter, AnEmptyRangeKeepsNothing) {
  const std::vector<std::uintptr_t> words(19, kBase);
  for (const Form& form : forms()) {
    std::vector<std::uintptr_t> out(words.size() + kFilterSlack);
    EXPECT_EQ(form.filter(words.data(), words.size(), out.data(), detail::HeapRange{}), 0u) << form.name;
  }
}

TEST(WordFilter, TheBestFormIsOneOfThem) {
  bool known = false;
  for (const Form& form : forms()) known |= form.filter == best_word_filter();
  EXPECT_TRUE(known);
}

}  // namespace
}  // namespace lull::gc

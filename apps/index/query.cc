#include "apps/index/query.h"

#include <algorithm>
#include <random>

#include "apps/index/corpus.h"
#include "apps/index/index.h"
#include "apps/index/tokenizer.h"

namespace index_service {
namespace {

bool is_ascii_word(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// One query from a random place of the words, or one without words where none is to be had.
Query pick_query(const std::vector<std::string_view>& words, QueryKind kind, std::mt19937_64& random) {
  Query query{kind, {}};
  if (words.size() < kMaxPhraseWords) return query;
  const std::size_t at = random() % (words.size() - kMaxPhraseWords + 1);
  if (kind == QueryKind::kPhrase) {
    const std::size_t length = 2 + random() % (kMaxPhraseWords - 1);
    query.words.assign(words.begin() + static_cast<std::ptrdiff_t>(at),
                       words.begin() + static_cast<std::ptrdiff_t>(at + length));
  } else if (words[at].size() > kMinPrefixBytes + 1 && is_ascii_word(words[at])) {
    query.words.emplace_back(words[at].substr(0, kMinPrefixBytes + random() % 2));
  }
  return query;
}

}  // namespace

std::vector<Query> make_queries(const Corpus& corpus, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Query> queries;
  std::string text;
  std::vector<std::string_view> words;
  for (std::size_t tries = 0; tries < 20 * count && queries.size() < count; ++tries) {
    if (!read_file(corpus.files[random() % corpus.files.size()].path, text)) continue;
    words.clear();
    for_each_word(text, [&](std::string_view word) { words.push_back(word); });
    const QueryKind kind = queries.size() % 2 == 0 ? QueryKind::kPhrase : QueryKind::kPrefix;
    Query query = pick_query(words, kind, random);
    if (!query.words.empty()) queries.push_back(std::move(query));
  }
  return queries;
}

}  // namespace index_service

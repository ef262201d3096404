#include "apps/index/check.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "apps/index/index.h"
#include "apps/index/tokenizer.h"

namespace index_service {
namespace {

class Scan {
 public:
  explicit Scan(const std::vector<Query>& queries) : queries_(queries), hits_(queries.size()) {
    for (std::size_t i = 0; i < queries.size(); ++i) {
      auto& waiting = queries[i].kind == QueryKind::kPhrase ? phrases_by_first_word_ : prefixes_;
      waiting[queries[i].words[0]].push_back(i);
    }
  }

  void read_document(std::uint32_t document, std::string& text) {
    words_.clear();
    for_each_word(text, [this](std::string_view word) { words_.push_back(word); });
    match_phrases(document);
    match_prefixes();
  }

  std::vector<std::uint64_t> digests() {
    std::vector<std::uint64_t> result;
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      if (queries_[i].kind == QueryKind::kPrefix) add_best_words(hits_[i]);
      result.push_back(hits_[i].digest.value());
    }
    return result;
  }

 private:
  struct Hits {
    Digest digest;
    std::size_t count = 0;
    std::int64_t last_document = -1;                              // phrases: one hit a document
    std::unordered_map<std::string, std::uint32_t> documents_of;  // prefixes: by word
  };

  void match_phrases(std::uint32_t document) {
    for (std::size_t at = 0; at < words_.size(); ++at) {
      const auto waiting = phrases_by_first_word_.find(std::string(words_[at]));
      if (waiting == phrases_by_first_word_.end()) continue;
      for (const std::size_t i : waiting->second) match_phrase(i, document, at);
    }
  }

  void match_phrase(std::size_t i, std::uint32_t document, std::size_t at) {
    Hits& hits = hits_[i];
    const auto& phrase = queries_[i].words;
    if (hits.last_document == document || hits.count == kPhraseHits || at + phrase.size() > words_.size())
      return;
    if (!std::equal(phrase.begin(), phrase.end(), words_.begin() + static_cast<std::ptrdiff_t>(at))) return;
    hits.last_document = document;
    ++hits.count;
    add_phrase_hit(hits.digest, document, static_cast<std::uint32_t>(at),
                   static_cast<std::uint32_t>(words_.size()));
  }

  void match_prefixes() {
    for (const std::string_view word : std::unordered_set<std::string_view>(words_.begin(), words_.end())) {
      for (std::size_t length = kMinPrefixBytes; length <= kMinPrefixBytes + 1 && length <= word.size();
           ++length) {
        const auto waiting = prefixes_.find(std::string(word.substr(0, length)));
        if (waiting == prefixes_.end()) continue;
        for (const std::size_t i : waiting->second) ++hits_[i].documents_of[std::string(word)];
      }
    }
  }

  static void add_best_words(Hits& hits) {
    std::vector<std::pair<std::string, std::uint32_t>> words(hits.documents_of.begin(),
                                                             hits.documents_of.end());
    std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    words.resize(std::min(words.size(), kPrefixHits));
    for (const auto& [word, documents] : words) add_prefix_hit(hits.digest, word, documents);
  }

  const std::vector<Query>& queries_;
  std::vector<Hits> hits_;  // by query
  std::unordered_map<std::string, std::vector<std::size_t>> phrases_by_first_word_, prefixes_;
  std::vector<std::string_view> words_;  // of the document being read
};

}  // namespace

std::vector<std::uint64_t> scan_for_answers(const Corpus& corpus, const std::vector<Query>& queries) {
  Scan scan(queries);
  std::string text;
  for (std::size_t i = 0; i < corpus.files.size(); ++i) {
    if (read_file(corpus.files[i].path, text)) scan.read_document(static_cast<std::uint32_t>(i), text);
  }
  return scan.digests();
}

std::uint64_t count_wrong_answers(const RunResult& run, const std::vector<std::uint64_t>& expected) {
  std::uint64_t wrong = run.unsteady_answers;
  for (std::size_t i = 0; i < expected.size() && i < run.digests.size(); ++i) {
    wrong += run.digests[i] != 0 && run.digests[i] != expected[i];
  }
  return wrong;
}

}  // namespace index_service

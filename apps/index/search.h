// Answers queries from the index while the indexer changes it. A query takes one snapshot of each list it
// needs; the snapshot stays whole however long the query runs.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "apps/index/index.h"
#include "apps/index/query.h"

namespace index_service {

/// One word of a phrase while its posting list is walked.
template <class M>
struct PhraseWord {
  typename M::template ptr<PostingList<M>> list;
  std::uint32_t offset = 0;  // of the word within the phrase
  ListPlace at;

  const Posting<M>& posting() const { return item_at(*list, at); }

  /// True if the document contains the word; then posting() is the one for it.
  bool advance_to(std::uint32_t document) {
    at = lower_bound(*list, document, at);
    return !is_end(*list, at) && posting().document == document;
  }
  bool stands_at(std::uint32_t position) const {
    const auto& positions = posting().positions;
    const std::uint32_t* first = &positions[0];
    return std::binary_search(first, first + positions.size(), position);
  }
};

template <class M>
class Phrase {
 public:
  /// False if a word is in no document.
  bool open(const Index<M>& index, const Query& query) {
    for (const std::string& text : query.words) {
      const auto term = index.find_term(text);
      if (!term) return false;
      PhraseWord<M>& word = words_[count_];
      word.list = term->postings.load();
      if (!word.list) return false;
      word.offset = count_++;
      if (word.list->size < words_[0].list->size) std::swap(word, words_[0]);
    }
    return true;
  }

  /// Calls found(document, position of the first match) in order until it returns false. The rarest word
  /// leads.
  template <class Found>
  void for_each_document(Found found) {
    PhraseWord<M>& rare = words_[0];
    for (; !is_end(*rare.list, rare.at); rare.at = next(*rare.list, rare.at)) {
      const std::uint32_t document = rare.posting().document;
      std::uint32_t position = 0;
      if (all_have(document) && first_match(position) && !found(document, position)) return;
    }
  }

 private:
  bool all_have(std::uint32_t document) {
    for (std::uint32_t i = 1; i < count_; ++i) {
      if (!words_[i].advance_to(document)) return false;
    }
    return true;
  }

  bool first_match(std::uint32_t& position) const {
    const auto& candidates = words_[0].posting().positions;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (candidates[c] < words_[0].offset) continue;
      position = candidates[c] - words_[0].offset;
      if (all_stand_from(position)) return true;
    }
    return false;
  }

  bool all_stand_from(std::uint32_t position) const {
    for (std::uint32_t i = 1; i < count_; ++i) {
      if (!words_[i].stands_at(position + words_[i].offset)) return false;
    }
    return true;
  }

  std::array<PhraseWord<M>, kMaxPhraseWords> words_;  // the first is the one with the shortest list
  std::uint32_t count_ = 0;
};

template <class M>
std::uint64_t answer_phrase(const Index<M>& index, const Query& query) {
  Digest digest;
  Phrase<M> phrase;
  if (!phrase.open(index, query)) return digest.value();
  std::size_t hits = 0;
  phrase.for_each_document([&](std::uint32_t document, std::uint32_t position) {
    const auto version = index.slot(document).current.load();
    add_phrase_hit(digest, document, position, version ? version->words : 0);
    return ++hits < kPhraseHits;
  });
  return digest.value();
}

/// The best kPrefixHits terms seen so far, best first. Terms come in alphabetical order, which breaks ties.
template <class M>
class TopTerms {
 public:
  void offer(const Term<M>& term) {
    const std::uint32_t documents = term.documents.load(std::memory_order_relaxed);
    if (documents == 0 || (count_ == kPrefixHits && documents <= hits_[count_ - 1].documents)) return;
    std::size_t at = count_ < kPrefixHits ? count_++ : count_ - 1;
    for (; at > 0 && hits_[at - 1].documents < documents; --at) hits_[at] = hits_[at - 1];
    hits_[at] = {documents, &term};
  }
  std::uint64_t digest() const {
    Digest digest;
    for (std::size_t i = 0; i < count_; ++i) add_prefix_hit(digest, hits_[i].term->key(), hits_[i].documents);
    return digest.value();
  }

 private:
  struct Hit {
    std::uint32_t documents;
    const Term<M>* term;  // the caller's snapshot keeps it
  };
  std::array<Hit, kPrefixHits> hits_;
  std::size_t count_ = 0;
};

template <class M>
std::uint64_t answer_prefix(const Index<M>& index, std::string_view prefix) {
  TopTerms<M> top;
  const auto terms = index.shard_for(prefix).terms.load();
  if (!terms) return top.digest();
  for (ListPlace at = lower_bound(*terms, prefix); !is_end(*terms, at); at = next(*terms, at)) {
    const Term<M>& term = *item_at(*terms, at).term;
    if (!term.key().starts_with(prefix)) break;
    top.offer(term);
  }
  return top.digest();
}

template <class M>
std::uint64_t answer(const Index<M>& index, const Query& query) {
  return query.kind == QueryKind::kPhrase ? answer_phrase(index, query)
                                          : answer_prefix(index, query.words[0]);
}

}  // namespace index_service

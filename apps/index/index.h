// The index: words -> the documents that contain them, with the positions, per document. Everything here is
// made through the memory policy M.
//
//   Index -> Shard -> TermList -> Term -> PostingList -> positions
//         -> DocumentSlot -> Document -> its Terms
//
// Who may do what: one indexer thread changes the index, any number of threads read it, nobody waits.
// Whatever the indexer replaces sits in an atomic_ptr: Shard::terms, Term::postings, DocumentSlot::current.
// All else never changes once it is reachable. There are no cycles (a Posting has its document's number, not
// a pointer), so that shared_ptr frees everything, too.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "apps/index/sorted_list.h"

namespace index_service {

/// Where a document has the word: an item of a posting list.
template <class M>
struct Posting {
  typename M::template array<std::uint32_t> positions;  // ascending
  std::uint32_t document = 0;

  std::uint32_t key() const { return document; }
  template <class Tracer>
  void trace(Tracer& t) const {
    t(positions);
  }
};

template <class M>
using PostingList = SortedList<M, Posting<M>>;

template <class M>
struct Term {
  typename M::template array<char> text;
  typename M::template atomic_ptr<PostingList<M>> postings;  // writer: the indexer
  std::atomic<std::uint32_t> documents{
      0};  // size of postings; relaxed, for ranking without touching the list

  std::string_view key() const { return {&text[0], text.size()}; }
  template <class Tracer>
  void trace(Tracer& t) const {
    t(text, postings);
  }
};

/// An item of a shard's list.
template <class M>
struct TermRef {
  typename M::template ptr<Term<M>> term;

  std::string_view key() const { return term->key(); }
  template <class Tracer>
  void trace(Tracer& t) const {
    t(term);
  }
};

template <class M>
using TermList = SortedList<M, TermRef<M>>;

template <class M>
struct Shard {
  typename M::template atomic_ptr<TermList<M>> terms;  // writer: the indexer, when it meets a new word

  template <class Tracer>
  void trace(Tracer& t) const {
    t(terms);
  }
};

/// One indexed version of a document.
template <class M>
struct Document {
  std::uint32_t words = 0;
  typename M::template array<typename M::template ptr<Term<M>>> terms;  // distinct, sorted by text

  template <class Tracer>
  void trace(Tracer& t) const {
    t(terms);
  }
};

template <class M>
struct DocumentSlot {
  typename M::template atomic_ptr<Document<M>> current;  // writer: the indexer; null until first indexed

  template <class Tracer>
  void trace(Tracer& t) const {
    t(current);
  }
};

// Terms that share their first three bytes share a shard, hence prefixes of three bytes and more stay in one.
inline constexpr std::size_t kMinPrefixBytes = 3;
// Larger: less copying per new word, more memory for empty shards.
inline constexpr std::size_t kShards = 4096;

inline std::size_t shard_of(std::string_view word) {
  std::size_t hash = 0;
  for (std::size_t i = 0; i < kMinPrefixBytes; ++i) {
    hash = hash * 41 + (i < word.size() ? static_cast<unsigned char>(word[i]) : 0u);
  }
  return hash % kShards;
}

template <class M>
class Index {
 public:
  using TermPtr = typename M::template ptr<Term<M>>;

  explicit Index(std::size_t documents)
      : shards_(M::template make_array<typename M::template ptr<Shard<M>>>(kShards)),
        slots_(M::template make_array<typename M::template ptr<DocumentSlot<M>>>(documents)) {
    for (std::size_t i = 0; i < kShards; ++i) shards_[i] = M::template make<Shard<M>>();
    for (std::size_t i = 0; i < documents; ++i) slots_[i] = M::template make<DocumentSlot<M>>();
  }

  /// The shard whose sorted terms contain the word, or those that start with it if it has kMinPrefixBytes or
  /// more.
  Shard<M>& shard_for(std::string_view word) const { return *shards_[shard_of(word)]; }
  DocumentSlot<M>& slot(std::size_t document) const { return *slots_[document]; }

  /// Null if no document ever had this word.
  TermPtr find_term(std::string_view word) const {
    const auto terms = shard_for(word).terms.load();
    if (!terms) return TermPtr();
    const ListPlace at = lower_bound(*terms, word);
    return !is_end(*terms, at) && item_at(*terms, at).key() == word ? item_at(*terms, at).term : TermPtr();
  }

  template <class Tracer>
  void trace(Tracer& t) const {
    t(shards_, slots_);
  }

 private:
  typename M::template array<typename M::template ptr<Shard<M>>> shards_;
  typename M::template array<typename M::template ptr<DocumentSlot<M>>> slots_;
};

}  // namespace index_service

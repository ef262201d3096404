// The one writer of the index: replaces a document by its new version, term by term.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "apps/index/document_words.h"
#include "apps/index/index.h"

namespace index_service {

template <class M>
class Indexer {
 public:
  /// Readers see the document change one term after the other; each posting list is always whole.
  static void replace_document(Index<M>& index, std::uint32_t document, const DocumentWords& words) {
    DocumentSlot<M>& slot = index.slot(document);
    const DocumentPtr old = slot.current.load();
    const DocumentPtr fresh = M::template make<Document<M>>();
    fresh->words = words.total();
    fresh->terms = M::template make_array<TermPtr>(words.distinct());
    match_terms(index, old, document, words, fresh->terms);
    for (std::size_t i = 0; i < words.distinct(); ++i) {
      set_posting(*fresh->terms[i], make_posting(document, words.positions(i)));
    }
    slot.current.store(fresh);
  }

 private:
  using TermPtr = typename Index<M>::TermPtr;
  using Terms = typename M::template array<TermPtr>;
  using DocumentPtr = typename M::template ptr<Document<M>>;
  using Postings = ListEditor<M, Posting<M>>;

  /// Fills `terms` for the words, and takes the document out of the terms it no longer has. Both the words
  /// and the old version's terms are sorted, so most terms are found by walking along instead of searching.
  static void match_terms(Index<M>& index, const DocumentPtr& old, std::uint32_t document,
                          const DocumentWords& words, const Terms& terms) {
    const std::size_t old_count = old ? old->terms.size() : 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < words.distinct(); ++i) {
      const std::string_view word = words.word(i);
      while (at < old_count && old->terms[at]->key() < word) drop_posting(*old->terms[at++], document);
      if (at < old_count && old->terms[at]->key() == word) {
        terms[i] = old->terms[at++];
      } else {
        terms[i] = find_or_add_term(index, word);
      }
    }
    while (at < old_count) drop_posting(*old->terms[at++], document);
  }

  static TermPtr find_or_add_term(Index<M>& index, std::string_view word) {
    TermPtr term = index.find_term(word);
    if (term) return term;
    term = M::template make<Term<M>>();
    term->text = M::template make_array<char>(word.size());
    std::copy(word.begin(), word.end(), &term->text[0]);
    Shard<M>& shard = index.shard_for(word);
    shard.terms.store(ListEditor<M, TermRef<M>>::with(shard.terms.load(), {term}));
    return term;
  }

  static Posting<M> make_posting(std::uint32_t document, std::span<const std::uint32_t> positions) {
    Posting<M> posting{M::template make_array<std::uint32_t>(positions.size()), document};
    std::copy(positions.begin(), positions.end(), &posting.positions[0]);
    return posting;
  }

  static void set_posting(Term<M>& term, const Posting<M>& posting) {
    publish(term, Postings::with(term.postings.load(), posting));
  }
  static void drop_posting(Term<M>& term, std::uint32_t document) {
    publish(term, Postings::without(term.postings.load(), document));
  }
  static void publish(Term<M>& term, const typename Postings::ListPtr& list) {
    term.postings.store(list);
    term.documents.store(list ? list->size : 0, std::memory_order_relaxed);
  }
};

}  // namespace index_service

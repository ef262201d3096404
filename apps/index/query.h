// Queries, and the digest of an answer that both the service and the check by scanning compute.
//   phrase: the first kPhraseHits documents, by number, that contain the words one after the other
//   prefix: the kPrefixHits words with this prefix that most documents contain; ties in alphabetical order
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace index_service {

struct Corpus;

inline constexpr std::size_t kPhraseHits = 100;
inline constexpr std::size_t kPrefixHits = 10;
inline constexpr std::size_t kMaxPhraseWords = 3;

enum class QueryKind { kPhrase, kPrefix };

struct Query {
  QueryKind kind = QueryKind::kPhrase;
  std::vector<std::string> words;  // a prefix query has one: the prefix
};

/// Order-dependent 64-bit digest (FNV-1a over 64-bit words, then mixed). Never 0, which means "no answer
/// yet".
class Digest {
 public:
  void add(std::uint64_t value) {
    state_ = (state_ ^ value) * 0x100000001b3u;
    state_ ^= state_ >> 29;
  }
  void add(std::string_view text) {
    for (const char c : text) add(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
  }
  std::uint64_t value() const { return state_ == 0 ? 1 : state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

/// What one hit adds to the digest, so that service and check cannot drift apart.
inline void add_phrase_hit(Digest& digest, std::uint32_t document, std::uint32_t position,
                           std::uint32_t words) {
  digest.add((std::uint64_t{document} << 32) | position);
  digest.add(words);
}
inline void add_prefix_hit(Digest& digest, std::string_view word, std::uint32_t documents) {
  digest.add(word);
  digest.add(documents);
}

/// Phrases of two or three words and prefixes of three or four letters taken from random places of random
/// documents: frequent words are asked for often, as people do. The same seed and files give the same
/// queries. Fewer than asked for, possibly none, when the documents have too few words.
std::vector<Query> make_queries(const Corpus& corpus, std::size_t count, std::uint64_t seed);

}  // namespace index_service

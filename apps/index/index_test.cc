#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "apps/index/document_words.h"
#include "apps/index/flame.h"
#include "apps/index/function_names.h"
#include "apps/index/indexer.h"
#include "apps/index/latency.h"
#include "apps/index/memory_lull.h"
#include "apps/index/memory_shared_ptr.h"
#include "apps/index/run_result.h"
#include "apps/index/search.h"
#include "apps/index/tokenizer.h"
#include "apps/index/utilisation.h"

namespace index_service {
namespace {

std::vector<std::string> words_of(std::string text) {
  std::vector<std::string> words;
  for_each_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

using Words = std::vector<std::string>;

TEST(Tokenizer, FoldsCaseAndSplitsAtPunctuation) {
  EXPECT_EQ(words_of("Hello, std::shared_PTR<int>!"), (Words{"hello", "std", "shared_ptr", "int"}));
}

TEST(Tokenizer, NumbersSingleLettersAndBlobsAreNoWords) {
  EXPECT_EQ(words_of("a 42 0x7f 3rd of " + std::string(41, 'x') + " i"), (Words{"of"}));
}

TEST(Tokenizer, KeepsLettersOutsideAscii) {
  EXPECT_EQ(words_of("gr\xc3\xbc\xc3\x9f dich"), (Words{"gr\xc3\xbc\xc3\x9f", "dich"}));
}

TEST(DocumentWords, GroupsPositionsByWordInAlphabeticalOrder) {
  std::string text = "to be or not to be";
  DocumentWords words;
  words.assign(text);
  ASSERT_EQ(words.distinct(), 4u);
  EXPECT_EQ(words.total(), 6u);
  EXPECT_EQ(words.word(0), "be");
  EXPECT_TRUE(std::ranges::equal(words.positions(0), std::vector<std::uint32_t>{1, 5}));
  EXPECT_EQ(words.word(3), "to");
  EXPECT_TRUE(std::ranges::equal(words.positions(3), std::vector<std::uint32_t>{0, 4}));
}

TEST(DocumentWords, HoldsMoreDistinctWordsThanItsFirstTable) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text.append("w").append(std::to_string(i)).append(" w1 ");
  DocumentWords words;
  words.assign(text);
  EXPECT_EQ(words.distinct(), 5000u);
  EXPECT_EQ(words.positions(1).size(), 5001u);  // w1, after w0
}

TEST(LatencyRecorder, ReadsBackWhatWasRecorded) {
  LatencyRecorder recorder;
  for (std::uint64_t i = 1; i <= 500; ++i) recorder.record(i * 1000);
  const lull::histogram half = recorder.read();
  for (std::uint64_t i = 501; i <= 1000; ++i) recorder.record(i * 1000);
  const lull::histogram all = recorder.read();
  EXPECT_EQ(all.count, 1000u);
  EXPECT_EQ(all.max_ns, 1'000'000u);
  EXPECT_NEAR(static_cast<double>(all.quantile_ns(0.5)), 500e3, 32e3);
  EXPECT_NEAR(static_cast<double>(since(all, half).quantile_ns(0.5)), 750e3, 48e3);
}

TEST(RunResult, SurvivesTheWayFromChildToParent) {
  RunResult sent;
  sent.memory = "lull";
  sent.seconds = 0.1;
  sent.latency.buckets[70] = 3;
  sent.collector.pauses = {{"handshake", 5, 1, 2, 3, 4, {}}};
  sent.memory_over_time = {{0.5, 1000, 500, 700}};
  sent.types = {{"ptr<T> []", {0, 3}}, {"", {}}};
  sent.stacks = {{"main;f g;[a type]", 12}};
  sent.utilisation = {{1e6, 0.5}};
  sent.digests = {7, 0, ~std::uint64_t{0}};
  std::stringstream text;
  write_result(text, sent);
  RunResult got;
  ASSERT_TRUE(read_result(text, got));
  EXPECT_EQ(got.seconds, sent.seconds);
  EXPECT_EQ(got.latency.buckets, sent.latency.buckets);
  EXPECT_EQ(got.collector.pauses[0].kind, "handshake");
  EXPECT_EQ(got.digests, sent.digests);
  EXPECT_EQ(got.types[0].type, "ptr<T> []");
  EXPECT_EQ(got.types[0].live_bytes[1], 3u);
  EXPECT_EQ(got.stacks[0].frames, "main;f g;[a type]");
  EXPECT_EQ(got.utilisation[0].least, 0.5);
  std::stringstream cut(text.str().substr(0, text.str().size() / 2));
  EXPECT_FALSE(read_result(cut, got));
}

// Interruptions of 10 at 100 and 150, and of 30 at 1000.
TEST(Utilisation, IsThatOfTheWorstWindow) {
  const std::vector<Interruption> thread = {{100, 110}, {150, 160}, {1000, 1030}};
  EXPECT_DOUBLE_EQ(least_utilisation(thread, 10), 0);
  EXPECT_DOUBLE_EQ(least_utilisation(thread, 30), 0);
  EXPECT_DOUBLE_EQ(least_utilisation(thread, 60), 0.5);         // [970, 1030): 30 are gone
  EXPECT_DOUBLE_EQ(least_utilisation(thread, 930), 1 - 50.0 / 930);  // all of it
  EXPECT_DOUBLE_EQ(least_utilisation(std::vector<Interruption>{}, 10), 1);
  const std::vector<Interruption> close = {{0, 10}, {20, 30}, {500, 501}};
  EXPECT_DOUBLE_EQ(least_utilisation(close, 30), 1 - 20.0 / 30);
}

TEST(Utilisation, ReadsWhatInterruptedTheProgramsThreads) {
  std::istringstream trace(R"({"traceEvents":[
{"ph":"X","pid":1,"tid":5,"cat":"handshake","name":"answer: flush","ts":1.000,"dur":2.000},
{"ph":"X","pid":1,"tid":5,"cat":"assist","name":"assist","ts":2.500,"dur":1.500,"args":{"bytes":77}},
{"ph":"X","pid":1,"tid":5,"cat":"destructor","name":"destructor","ts":9.000,"dur":1.000},
{"ph":"X","pid":1,"tid":6,"cat":"cycle","name":"full cycle","ts":1.000,"dur":50.000},
{"ph":"C","pid":1,"tid":6,"name":"heap","ts":1.000,"args":{"bytes":4}}
],"otherData":{"lost":0}})");
  const auto threads = read_interruptions(trace);
  ASSERT_EQ(threads.size(), 1u);
  ASSERT_EQ(threads[0].size(), 1u);  // the assist overlaps with the answer
  EXPECT_DOUBLE_EQ(threads[0][0].begin, 1000);
  EXPECT_DOUBLE_EQ(threads[0][0].end, 4000);
}

TEST(FunctionNames, AreShort) {
  EXPECT_EQ(readable_function("_ZN13index_service7IndexerINS_10LullMemoryEE16replace_documentERNS_5IndexIS1_EEjRKNS_13DocumentWordsE"),
            "Indexer::replace_document");
  EXPECT_EQ(readable_function("main"), "main");
  EXPECT_EQ(readable_function("0x7f1234"), "0x7f1234");
  EXPECT_EQ(readable_type("index_service::Chunk<index_service::LullMemory> []"), "Chunk[]");
  EXPECT_EQ(readable_type("lull::ptr<index_service::Term<index_service::LullMemory> []> []"), "ptr<Term[]>[]");
  EXPECT_EQ(readable_stack("start_thread;0x12;main;f;[char []]"), "main;f;[char[]]");
}

TEST(FlameGraph, ShowsEachFunctionOnceWithItsShare) {
  const std::string svg = flame_graph({{"main;build;[Node]", 750}, {"main;read;[char[]]", 250}});
  EXPECT_NE(svg.find("<title>build: 750 B, 75.0 %</title>"), svg.npos);
  EXPECT_NE(svg.find("<title>main: 1.0 KiB, 100.0 %</title>"), svg.npos) << svg;
  EXPECT_NE(top_allocations({{"main;build;[Node]", 750}}).find("<td>Node</td><td>100.0 %</td>"), std::string::npos);
}

template <class M>
class IndexTest : public testing::Test {
 protected:
  void put(std::uint32_t document, std::string text) {
    DocumentWords words;
    words.assign(text);
    Indexer<M>::replace_document(*index_.get(), document, words);
  }
  /// Documents that contain the phrase, with the position of its first match.
  std::map<std::uint32_t, std::uint32_t> find(Words phrase_words) {
    std::map<std::uint32_t, std::uint32_t> found;
    Phrase<M> phrase;
    if (!phrase.open(*index_.get(), {QueryKind::kPhrase, std::move(phrase_words)})) return found;
    phrase.for_each_document([&](std::uint32_t document, std::uint32_t position) {
      found[document] = position;
      return true;
    });
    return found;
  }
  std::uint64_t digest_of(const std::vector<std::pair<std::string, std::uint32_t>>& hits) {
    Digest digest;
    for (const auto& [word, documents] : hits) add_prefix_hit(digest, word, documents);
    return digest.value();
  }

  typename M::template root<Index<M>> index_{M::template make<Index<M>>(1000)};
};

using Found = std::map<std::uint32_t, std::uint32_t>;
using Policies = testing::Types<SharedPtrMemory, LullMemory>;
TYPED_TEST_SUITE(IndexTest, Policies);

TYPED_TEST(IndexTest, FindsPhrasesWherePositionsFollowEachOther) {
  this->put(0, "the quick brown fox");
  this->put(1, "brown the quick; the quick brown");
  this->put(2, "quick the brown");
  EXPECT_EQ(this->find({"the", "quick"}), (Found{{0, 0}, {1, 1}}));
  EXPECT_EQ(this->find({"the", "quick", "brown"}), (Found{{0, 0}, {1, 3}}));
  EXPECT_EQ(this->find({"fox", "the"}), Found{});
  EXPECT_EQ(this->find({"no", "such"}), Found{});
}

TYPED_TEST(IndexTest, AReplacedDocumentIsFoundByItsNewWordsOnly) {
  this->put(0, "old words here");
  this->put(0, "new words here");
  EXPECT_EQ(this->find({"old", "words"}), Found{});
  EXPECT_EQ(this->find({"new", "words"}), (Found{{0, 0}}));
  this->put(0, "");
  EXPECT_EQ(this->find({"words", "here"}), Found{});
}

TYPED_TEST(IndexTest, RanksPrefixMatchesByDocumentsThenAlphabet) {
  this->put(0, "contain container contains");
  this->put(1, "container contains other");
  this->put(2, "contains counter");
  EXPECT_EQ(answer_prefix(*this->index_.get(), "cont"),
            this->digest_of({{"contains", 3}, {"container", 2}, {"contain", 1}}));
  EXPECT_EQ(answer_prefix(*this->index_.get(), "xyz"), this->digest_of({}));
}

TYPED_TEST(IndexTest, AHeldListDoesNotChangeUnderItsReader) {
  this->put(0, "some words");
  const auto term = this->index_.get()->find_term("words");
  const auto held = term->postings.load();
  for (std::uint32_t i = 1; i < 500; ++i) this->put(i, "other words");
  EXPECT_EQ(held->size, 1u);
  EXPECT_EQ(held->chunks[0][0].positions[0], 1u);
  EXPECT_EQ(term->postings.load()->size, 500u);
}

TYPED_TEST(IndexTest, AgreesWithASetAfterRandomInsertionsAndRemovals) {
  std::mt19937 random(7);
  std::set<std::uint32_t> expected;
  for (int step = 0; step < 5000; ++step) {
    const auto document = static_cast<std::uint32_t>(random() % 1000);
    const bool present = random() % 3 != 0;
    this->put(document, present ? "some rare words" : "nothing");
    present ? static_cast<void>(expected.insert(document)) : static_cast<void>(expected.erase(document));
  }
  std::set<std::uint32_t> found;
  for (const auto& [document, position] : this->find({"rare", "words"})) found.insert(document);
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace index_service

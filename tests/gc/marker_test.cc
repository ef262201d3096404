// gc/mark/marker.h by hand: no cycle runs; the test plays the driver, marks, and looks at the marks.
#include "gc/mark/marker.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "gc/model/options.h"
#include "lull/lull.h"
#include "lull/malloc.h"

namespace lull::gc {
namespace {

struct Leaf {
  void trace(tracer& t) const { t(next); }
  ptr<Leaf> next;
};

// 24 bytes: elements straddle the borders of slices.
struct Three {
  void trace(tracer& t) const { t(a, b, c); }
  ptr<Leaf> a, b, c;
};

// Without trace(): scanned word by word.
struct Opaque {
  ptr<Leaf> leaves[3000];
};

struct LargeTraced {
  void trace(tracer& t) const { t(leaves); }
  ptr<Leaf> leaves[3000];
};

bool marked(const void* p) {
  const ObjectRef object = resolve(reinterpret_cast<std::uintptr_t>(p));
  return object && is_marked(object, mark_epoch.load());
}

// A mark phase: every mark is forgotten, nothing is being allocated.
class MarkPhase {
 public:
  MarkPhase() {
    lull::collect();  // the thread's cached spans go back, so alloc bits are complete
    const std::uint32_t cycle = current_cycle.load() + 1;
    current_cycle.store(cycle);
    mark_epoch.store(cycle);
    set_mark_state(MarkState::snapshot);
    set_mark_state(MarkState::marking);
  }
  ~MarkPhase() { set_mark_state(MarkState::off); }
};

class MarkerTest : public testing::Test {
 protected:
  void SetUp() override { lull::set_gc_percent(-1); }
};

template <class T>
std::uintptr_t word_of(const T& p) { return reinterpret_cast<std::uintptr_t>(p.get()); }

template <class Array>
void fill_with_leaves(Array& array) {
  for (auto& leaf : array) leaf = make<Leaf>();
}

template <class Array>
void fill_with_lists(Array& heads, std::size_t length) {
  for (auto& head : heads)
    for (std::size_t i = 0; i < length; ++i) {
      ptr<Leaf> leaf = make<Leaf>();
      leaf->next = head;
      head = leaf;
    }
}

template <class Array>
std::size_t count_marked(const Array& array) {
  std::size_t n = 0;
  for (const auto& leaf : array) n += marked(leaf.get());
  return n;
}

void mark_from(std::uintptr_t word, std::uint64_t budget = ~std::uint64_t{0} / 2) {
  Marker marker;
  marker.mark_word(word);
  while (!marker.drain(budget)) {
  }
}

// Lengths around one slice, some slices, a large slice and some of them.
TEST_F(MarkerTest, ArraysOfAnyLengthAreScannedToTheirEnds) {
  for (std::size_t length : {1u, 510u, 511u, 512u, 513u, 4095u, 4096u, 5000u, 32767u, 32768u, 32769u, 70000u, 200001u}) {
    root<ptr<Leaf>[]> array = make_array<ptr<Leaf>>(length);
    fill_with_leaves(array);
    MarkPhase phase;
    mark_from(word_of(array));
    EXPECT_EQ(count_marked(array), length);
  }
}

TEST_F(MarkerTest, ElementsAcrossTheBordersOfSlicesAreScanned) {
  root<Three[]> array = make_array<Three>(30000);
  for (Three& three : array) {
    three.a = make<Leaf>();
    three.b = make<Leaf>();
    three.c = make<Leaf>();
  }
  MarkPhase phase;
  mark_from(word_of(array));
  for (const Three& three : array) ASSERT_TRUE(marked(three.a.get()) && marked(three.b.get()) && marked(three.c.get()));
}

TEST_F(MarkerTest, LargeObjectsWithAndWithoutTraceAreScannedToTheirEnds) {
  root<Opaque> opaque = make<Opaque>();
  root<LargeTraced> traced = make<LargeTraced>();
  fill_with_leaves(opaque->leaves);
  fill_with_leaves(traced->leaves);
  MarkPhase phase;
  mark_from(word_of(opaque));
  EXPECT_EQ(count_marked(opaque->leaves), 3000u);
  EXPECT_EQ(count_marked(traced->leaves), 0u);
  mark_from(word_of(traced));
  EXPECT_EQ(count_marked(traced->leaves), 3000u);
}

// An assist asks for 4 KiB at a time: whatever is grey, it gets its thread back soon.
TEST_F(MarkerTest, ALargeArrayDoesNotExceedABudgetByMoreThanASlice) {
  root<ptr<Leaf>[]> array = make_array<ptr<Leaf>>(1 << 20);
  fill_with_leaves(array);
  MarkPhase phase;
  Marker marker;
  marker.mark_word(word_of(array));
  constexpr std::uint64_t kBudget = 4096;
  bool empty = false;
  for (std::uint64_t before = 0; !empty; before = marker.scanned_bytes()) {
    empty = marker.drain(kBudget);
    ASSERT_LE(marker.scanned_bytes() - before, kBudget + Marker::kSliceBytes);
  }
  EXPECT_EQ(count_marked(array), std::size_t{1} << 20);
  EXPECT_EQ(marker.marked_objects(), (std::uint64_t{1} << 20) + 1);
}

// What one worker has, others find in the pool while it goes on, though it never fills a segment; between them, everything is
// marked once.
// They lie side by side, so that one instruction marks several; some are named twice, and some are marked already.
TEST_F(MarkerTest, NeighboursAreMarkedOnceEach) {
  const root<ptr<Leaf>[]> array = make_array<ptr<Leaf>>(3000);
  for (std::size_t i = 0; i < array.size(); ++i) array[i] = i % 3 == 2 ? array[i - 1] : make<Leaf>();
  const MarkPhase phase;
  Marker marker;
  for (std::size_t i = 0; i < array.size(); i += 7) marker.mark_word(word_of(array[i]));
  const std::uint64_t before = marker.marked_objects();
  EXPECT_GT(before, 300u);
  while (!marker.drain(~std::uint64_t{0} / 2)) {
  }
  const std::uint64_t scanned_before = marker.scanned_bytes();
  marker.mark_word(word_of(array));
  while (!marker.drain(~std::uint64_t{0} / 2)) {
  }
  EXPECT_EQ(count_marked(array), array.size());
  EXPECT_EQ(marker.marked_objects(), 2000 + 1u);
  // Each is pushed once: what is scanned is the array and the leaves that were white.
  const std::uint64_t leaf_bytes = resolve(word_of(array[0])).span->slot_bytes;
  const std::uint64_t array_bytes = resolve(word_of(array)).span->slot_bytes;
  EXPECT_LE(marker.scanned_bytes() - scanned_before, array_bytes + (2000 - before) * leaf_bytes);
}

// Only a new mark says that marking is not over (rule 7). The marker goes on with what it has taken for dense.
TEST_F(MarkerTest, MarkedNeighboursDoNotCancelTermination) {
  const root<ptr<Leaf>[]> array = make_array<ptr<Leaf>>(3000);
  for (ptr<Leaf>& leaf : array) leaf = make<Leaf>();
  const MarkPhase phase;
  Marker marker;
  marker.mark_word(word_of(array));
  while (!marker.drain(~std::uint64_t{0} / 2)) {
  }
  EXPECT_EQ(marker.marked_objects(), array.size() + 1);
  set_mark_state(MarkState::terminating);
  const ObjectRef object = resolve(word_of(array));
  marker.scan_part(object, object.address(), object.address() + object.span->slot_bytes);
  EXPECT_TRUE(marker.drain(~std::uint64_t{0} / 2));
  EXPECT_EQ(mark_state.load(), MarkState::terminating);
  EXPECT_TRUE(cancel_termination());
}

TEST_F(MarkerTest, WorkIsSharedBetweenMarkers) {
  constexpr std::size_t kLists = 100, kLength = 500;
  root<ptr<Leaf>[]> lists = make_array<ptr<Leaf>>(kLists);
  fill_with_lists(lists, kLength);
  MarkPhase phase;
  Marker first, second;
  first.mark_word(word_of(lists));
  ASSERT_FALSE(first.drain(8 * 1024));
  bool empty = false;
  while (!empty) {
    const bool second_empty = second.drain(8 * 1024);
    empty = first.drain(8 * 1024) && second_empty && grey_pool.empty();
  }
  EXPECT_GT(second.scanned_bytes(), kLists * kLength * sizeof(Leaf) / 8);
  EXPECT_EQ(first.marked_objects() + second.marked_objects(), kLists * kLength + 1);
}

// What a marker has anywhere (segment, blocks, words) goes to the pool when it stops early.
TEST_F(MarkerTest, HandingOverLosesNothing) {
  root<ptr<Leaf>[]> lists = make_array<ptr<Leaf>>(300);
  fill_with_lists(lists, 20);
  MarkPhase phase;
  {
    Marker start;
    const ObjectRef array = resolve(word_of(lists));
    start.scan_part(array, array.address(), array.address() + array.span->slot_bytes);
    start.hand_over_rest();
  }
  bool empty = false;
  while (!empty) {
    Marker marker;
    empty = marker.drain(100);
    marker.hand_over_rest();
  }
  for (const ptr<Leaf>& head : lists)
    for (const Leaf* leaf = head.get(); leaf != nullptr; leaf = leaf->next.get()) ASSERT_TRUE(marked(leaf));
}

// Words of every sort reach the stages in one batch: null, foreign, odd, interior, behind the last slot, marked already, and
// into a span of malloc, whose bits mean something else.
TEST_F(MarkerTest, AnObjectFullOfOddWordsMarksWhatTheyPointInto) {
  struct Words {
    std::uintptr_t words[512];
  };
  root<Leaf> a = make<Leaf>(), b = make<Leaf>();
  root<Words> object = make<Words>();
  const Span& span = *pages::managed_span_of(word_of(a));
  const std::uintptr_t some[] = {0, 1, ~std::uintptr_t{0}, reinterpret_cast<std::uintptr_t>(&some), word_of(a) + 3, word_of(a),
                                 word_of(b) + 7, span.end() - 1, detail::heap_range.base - 1, detail::heap_range.base + detail::heap_range.size - 1};
  for (std::size_t i = 0; i < 512; ++i) object->words[i] = some[i % std::size(some)];
  void* block = lull_malloc(64);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::uintptr_t word = reinterpret_cast<std::uintptr_t>(block) + i * 64;
    object->words[256 + i] = pages::managed_span_of(word) == nullptr ? word : 0;
  }
  MarkPhase phase;
  Marker marker;
  marker.mark_word(word_of(object));
  EXPECT_TRUE(marker.drain(1 << 20));
  EXPECT_TRUE(marked(a.get()) && marked(b.get()));
  EXPECT_EQ(marker.marked_objects(), 3u);
  lull_free(block);
}

}  // namespace
}  // namespace lull::gc

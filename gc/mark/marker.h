// The marker: one thread's view of marking, used by the driver, its helpers and assisting mutators.
//
//   pool <-> local segment --fill--> blocks of entries --scan--> words --process_words--> marks, local segment
//
// Words found in objects are marked first and pushed after (mark on push: every object is pushed at most once, objects
// without pointers never). Marking waits for memory, so all of it is done in batches, each step asking for the lines of the
// next: entries go through two blocks, one being scanned, one being prefetched (the FIFO of Cher, Hosking, Vitek 2004, but
// what it yields is scanned as a whole); the words of a block are resolved, tested and marked in stages, or in one pass where the graph
// lies so densely that there is nothing to wait for (mark_words.cc).
// Compared with other orders in bench/gc/marking.cc and docs/design/decisions.md.
//
// Objects of more than kSliceBytes are scanned in slices that are entries of their own, so that neither a budget nor another
// worker waits for a large array. (A large object whose trace() is not an array's is scanned whole.)
#pragma once

#include <cstdint>

#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/word_filter.h"
#include "gc/model/worklist.h"
#include "lull/tracer.h"

namespace lull::gc {

class Marker : private tracer {
 public:
  static constexpr std::size_t kSliceBytes = 4 * 1024;  // larger holds up assists (20 us), smaller costs an entry each

  Marker();
  ~Marker();  // must be empty
  Marker(const Marker&) = delete;
  Marker& operator=(const Marker&) = delete;

  // A word that may point to an object: marks it if it is white. Cancels termination before it marks.
  void mark_word(std::uintptr_t word);
  void mark_words(const std::uintptr_t* begin, const std::uintptr_t* end);  // likewise
  // The words of [low, high), of a stack that nobody runs on, or that a thread has just come to run on.
  void mark_stack(std::uintptr_t low, std::uintptr_t high);
  // What `trace_into(tracer&)` names, as roots.
  template <class TraceInto>
  void mark_traced(TraceInto&& trace_into) {
    trace_into(static_cast<tracer&>(*this));
    process_words();
  }
  // Takes entries from `segment`, which stays the caller's.
  // Scans grey objects, also those in the pool, until there are none or about `budget` bytes are scanned. True: none.
  bool drain(std::uint64_t budget);
  // Scans what an object that is marked already has in [from, to): a dirty card. True: the whole object was scanned.
  bool scan_part(const ObjectRef& object, std::uintptr_t from, std::uintptr_t to);
  // Driver, when the worklists are empty: looks at the ephemerons that were deferred. True: some of them made work.
  [[nodiscard]] bool settle_ephemerons();
  // Puts everything that is left into the pool, cancelling termination.
  void hand_over_rest();

  std::uint64_t marked_objects() const { return marked_objects_; }
  std::uint64_t marked_bytes() const { return marked_bytes_; }
  std::uint64_t scanned_bytes() const { return scanned_bytes_; }
  void reset_counts() { marked_objects_ = marked_bytes_ = scanned_bytes_ = 0; }

 private:
  static constexpr std::uint32_t kWords = 256;
  static constexpr std::uint32_t kFewWords = 4;   // marked one by one: a list yields one word at a time
  static constexpr std::uint32_t kBatch = 64;     // words a batch: more leave the first cache, fewer wait for memory
  static constexpr std::uint32_t kNeighboursPart = 4;  // of a batch: where fewer share a word of marks with the one before, all are marked one by one
  // Of a batch. With so many groups that share a word of marks or fewer, the next one is taken for dense: larger, fewer graphs gain; smaller,
  // others wait for memory. Of so few white objects nothing is concluded: late in a random graph they share a word by chance.
  static constexpr std::uint32_t kGroupsPart = 2, kTellingPart = 4;
  static constexpr std::uint32_t kWordsAhead = 16;  // of a dense batch: so far ahead descriptors are asked for
  static constexpr std::uint32_t kBlock = 16;     // entries: 8 wait for memory, 32 come back to a line that has gone
  static constexpr std::uint32_t kShareEvery = 64;   // objects between two looks at the pool
  static constexpr std::uint32_t kShareAtLeast = 4;  // entries: fewer are scanned before anybody could take them
  static constexpr std::uint64_t kBusyCost = 64;     // bytes of budget: a busy span must not hold up an assist

  struct Block {
    std::uint32_t at = 0, count = 0;
    std::uintptr_t entries[kBlock];
    bool empty() const { return at == count; }
  };

  static void words_full(tracer& t);
  void process_words();
  void mark_batch(const std::uintptr_t* words, std::size_t count);
  void mark_dense_batch(const std::uintptr_t* words, std::size_t count);
  MarkResult set_mark(const ObjectRef& object);
  bool set_marks(Span& span, BitWord& marks, std::uint64_t wanted, std::uint64_t& fresh);
  void mark_white(const ObjectRef& object);
  template <class Place>
  void mark_places(const Place* places, std::size_t count);
  template <class Place>
  void mark_neighbours(const Place* places, std::size_t count);
  void mark_group(Span& span, std::uint32_t word, std::uint64_t wanted);
  void push_group(const Span& span, std::uint32_t word, std::uint64_t fresh);
  template <class Place>
  [[gnu::cold]] void wake_all(const Place* places, std::size_t count);
  void try_again(const ObjectRef& object);
  // Not `wanted`: the entry is dropped, without a branch.
  void push(std::uintptr_t entry, bool wanted = true) {
    if (top_ >= limit_) [[unlikely]] if (!make_room()) return;
    *top_ = entry;
    top_ += wanted;
  }
  bool make_room();
  bool refill();
  void share_when_pool_is_dry();
  bool has_local() const { return top_ != bottom_; }
  void open(Segment* segment);
  Segment* close();
  bool next_block();
  bool is_chain() const { return top_ - bottom_ == 1 && now_->empty() && ahead_->empty(); }
  void scan_chain(std::uint64_t stop_at);
  void fill(Block& block);
  void return_block(Block& block);
  void scan_block(Block& block, std::uint64_t stop_at);
  void scan_object(std::uintptr_t object);
  void scan_rare(const Kind& kind, std::uintptr_t object, std::size_t bytes);
  void scan_slice(std::uintptr_t entry);
  void push_slices(std::uintptr_t from, std::uintptr_t to);
  void scan_range(const Kind& kind, std::uintptr_t object, std::uintptr_t from, std::uintptr_t to);
  void scan_conservatively(std::uintptr_t from, std::uintptr_t to);
  static void meet_ephemeron(tracer& t, const std::uintptr_t* key, const std::uintptr_t* value);
  bool is_white(const ObjectRef& o) const;
  bool defer(std::uintptr_t cell);
  void hand_over_deferred();
  void settle(std::uintptr_t cell);
  [[gnu::cold]] void wake_ephemerons(const ObjectRef& key);
  void check_traced(const Kind& kind, std::uintptr_t object, std::size_t bytes);

  // The local segment is opened: its count is top_ - bottom_ until it is closed. All null without one.
  Segment* local_ = nullptr;
  std::uintptr_t *top_ = nullptr, *bottom_ = nullptr, *limit_ = nullptr;
  Segment* deferred_ = nullptr;  // ephemerons whose key was white
  WordFilter filter_ = best_word_filter();
  std::uint32_t cycle_, epoch_, until_share_ = kShareEvery;
  // Objects up to here have nothing special about them; 0 in checking mode check_trace.
  std::size_t plain_bytes_ = options.check_trace == 0 ? kSliceBytes : 0;
  bool is_dense_ = false;  // the last batch was: the next one probably is (mark_dense_batch)
  std::uint64_t marked_objects_ = 0, marked_bytes_ = 0, scanned_bytes_ = 0;
  Block blocks_[2];
  Block* now_ = &blocks_[0];    // being scanned
  Block* ahead_ = &blocks_[1];  // being prefetched
  std::uintptr_t words_[kWords + kFilterSlack];
};

// Adds to the cycle's totals what a marker has done since its counts were reset, and resets them.
void publish_counts(Marker& marker);

struct MarkTotals {  // of the running cycle
  std::atomic<std::uint64_t> objects{0}, bytes{0}, scanned_bytes{0};
  void reset() {
    objects.store(0, std::memory_order_relaxed);
    bytes.store(0, std::memory_order_relaxed);
    scanned_bytes.store(0, std::memory_order_relaxed);
  }
};
extern MarkTotals mark_totals;

}  // namespace lull::gc

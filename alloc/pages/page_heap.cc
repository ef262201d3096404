#include "alloc/pages/page_heap.h"

#include <algorithm>

#include "alloc/base/bitmap.h"
#include "alloc/base/check.h"
#include "alloc/os/vm.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_runs.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/reservation.h"

namespace lull::pages {

constinit PageHeap page_heap;

namespace {

constexpr std::size_t kHeldWorthALimit = std::size_t{8} << 20;  // below it limits are not looked at: small programs read no files
constexpr std::uint32_t kMostFillingPages = 8;  // 64 KiB: a span of small blocks. Who asks for more may leave most of it untouched
constexpr std::uint32_t kGrowthChunks = 8;  // 16 MiB a time: fewer system calls than one, little charged under strict overcommit

}  // namespace

PageRun PageHeap::find_run_locked(std::uint32_t n, bool at_random) {
  return n > kChunkPages ? allocate_long_locked(n) : at_random ? allocate_random_locked(n) : allocate_small_locked(n);
}

// No page of the free run is without memory. Of long runs nobody asks.
bool PageHeap::is_dirty_locked(std::uint32_t first, std::uint32_t n) const {
  const Chunk& chunk = chunk_table_[first / kChunkPages];
  const std::uint32_t from = first % kChunkPages;
  return from + n <= kChunkPages && (chunk.filled || next_set(chunk.clean, from, from + n) == from + n);
}

// Page 0 of the range is aligned to a huge page; beyond that the address counts, not the index.
PageRun PageHeap::allocate_locked(PageCount n, PageCount alignment, Placement placement) {
  if (n.value == 0 || !prepare_locked()) return {};
  // And below, sums of page numbers do not overflow.
  if (n.value > capacity_ * kChunkPages || alignment.value > capacity_ * kChunkPages) return {};
  const std::uint32_t room = n.value + alignment.value - 1;
  const bool at_random = placement == Placement::random && room <= kMostRandomPages;
  PageRun run = find_run_locked(room, at_random);
  // Nobody gets memory that the process does not have yet while there is some aside.
  if (parked_pages_ != 0 && (!run.found || !is_dirty_locked(run.first.value, room))) {
    unpark_locked();
    run = find_run_locked(room, at_random);
  }
  if (!run.found) return {};
  const std::uintptr_t at = address_of(run.first), bytes = alignment.bytes();
  run.first.value += static_cast<std::uint32_t>(((at + bytes - 1) / bytes * bytes - at) >> kPageShift);
  run.fresh_chunk = room <= kMostFillingPages && used_pages_ >= kHeapWorthFilling.value && !at_random && is_fresh_locked(run.first.value / kChunkPages);
  run.zero = take_locked(run.first.value, n.value);
  return run;
}

PageRun PageHeap::allocate(PageCount n, PageCount alignment, Placement placement) {
  PageRun run;
  std::size_t held;
  {
    os::Locked locked(lock_);
    ++acquisitions_;
    if (placement == Placement::parked && alignment.value == 1 && n.value <= kLongestParked && parked_[n.value].runs != 0) return {unpark_one_locked(n.value), true};
    run = allocate_locked(n, alignment, placement);
    held = held_locked();
  }
  keep_limit(held);
  if (run.fresh_chunk) fill_fresh_chunk(run.first);
  return run;
}

std::size_t PageHeap::held_locked() const {
  return static_cast<std::size_t>(used_pages_ + dirty_pages_.load(std::memory_order_relaxed)) << kPageShift;
}

// Above the limit other free pages pay for those just taken.
void PageHeap::keep_limit(std::size_t held) {
  if (held < kHeldWorthALimit) return;
  memory_limit();  // reads it, the first time
  if (const std::size_t excess = note_held(held); excess != 0 && !is_purger_forbidden()) purge(0, round_up(excess, kPageSize));
}

void PageHeap::release(PageIndex first, PageCount n) {
  os::Locked locked(lock_);
  ++acquisitions_;
  give_locked(first.value, n.value, false);
}

void PageHeap::park(PageIndex first, PageCount n) {
  os::Locked locked(lock_);
  ++acquisitions_;
  if (n.value > kLongestParked || parked_pages_ + n.value > kMostParked || parked_[n.value].runs == kMostParkedRuns)
    return give_locked(first.value, n.value, false);
  Parked& p = parked_[n.value];
  p.first[p.runs++] = first.value;
  parked_pages_ += n.value;
  used_pages_ -= n.value;
  dirty_pages_.store(dirty_pages_.load(std::memory_order_relaxed) + n.value, std::memory_order_relaxed);
}

// The last one; it is in use again.
PageIndex PageHeap::unpark_one_locked(std::uint32_t n) {
  parked_pages_ -= n;
  used_pages_ += n;
  dirty_pages_.store(dirty_pages_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  return {parked_[n].first[--parked_[n].runs]};
}

void PageHeap::unpark_locked() {
  for (std::uint32_t n = 1; parked_pages_ != 0 && n <= kLongestParked; ++n)
    while (parked_[n].runs != 0) give_locked(unpark_one_locked(n).value, n, false);
}

bool PageHeap::take(PageIndex first, PageCount n) {
  std::size_t held;
  {
    os::Locked locked(lock_);
    ++acquisitions_;
    if (!take_these_locked(first, n)) {
      if (parked_pages_ == 0) return false;
      unpark_locked();
      if (!take_these_locked(first, n)) return false;
    }
    held = held_locked();
  }
  keep_limit(held);
  return true;
}

bool PageHeap::take_these_locked(PageIndex first, PageCount n) {
  const std::uint64_t end = std::uint64_t{first.value} + n.value;
  const std::uint32_t have = chunks_.load(std::memory_order_relaxed);
  const std::uint64_t needed = (end + kChunkPages - 1) / kChunkPages;
  if (needed > capacity_ || first.value > std::uint64_t{have} * kChunkPages) return false;
  if (needed > have && !is_free_locked(first.value, have * kChunkPages)) return false;
  if (needed > have && !grow_locked(static_cast<std::uint32_t>(needed) - have)) return false;
  if (!is_free_locked(first.value, static_cast<std::uint32_t>(end))) return false;
  take_locked(first.value, n.value);
  return true;
}

// All pages of [first, end), which are committed.
bool PageHeap::is_free_locked(std::uint32_t first, std::uint32_t end) const {
  bool free = true;
  for (std::uint32_t at = first; free && at < end;) {
    const std::uint32_t from = at % kChunkPages, to = std::min(kChunkPages, from + (end - at));
    free = next_set(chunk_table_[at / kChunkPages].used, from, to) == to;
    at += to - from;
  }
  return free;
}

bool PageHeap::prepare_locked() {
  if (chunk_table_ != nullptr) return true;
  if (!reserve_heap()) return false;
  const auto capacity = static_cast<std::uint32_t>(reservation.size >> kPageShift) / kChunkPages;
  auto* table = static_cast<std::byte*>(os::map(capacity * (sizeof(Chunk) + sizeof(std::uint16_t) + 1)));
  if (table == nullptr) return false;
  chunk_table_ = reinterpret_cast<Chunk*>(table);
  longest_ = reinterpret_cast<std::uint16_t*>(table + capacity * sizeof(Chunk));
  refills_ = reinterpret_cast<std::atomic<std::uint8_t>*>(longest_ + capacity);
  capacity_ = capacity;
  return true;
}

bool PageHeap::grow_locked(std::uint32_t chunks) {
  const std::uint32_t have = chunks_.load(std::memory_order_relaxed);
  if (chunks > capacity_ - have) return false;
  const std::uint32_t wanted = std::min(std::max(chunks, kGrowthChunks), capacity_ - have);
  const PageIndex at{have * kChunkPages};
  std::uint32_t grown = wanted;
  if (!commit_heap(at, {wanted * kChunkPages})) {
    if (wanted == chunks || !commit_heap(at, {chunks * kChunkPages})) return false;
    grown = chunks;
  }
  if (!commit_tables({(have + grown) * kChunkPages})) return false;
  for (std::uint32_t c = have; c < have + grown; ++c) {
    for (auto& word : chunk_table_[c].clean) word = ~std::uint64_t{0};
    longest_[c] = kChunkPages;
  }
  chunks_.store(have + grown, std::memory_order_release);  // release: pairs with end()
  return true;
}

PageRun PageHeap::allocate_small_locked(std::uint32_t n) {
  std::uint32_t& hint = hint_[std::min(n, kHints - 1)];
  std::uint32_t c = n < kHints ? hint : hint_[kHints - 1];
  while (c < chunks_.load(std::memory_order_relaxed) && longest_[c] < n) ++c;
  if (n < kHints) hint = c;
  if (c == chunks_.load(std::memory_order_relaxed) && !grow_locked(1)) return {};
  const Run run = find_clear_run(chunk_table_[c].used, kChunkPages, n);
  LULL_CHECK(run.length >= n, "page heap: summary and bitmap disagree");
  return {{c * kChunkPages + run.first}, true, false};
}

// The first chunk with room from a random one on; the number of chunks when there is none.
std::uint32_t PageHeap::random_chunk_locked(std::uint32_t n) {
  const std::uint32_t have = chunks_.load(std::memory_order_relaxed);
  const std::uint32_t start = have == 0 ? 0 : random_.below(have);
  for (std::uint32_t i = 0; i < have; ++i) {
    const std::uint32_t c = start + i < have ? start + i : start + i - have;
    if (longest_[c] >= n) return c;
  }
  return have;
}

PageRun PageHeap::allocate_random_locked(std::uint32_t n) {
  std::uint32_t c = random_chunk_locked(n);
  if (c == chunks_.load(std::memory_order_relaxed)) {
    if (!grow_locked(1)) return {};
    c = random_chunk_locked(n);
  }
  const std::uint64_t* used = chunk_table_[c].used;
  const std::uint32_t places = count_places(used, kChunkPages, n);
  LULL_CHECK(places > 0, "page heap: summary and bitmap disagree");
  return {{c * kChunkPages + find_place(used, kChunkPages, n, random_.below(places))}, true, false};
}

std::uint32_t PageHeap::leading_free_locked(std::uint32_t chunk) const {
  return next_set(chunk_table_[chunk].used, 0, kChunkPages);
}

// First chunk of a place for `n` > kChunkPages pages among the committed ones, or where such a place would begin if
// the heap grew: the run of empty chunks at its end.
std::uint32_t PageHeap::find_long_locked(std::uint32_t n) {
  const std::uint32_t whole = n / kChunkPages, rest = n % kChunkPages, end = chunks_.load(std::memory_order_relaxed);
  std::uint32_t empty = 0;  // empty chunks right before c
  for (std::uint32_t c = 0; c < end; ++c) {
    const bool fits = empty >= whole && (rest == 0 || leading_free_locked(c) >= rest);
    if (fits) return c - whole;
    empty = longest_[c] == kChunkPages ? empty + 1 : 0;
  }
  return end - std::min(empty, whole);
}

PageRun PageHeap::allocate_long_locked(std::uint32_t n) {
  const std::uint32_t first = find_long_locked(n);
  const std::uint32_t needed = first + (n + kChunkPages - 1) / kChunkPages, have = chunks_.load(std::memory_order_relaxed);
  if (needed > have && !grow_locked(needed - have)) return {};
  return {{first * kChunkPages}, true, false};
}

// What is known about the chunk's density is no longer true.
void PageHeap::unsettle(Chunk& chunk) {
  chunk.settled = 0;
  if (chunk.huge == HugeState::refused) chunk.huge = HugeState::small;
}

bool PageHeap::take_locked(std::uint32_t first, std::uint32_t n) {
  bool all_clean = true;
  std::uint32_t taken_clean = 0;
  for (std::uint32_t c = first / kChunkPages; c * kChunkPages < first + n; ++c) {
    Chunk& chunk = chunk_table_[c];
    const std::uint32_t origin = c * kChunkPages;
    const std::uint32_t from = std::max(first, origin) - origin, to = std::min(first + n, origin + kChunkPages) - origin;
    for_words_in_range(from, to, [&](std::uint32_t word, std::uint64_t mask) {
      LULL_CHECK((chunk.used[word] & mask) == 0, "page heap: page handed out twice");
      const std::uint64_t clean = chunk.clean[word] & mask;
      all_clean &= clean == mask;
      if (!chunk.filled) taken_clean += static_cast<std::uint32_t>(std::popcount(clean));
      chunk.used[word] |= mask;
      chunk.clean[word] &= ~mask;
    });
    unsettle(chunk);
    note_taken_locked(c, from, to);
  }
  used_pages_ += n;
  dirty_pages_.store(dirty_pages_.load(std::memory_order_relaxed) - (n - taken_clean), std::memory_order_relaxed);
  return all_clean;
}

void PageHeap::give_locked(std::uint32_t first, std::uint32_t n, bool clean) {
  for (std::uint32_t c = first / kChunkPages; c * kChunkPages < first + n; ++c) {
    Chunk& chunk = chunk_table_[c];
    const std::uint32_t origin = c * kChunkPages;
    const std::uint32_t from = std::max(first, origin) - origin, to = std::min(first + n, origin + kChunkPages) - origin;
    if (clean) forget_filled_locked(chunk);
    for_words_in_range(from, to, [&](std::uint32_t word, std::uint64_t mask) {
      LULL_CHECK((chunk.used[word] & mask) == mask, "page heap: page released twice");
      chunk.used[word] &= ~mask;
      if (clean) chunk.clean[word] |= mask;
    });
    if (!clean) chunk.idle = 0;
    unsettle(chunk);
    note_given_locked(c, from, to);
  }
  used_pages_ -= n;
  if (!clean) dirty_pages_.store(dirty_pages_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// Pages [from, to) of the chunk were taken. All runs are looked at only when it was a part of a longest one.
void PageHeap::note_taken_locked(std::uint32_t c, std::uint32_t from, std::uint32_t to) {
  const std::uint64_t* used = chunk_table_[c].used;
  if (clear_run_around(used, kChunkPages, from, to) < longest_[c]) return;
  longest_[c] = static_cast<std::uint16_t>(find_clear_run(used, kChunkPages, kChunkPages).length);
}

// Pages [from, to) of the chunk were released: if its longest run grew, it is the one that they are in.
void PageHeap::note_given_locked(std::uint32_t c, std::uint32_t from, std::uint32_t to) {
  const std::uint32_t longest = clear_run_around(chunk_table_[c].used, kChunkPages, from, to);
  if (longest <= longest_[c]) return;
  longest_[c] = static_cast<std::uint16_t>(longest);
  for (std::uint32_t n = 1; n < kHints; ++n)
    if (c < hint_[n] && (n < kHints - 1 ? longest >= n : longest > 0)) hint_[n] = c;
}

PageStats PageHeap::stats() {
  os::Locked locked(lock_);
  return stats_locked();
}

PageStats PageHeap::stats_locked() const {
  const std::uint64_t committed = std::uint64_t{chunks_.load(std::memory_order_relaxed)} * kChunkPages;
  const std::uint64_t dirty = dirty_pages_.load(std::memory_order_relaxed);
  std::uint64_t huge = 0;
  for (std::uint32_t c = 0; c < chunks_.load(std::memory_order_relaxed); ++c) huge += chunk_table_[c].huge == HugeState::huge;
  return {.committed = committed << kPageShift, .used = used_pages_ << kPageShift, .free_dirty = dirty << kPageShift,
          .free_clean = (committed - used_pages_ - dirty) << kPageShift, .huge = huge * kChunkPages << kPageShift,
          .purged_total = (purged_pages_total_ << kPageShift) + purged_holes_.load(std::memory_order_relaxed), .lock_acquisitions = acquisitions_};
}

void PageHeap::check_invariants() {
  os::Locked locked(lock_);
  std::uint64_t used = 0, dirty = 0;
  for (std::uint32_t c = 0; c < chunks_.load(std::memory_order_relaxed); ++c) {
    const Chunk& chunk = chunk_table_[c];
    for (std::uint32_t w = 0; w < kChunkWords; ++w) {
      LULL_CHECK((chunk.used[w] & chunk.clean[w]) == 0, "page heap: a used page counts as clean");
      used += static_cast<std::uint64_t>(std::popcount(chunk.used[w]));
      dirty += static_cast<std::uint64_t>(std::popcount(chunk.filled ? ~chunk.used[w] : ~(chunk.used[w] | chunk.clean[w])));
    }
    LULL_CHECK(longest_[c] == find_clear_run(chunk.used, kChunkPages, kChunkPages).length, "page heap: stale summary");
  }
  LULL_CHECK(used == used_pages_ + parked_pages_ && dirty + parked_pages_ == dirty_pages_.load(std::memory_order_relaxed), "page heap: counters are off");
}

}  // namespace lull::pages

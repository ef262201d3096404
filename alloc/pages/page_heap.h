// The page heap (mheap): hands out runs of pages of the reserved range, first fit by address, and gives idle ones back
// to the system.
//
// The range is divided into chunks of 2 MiB (one huge page) with two bitmaps each, a bit per page:
//   used   the page belongs to a span (or is being purged)
//   clean  the page is free and known to be zero, because it was never touched or was purged
// Pages that are parked (park) count as free, and their bits say used.
// Invariants (check_invariants): clean and used are disjoint; longest_[c] = longest run of pages not used in chunk c;
// free pages = clean + dirty; no chunk at or beyond `chunks_` is committed. Clean pages have no memory, except in a chunk that got all of
// its memory at once (filled, note_filled): there they count as dirty, since they can be given back.
// Runs longer than a chunk take whole chunks and the head of the next one. Coalescing is implicit: a free run is a run
// of zero bits. First fit by address keeps the high end of the heap empty, which is what can be returned.
// Every function is thread-safe; none allocates memory through the library.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/base/units.h"
#include "alloc/os/lock.h"
#include "alloc/os/random.h"
#include "alloc/pages/huge_pages.h"

namespace lull::pages {

struct PageRun {
  PageIndex first;
  bool found = false;
  bool zero = false;  // every page is known to be zero
  bool fresh_chunk = false;  // the first pages of a chunk without memory, and small enough for huge_pages.h to fill it
};

// Where in the committed part of the heap: as low as possible; in the run of this length that was parked last, if there is one;
// or where nobody can foresee. Long runs (kMostRandomPages) are always placed first fit: at random, one would take the chunk from the next.
enum class Placement : std::uint8_t { first_fit, parked, random };

struct PageStats {  // bytes
  std::uint64_t committed = 0, used = 0, free_dirty = 0, free_clean = 0;
  std::uint64_t huge = 0;  // in chunks that were made huge pages and not broken up since
  std::uint64_t purged_total = 0, lock_acquisitions = 0;
};

class PageHeap {
 public:
  // `n` contiguous pages, the first at a multiple of `alignment` pages (a power of two); not found when the range or the
  // system is exhausted.
  [[nodiscard]] PageRun allocate(PageCount n, PageCount alignment = {1}, Placement placement = Placement::first_fit);
  void release(PageIndex first, PageCount n);
  // The same, by who is likely to want as many pages soon (Placement::parked): up to kMostParked pages stay aside, as if in use, so that taking
  // them again costs no search. They count as free, and become so at the next tick() or purge(), and before anybody gets pages without memory.
  void park(PageIndex first, PageCount n);
  // These very pages, when all of them are free. Grows the heap when they lie at its end.
  [[nodiscard]] bool take(PageIndex first, PageCount n);

  // Gives back free pages of chunks that nobody touched for `idle_ticks` calls of tick(); at most `most` bytes.
  // Returns the bytes given back. `idle_ticks` 0: everything now.
  std::size_t purge(unsigned idle_ticks, std::size_t most);
  void tick();

  // Of alloc/pages/huge_pages.h, which has the rules. The first chunk from `from` on, a chunk's first page, that should be looked at now;
  // `others_wait`: chunks before it (all of them when none is found) may be ripe later.
  struct Dense {
    PageIndex first;
    bool found = false, others_wait = false;
  };
  Dense find_dense(PageIndex from);
  // While the system makes the page's chunk huge, without the lock. What became of it is said before this ends.
  class MakingHuge {
   public:
    explicit MakingHuge(PageIndex page);
    ~MakingHuge();
    MakingHuge(const MakingHuge&) = delete;
    MakingHuge& operator=(const MakingHuge&) = delete;
    // After an attempt on a dense chunk.
    void note_collapsed(bool done);
    // All pages of the chunk have memory now, those that are free, too; but what was purged meanwhile.
    void note_filled();

   private:
    std::uint32_t chunk_;
    std::uint32_t purges_;  // of it before
  };
  // A span of managed objects that begins at this page is about to be filled once more: if many of a chunk's are, it holds young
  // memory, which gains nothing. A load and a store, no lock: a count that is lost does not matter.
  void note_refilled(PageIndex page) {
    std::atomic<std::uint8_t>& refills = refills_[page.value / kChunkPages];
    const std::uint8_t now = refills.load(std::memory_order_relaxed);
    if (now != 0xff) refills.store(static_cast<std::uint8_t>(now + 1), std::memory_order_relaxed);
  }
  // A part of the page's chunk is about to be purged. True: the chunk was huge.
  [[nodiscard]] bool forget_huge(PageIndex page);
  bool is_huge(PageIndex page);  // its chunk, at that moment
  // In a forked child: a copy of memory that is shared with the parent would cost what the fork saved.
  void refuse_huge_after_fork();

  // Bytes in holes of spans were given back: they count as used all the same.
  void note_purged_holes(std::size_t bytes) { purged_holes_.fetch_add(bytes, std::memory_order_relaxed); }

  PageStats stats();
  // The same, and `look` runs meanwhile: no page is taken or released while it does. It must take no lock and be short.
  template <class Look>
  PageStats stats_with(Look&& look) {
    os::Locked locked(lock_);
    look();
    return stats_locked();
  }
  std::size_t dirty_bytes() const { return dirty_pages_.load(std::memory_order_relaxed) << kPageShift; }
  PageIndex end() const { return {chunks_.load(std::memory_order_acquire) * kChunkPages}; }  // acquire: pairs with grow_locked
  void check_invariants();
  // For a fork, which waits for what the system is doing with pages meanwhile (a huge page took up to 5 ms here): the child would have pages that somebody is
  // giving back for ever, and a flag of the mapping.
  void lock_across_fork();
  void unlock_across_fork() { lock_.unlock_across_fork(); }

  static constexpr std::uint32_t kChunkPages = 256;
  static constexpr std::uint32_t kMostRandomPages = 33;  // 256 KiB and a guard
  static constexpr std::uint32_t kMostParked = 256;      // pages, 2 MiB: of a program that frees a wave of blocks and makes the next one
  static constexpr std::uint32_t kLongestParked = 8, kMostParkedRuns = 128;

 private:
  static constexpr std::uint32_t kChunkWords = kChunkPages / 64;
  static constexpr std::uint32_t kHints = 17;  // first chunk that may have a run of n pages, for n below this

  struct Chunk {
    std::uint64_t used[kChunkWords];
    std::uint64_t clean[kChunkWords];
    std::uint32_t idle;     // ticks since the last release into it
    std::uint16_t settled;  // ticks since pages of it were taken or released, or it was looked at in vain; stays at its maximum
    HugeState huge;
    std::uint8_t attempts;  // to make it huge, that failed or did not last
    bool filled;            // its clean pages have memory
    std::uint32_t purges;   // of parts of it, begun
  };

  // In the middle of this a thread has pages in hand that nobody else may touch, and not the lock.
  void begin_unlocked_locked();
  void end_unlocked_locked();
  void let_fork_pass();

  PageStats stats_locked() const;
  PageRun allocate_locked(PageCount n, PageCount alignment, Placement placement);
  bool take_these_locked(PageIndex first, PageCount n);
  PageIndex unpark_one_locked(std::uint32_t n);
  void unpark_locked();
  std::size_t held_locked() const;  // bytes in spans, and free ones not given back
  void keep_limit(std::size_t held);
  bool prepare_locked();
  bool grow_locked(std::uint32_t chunks);
  PageRun find_run_locked(std::uint32_t n, bool at_random);
  bool is_dirty_locked(std::uint32_t first, std::uint32_t n) const;
  PageRun allocate_small_locked(std::uint32_t n);
  PageRun allocate_random_locked(std::uint32_t n);
  std::uint32_t random_chunk_locked(std::uint32_t n);
  PageRun allocate_long_locked(std::uint32_t n);
  std::uint32_t find_long_locked(std::uint32_t n);
  bool is_free_locked(std::uint32_t first, std::uint32_t end) const;
  bool take_locked(std::uint32_t first, std::uint32_t n);  // true when all were clean
  void give_locked(std::uint32_t first, std::uint32_t n, bool clean);
  void note_taken_locked(std::uint32_t chunk, std::uint32_t from, std::uint32_t to);
  void note_given_locked(std::uint32_t chunk, std::uint32_t from, std::uint32_t to);
  bool forget_huge_locked(std::uint32_t chunk);
  void forget_filled_locked(Chunk& chunk);
  bool is_fresh_locked(std::uint32_t chunk) const;
  static void unsettle(Chunk& chunk);
  std::uint32_t leading_free_locked(std::uint32_t chunk) const;
  std::size_t purge_chunk(std::uint32_t chunk, std::size_t most);

  os::Lock lock_{os::LockRank::pages};
  Chunk* chunk_table_ = nullptr;        // all of these: lock_
  std::uint16_t* longest_ = nullptr;
  std::atomic<std::uint8_t>* refills_ = nullptr;  // of a chunk, decaying; relaxed, by any thread; the pointer is constant once there are pages
  std::uint32_t capacity_ = 0;
  std::uint32_t hint_[kHints] = {};
  struct Parked {
    std::uint32_t runs = 0;
    std::uint32_t first[kMostParkedRuns] = {};
  };
  Parked parked_[kLongestParked + 1];  // by length; the last parked comes last
  std::uint32_t parked_pages_ = 0;
  std::uint64_t used_pages_ = 0, purged_pages_total_ = 0, acquisitions_ = 0;
  std::atomic<std::uint64_t> purged_holes_{0};
  std::atomic<std::uint64_t> dirty_pages_{0};  // written under lock_
  std::atomic<std::uint32_t> chunks_{0};       // committed; written under lock_
  std::uint32_t unlocked_ = 0;                 // begin_unlocked_locked() without its end; lock_
  std::atomic<std::uint32_t> fork_waits_{0};   // relaxed, no partner: whoever misses it makes the fork wait longer
  os::RandomNumbers random_;                   // lock_
};

extern PageHeap page_heap;

}  // namespace lull::pages

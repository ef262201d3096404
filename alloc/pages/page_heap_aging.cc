// Of the page heap: what becomes of chunks in time. Free pages go back to the system, chunks full of memory that stays become huge
// pages (alloc/pages/huge_pages.h), and what is known about either is forgotten when it is no longer true.
#include <algorithm>

#include "alloc/base/bitmap.h"
#include "alloc/os/huge_pages.h"
#include "alloc/os/thread.h"
#include "alloc/os/vm.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/page_runs.h"
#include "alloc/pages/reservation.h"

namespace lull::pages {

void PageHeap::tick() {
  os::Locked locked(lock_);
  note_held(held_locked());
  unpark_locked();
  for (std::uint32_t c = 0; c < chunks_.load(std::memory_order_relaxed); ++c) {
    Chunk& chunk = chunk_table_[c];
    ++chunk.idle;
    if (chunk.settled != 0xffff) ++chunk.settled;
    const std::uint8_t refills = refills_[c].load(std::memory_order_relaxed);
    if (refills >= kYoungRefills) chunk.settled = 0;
    if (refills != 0) refills_[c].store(static_cast<std::uint8_t>(refills - (refills + 7) / 8), std::memory_order_relaxed);
  }
}

PageHeap::Dense PageHeap::find_dense(PageIndex from) {
  os::Locked locked(lock_);
  Dense result;
  for (std::uint32_t c = from.value / kChunkPages; c < chunks_.load(std::memory_order_relaxed); ++c) {
    const Chunk& chunk = chunk_table_[c];
    if (chunk.huge != HugeState::small || longest_[c] != 0) continue;
    if (chunk.settled >= ticks_until_huge(chunk.attempts)) return {{c * kChunkPages}, true, result.others_wait};
    result.others_wait = true;
  }
  return result;
}

PageHeap::MakingHuge::MakingHuge(PageIndex page) : chunk_(page.value / kChunkPages) {
  page_heap.let_fork_pass();
  os::Locked locked(page_heap.lock_);
  page_heap.begin_unlocked_locked();
  purges_ = page_heap.chunk_table_[chunk_].purges;
}

PageHeap::MakingHuge::~MakingHuge() {
  os::Locked locked(page_heap.lock_);
  page_heap.end_unlocked_locked();
}

// A purge meanwhile has broken it: it found no huge page to split, so the kernel did.
void PageHeap::MakingHuge::note_collapsed(bool done) {
  os::Locked locked(page_heap.lock_);
  Chunk& chunk = page_heap.chunk_table_[chunk_];
  chunk.settled = 0;
  if (!done && chunk.attempts < kMostAttempts) ++chunk.attempts;
  if (done && chunk.purges == purges_) chunk.huge = HugeState::huge;
  else if (chunk.attempts == kMostAttempts) chunk.huge = HugeState::refused;
}

// All pages are free, and none has memory.
bool PageHeap::is_fresh_locked(std::uint32_t c) const {
  const Chunk& chunk = chunk_table_[c];
  return !chunk.filled && std::ranges::all_of(chunk.clean, [](std::uint64_t word) { return word == ~std::uint64_t{0}; });
}

void PageHeap::MakingHuge::note_filled() {
  os::Locked locked(page_heap.lock_);
  Chunk& chunk = page_heap.chunk_table_[chunk_];
  if (chunk.filled) return;
  chunk.filled = true;
  if (chunk.purges == purges_) chunk.huge = HugeState::huge;
  chunk.idle = 0;
  std::uint64_t pages = 0;
  for (const std::uint64_t word : chunk.clean) pages += static_cast<std::uint64_t>(std::popcount(word));
  page_heap.dirty_pages_.store(page_heap.dirty_pages_.load(std::memory_order_relaxed) + pages, std::memory_order_relaxed);
}

// Its clean pages are dirty, as they were counted: who takes one clears it again.
void PageHeap::forget_filled_locked(Chunk& chunk) {
  if (!chunk.filled) return;
  chunk.filled = false;
  for (auto& word : chunk.clean) word = 0;
}

bool PageHeap::forget_huge(PageIndex page) {
  os::Locked locked(lock_);
  return forget_huge_locked(page.value / kChunkPages);
}

bool PageHeap::is_huge(PageIndex page) {
  os::Locked locked(lock_);
  return chunk_table_[page.value / kChunkPages].huge == HugeState::huge;
}

bool PageHeap::forget_huge_locked(std::uint32_t c) {
  Chunk& chunk = chunk_table_[c];
  chunk.settled = 0;
  ++chunk.purges;
  if (chunk.huge != HugeState::huge) return false;
  chunk.huge = HugeState::small;
  if (chunk.attempts < kMostAttempts) ++chunk.attempts;
  return true;
}

namespace {
constinit __thread std::uint32_t own_unlocked = 0;  // a crash handler that forks need not wait for its own thread
}

void PageHeap::begin_unlocked_locked() {
  ++unlocked_;
  ++own_unlocked;
}

void PageHeap::end_unlocked_locked() {
  --unlocked_;
  --own_unlocked;
}

// Whoever begins anew at once would keep a fork waiting.
void PageHeap::let_fork_pass() {
  while (fork_waits_.load(std::memory_order_relaxed) != 0 && own_unlocked == 0) os::yield();
}

void PageHeap::lock_across_fork() {
  fork_waits_.fetch_add(1, std::memory_order_relaxed);
  lock_.lock_across_fork();
  while (unlocked_ != own_unlocked) {
    lock_.unlock_across_fork();
    os::yield();
    lock_.lock_across_fork();
  }
  fork_waits_.fetch_sub(1, std::memory_order_relaxed);
}

void PageHeap::refuse_huge_after_fork() {
  os::Locked locked(lock_);
  for (std::uint32_t c = 0; c < chunks_.load(std::memory_order_relaxed); ++c)
    if (chunk_table_[c].huge == HugeState::small) chunk_table_[c].huge = HugeState::refused;
}

std::size_t PageHeap::purge(unsigned idle_ticks, std::size_t most) {
  std::size_t purged = 0;
  {
    os::Locked locked(lock_);
    unpark_locked();
  }
  for (std::uint32_t c = chunks_.load(std::memory_order_relaxed); c-- > 0 && purged < most && dirty_bytes() > 0;) {
    bool idle;
    {
      os::Locked locked(lock_);
      idle = chunk_table_[c].idle >= idle_ticks;
    }
    if (idle) purged += purge_chunk(c, most - purged);
  }
  return purged;
}

// Takes the chunk's dirty free runs as if allocated, so that the system calls run without the lock.
std::size_t PageHeap::purge_chunk(std::uint32_t c, std::size_t most) {
  std::size_t purged = 0;
  for (;;) {
    Run run;
    bool was_huge;
    let_fork_pass();
    {
      os::Locked locked(lock_);
      Chunk& chunk = chunk_table_[c];
      forget_filled_locked(chunk);
      std::uint64_t settled[kChunkWords];
      for (std::uint32_t w = 0; w < kChunkWords; ++w) settled[w] = chunk.used[w] | chunk.clean[w];
      run = find_clear_run(settled, kChunkPages, kChunkPages);
      run.length = static_cast<std::uint32_t>(std::min(std::size_t{run.length}, (most - purged) >> kPageShift));
      if (run.length == 0) return purged;
      run.first += c * kChunkPages;
      was_huge = forget_huge_locked(c);
      take_locked(run.first, run.length);
      begin_unlocked_locked();
    }
    if (was_huge && run.length < kChunkPages) os::split_huge_page(reinterpret_cast<void*>(address_of({run.first})));
    const bool done = os::purge(reinterpret_cast<void*>(address_of({run.first})), PageCount{run.length}.bytes());
    os::Locked locked(lock_);
    end_unlocked_locked();
    give_locked(run.first, run.length, done);
    if (!done) return purged;  // they were given just now, so it is a while until the next attempt
    purged_pages_total_ += run.length;
    purged += PageCount{run.length}.bytes();
  }
}

}  // namespace lull::pages

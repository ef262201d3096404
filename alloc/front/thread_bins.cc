#include "alloc/front/thread_bins.h"

#include <pthread.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/heap_object.h"
#include "alloc/front/large_block.h"
#include "alloc/front/misuse.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"

namespace lull::front {

constinit ThreadBins no_bins{};
constinit __thread ThreadBins* thread_bins = &no_bins;
constinit FreeView free_view;

namespace {

constinit ThreadBins ended_bins{};  // like no_bins: of a thread that gave its bins back and will get no others

constexpr std::uint32_t kFirstMagazine = 8;                // blocks
// Enough to pay for a visit to the central store: a thread that only allocates or only frees gets no more.
constexpr std::size_t kPlainBytes = 16 * 1024;
constexpr std::uint32_t kPlainBlocks = 64;
// For a thread whose lists run full and empty in turns.
constexpr std::size_t kLongBytes = 128 * 1024;
constexpr std::uint32_t kLongBlocks = 1024;
constexpr std::uint32_t kFewestBlocks = 2;
constexpr std::size_t kMostPerThread = std::size_t{2} << 20;  // all magazines of a thread

constinit os::Lock lock{os::LockRank::caches};
constinit ThreadBins* all = nullptr;     // lock
constinit pthread_key_t key{};           // lock; valid once `ready`
constinit bool ready = false;            // lock

constexpr std::uint32_t blocks_within(BinIndex bin, std::size_t bytes, std::uint32_t blocks) {
  return std::clamp(static_cast<std::uint32_t>(bytes / bytes_of_bin(bin)), kFewestBlocks, blocks);
}

std::uintptr_t random_word() {
  std::uintptr_t word = 0;
  if (const auto* bytes = reinterpret_cast<const void*>(::getauxval(AT_RANDOM))) std::memcpy(&word, bytes, sizeof word);
  return word | 1;  // no block's address equals its key
}

ThreadBins* own_or_null() { return has_bins() ? thread_bins : nullptr; }

// Taken out before it is given: giving may start the purger, and starting a thread may come back for blocks.
void give_back(ThreadBins& t) {
  const Visiting visiting(own_or_null());
  for (std::uint32_t b = kFirstBin; b < kBins; ++b) {
    Block* list = t.bins[b].list;
    t.bins[b] = {nullptr, 0, t.bins[b].inverse};
    const BinReserve r = std::exchange(t.reserve[b], {});
    t.magazine_bytes -= r.magazine * bytes_of_bin(b) * 2;
    give_blocks(list);
    give_blocks(r.spare);
    if (r.held != nullptr) release_held_span(static_cast<BinIndex>(b), r.held);
  }
}

void release_bins(ThreadBins& t) {
  give_back(t);
  os::Locked locked(lock);
  t.used = false;
}

void end_thread(void* bins) {
  // Destructors of other keys that still run use the central store directly: nobody would empty new bins.
  thread_bins = &ended_bins;
  release_bins(*static_cast<ThreadBins*>(bins));
}

bool initialise_locked() {
  if (ready) return true;
  if (!pages::reserve_heap() || pthread_key_create(&key, end_thread) != 0) return false;
  free_view.base.store(pages::reservation.base, std::memory_order_relaxed);
  free_view.classes = pages::reservation.classes;
  free_view.secret = random_word();
  // release: pairs with bin_for(), which may run in a thread that freed a large block before there were bins
  free_view.size.store(pages::reservation.size, std::memory_order_release);
  return ready = true;
}

ThreadBins* take_bins() {
  os::Locked locked(lock);
  if (!initialise_locked()) return nullptr;
  ThreadBins* t = all;
  while (t != nullptr && t->used) t = t->next;
  if (t == nullptr) {
    t = static_cast<ThreadBins*>(os::allocate_meta(sizeof(ThreadBins)));
    if (t == nullptr) return nullptr;
    for (std::uint32_t b = kFirstBin; b < kBins; ++b) t->bins[b].inverse = inverse_of_bin(b);
    t->next = all;
    all = t;
  }
  t->used = true;
  return t;
}

// This thread's bins; nullptr when it can have none.
ThreadBins* own_bins() {
  if (thread_bins != &no_bins) return thread_bins == &ended_bins ? nullptr : thread_bins;
  ThreadBins* t = take_bins();
  if (t == nullptr) return nullptr;
  thread_bins = t;
  install_fork_handlers();
  // May allocate, from the bins it announces. Without it nobody would empty them when the thread ends.
  if (pthread_setspecific(key, t) == 0) return t;
  thread_bins = &no_bins;
  release_bins(*t);
  return nullptr;
}

void grow_magazine(ThreadBins& t, BinIndex b, Visit visit) {
  BinReserve& r = t.reserve[b];
  const bool turned = r.last_visit != Visit::none && r.last_visit != visit;
  r.last_visit = visit;
  const std::uint32_t most = turned ? blocks_within(b, kLongBytes, kLongBlocks) : blocks_within(b, kPlainBytes, kPlainBlocks);
  if (r.magazine >= most) return;
  const std::uint32_t wanted = r.magazine == 0 ? std::min(kFirstMagazine, most) : std::min(r.magazine * 2, most);
  const std::size_t more = (wanted - r.magazine) * bytes_of_bin(b) * 2;
  if (r.magazine != 0 && t.magazine_bytes + more > kMostPerThread) return;
  t.magazine_bytes += more;
  t.bins[b].room += wanted - r.magazine;
  r.magazine = wanted;
}

// Fills the empty current list from the central store. False: no memory.
bool refill(ThreadBins& t, BinIndex b) {
  grow_magazine(t, b, Visit::took);
  Bin& bin = t.bins[b];
  BinReserve& r = t.reserve[b];
  // No more than will be used while it is in the processor's cache: making the list touches every block.
  const std::uint32_t wanted = std::min(r.magazine, blocks_within(b, kPlainBytes, kPlainBlocks));
  std::uint32_t have = 0;
  Block* list = nullptr;
  // Spans with few free blocks are worth another look, but not for ever.
  for (int spans = 0; have < wanted / 2 + 1 && spans < 4; ++spans) {
    if (r.held == nullptr) r.held = hold_span(b);
    if (r.held == nullptr) break;
    std::uint32_t taken;
    Block* more = take_blocks(*r.held, wanted - have, taken);
    if (more != nullptr) {
      Block* last = more;
      if (list != nullptr) while (last->next != nullptr) last = last->next;
      if (list != nullptr) last->next = list;
      list = more;
      have += taken;
    }
    if (drop_if_exhausted(r.held)) r.held = nullptr;
  }
  bin.list = list;
  bin.room = r.magazine - have;
  return list != nullptr;
}

void* allocate_small_slow(std::size_t bytes) {
  const BinIndex b = bin_of(bytes);
  ThreadBins* t = own_bins();
  const Visiting visiting(t);
  if (t == nullptr) {
    auto* block = static_cast<Block*>(take_one(b));
    if (block != nullptr) block->key = 0;
    return block;
  }
  Bin& bin = t->bins[b];
  BinReserve& r = t->reserve[b];
  if (bin.list == nullptr) {
    if (r.spare != nullptr) {
      bin.list = r.spare;
      bin.room = r.magazine - r.spare_count;
      r.spare = nullptr;
    } else if (!refill(*t, b)) {
      return nullptr;
    }
  }
  Block* block = bin.list;
  bin.list = block->next;
  ++bin.room;
  block->key = 0;
  return block;
}

// The current list is full. Blocks are given last: that may start the purger, and starting a thread may come back for blocks
// of this bin, or with some.
void make_room(ThreadBins& t, BinIndex b) {
  Bin& bin = t.bins[b];
  BinReserve& r = t.reserve[b];
  if (r.magazine == 0) return grow_magazine(t, b, Visit::none);
  Block* full = std::exchange(r.spare, nullptr);
  if (full != nullptr) grow_magazine(t, b, Visit::gave);
  if (bin.room == 0) {
    r.spare = bin.list;
    r.spare_count = r.magazine;
    bin.list = nullptr;
    bin.room = r.magazine;
  }
  give_blocks(full);
}

}  // namespace

void* allocate_slow(std::size_t bytes) {
  if (bytes <= kSmallMost) return allocate_small_slow(bytes);
  install_fork_handlers();
  bool zero;
  return allocate_large(bytes, 1, zero);
}

void free_slow(void* address) {
  if (address == nullptr) return;
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (!pages::in_heap(word)) report_bad_free(address);
  const auto entry = static_cast<std::uint32_t>(pages::reservation.classes[pages::page_of(word).value].load(std::memory_order_acquire));
  const std::uint32_t b = entry & 0xff;
  if (b == low_byte(pages::PageClass::large)) return free_large(address);
  if (b == low_byte(pages::PageClass::heap_small) || b == low_byte(pages::PageClass::heap_large)) return free_in_heap(address);
  if (b < kFirstBin) report_bad_free(address);
  const std::uint32_t in_span = static_cast<std::uint32_t>(word & (kPageSize - 1)) | (entry >> 8) << kPageShift;
  if (in_span * inverse_of_bin(b) >= inverse_of_bin(b)) report_bad_free(address);
  auto* block = static_cast<Block*>(address);
  if (block->key == key_of(block)) report_double_free(address);
  ThreadBins* t = own_bins();
  const Visiting visiting(t);
  if (t == nullptr) {
    block->next = nullptr;
    block->key = key_of(block);
    return give_blocks(block);
  }
  while (t->bins[b].room == 0) make_room(*t, static_cast<BinIndex>(b));
  push(t->bins[b], address);
}

void flush_thread_bins() {
  if (has_bins()) give_back(*thread_bins);
}

std::size_t thread_bins_in_use() {
  os::Locked locked(lock);
  std::size_t n = 0;
  for (ThreadBins* t = all; t != nullptr; t = t->next) n += t->used;
  return n;
}

bool has_bins() { return thread_bins != &no_bins && thread_bins != &ended_bins; }

os::Lock& bins_lock_for_fork() { return lock; }

bool others_visit_locked() {
  for (ThreadBins* t = all; t != nullptr; t = t->next)
    if (t != thread_bins && t->visiting.load(std::memory_order_acquire)) return true;
  return false;
}

// The child has one thread, so nothing changes meanwhile. What the others did in visits is whole (fork_gate.h); the current
// lists change at any time and are lost.
void reclaim_bins_after_fork() {
  for (ThreadBins* t = all; t != nullptr; t = t->next) {
    if (!t->used || t == thread_bins) continue;
    for (Bin& bin : t->bins) bin.list = nullptr;
    t->visiting.store(false, std::memory_order_relaxed);
    give_back(*t);
    t->used = false;
  }
}

}  // namespace lull::front

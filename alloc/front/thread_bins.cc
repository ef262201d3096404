#include "alloc/front/thread_bins.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/front/background.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/heap_object.h"
#include "alloc/front/large_block.h"
#include "alloc/front/magazines.h"
#include "alloc/front/misuse.h"
#include "alloc/front/sampling.h"
#include "alloc/front/secure.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/random.h"
#include "alloc/pages/purger.h"
#include "alloc/sample/guard_pool.h"

namespace lull::front {

constinit Block* const no_blocks[1] = {nullptr};
constinit ThreadBins no_bins{};
constinit ThreadBins asleep_bins{};
constinit __thread ThreadBins* thread_bins = &no_bins;
constinit FreeView free_view;
constinit std::array<BinIndex, kSmallMost / 16 + 1> popped_bins = block_size_tables::kBinOfUnits;

namespace {

static_assert(2 * kBins <= 256);
void point_popped_bins(std::uint32_t behind) {
  for (std::size_t units = 0; units < popped_bins.size(); ++units)
    __atomic_store_n(&popped_bins[units], static_cast<BinIndex>(block_size_tables::kBinOfUnits[units] + behind), __ATOMIC_RELAXED);
}

void forget_counts(ThreadBins& t) {
  for (std::uint32_t b = kBins; b < 2 * kBins; ++b) set_counted(t.bins[b], 0);
}

}  // namespace

void count_allocations() {
  for (ThreadBins* t = first_bins(); t != nullptr; t = t->next) forget_counts(*t);
  point_popped_bins(kBins);
}
void stop_counting_allocations() { point_popped_bins(0); }

namespace {

constinit ThreadBins ended_bins{};  // like no_bins: of a thread that gave its bins back and will get no others

constinit os::Lock lock{os::LockRank::caches};
constinit ThreadBins* all = nullptr;     // lock
constinit std::uint32_t all_bins = 0;    // lock; their number
constinit pthread_key_t key{};           // lock; valid once `ready`
constinit bool ready = false;            // lock

// Not the C library's random bytes as they are: the stack protector's canary comes of the first eight, and freed blocks tell the secret.
std::uintptr_t random_word() {
  os::RandomNumbers random;
  const auto half = [&random] { return std::uintptr_t{random.below(~std::uint32_t{0})}; };
  const std::uintptr_t high = half();
  return high << 32 | half() | 1;  // no block's address equals its key
}

void release_bins(ThreadBins& t) {
  give_back(t);
  after_giving();
  abandon_bins(t);
}

void end_thread(void* bins) {
  auto& own = *static_cast<ThreadBins*>(bins);
  end_sleeper(own);
  // Destructors of other keys that still run use the central store directly: nobody would empty new bins.
  thread_bins = &ended_bins;
  release_bins(own);
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
    void* memory = os::allocate_meta(sizeof(ThreadBins));
    if (memory == nullptr) return nullptr;
    t = new (memory) ThreadBins;
    for (std::uint32_t b = kBins; b < 2 * kBins; ++b) t->bins[b].top = end_of_counter(t->bins[b]);
    t->mark = mark_number(all_bins);
    t->home = home_number(all_bins++);
    t->next = all;
    all = t;
  }
  t->used = true;
  t->foreign = foreign_to(t->mark);
  return t;
}

void initialise_without_bins() {
  if (free_view.size.load(std::memory_order_relaxed) != 0) return;
  {
    os::Locked locked(lock);
    if (!initialise_locked()) return;
  }
  install_fork_handlers();
}

}  // namespace

ThreadBins* own_bins() {
  if (current_bins() != &no_bins) return own_bins_or_null();
  if (is_secure()) {
    initialise_without_bins();
    return nullptr;
  }
  ThreadBins* t = take_bins();
  if (t == nullptr) return nullptr;
  thread_bins = t;
  install_fork_handlers();
  // May allocate, from the bins it announces. Without it nobody would empty them when the thread ends.
  if (pthread_setspecific(key, t) == 0) {
    begin_sleeper(*t);
    return t;
  }
  thread_bins = &no_bins;
  release_bins(*t);
  return nullptr;
}

namespace {

void forget_distances(ThreadBins& t) {
  forget_counts(t);
  std::fill(std::begin(t.until_sample), std::end(t.until_sample), 0u);
  t.sampling_epoch = sample::sampling_epoch();
}

// Counts an allocation of the bin. True: it is the sample.
bool falls_on_sample(ThreadBins& t, BinIndex b) {
  if (t.sampling_epoch != sample::sampling_epoch()) forget_distances(t);
  Bin& counter = t.bins[kBins + b];
  if (const std::intptr_t count = counted(counter) + 1; count < 0) {  // it is the bin that was empty
    set_counted(counter, count);
    return false;
  }
  std::uint32_t& left = t.until_sample[b];
  if (left == 0) left = sample::blocks_before_sample(bytes_of_bin(b)) + 1;
  if (--left == 0) return true;
  const std::uint32_t unseen = std::min(left - 1, kMostUnseen);
  left -= unseen;
  set_counted(counter, -std::intptr_t{unseen} - 1);
  return false;
}

// From the bins, if any, filled again if need be, which `took` says, or from the central store.
void* take_in_visit(ThreadBins* t, BinIndex b, bool& took) {
  const Visiting visiting(t);
  if (t != nullptr && (!is_empty(t->bins[b]) || (took = refill(*t, b)))) return pop(t->bins[b]);
  auto* block = static_cast<Block*>(take_one(b));
  if (block != nullptr) block->key = 0;
  return block;
}

[[gnu::noinline]] void* allocate_small_slow(std::size_t bytes) {
  const BinIndex b = bin_of(bytes);
  ThreadBins* t = own_bins();
  if (sample::is_sampling() && (t != nullptr ? falls_on_sample(*t, b) : sample::falls_on_sample(bytes_of_bin(b))))
    if (void* block = allocate_sampled(bytes, bytes_of_bin(b))) return block;  // without memory it goes unseen
  if (t == nullptr && is_secure()) return allocate_secure(b);
  bool took = false;
  void* block = take_in_visit(t, b, took);
  if (block == nullptr && give_all_large_back()) block = take_in_visit(t, b, took);
  if (took && may_become_sleeper(*t)) note_blocks_taken();
  pages::start_purger_if_due();
  return block;
}

// To the bins, if any and there is room or can be made, or to the central store. True: that got some.
bool put_in_visit(ThreadBins* t, BinIndex b, Block* block) {
  const Visiting visiting(t);
  const bool gave = t != nullptr && !has_room(t->bins[b]) && make_room(*t, b);
  if (t != nullptr && has_room(t->bins[b])) {
    push(t->bins[b], block);
    return gave;
  }
  block->key = key_of(block);
  give_blocks(&block, 1);
  return true;
}

// The C library frees a block or two in the name of a thread that has ended, when no key destructor runs any more: bins would never be given back.
constexpr std::uint8_t kFreesWithoutBins = 4;
constinit __thread std::uint8_t frees_without_bins = 0;
bool only_begins_to_free() { return current_bins() == &no_bins && frees_without_bins < kFreesWithoutBins && ++frees_without_bins != 0; }

// Apart from free_slow(), so that strangers, of which there may be many, do not pay for its registers.
[[gnu::noinline]] void free_visiting(Block* block, BinIndex b, std::uint32_t entry) {
  ThreadBins* t = only_begins_to_free() ? nullptr : own_bins();
  if (t != nullptr && (entry & t->foreign)) return keep_stranger(*t, block, entry & t->foreign);
  if (put_in_visit(t, b, block)) after_giving();
}

constexpr auto kInverses = [] {  // computed where it is asked for, an inverse takes a division
  std::array<std::uint32_t, kBins> inverses{};
  for (std::uint32_t b = kFirstBin; b < kBins; ++b) inverses[b] = inverse_of_bin(b);
  return inverses;
}();

}  // namespace

void* allocate_slow(std::size_t bytes) {
  if (bytes <= kSmallMost) return allocate_small_slow(bytes);
  install_fork_handlers();
  bool zero;
  pages::start_purger_if_due();
  return allocate_large(bytes, 1, zero);
}

void free_slow(void* address) {
  if (address == nullptr) return;
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (!pages::in_heap(word)) {
    if (sample::in_guard_pool(word)) return sample::free_guarded(address);
    report_bad_free(address);
  }
  const auto entry = static_cast<std::uint32_t>(pages::reservation.classes[pages::page_of(word).value].load(std::memory_order_acquire));
  const std::uint32_t b = entry & 0xff;
  if (b == low_byte(pages::PageClass::large)) return free_large(address);
  if (b == low_byte(pages::PageClass::heap_small) || b == low_byte(pages::PageClass::heap_large)) return free_in_heap(address);
  if (b < kFirstBin) report_bad_free(address);
  const std::uint32_t in_span = static_cast<std::uint32_t>(word & (kPageSize - 1)) | pages::place_of(entry) << kPageShift;
  if (in_span * kInverses[b] >= kInverses[b]) report_bad_free(address);
  ThreadBins* t = own_bins_or_null();
  if (t == nullptr && is_secure()) return free_secure(address);  // a thread that has bins need not ask
  auto* block = static_cast<Block*>(address);
  if (block->key == key_of(block)) report_double_free(address);
  if (t != nullptr && (entry & t->foreign)) return keep_stranger(*t, block, entry & t->foreign);
  free_visiting(block, static_cast<BinIndex>(b), entry);
}

void give_back(ThreadBins& t) {
  const Visiting visiting(own_bins_or_null());
  for (std::uint32_t b = kFirstBin; b < kBins; ++b) {
    BinReserve& r = t.reserve[b];
    if (r.capacity != 0) give_blocks(r.blocks, count_of(t, b));
    t.bins[b] = {};
    count_capacity(t, b, 0);
    r.last_visit = Visit::none;
    if (Span* held = std::exchange(r.held, nullptr)) release_held_span(static_cast<BinIndex>(b), held);
  }
  give_strangers_back(t);
  give_large_back(t);
}

void abandon_bins(ThreadBins& t) {
  os::Locked locked(lock);
  t.used = false;
}

void flush_thread_bins() {
  ThreadBins* own = own_bins_or_null();
  if (own == nullptr) return;
  give_back(*own);
  after_giving();
}

std::size_t thread_bins_in_use() {
  os::Locked locked(lock);
  std::size_t n = 0;
  for (ThreadBins* t = all; t != nullptr; t = t->next) n += t->used;
  return n;
}

bool has_bins() {
  ThreadBins* t = current_bins();
  return t != &no_bins && t != &ended_bins;
}

ThreadBins* own_bins_or_null() {
  ThreadBins* t = current_bins();
  if (t == &asleep_bins) {
    auto* const own = static_cast<ThreadBins*>(pthread_getspecific(key));
    if (own != nullptr) return wake_own_bins(*own);
    thread_bins = t = &no_bins;  // another thread was asked that had its variable here, and had just ended
  }
  return t == &no_bins || t == &ended_bins ? nullptr : t;
}

ThreadBins* first_bins() {
  os::Locked locked(lock);
  return all;
}

os::Lock& bins_lock() { return lock; }

bool others_visit_locked() {
  const ThreadBins* own = own_bins_or_null();
  for (ThreadBins* t = all; t != nullptr; t = t->next)
    if (t != own && t->visiting.load(std::memory_order_acquire)) return true;
  return false;
}

// The child has one thread, so nothing changes meanwhile. What the others did in visits is whole (fork_gate.h); their arrays
// change at any time: what was in them is lost.
void reclaim_bins_after_fork() {
  ThreadBins* const own = own_bins_or_null();
  reset_sleepers_after_fork(own);
  for (ThreadBins* t = all; t != nullptr; t = t->next) {
    if (!t->used || t == own) continue;
    for (std::uint32_t b = kFirstBin; b < kBins; ++b) set_count(*t, b, 0);
    forget_strangers(*t);
    t->visiting.store(false, std::memory_order_relaxed);
    give_back(*t);
    t->used = false;
  }
  after_giving();
}

}  // namespace lull::front

// A thread's cache of free blocks (mcache of malloc): for each size class an array of pointers, last in first out.
//
// malloc takes the last pointer, free adds one; nothing else is touched: no descriptor, no owner, no atomic operation. An
// array rather than a list through the blocks: a block's cache lines stay where they are until the program itself uses it, a
// program that writes to a freed block cannot corrupt the array, and nothing waits for one block to find the next.
// An array has room for two magazines (Bonwick and Adams, "Magazines and Vmem", 2001): full, it gives the older one to the
// central store; empty, it takes one. Magazines start small and double while they are used, so that idle threads hold little.
//
// While allocations are sampled, each has to be counted. The table by which malloc finds a size's bin (popped_bins) then names
// the bin's counter instead, which looks like a bin whose next block is a negative number. So what is behind the test for an empty bin,
// eight instructions, counts that number and takes from the bin itself (pop_counted); the fast path is the same code either way.
//
// free() finds a block's class in the page's entry. Entries that are no small block's lead to bins without room, so one
// test catches a full array, a large block, a foreign address and a thread without bins alike. It also tells, without the
// descriptor, an address that is not the start of a block, and by its key one that is free already.
#pragma once

#include <cstddef>
#include <cstring>

#include "alloc/base/sanitizers.h"
#include "alloc/front/central.h"
#include "alloc/front/large_cache.h"
#include "alloc/front/neighbours.h"
#include "alloc/front/sleepers.h"
#include "alloc/front/strangers.h"
#include "alloc/pages/reservation.h"

namespace lull::front {

// What an empty array looks like: the place below its first block is null.
extern Block* const no_blocks[1];

struct Bin {
  Block** top = const_cast<Block**>(no_blocks + 1);  // the next block to go out is top[-1]; null: there is none
  std::uint32_t limit = 0;    // low half of the address where the array ends
  std::uint32_t inverse = 0;  // see inverse_of_bin; 0: takes no block, since not used yet or no small block's

  bool is_full() const { return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(top)) == limit; }
};
static_assert(sizeof(Bin) == 16 && offsetof(Bin, limit) == 8);

// The counter of bins[b] is bins[kBins + b]. Its `top` stays where it is, behind the rest of the Bin, so what malloc takes for its next block
// is `limit` and `inverse` as one number: -(n + 1) while n allocations may go by without the slow path, else 0. Addresses are positive.
inline constexpr std::uint32_t kMostUnseen = 1024;  // n; the slow path looks for a new epoch. Larger: nothing gained, smaller: visits

enum class Visit : std::uint8_t { none, took, gave };  // to the central store

struct BinReserve {
  Block** blocks = nullptr;    // of the bin: [0, count), null below; stays when the thread ends
  Span* held = nullptr;
  std::uint16_t room = 0;      // of the array
  std::uint16_t capacity = 0;  // two magazines, at most `room`; 0: the bin is not used yet
  Visit last_visit = Visit::none;
};

struct ThreadBins {
  Bin bins[2 * kBins];  // those below kFirstBin are empty and take nothing; behind kBins their counters. First: saves malloc an addition
  EntryMark foreign = 0;           // marks whose blocks are strangers; only kSparseMark while the thread looks away
  EntryMark mark = 0;              // of its own spans
  Home home = 0;                   // likewise (shared_span.h)
  BinReserve reserve[kBins];
  std::uint32_t last_given = kFirstBin;  // the bin that ran full last
  std::size_t capacity_bytes = 0, capacity_large = 0;  // all arrays, full; those of them that magazines.cc calls large
  std::atomic<bool> visiting{false};  // the central store (fork_gate.h); written by the thread
  Sleeper sleeper;
  LargeCache large;
  bool used = false;               // by a thread
  std::uint32_t until_sample[kBins] = {};  // allocations behind those that the counter has, the sample included; 0: to be drawn
  std::uint32_t sampling_epoch = 0;        // that the distances were drawn in
  ThreadBins* next = nullptr;      // list of all; constant once published
  Strangers strangers;
};

// Never null: threads without bins have `no_bins`, whose arrays are empty and have no room. The purger points it at
// `asleep_bins`, which are like them (sleepers.h), so who uses it twice reads it once, by current_bins(). The fast paths do not:
// an atomic load, which no other instruction contains, would be one more.
extern __thread ThreadBins* thread_bins __attribute__((tls_model("initial-exec")));
extern ThreadBins no_bins, asleep_bins;  // never written

inline ThreadBins* current_bins() { return __atomic_load_n(&thread_bins, __ATOMIC_RELAXED); }
// The thread's own where they are at hand, else nullptr: for own_bins() or own_bins_or_null().
inline ThreadBins* bins_at_hand() {
  ThreadBins* t = current_bins();
  return t->used ? t : nullptr;
}

// What free() needs of the heap, in one cache line.
struct alignas(64) FreeView {
  static constexpr std::uintptr_t kNowhere = std::uintptr_t{1} << 63;
  std::atomic<std::uintptr_t> base{kNowhere};
  std::atomic<std::size_t> size{0};  // written last; 0: nothing here yet
  const std::atomic<pages::PageClass>* classes = nullptr;
  std::uintptr_t secret = 0;
};
extern FreeView free_view;

// Like kBinOfUnits; while allocations are sampled each bin's counter. Each byte is written and read atomically, any mixture is
// good. Hidden: a load through the global offset table would be one instruction more.
extern std::array<BinIndex, kSmallMost / 16 + 1> popped_bins __attribute__((visibility("hidden")));
inline BinIndex popped_bin(std::size_t bytes) { return __atomic_load_n(&popped_bins[(bytes + 15) / 16], __ATOMIC_RELAXED); }
void count_allocations();        // from now on, beginning with distances that are to be drawn
void stop_counting_allocations();

inline std::uintptr_t key_of(const Block* block) { return reinterpret_cast<std::uintptr_t>(block) ^ free_view.secret; }
// Half of the key is enough for the fast path, the slow one looks at all of it. A processor's load has to wait for older stores that hold only a
// part of it, and a program that writes the last bytes of a block of 16, or two fields of 4, did just that.
inline bool may_be_free(const Block* block) {
  const std::uintptr_t key = key_of(block);
  return std::memcmp(&block->key, &key, sizeof key / 2) == 0;
}

[[gnu::noinline]] void* allocate_slow(std::size_t bytes);
[[gnu::noinline]] void free_slow(void* address);

// In pop() and push() the new top is what is done last with the bin, so that sleepers.h sees the whole operation or, from the
// bin's address in a register, that one is under way.
inline void* hand_out(Bin& bin, Block** top, Block* block) {
  std::atomic_signal_fence(std::memory_order_release);
  bin.top = top;
  block->key = 0;
  return block;
}
inline void* pop(Bin& bin) { return hand_out(bin, bin.top - 1, bin.top[-1]); }

// As the pointer that malloc takes it for, so that compilers know that it is the same object.
inline Block** end_of_counter(Bin& counter) { return reinterpret_cast<Block**>(&counter + 1); }
inline std::intptr_t counted(Bin& counter) {
  return reinterpret_cast<std::intptr_t>(__atomic_load_n(end_of_counter(counter) - 1, __ATOMIC_RELAXED));
}
inline void set_counted(Bin& counter, std::intptr_t count) {
  __atomic_store_n(end_of_counter(counter) - 1, reinterpret_cast<Block*>(count), __ATOMIC_RELAXED);
}

// From an empty bin or a counter. nullptr: for the slow path, which finds everything as it was. The counter's store is no RMW:
// nobody else but count_allocations() writes it, whose 0 may get lost; then kMostUnseen bounds what goes by.
inline void* pop_counted(Bin* counter, std::intptr_t count) {
  asm("" : "+r"(counter), "+r"(count));  // or the compiler prepares for this case before it tests for it
  if (count >= -1) return nullptr;  // compared rather than incremented first: processors make one operation of it and the branch
  std::intptr_t next = count + 1;
  asm("" : "+r"(next));  // now: afterwards it takes a copy
  Bin& bin = *(counter - kBins);
  Block** const top = bin.top - 1;
  Block* const block = *top;
  if (block == nullptr) return nullptr;
  set_counted(*counter, next);
  return hand_out(bin, top, block);
}

// A block from the thread's bins; nullptr: for the slow path.
inline void* allocate_cached(std::size_t bytes) {
  if (bytes > kSmallMost) return nullptr;
  Bin& bin = thread_bins->bins[popped_bin(bytes)];
  Block* const block = __atomic_load_n(bin.top - 1, __ATOMIC_RELAXED);  // a counter's is zeroed by count_allocations()
  const auto next = reinterpret_cast<std::intptr_t>(block);
  return next > 0 ? hand_out(bin, bin.top - 1, block) : pop_counted(&bin, next);
}

inline void* allocate(std::size_t bytes) {
  void* block = allocate_cached(bytes);
  return block != nullptr ? block : allocate_slow(bytes);
}

// acquire: pairs with the release in initialise_locked(); before it, no offset is below the size.
inline bool offset_in_heap(const void* address, std::uintptr_t& offset) {
#if defined(__x86_64__)
  // The loads as operands: two instructions less, and as ordered as all loads of this processor. The base comes first, and the one that
  // was there before it (kNowhere) makes every offset larger than any size.
  if constexpr (!kUnderThreadSanitizer) {
    bool is_outside;
    offset = reinterpret_cast<std::uintptr_t>(address);
    asm("sub %[base], %[offset]\n\tcmp %[size], %[offset]" : [offset] "+r"(offset), "=@ccae"(is_outside)
        : [base] "m"(free_view.base), [size] "m"(free_view.size) : "memory");
    return !is_outside;
  }
#endif
  const std::size_t size = free_view.size.load(std::memory_order_acquire);
  offset = reinterpret_cast<std::uintptr_t>(address) - free_view.base.load(std::memory_order_relaxed);
  return offset < size;
}

inline std::uint32_t page_entry(std::uintptr_t offset) {
  return static_cast<std::uint32_t>(free_view.classes[offset >> kPageShift].load(std::memory_order_relaxed));
}

// bins[b], which is that of the page's entry, if it takes `address` at once; nullptr when the slow path has to look.
inline Bin* bin_that_takes(void* address, std::uintptr_t offset, std::uint32_t entry, std::uint32_t b) {
  Bin& bin = thread_bins->bins[b];
  const std::uint32_t in_span = (static_cast<std::uint32_t>(offset) & (kPageSize - 1)) | pages::place_of(entry) << kPageShift;
  if (bin.is_full() || in_span * bin.inverse >= bin.inverse || (entry & thread_bins->foreign)) [[unlikely]] return nullptr;
  if (may_be_free(static_cast<Block*>(address))) [[unlikely]] return nullptr;
  return &bin;
}

inline Bin* bin_for(void* address) {
  std::uintptr_t offset;
  if (!offset_in_heap(address, offset)) [[unlikely]] return nullptr;
  const std::uint32_t entry = page_entry(offset);
  return bin_that_takes(address, offset, entry, entry & 0xff);
}

// The bin comes of the size, and the entry has to agree.
inline Bin* bin_for(void* address, std::size_t bytes) {
  std::uintptr_t offset;
  if (bytes > kSmallMost || !offset_in_heap(address, offset)) [[unlikely]] return nullptr;
  const std::uint32_t entry = page_entry(offset), b = bin_of(bytes);
  return static_cast<std::uint8_t>(entry) == b ? bin_that_takes(address, offset, entry, b) : nullptr;
}

inline void push(Bin& bin, void* address) {
  auto* block = static_cast<Block*>(address);
  block->key = key_of(block);
  Block** top = bin.top;
  *top = block;
  std::atomic_signal_fence(std::memory_order_release);
  bin.top = top + 1;
}

inline void free(void* address) {
  Bin* bin = bin_for(address);
  if (bin == nullptr) [[unlikely]] return free_slow(address);
  push(*bin, address);
}

// Everything this thread caches goes back to the central store, which keeps its bins.
void flush_thread_bins();
void abandon_bins(ThreadBins& t);   // of a thread that is gone, after give_back()
std::size_t thread_bins_in_use();  // threads that have bins

bool has_bins();                     // the calling thread
ThreadBins* own_bins();              // its bins, made if need be; nullptr when it can have none
ThreadBins* own_bins_or_null();      // its bins, taken back from the purger
ThreadBins* first_bins();            // all there are, linked by `next`
void give_back(ThreadBins& t);       // empties them: the calling thread's, or a sleeper's that the caller has busy; after_giving() follows

os::Lock& bins_lock();  // of the list of all; not for who visits
bool others_visit_locked();  // threads other than the caller that have bins; for fork_gate.cc
// In a forked child: what the other threads, which are gone, had cached goes back to the central store.
void reclaim_bins_after_fork();

}  // namespace lull::front

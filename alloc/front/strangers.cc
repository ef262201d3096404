#include "alloc/front/strangers.h"

#include <atomic>
#include <bit>
#include <utility>

#include "alloc/front/fork_gate.h"
#include "alloc/front/magazines.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/clock.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"

namespace lull::front {

// 47 ns a block. A server whose threads free one block in sixteen of another takes ten times as long for a parcel, a thread that frees
// nothing but strangers half as long. Larger: sizes whose blocks change hands once are mixed for ever. Smaller: producers and consumers lose by parcels.
constinit std::uint64_t hurried_ns = 1500;

namespace {

constexpr std::uintptr_t kMostInInbox = 4;  // more: blocks that lie there; fewer: parcels whose receiver was late go to the spans

// Parcels, the last one first: its address, and in the low bits how many there are. All are taken out at once, so there is no ABA.
class Inbox {
 public:
  // False: it is full.
  bool put(Parcel* parcel) {
    std::uintptr_t head = head_.load(std::memory_order_relaxed);
    std::uintptr_t desired;
    do {
      const std::uintptr_t count = head % alignof(Parcel);
      if (count == kMostInInbox) return false;
      parcel->next = reinterpret_cast<Parcel*>(head - count);
      desired = reinterpret_cast<std::uintptr_t>(parcel) | (count + 1);
      // release: pairs with the acquire in take_all(), with the blocks' addresses what was done to the blocks
    } while (!head_.compare_exchange_weak(head, desired, std::memory_order_release, std::memory_order_relaxed));
    return true;
  }
  Parcel* take_all() {
    if (head_.load(std::memory_order_relaxed) == 0) return nullptr;
    const std::uintptr_t head = head_.exchange(0, std::memory_order_acquire);  // pairs with the release in put(); each of them, since they are one release sequence
    return reinterpret_cast<Parcel*>(head - head % alignof(Parcel));
  }

 private:
  std::atomic<std::uintptr_t> head_{0};
};

constinit Inbox inboxes[kMarks];  // by mark
constinit os::Lock lock{os::LockRank::central};  // taken in visits only: a fork finds it free
constinit Parcel* free_parcels = nullptr;        // lock

std::uint32_t number_of(EntryMark mark) { return static_cast<std::uint32_t>(std::countr_zero(mark)) - kFirstMark; }

// Empty; nullptr when memory runs out.
Parcel* take_parcel(Strangers& own) {
  if (own.spare != nullptr) return std::exchange(own.spare, nullptr);
  const os::Locked locked(lock);
  if (Parcel* parcel = free_parcels) {
    free_parcels = parcel->next;
    return parcel;
  }
  return static_cast<Parcel*>(os::allocate_meta(sizeof(Parcel)));
}

// It is empty, and nobody's.
void drop_parcel(Parcel* parcel) {
  const os::Locked locked(lock);
  parcel->next = std::exchange(free_parcels, parcel);
}

void give_contents(Parcel& parcel) { give_blocks(parcel.blocks, std::exchange(parcel.count, 0)); }

// Into the bins; what finds no room there goes to its span.
void unpack(ThreadBins& own, Parcel& parcel) {
  std::uint32_t rest = 0;
  for (std::uint32_t i = 0; i < parcel.count; ++i) {
    Block* block = parcel.blocks[i];
    const PageIndex page = pages::page_of(reinterpret_cast<std::uintptr_t>(block));
    // relaxed: the block is taken, so its page's class stays what it was when the parcel was sent
    Bin& bin = own.bins[pages::low_byte(pages::reservation.classes[page.value].load(std::memory_order_relaxed))];
    if (has_room(bin)) push(bin, block);
    else parcel.blocks[rest++] = block;
  }
  parcel.count = rest;
  give_contents(parcel);
}

void send(ThreadBins& own, std::uint32_t to) {
  Parcel*& parcel = own.strangers.parcels[to];
  if (inboxes[to].put(parcel)) parcel = nullptr;
  else give_contents(*parcel);
  const std::uint64_t now = os::monotonic_ns();
  if (now - std::exchange(own.strangers.sent_ns, now) < hurried_ns) own.foreign = kForeignToAll;
  receive_strangers(own);
}

// True: blocks were given to their spans.
bool keep_in_visit(ThreadBins& own, Block* block, std::uint32_t to) {
  const Visiting visiting(&own);  // at whose gate the purger may have emptied the parcel
  Parcel*& parcel = own.strangers.parcels[to];
  if (parcel == nullptr) parcel = take_parcel(own.strangers);
  if (parcel == nullptr) {
    give_blocks(&block, 1);
    return true;
  }
  parcel->blocks[parcel->count++] = block;
  if (parcel->count < kManyStrangers) return false;
  if (to < kMarks) send(own, to);
  else give_contents(*parcel);
  return true;
}

}  // namespace

void keep_stranger(ThreadBins& own, Block* block, EntryMark mark) {
  block->key = key_of(block);
  const std::uint32_t to = number_of(mark);
  Parcel* parcel = own.strangers.parcels[to];
  if (parcel == nullptr || parcel->count == kManyStrangers - 1) {
    if (keep_in_visit(own, block, to)) after_giving();
    return;
  }
  parcel->blocks[parcel->count++] = block;
  // Until here the purger must see by the thread's stack or registers that the bins are in use, should a handler sleep in between: the parcel
  // lies elsewhere.
  asm volatile("" : : "r"(&own) : "memory");
}

void receive_strangers(ThreadBins& own) {
  Parcel* next;
  for (Parcel* parcel = inboxes[number_of(own.mark)].take_all(); parcel != nullptr; parcel = next) {
    next = parcel->next;
    unpack(own, *parcel);
    if (own.strangers.spare == nullptr) own.strangers.spare = parcel;
    else drop_parcel(parcel);
  }
}

void give_strangers_back(ThreadBins& t) {
  for (Parcel* parcel : t.strangers.parcels)
    if (parcel != nullptr) give_contents(*parcel);
}

void give_unfetched_back() {
  const Visiting visiting(nullptr);
  for (Inbox& inbox : inboxes) {
    Parcel* next;
    for (Parcel* parcel = inbox.take_all(); parcel != nullptr; parcel = next) {
      next = parcel->next;
      give_contents(*parcel);
      drop_parcel(parcel);
    }
  }
}

void forget_strangers(ThreadBins& t) { t.strangers = {}; }

}  // namespace lull::front

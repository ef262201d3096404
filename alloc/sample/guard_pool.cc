#include "alloc/sample/guard_pool.h"

#include <algorithm>
#include <cstring>
#include <ucontext.h>

#include <atomic>

#include "alloc/base/check.h"
#include "alloc/base/units.h"
#include "alloc/os/faults.h"
#include "alloc/os/vm.h"
#include "alloc/sample/sampler.h"

namespace lull::sample {
namespace {

constexpr std::size_t kGuard = kPageSize, kStride = kLargestGuarded + kGuard;
constexpr std::size_t kPoolBytes = kGuardSlots * kStride + kGuard;
constexpr std::size_t kSystemPage = 4096;
constexpr int kSlack = 0xa5;  // fills the pages beside the block

enum class SlotState : std::uint32_t { unused, live, freed };

// Fields but the state belong to whoever took the slot from the queue; then to the block's owner. The report reads them anyhow.
struct Slot {
  std::atomic<SlotState> state{SlotState::unused};
  std::uintptr_t block = 0;
  std::size_t asked = 0, counted = 0;
  Sample sample;
  BlockLife life;
};
constinit Slot slots[kGuardSlots];

constinit os::Lock lock{os::LockRank::guarded};
constinit std::uint16_t queue[kGuardSlots] = {};  // lock
constinit std::uint32_t queue_first = 0, queue_length = 0;  // lock

constinit std::atomic<std::uintptr_t> pool{0};       // constant once not 0
constinit std::atomic<std::uint32_t> every{0};       // 0: off
constinit std::atomic<std::uint32_t> samples{0};     // since the start

std::uintptr_t start_of(const Slot& slot) {
  return pool.load(std::memory_order_relaxed) + kGuard + static_cast<std::size_t>(&slot - slots) * kStride;
}

Slot* take_slot() {
  os::Locked locked(lock);
  if (queue_length == 0) return nullptr;
  --queue_length;
  return &slots[queue[queue_first++ % kGuardSlots]];
}
void give_slot(const Slot& slot) {
  os::Locked locked(lock);
  queue[(queue_first + queue_length++) % kGuardSlots] = static_cast<std::uint16_t>(&slot - slots);
}

// The system pages under the block.
struct Pages {
  std::uintptr_t start, end;
  void* at() const { return reinterpret_cast<void*>(start); }
  std::size_t bytes() const { return end - start; }
};
Pages pages_of(const Slot& slot) {
  return {slot.block & ~(kSystemPage - 1), round_up(slot.block + std::max<std::size_t>(slot.asked, 1), kSystemPage)};
}

// Right or left by the sample's number: as good as a coin for a program that does not know it.
std::uintptr_t place_block(const Slot& slot, std::size_t asked, std::size_t block_bytes, bool right) {
  if (!right) return start_of(slot);
  const std::size_t alignment = std::min(block_bytes & (~block_bytes + 1), kPageSize);  // what every block of this size has
  return (start_of(slot) + kLargestGuarded - std::max<std::size_t>(asked, 1)) & ~(alignment - 1);  // malloc(0) has an address of its own
}

void fill_slack(const Slot& slot) {
  const Pages pages = pages_of(slot);
  const std::uintptr_t end = slot.block + slot.asked;
  std::memset(pages.at(), kSlack, slot.block - pages.start);
  std::memset(reinterpret_cast<void*>(end), kSlack, pages.end - end);
}

void say_lives(const void* slot) { say_life(static_cast<const Slot*>(slot)->life); }

// First byte in [from, to) that is not slack; `to` when there is none.
std::uintptr_t first_written(std::uintptr_t from, std::uintptr_t to) {
  const auto* end = reinterpret_cast<const unsigned char*>(to);
  return reinterpret_cast<std::uintptr_t>(std::find_if(reinterpret_cast<const unsigned char*>(from), end, [](unsigned char c) { return c != kSlack; }));
}

void check_slack(const Slot& slot) {
  const Pages pages = pages_of(slot);
  const std::uintptr_t end = slot.block + slot.asked;
  for (const auto [from, to] : {Pages{pages.start, slot.block}, Pages{end, pages.end}}) {
    const std::uintptr_t at = first_written(from, to);
    if (at == to) continue;
    const bool before = at < slot.block;
    fatal_about(say_lives, &slot, "buffer %s found by free: %p was written, %zu bytes %s the block of %zu bytes at %p",
                before ? "underflow" : "overflow", reinterpret_cast<void*>(at), before ? slot.block - at : at - end,
                before ? "before" : "behind", slot.asked, reinterpret_cast<void*>(slot.block));
  }
}

Slot& slot_at(std::uintptr_t address) {
  const std::size_t offset = address - pool.load(std::memory_order_relaxed);
  return slots[std::min<std::size_t>(offset / kStride, kGuardSlots - 1)];
}

// The slot of a live block that starts here, whose state becomes `next`.
Slot& claim(const void* address, SlotState next) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  Slot& slot = slot_at(word);
  SlotState state = slot.state.load(std::memory_order_acquire);
  if (state == SlotState::unused || (state == SlotState::live && slot.block != word) || word - slot.block > slot.asked)
    fatal_about(say_lives, &slot, "free of %p, which is no start of a block", address);
  // Of two threads one wins.
  if (state != SlotState::live || !slot.state.compare_exchange_strong(state, next, std::memory_order_acq_rel))
    fatal_about(say_lives, &slot, next == SlotState::live ? "use of %p after it was freed" : "double free of %p", address);
  return slot;
}

// Faults.

// Whose block is meant by a fault between two slots: a live one's, else the nearer one's.
const Slot& slot_of_fault(std::uintptr_t address) {
  const Slot& left = slot_at(std::max(address, start_of(slots[0])) - kGuard);
  if (address < start_of(left) + kLargestGuarded || &left == &slots[kGuardSlots - 1]) return left;
  const Slot& right = *(&left + 1);
  const SlotState of_left = left.state.load(std::memory_order_acquire), of_right = right.state.load(std::memory_order_acquire);
  if (of_left != of_right && (of_left == SlotState::unused || of_right == SlotState::live)) return right;
  if (of_left != of_right) return left;
  return address - (left.block + left.asked) <= right.block - address ? left : right;
}

bool report_fault(std::uintptr_t address, const ucontext_t* context) {
  if (!in_guard_pool(address)) return false;
  const Slot& slot = slot_of_fault(address);
  if (slot.state.load(std::memory_order_acquire) == SlotState::unused) return true;  // near no block
  const bool writes = (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
  const bool freed = slot.state.load(std::memory_order_acquire) == SlotState::freed;
  const std::uintptr_t end = slot.block + slot.asked;
  const bool before = address < slot.block, behind = address >= end;
  const char* what = freed ? "use after free" : before ? "buffer underflow" : behind ? "buffer overflow" : "fault";
  const std::size_t distance = before ? slot.block - address : behind ? address - end : address - slot.block;
  say("%s: %s %p, %zu bytes %s a block of %zu bytes at %p", what, writes ? "write to" : "read of", reinterpret_cast<void*>(address),
      distance, before ? "before" : behind ? "behind the end of" : "into", slot.asked, reinterpret_cast<void*>(slot.block));
  StackTrace trace;
  capture_context(trace, context);
  Stack here;
  here.depth = trace.depth;
  here.frames = trace.frames;
  say_stack(&here, writes ? "written" : "read", own_thread_number());
  say_life(slot.life);
  return true;
}

}  // namespace

bool start_guarding(std::uint32_t one_in) {
  if (pool.load(std::memory_order_relaxed) == 0 && one_in != 0) {
    void* range = os::reserve(kPoolBytes, kPageSize);
    if (range == nullptr) return false;
    for (const Slot& slot : slots) give_slot(slot);
    pool.store(reinterpret_cast<std::uintptr_t>(range), std::memory_order_release);  // pairs with in_guard_pool()
    os::explain_faults(report_fault);
  }
  every.store(one_in, std::memory_order_release);
  return true;
}

bool in_guard_pool(std::uintptr_t address) {
  const std::uintptr_t start = pool.load(std::memory_order_acquire);
  return start != 0 && address - start < kPoolBytes;
}

void* allocate_guarded(std::size_t asked, std::size_t block_bytes) {
  const std::uint32_t one_in = every.load(std::memory_order_acquire);
  if (one_in == 0 || asked > kLargestGuarded) return nullptr;
  const std::uint32_t number = samples.fetch_add(1, std::memory_order_relaxed);
  if (number % one_in != 0) return nullptr;
  Slot* slot = take_slot();
  if (slot == nullptr) return nullptr;
  const bool right = (number / one_in * 0x9e3779b9u >> 31) == 0;
  slot->block = place_block(*slot, asked, block_bytes, right);
  slot->asked = asked;
  if (!os::commit(pages_of(*slot).at(), pages_of(*slot).bytes())) {
    give_slot(*slot);
    return nullptr;
  }
  fill_slack(*slot);
  note_allocated(slot->sample, asked, block_bytes);
  slot->life = {slot->block, asked, slot->sample.stack, nullptr, slot->sample.thread, 0};
  slot->state.store(SlotState::live, std::memory_order_release);  // pairs with claim()
  return reinterpret_cast<void*>(slot->block);
}

void free_guarded(void* address) {
  Slot& slot = claim(address, SlotState::freed);
  check_slack(slot);
  slot.life.freer = own_thread_number();
  slot.life.freed = note_life(slot.sample, slot.block, slot.asked);
  note_freed(slot.sample);
  // Where the system refuses, the slot is not used again.
  if (os::decommit(pages_of(slot).at(), pages_of(slot).bytes())) give_slot(slot);
}

std::size_t guarded_bytes(const void* address) { return claim(address, SlotState::live).asked; }
BlockLife guarded_life(std::uintptr_t address) { return slot_at(address).life; }

os::Lock& guard_lock_for_fork() { return lock; }

}  // namespace lull::sample

// Stacks that threads run on by turns: fibers, and each thread's own one. Rules 18 and 19 of docs/design/protocol_model.md;
// docs/design/fibers.md.
//
//              switch_stacks(next = it)
//   parked ------------------------------> running
//     ^  ^                                    |
//     |  +------- switch_stacks(others) ------+          unused: the record is free
//     +--- register_stack
//
//   parked   nobody runs on it: what lives there is [sp, bounds.high) and `registers`. Cycles read it, on the driver or a helper
//   running  it is scanned as its thread's stack
//
// Colour: black in a cycle if `scanned_cycle` is its number. Left, a stack takes the colour of the thread (whose registers it had); a
// black thread scans a grey one before it runs on it. So after handshake 2 no running stack is grey and none becomes grey again: the
// collector reads the grey parked ones once, and a thread that comes to run on one meanwhile does not wait but scans it too.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "alloc/os/lock.h"
#include "alloc/os/thread.h"
#include "gc/model/histogram.h"
#include "gc/mutator/word_buffer.h"

namespace lull::gc {

struct Mutator;
struct Frame;

enum class StackState : std::uint32_t { unused, parked, running };

struct FiberStack {
  static constexpr std::uint32_t kRegisters = 6;  // callee-saved ones of the System V ABI

  os::StackBounds bounds;  // constant while registered
  Mutator* owner = nullptr;  // constant: the thread whose own stack it is; null: any thread may run on it
  std::atomic<bool> stays{false};  // relaxed, constant while registered: see lull::parked_stack
  // Constant while registered: its memory may go without anybody telling. Left, its words are copied, so that nobody reads it while it is
  // parked; a new one in the same place replaces it.
  bool guest = false;

  std::atomic<StackState> state{StackState::unused};

  // Written by the thread that leaves it, published by `state` (note [parked] in docs/design/memory_model.md).
  std::atomic<std::uintptr_t> sp{0};  // relaxed
  std::uintptr_t registers[kRegisters] = {};
  // As ThreadBlock::frames. release: publishes the frames themselves, pairs with the acquire in ParkedStacks::read, whose look may be
  // older than `state`: a thread that finds none here does not wait for readers, and may be back with some before one of them is through.
  std::atomic<Frame*> frames{nullptr};
  void* exceptions[2] = {};         // as __cxa_eh_globals: handlers that were left and are still active
  void* sanitizer = nullptr;        // as ThreadSanitizer knows the fiber

  std::atomic<std::uint32_t> scanned_cycle{0};
  // Rule 19, of stacks that stay as they are: left since the cards were taken / before. Exchanged by the driver.
  std::atomic<bool> dirty{true}, listed{false};
  std::atomic<std::uint32_t> readers{0};  // who reads it for the collector; forget_stack waits for them

  WordBuffer kept;  // of a guest, as `sp` and the rest
  FiberStack* next = nullptr;  // lock: of free records, or of guests
};

extern HistogramRecorder resume_scans;  // what threads that came to run on a grey stack took to scan it

// The calling thread leaves the stack it runs on, whose live part begins at `sp`, for `next`; nullptr: for one that nobody knows.
// `registers`: the callee-saved ones, if they do not lie above `sp`.
void switch_stacks(Mutator& m, FiberStack* next, std::uintptr_t sp, const std::uintptr_t* registers);

[[nodiscard]] FiberStack* register_stack(os::StackBounds bounds, bool stays);  // nullptr: out of memory
void forget_stack(FiberStack& stack);
// In a forked child, `lost` is the record of a thread that is gone: what it ran on can be given up, and holds nothing.
void leave_stacks_after_fork(const Mutator& lost);
// Of a stack that nobody has run on yet: something was put there, from `sp` on.
inline void set_used_from(FiberStack& stack, std::uintptr_t sp) { stack.sp.store(sp, std::memory_order_relaxed); }
// A stack whose end nobody will tell. nullptr: out of memory.
[[nodiscard]] FiberStack* register_guest(os::StackBounds bounds);

// Appends what a parked stack holds to `m.words`. False: out of memory. Nobody may come to run on it meanwhile: it is the thread's own, or the
// world stands still.
[[nodiscard]] bool copy_parked(const FiberStack& stack, Mutator& m);

// Between handshakes 1 and 2, driver (rule 19).
void list_dirty_stacks();
// Does this cycle have to read it?
bool is_unread(const FiberStack& stack);

// Registered stacks have numbers below this; a number is used again.
std::uint32_t fiber_stacks_end();
FiberStack& fiber_stack_at(std::uint32_t number);
bool lies_on_a_fiber_stack(std::uintptr_t address);  // walks all: for checking modes
os::Lock& fiber_lock_for_fork();

}  // namespace lull::gc

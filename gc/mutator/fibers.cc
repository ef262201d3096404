#include "gc/mutator/fibers.h"

#include <cxxabi.h>

#include "alloc/base/check.h"
#include "alloc/os/clock.h"
#include "alloc/os/meta_arena.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/mutator/frames.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/mutator.h"
#include "gc/mutator/sanitizers.h"

namespace lull::gc {

constinit HistogramRecorder resume_scans;

namespace {

constexpr std::uint32_t kChunk = 1024;
constexpr std::uint32_t kMostChunks = 16 * 1024;  // 16 million stacks; larger costs 8 bytes a chunk

constinit os::Lock lock{os::LockRank::roots};
constinit FiberStack* free_stacks = nullptr;             // lock
constinit FiberStack* guests = nullptr;                  // lock
constinit std::atomic<FiberStack*> chunks[kMostChunks];  // written under lock, never freed; released by end_
constinit std::atomic<std::uint32_t> end{0};             // numbers used so far; release: pairs with fiber_stacks_end

// Refuses the signal, and does not poll when it ends: the thread is between two stacks.
class [[nodiscard]] NoAnswers {
 public:
  explicit NoAnswers(Mutator& m) : m_(m) {
    m_.runtime_depth = m_.runtime_depth + 1;
    asm volatile("" ::: "memory");
  }
  ~NoAnswers() {
    asm volatile("" ::: "memory");
    m_.runtime_depth = m_.runtime_depth - 1;
  }
  NoAnswers(const NoAnswers&) = delete;
  NoAnswers& operator=(const NoAnswers&) = delete;

 private:
  Mutator& m_;
};

FiberStack* take_record_locked() {
  if (FiberStack* stack = free_stacks) {
    free_stacks = stack->next;
    return stack;
  }
  const std::uint32_t number = end.load(std::memory_order_relaxed);
  if (number == kChunk * kMostChunks) return nullptr;
  FiberStack* chunk = chunks[number / kChunk].load(std::memory_order_relaxed);
  if (chunk == nullptr) {
    void* memory = os::allocate_meta(kChunk * sizeof(FiberStack));
    if (memory == nullptr) return nullptr;
    chunk = static_cast<FiberStack*>(memory);
    for (std::uint32_t i = 0; i < kChunk; ++i) new (chunk + i) FiberStack;
    chunks[number / kChunk].store(chunk, std::memory_order_relaxed);
  }
  end.store(number + 1, std::memory_order_release);
  return chunk + number % kChunk;
}

bool is_marking() {
  const MarkState state = mark_state.load(std::memory_order_acquire);
  return state != MarkState::off && state != MarkState::done;
}

// Reads other frames' memory: sanitizers must look away. Not by way of m.words: they may be an answer that the driver has not taken yet.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] void push_words(Mutator& m, std::uintptr_t low, std::uintptr_t high) {
  const std::uintptr_t base = detail::heap_range.base;
  const std::size_t size = detail::heap_range.size;
  for (std::uintptr_t at = (low + 7) & ~std::uintptr_t{7}; at + 8 <= high; at += 8) {
    const std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
    if (word - base < size) [[unlikely]] m.grey.push(raw_entry(word));
  }
}

// What a parked stack holds becomes work of this cycle. As join_cycle in registry.cc: raw words, since not everywhere is known what
// is a candidate, and termination is cancelled first (rule 8).
void shade_stack(Mutator& m, FiberStack& stack) {
  if (!cancel_termination()) return;
  const std::uint64_t start = os::monotonic_ns();
  if (options.precise_roots == 0 && stack.guest) {
    push_words(m, reinterpret_cast<std::uintptr_t>(stack.kept.begin()), reinterpret_cast<std::uintptr_t>(stack.kept.end()));
  } else if (options.precise_roots == 0) {
    push_words(m, stack.sp.load(std::memory_order_relaxed), stack.bounds.high);
    push_words(m, reinterpret_cast<std::uintptr_t>(stack.registers), reinterpret_cast<std::uintptr_t>(stack.registers + FiberStack::kRegisters));
  }
  trace_frames(stack.frames.load(std::memory_order_relaxed), [](void* to, const std::uintptr_t* words, const std::uintptr_t* stop) {
    push_words(*static_cast<Mutator*>(to), reinterpret_cast<std::uintptr_t>(words), reinterpret_cast<std::uintptr_t>(stop));
    return true;
  }, &m);
  resume_scans.record(os::monotonic_ns() - start);
}

void wait_for_readers(const FiberStack& stack) {
  // acquire: pairs with the release in ReadingStack
  while (stack.readers.load(std::memory_order_seq_cst) != 0) os::yield();
}

// What belongs to the stack and lives in the thread: frames, and __cxa_eh_globals, which is a list and a counter.
void swap_frames_and_exceptions(Mutator& m, FiberStack* left, FiberStack* next) {
  void** globals = reinterpret_cast<void**>(abi::__cxa_get_globals());
  if (left != nullptr) {
    left->frames.store(static_cast<Frame*>(m.block->frames), std::memory_order_release);  // release: pairs with ParkedStacks::read
    left->exceptions[0] = globals[0];
    left->exceptions[1] = globals[1];
  }
  m.block->frames = next != nullptr ? next->frames.load(std::memory_order_relaxed) : nullptr;  // relaxed: acquired by claim()
  globals[0] = next != nullptr ? next->exceptions[0] : nullptr;
  globals[1] = next != nullptr ? next->exceptions[1] : nullptr;
}

// What is lost for lack of memory would be lost to every cycle.
void keep_words(FiberStack& stack) {
  stack.kept.clear();
  const auto registers = reinterpret_cast<std::uintptr_t>(stack.registers);
  LULL_CHECK(stack.kept.copy_range(stack.sp.load(std::memory_order_relaxed), stack.bounds.high) && stack.kept.copy_range(registers, registers + sizeof stack.registers),
             "out of memory for what a fiber's stack refers to");
}

void leave(Mutator& m, FiberStack& stack, std::uintptr_t sp, const std::uintptr_t* registers) {
  stack.sp.store(sp, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < FiberStack::kRegisters; ++i) stack.registers[i] = registers != nullptr ? registers[i] : 0;
  if (stack.guest && options.precise_roots == 0) keep_words(stack);
  stack.dirty.store(true, std::memory_order_relaxed);
  stack.scanned_cycle.store(m.scanned_cycle, std::memory_order_relaxed);
  delay_point();
  // release: publishes the above to whoever runs on it next, and to the collector ([parked])
  stack.state.store(StackState::parked, std::memory_order_release);
}

void claim(Mutator& m, FiberStack& stack) {
  StackState expected = StackState::parked;
  // seq_cst: acquires what the last thread left, and comes before the look at `readers` ([parked])
  if (!stack.state.compare_exchange_strong(expected, StackState::running, std::memory_order_seq_cst))
    fatal(expected == StackState::running ? "fiber_switch_to: a thread runs on that stack" : "fiber_switch_to: that stack was given up");
  delay_point();
  if (stack.owner != nullptr && stack.owner != &m) fatal("fiber_switch_to: that stack is another thread's own");
  // Frames are followed, not only read, and copies are made anew: nobody may be at it meanwhile.
  if (stack.frames.load(std::memory_order_relaxed) != nullptr || stack.guest) wait_for_readers(stack);
}

void enter(Mutator& m, FiberStack& stack) {
  if (stack.owner != nullptr) return;  // scanned with its thread
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed);
  if (m.block->barrier_on == 0 || m.scanned_cycle != cycle || !is_marking()) return;  // not black in a cycle that marks
  if (is_unread(stack)) shade_stack(m, stack);
  stack.scanned_cycle.store(cycle, std::memory_order_relaxed);
}

}  // namespace

void switch_stacks(Mutator& m, FiberStack* next, std::uintptr_t sp, const std::uintptr_t* registers) {
  if (m.blocked_depth != 0) fatal("fiber_switch_to: in a blocking region");
  FiberStack* const from = m.current;
  if (from == next) return;
  NoAnswers section(m);
  m.left = m.stack;
  m.next_stack = next;
  if (next != nullptr) claim(m, *next);
  swap_frames_and_exceptions(m, from, next);
  if (from != nullptr) note_left(*from);
  if (from != nullptr) leave(m, *from, sp, registers);
  if (next != nullptr) enter(m, *next);
  m.stack = next != nullptr ? next->bounds : os::StackBounds{};
  m.current = next;
}

namespace {

// One that `bounds` overlap is dead: its memory is somebody else's.
FiberStack* take_dead_guest(const os::StackBounds& bounds) {
  os::Locked locked(lock);
  for (FiberStack** link = &guests; *link != nullptr; link = &(*link)->next) {
    FiberStack* const guest = *link;
    if (guest->bounds.low >= bounds.high || bounds.low >= guest->bounds.high) continue;
    *link = guest->next;
    return guest;
  }
  return nullptr;
}

// Nothing lives there.
void make_empty(FiberStack& stack) {
  stack.sp.store(stack.bounds.high, std::memory_order_relaxed);
  for (std::uintptr_t& word : stack.registers) word = 0;
  stack.frames.store(nullptr, std::memory_order_relaxed);
  stack.exceptions[0] = stack.exceptions[1] = nullptr;
  stack.kept.clear();
}

FiberStack* register_as(os::StackBounds bounds, bool stays, bool guest) {
  Mutator& m = self();
  NoAnswers section(m);
  while (FiberStack* dead = take_dead_guest(bounds)) forget_stack(*dead);
  FiberStack* stack;
  {
    os::Locked locked(lock);
    stack = take_record_locked();
  }
  if (stack == nullptr) return nullptr;
  stack->bounds = bounds;
  stack->stays.store(stays, std::memory_order_relaxed);
  stack->guest = guest;
  make_empty(*stack);
  stack->dirty.store(true, std::memory_order_relaxed);
  stack->listed.store(false, std::memory_order_relaxed);
  stack->scanned_cycle.store(m.scanned_cycle, std::memory_order_relaxed);  // whatever gets there comes from this thread
  stack->state.store(StackState::parked, std::memory_order_release);  // release: [parked]
  return stack;
}

}  // namespace

FiberStack* register_stack(os::StackBounds bounds, bool stays) { return register_as(bounds, stays, false); }

FiberStack* register_guest(os::StackBounds bounds) {
  FiberStack* stack = register_as(bounds, false, true);
  if (stack == nullptr) return nullptr;
  NoAnswers section(self());
  os::Locked locked(lock);
  stack->next = guests;
  guests = stack;
  return stack;
}

// Rule 18: grey, it is scanned whatever the colour of the thread. A black one may have copied a reference out of its variables.
void forget_stack(FiberStack& stack) {
  Mutator& m = self();
  NoAnswers section(m);
  if (stack.state.load(std::memory_order_acquire) != StackState::parked)
    fatal("a stack is given up that a thread runs on, or that was given up before");
  if (m.block->barrier_on != 0 && is_marking() && is_unread(stack)) shade_stack(m, stack);
  stack.state.store(StackState::unused, std::memory_order_seq_cst);  // before the look at `readers`: [parked]
  wait_for_readers(stack);
  note_forgotten(stack);
  os::Locked locked(lock);
  stack.next = free_stacks;
  free_stacks = &stack;
}

void leave_stacks_after_fork(const Mutator& lost) {
  for (FiberStack* stack : {lost.current, lost.next_stack}) {
    if (stack == nullptr || stack->owner != nullptr || stack->state.load(std::memory_order_relaxed) != StackState::running) continue;
    if (const Mutator* self = self_or_null(); self != nullptr && self->current == stack) continue;  // it came to run on it later
    make_empty(*stack);
    stack->state.store(StackState::parked, std::memory_order_relaxed);
  }
}

bool copy_parked(const FiberStack& stack, Mutator& m) {
  bool complete = true;
  if (options.precise_roots == 0 && stack.guest) {
    complete = m.words.copy_range(reinterpret_cast<std::uintptr_t>(stack.kept.begin()), reinterpret_cast<std::uintptr_t>(stack.kept.end()));
  } else if (options.precise_roots == 0) {
    complete = m.words.copy_range(stack.sp.load(std::memory_order_relaxed), stack.bounds.high);
    complete &= m.words.copy_range(reinterpret_cast<std::uintptr_t>(stack.registers),
                                   reinterpret_cast<std::uintptr_t>(stack.registers + FiberStack::kRegisters));
  }
  return copy_frames(stack.frames.load(std::memory_order_relaxed), m.words) && complete;
}

void list_dirty_stacks() {
  const std::uint32_t stop = fiber_stacks_end();
  for (std::uint32_t i = 0; i < stop; ++i) {
    FiberStack& stack = fiber_stack_at(i);
    if (!stack.stays.load(std::memory_order_relaxed)) continue;
    const bool dirty = stack.dirty.load(std::memory_order_relaxed);
    // Exchanged: a store that came in between and was lost would be a stack that nobody reads (counter-example 16).
    stack.listed.store(dirty && stack.dirty.exchange(false, std::memory_order_relaxed), std::memory_order_relaxed);
  }
}

bool is_unread(const FiberStack& stack) {
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed);
  // acquire: pairs with the release in ParkedStacks::read, so that what runs there now does not overtake the reader
  if (stack.scanned_cycle.load(std::memory_order_acquire) == cycle) return false;
  const bool full = mark_epoch.load(std::memory_order_relaxed) == cycle;
  return full || !stack.stays.load(std::memory_order_relaxed) || stack.listed.load(std::memory_order_relaxed) || stack.dirty.load(std::memory_order_relaxed);
}

std::uint32_t fiber_stacks_end() { return end.load(std::memory_order_acquire); }  // acquire: pairs with take_record_locked
FiberStack& fiber_stack_at(std::uint32_t number) {
  return chunks[number / kChunk].load(std::memory_order_relaxed)[number % kChunk];
}

bool lies_on_a_fiber_stack(std::uintptr_t address) {
  for (std::uint32_t i = 0; i < fiber_stacks_end(); ++i) {
    const FiberStack& stack = fiber_stack_at(i);
    if (stack.state.load(std::memory_order_acquire) != StackState::unused && stack.bounds.contains(address)) return true;
  }
  return false;
}

os::Lock& fiber_lock_for_fork() { return lock; }

}  // namespace lull::gc

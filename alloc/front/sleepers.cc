#include "alloc/front/sleepers.h"

#include "alloc/base/sanitizers.h"
#include "alloc/front/central.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/futex.h"
#include "alloc/os/process_barrier.h"
#include "alloc/os/thread.h"
#include "alloc/os/thread_state.h"

namespace lull::front {
namespace {

constexpr bool kCanProve = !kUnderThreadSanitizer;

constexpr std::uintptr_t kDeepestStack = 64 * 1024;  // that is searched: more takes longer, less misses who sleeps deep
constexpr std::uint8_t kMostTries = 5;               // a second apart

// The bins, which the thread may be using: no more than a hint.
std::uint64_t digest(const ThreadBins& t) {
  std::uint64_t sum = t.large.bytes();
  for (const Bin& bin : t.bins) {
    sum = sum * 31 + reinterpret_cast<std::uintptr_t>(__atomic_load_n(&bin.top, __ATOMIC_RELAXED));
  }
  return sum;
}

// A thread's variables lie at the end of its stack, the main thread's do not.
bool is_on_stack_below(std::uintptr_t stack, const void* variable) {
  const std::uintptr_t below = reinterpret_cast<std::uintptr_t>(variable) - stack;
  return below < (std::uintptr_t{64} << 20);  // wraps when the stack lies above
}

// release: pairs with the acquire in take_over(); what the purger did to the bins comes first.
void finish(ThreadBins& t) {
  if (t.sleeper.state.exchange(Sleep::asleep, std::memory_order_acq_rel) == Sleep::awaited) os::futex_wake_all(t.sleeper.state);
}

// A thread can end and tell nobody: it used its first block in the last round of key destructors. Its variable lay in its stack's memory, which may be
// another thread's by now, or gone. The purger has its bins busy, and nobody waits for them. True: abandon_bins() follows, out of the visit.
bool bury_if_gone(ThreadBins& t) {
  if (os::is_thread_here(t.sleeper.tid)) return false;
  give_back(t);
  t.sleeper.state.store(Sleep::ended, std::memory_order_release);
  return true;
}

// True: the thread is gone, and what it had given back.
bool ask(ThreadBins& t) {
  const Visiting visiting(nullptr);  // a fork finds no bins busy
  Sleep expected = Sleep::awake;
  if (!t.sleeper.state.compare_exchange_strong(expected, Sleep::busy, std::memory_order_acq_rel)) return false;
  t.sleeper.tries = 0;
  t.sleeper.emptied = false;
  if (bury_if_gone(t)) return true;
  __atomic_store_n(t.sleeper.variable, &asleep_bins, __ATOMIC_RELAXED);
  finish(t);
  return false;
}

// From awake or asleep to `to`, by the thread.
void take_over(Sleeper& s, Sleep to) {
  Sleep seen = s.state.load(std::memory_order_relaxed);
  for (;;) {
    if (seen == Sleep::busy && !s.state.compare_exchange_strong(seen, Sleep::awaited, std::memory_order_relaxed)) continue;
    if (seen == Sleep::busy || seen == Sleep::awaited) {
      os::futex_wait(s.state, Sleep::awaited);
      seen = s.state.load(std::memory_order_relaxed);
      continue;
    }
    // acquire: pairs with the release in finish()
    if (s.state.compare_exchange_strong(seen, to, std::memory_order_acq_rel, std::memory_order_relaxed)) return;
  }
}

bool points_into(std::uintptr_t word, const ThreadBins& t) {
  return word - reinterpret_cast<std::uintptr_t>(&t) <= sizeof t;
}

// The stack from `low` to the thread's variables holds no context in which a signal interrupted the use of the bins. False
// also when it cannot be read. Either word alone is often there by chance, left over from what was there before.
bool stack_holds_no_fast_path(const os::OwnMemory& memory, std::uintptr_t low, const ThreadBins& t) {
  const auto end = reinterpret_cast<std::uintptr_t>(t.sleeper.variable);
  if (low % sizeof(std::uintptr_t) != 0 || low >= end || end - low > kDeepestStack) return false;
  std::uintptr_t words[256];
  bool has_context = false, has_bins_address = false;
  for (std::uintptr_t at = low; at < end;) {
    const std::size_t bytes = end - at < sizeof words ? end - at : sizeof words;
    if (!memory.read(at, words, bytes)) return false;
    for (std::size_t i = 0; i < bytes / sizeof words[0]; ++i) {
      has_context |= os::may_be_of_signal_frame(words[i]);
      has_bins_address |= points_into(words[i], t);
    }
    at += bytes;
  }
  return !has_context || !has_bins_address;
}

// The caller has asked, has run the barrier, and has the bins busy.
bool is_proved_outside(const os::OwnMemory& memory, const ThreadBins& t) {
  // acquire: pairs with the release in Visiting::leave()
  if (t.visiting.load(std::memory_order_acquire)) return false;
  const std::uint64_t before = os::cpu_ns_of_thread(t.sleeper.tid);
  const std::uintptr_t stack = os::stack_of_waiting_thread(t.sleeper.tid);
  if (before == 0 || stack == 0 || !stack_holds_no_fast_path(memory, stack, t) || os::cpu_ns_of_thread(t.sleeper.tid) != before) return false;
  // The thread may have taken its bins back just before it was asked again, and its store to the variable came after ours. The
  // last of the proofs: until the times were the same, it may have been about to come.
  // Read as its stack is: it may be about to end.
  ThreadBins* now = nullptr;
  return memory.read(reinterpret_cast<std::uintptr_t>(t.sleeper.variable), &now, sizeof now) && now == &asleep_bins;
}

// Likewise.
bool try_to_empty(const os::OwnMemory& memory, ThreadBins& t) {
  const Visiting visiting(nullptr);  // a fork finds no bins busy
  Sleep expected = Sleep::asleep;
  if (!t.sleeper.state.compare_exchange_strong(expected, Sleep::busy, std::memory_order_acq_rel)) return false;
  if (bury_if_gone(t)) return true;
  if (is_proved_outside(memory, t)) {
    give_back(t);
    t.sleeper.emptied = true;
  } else {
    ++t.sleeper.tries;
  }
  finish(t);
  return false;
}

}  // namespace

void begin_sleeper(ThreadBins& own) {
  const bool on_stack = is_on_stack_below(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), &thread_bins);
  if (!kCanProve || !on_stack) return;
  own.sleeper.tid = os::current_thread_id();
  own.sleeper.variable = &thread_bins;
  // release: pairs with the acquire in ask()
  own.sleeper.state.store(Sleep::awake, std::memory_order_release);
}

ThreadBins* wake_own_bins(ThreadBins& own) {
  if (own.sleeper.state.load(std::memory_order_relaxed) != Sleep::awake) take_over(own.sleeper, Sleep::awake);
  return thread_bins = &own;
}

void end_sleeper(ThreadBins& own) {
  if (own.sleeper.state.load(std::memory_order_relaxed) != Sleep::ended) take_over(own.sleeper, Sleep::ended);
}

namespace {

// The caller's own bins are none of a sleeper.
bool empty_sleepers_but(const ThreadBins* own, When when) {
  bool asked = false, emptied = false, more = false;
  ThreadBins* const all = first_bins();
  for (ThreadBins* t = all; t != nullptr; t = t->next) {
    if (t == own || t->sleeper.state.load(std::memory_order_relaxed) != Sleep::awake) continue;
    const std::uint64_t look = digest(*t);
    const bool is_idle = look == t->sleeper.last_look;
    t->sleeper.last_look = look;
    more |= !is_idle;
    if (!is_idle && when == When::when_idle) continue;
    if (ask(*t)) abandon_bins(*t), emptied = true;
    else asked = true;
  }
  if (asked) os::process_barrier();
  const os::OwnMemory memory;
  for (ThreadBins* t = all; t != nullptr; t = t->next) {
    const Sleeper& s = t->sleeper;
    if (t == own || s.state.load(std::memory_order_relaxed) != Sleep::asleep || s.emptied || s.tries >= kMostTries) continue;
    if (try_to_empty(memory, *t)) {
      abandon_bins(*t);
      emptied = true;
      continue;
    }
    emptied |= s.emptied;
    more |= !s.emptied && s.tries < kMostTries;
  }
  if (emptied) after_giving();
  return more;
}

constinit std::atomic<bool> at_work{false};

}  // namespace

bool may_become_sleeper(const ThreadBins& own) { return own.sleeper.state.load(std::memory_order_relaxed) != Sleep::ended; }

bool empty_sleepers(When when) {
  // acquire and release: what a caller has noted in the sleepers is there for the next one
  if (!kCanProve || at_work.exchange(true, std::memory_order_acquire)) return false;
  const bool more = empty_sleepers_but(own_bins_or_null(), when);
  at_work.store(false, std::memory_order_release);
  return more;
}

void reset_sleepers_after_fork(ThreadBins* own) {
  at_work.store(false, std::memory_order_relaxed);
  for (ThreadBins* t = first_bins(); t != nullptr; t = t->next)
    if (t != own) t->sleeper.state.store(Sleep::ended, std::memory_order_relaxed);
  if (own != nullptr) own->sleeper.tid = os::current_thread_id();
}

}  // namespace lull::front

#include "gc/mutator/handshake.h"

#include "alloc/base/check.h"
#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/trace/probes.h"
#include "alloc/trace/timeline.h"
#include "gc/model/colour.h"
#include "gc/model/delay.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/model/phase.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/frames.h"
#include "gc/mutator/late.h"
#include "gc/mutator/registers.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "gc/mutator/pools.h"

namespace lull::gc {

constinit HandshakeStats handshake_stats;

namespace {

constexpr std::uint64_t kSignalAfterNs = 100'000;    // sooner signals threads that were about to poll, later stretches the cycle
constexpr std::uint8_t kSilent = 2;                   // one may have lost its processor for a moment: its answer at a poll would get the signal on top
constexpr std::uint64_t kResendAfterNs = 20'000'000;  // a signal can be lost only to a handler somebody else installed

constinit std::atomic<std::uint32_t> missing{0};  // answers still to come; the driver sleeps on it
// When the handshake under way was requested. relaxed: stored before `pending`, which who answers has read.
constinit std::atomic<std::uint64_t> requested_ns{0};
constinit std::atomic<std::uint32_t> resumed{0};  // bumped when the world resumes; parked threads sleep on it

// Where the operation finds the thread.
struct Stopped {
  std::uintptr_t sp;
  bool async;      // between any two instructions of the program
  bool on_behalf;  // by the collector: the thread is blocked
};

// The calling thread's, which the pointer must lie on. On a stack that nobody registered references would not be seen.
os::StackBounds signal_stack_with(std::uintptr_t sp) {
  const os::StackBounds alternate = os::active_signal_stack();
  if (!alternate.contains(sp)) fatal("this thread runs on a stack that is not its own (%p), nor one that it has switched to (lull/fiber.h)", reinterpret_cast<void*>(sp));
  return alternate;
}

void note_blocked_at(Mutator& m, std::uintptr_t sp) {
  m.blocked_sp = sp;
  if (options.precise_roots == 0 && !m.stack.contains(sp) && !m.left.contains(sp)) m.blocked_signal_stack = signal_stack_with(sp);
}

[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] void scan_signal_stack(Mutator& m, const Stopped& at, bool& complete) {
  // The thread runs a handler of the program on its alternate stack. That stack holds the interrupted registers, the
  // main stack pointer among them, so the lowest word on it that points into the main stack bounds the live part.
  const os::StackBounds alternate = at.on_behalf ? m.blocked_signal_stack : signal_stack_with(at.sp);
  complete &= m.words.copy_range(at.sp, alternate.high);
  std::uintptr_t lowest = m.stack.high;
  for (std::uintptr_t a = at.sp & ~std::uintptr_t{7}; a < alternate.high; a += 8) {
    const std::uintptr_t word = *reinterpret_cast<const std::uintptr_t*>(a);
    if (m.stack.contains(word) && word < lowest) lowest = word;
  }
  constexpr std::uintptr_t kRedZone = 128;
  const std::uintptr_t from = lowest - m.stack.low > kRedZone ? lowest - kRedZone : m.stack.low;
  complete &= m.words.copy_range(from, m.stack.high);
}

// Between fiber_switch_to and the switch.
void scan_both_stacks(Mutator& m, const Stopped& at, bool& complete) {
  complete = m.words.copy_range(at.sp, m.left.high);
  if (m.current != nullptr) complete &= copy_parked(*m.current, m);
}

void scan_conservatively(Mutator& m, const Stopped& at, bool& complete) {
  if (m.stack.contains(at.sp)) complete = m.words.copy_range(at.sp, m.stack.high);
  else if (m.left.contains(at.sp)) scan_both_stacks(m, at, complete);
  else scan_signal_stack(m, at, complete);
  if (at.on_behalf)
    complete &= m.words.copy_range(reinterpret_cast<std::uintptr_t>(m.saved),
                                   reinterpret_cast<std::uintptr_t>(m.saved + m.saved_count));
}

void scan_stack(Mutator& m, const Stopped& at) {
  bool complete = true;
  if (options.precise_roots == 0) scan_conservatively(m, at, complete);
  complete &= copy_frames(m);
  if (!complete) cycle_must_abort.store(true, std::memory_order_relaxed);
  m.has_words = true;
}

void hand_grey_over(Mutator& m) {
  if (m.handed_over == nullptr) m.handed_over = m.grey.detach();
  // else: the driver has not taken the last answer yet, which cannot happen between two handshakes; keep the buffer
}

void do_scan(Mutator& m, const Stopped& at) {
  const std::uint32_t cycle = current_cycle.load(std::memory_order_relaxed);
  m.cache.for_each_cached_span([&](Span& span, std::uint32_t first, std::uint32_t end) { take_snapshot(span, cycle, first, end); });
  m.scanned_cycle = cycle;
  if (m.current != nullptr) m.current->scanned_cycle.store(cycle, std::memory_order_relaxed);
  publish_handed(m);  // what comes from now on is born during the cycle
  scan_stack(m, at);
  // A thread's own stack is scanned with it, also while it runs on another one.
  if (m.current != &m.own && !copy_parked(m.own, m)) cycle_must_abort.store(true, std::memory_order_relaxed);
  hand_grey_over(m);
}

void do_flush(Mutator& m, const Stopped& at) {
  if (at.async) scan_stack(m, at);  // rule 4: it may have fallen into the middle of a write barrier
  hand_grey_over(m);
}

void do_barriers_off(Mutator& m, const Stopped& at) {
  m.block->barrier_on = barrier_when_off();
  m.left_cycle = current_cycle.load(std::memory_order_relaxed);
  m.assist_debt = 0;
  m.born_bytes = 0;
  publish_handed(m);
  if (at.async) m.cache.release_all_async(release_span_async);
  else m.cache.release_all(span_supply());
}

void perform(Mutator& m, HandshakeOp op, const Stopped& at) {
  switch (op) {
    case HandshakeOp::barriers_on:
      age_own_pools(m);
      m.block->barrier_on = barrier_when_on();
      break;
    case HandshakeOp::scan_stack: do_scan(m, at); break;
    case HandshakeOp::flush: do_flush(m, at); break;
    case HandshakeOp::barriers_off: do_barriers_off(m, at); break;
    case HandshakeOp::park:
    case HandshakeOp::none: break;
  }
}

void note_pause(std::uint64_t ns) {
  handshake_stats.pause.record(ns);
  std::uint64_t longest = handshake_stats.longest_this_cycle.load(std::memory_order_relaxed);
  while (ns > longest && !handshake_stats.longest_this_cycle.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
  }
}

// Before `pending` is read, both seq_cst: a request that comes after the look sets the flag after it was cleared.
// That of a thread which may end unnoticed is always set: its block may be gone.
void clear_poll_request(Mutator& m) {
  if (!m.is_ending) __atomic_store_n(&m.block->poll_requested, 0u, __ATOMIC_SEQ_CST);
}
void set_poll_request(Mutator& m) {
  if (!m.is_ending) __atomic_store_n(&m.block->poll_requested, 1u, __ATOMIC_SEQ_CST);
}

void note_answer(Mutator& m) {
  delay_point("about to answer");
  // acq_rel, locked: drains the store buffer; pairs with the acquire in help_blocked()
  m.pending.exchange(HandshakeOp::none, std::memory_order_acq_rel);
}

// Only the last answer wakes the driver: a wake-up often costs the waker its processor.
void wake_driver_if_last() {
  if (missing.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  handshake_stats.driver_wakes.fetch_add(1, std::memory_order_relaxed);
  os::futex_wake_one(missing);
}

void become_running(Mutator& m) {
  for (;;) {
    ThreadState expected = ThreadState::blocked;
    // acquire: pairs with the release in answer_for
    if (m.state.compare_exchange_strong(expected, ThreadState::running, std::memory_order_acq_rel)) return;
    delay_point();
    if (expected == ThreadState::claimed)
      os::futex_wait(m.state, expected);
  }
}

void park(Mutator& m, const Stopped& at) {
  const std::uint32_t epoch = resumed.load(std::memory_order_acquire);
  note_blocked_at(m, at.sp);
  m.saved_count = 0;
  m.blocked_async = at.async;
  note_answer(m);  // before the thread counts as blocked: the driver must not answer for it as well
  m.state.store(ThreadState::blocked, std::memory_order_seq_cst);
  wake_driver_if_last();
  while (resumed.load(std::memory_order_acquire) == epoch) os::futex_wait(resumed, epoch);
  become_running(m);
  m.blocked_async = false;
}

std::uint8_t next_silent(const Mutator& m) {
  const std::uint8_t before = m.silent.load(std::memory_order_relaxed);
  return before < kSilent ? static_cast<std::uint8_t>(before + 1) : kSilent;
}

// The thread itself answers, at a poll or in its handler: one request, and after a stop whatever came meanwhile.
void answer_self(Mutator& m, const Stopped& at) {
  HandshakeOp op;
  do {
    clear_poll_request(m);
    op = m.pending.load(std::memory_order_seq_cst);
    if (op == HandshakeOp::none) return;
    const std::uint64_t start = os::monotonic_ns(), cpu = os::thread_cpu_ns();
    const std::uint64_t requested = requested_ns.load(std::memory_order_relaxed);
    handshake_stats.time_to_safepoint.record(start > requested ? start - requested : 0);  // clocks of two processors
    if (at.async) handshake_stats.async_answers.fetch_add(1, std::memory_order_relaxed);
    m.silent.store(at.async ? next_silent(m) : std::uint8_t{0}, std::memory_order_relaxed);
    if (op == HandshakeOp::park) {
      park(m, at);
    } else {
      m.answering.store(true, std::memory_order_relaxed);
      perform(m, op, at);
      m.answering.store(false, std::memory_order_relaxed);  // before the answer: it says nothing about the next request
      note_answer(m);
    }
    handshake_stats.pause_cpu.record(os::thread_cpu_ns() - cpu);
    const std::uint64_t end = os::monotonic_ns();
    note_pause(end - start);
    trace::record(trace::What::answer, start, end, static_cast<std::uint64_t>(op) | (at.async ? trace::kAsync : 0));
    LULL_PROBE3(answer, static_cast<unsigned>(op), at.async, end - start);
    if (op != HandshakeOp::park) wake_driver_if_last();
  } while (op == HandshakeOp::park);
}

// While performing, the thread is in a runtime section, so that the handler does not answer the same request again.
void answer_with_registers(void* argument, std::uintptr_t sp) {
  auto& m = *static_cast<Mutator*>(argument);
  m.runtime_depth = m.runtime_depth + 1;
  answer_self(m, {sp, false, false});
  m.runtime_depth = m.runtime_depth - 1;
}

// The thread is blocked: act for it (rule 17). False when it was not blocked.
bool answer_for(Mutator& m, HandshakeOp op) {
  if (!m.held) {
    ThreadState expected = ThreadState::blocked;
    // acquire: pairs with the release when the thread blocked; its stack and cache are visible
    if (!m.state.compare_exchange_strong(expected, ThreadState::claimed, std::memory_order_acq_rel)) return false;
  }
  delay_point();  // the thread may be trying to leave
  if (m.pending.load(std::memory_order_acquire) == op) {
    const trace::Span span(trace::What::answer, static_cast<std::uint64_t>(op) | trace::kOnBehalf);
    perform(m, op, {m.blocked_sp, m.blocked_async, true});
    clear_poll_request(m);
    m.pending.store(HandshakeOp::none, std::memory_order_release);
    missing.fetch_sub(1, std::memory_order_relaxed);
  }
  if (op == HandshakeOp::park) m.held = true;
  if (m.held) return true;
  m.state.store(ThreadState::blocked, std::memory_order_release);  // release: pairs with leave_blocked
  os::futex_wake_all(m.state);
  return true;
}

void help_blocked(HandshakeOp op) {
  for (Mutator* m = mutators.first; m != nullptr; m = m->next)
    if (m->pending.load(std::memory_order_acquire) != HandshakeOp::none && !has_died(*m)) answer_for(*m, op);
}

// One that answers is left alone: where an interrupt has made its answer long, a signal made it longer by 20 to 40 us. It may have lost its
// processor meanwhile, which no signal gives back. relaxed: what is seen late costs a signal, sent or not sent, and the next look is near.
void signal_unless_answering(Mutator& m) {
  if (!m.answering.load(std::memory_order_relaxed)) signal_thread(m);
}

enum class Look : bool { first, later };

// Those that refused, or all; at the first look those that will hardly poll: they wait in a system call, or count without end.
// relaxed: `silent` is a guess; a wrong one costs a signal, or 100 us.
void signal_stragglers(bool all, Look look) {
  for (Mutator* m = mutators.first; m != nullptr; m = m->next) {
    if (m->pending.load(std::memory_order_acquire) == HandshakeOp::none) continue;
    const bool at_once = look == Look::first && m->silent.load(std::memory_order_relaxed) == kSilent;
    if (!(m->refused_signal.exchange(false, std::memory_order_relaxed) || all || at_once)) continue;
    if (at_once) handshake_stats.signalled_at_once.fetch_add(1, std::memory_order_relaxed);
    signal_unless_answering(*m);
  }
}

// Threads that ended unnoticed answer nothing any more.
void bury_the_dead() {
  Mutator* next;
  for (Mutator* m = mutators.first; m != nullptr; m = next) {
    next = m->next;
    if (m->pending.load(std::memory_order_acquire) == HandshakeOp::none || !has_died(*m)) continue;
    bury_locked(*m);
    missing.fetch_sub(1, std::memory_order_relaxed);
  }
}

void request_and_wait_locked(HandshakeOp op) {
  const trace::Span span(trace::What::handshake, static_cast<std::uint64_t>(op));
  LULL_PROBE2(handshake_begin, static_cast<unsigned>(op), mutators.count_now());
  handshake_stats.rounds.fetch_add(1, std::memory_order_relaxed);
  missing.store(mutators.count_now(), std::memory_order_relaxed);
  const std::uint64_t start = os::monotonic_ns();
  requested_ns.store(start, std::memory_order_relaxed);
  for (Mutator* m = mutators.first; m != nullptr; m = m->next) {
    m->pending.store(op, std::memory_order_seq_cst);  // release: pairs with poll(); seq_cst: ordered before reading `state`
    set_poll_request(*m);
  }
  std::uint64_t next_signal = start + kSignalAfterNs;
  LateThreads late(op, start);
  for (Look look = Look::first;; look = Look::later) {
    help_blocked(op);
    // acquire: pairs with the release in wake_driver_if_last, so that every answer's effects are visible
    const std::uint32_t seen = missing.load(std::memory_order_acquire);
    if (seen == 0) break;
    const std::uint64_t now = os::monotonic_ns();
    const bool all = now >= next_signal;
    if (all) bury_the_dead();
    if (options.noasync == 0) signal_stragglers(all, look);
    if (all) next_signal = now + kResendAfterNs;
    late.tell_if_due(now);
    os::futex_wait_for(missing, seen, next_signal - now < kSignalAfterNs ? next_signal - now : kSignalAfterNs);
  }
  LULL_PROBE1(handshake_end, static_cast<unsigned>(op));
}

}  // namespace

void answer_poll(Mutator& m) { lull_with_registers(answer_with_registers, &m); }
void answer_signal(Mutator& m, std::uintptr_t sp) { answer_self(m, {sp, true, false}); }

void handshake(HandshakeOp op) {
  const bool stopped = mutators.world_stopped;  // then the driver holds the lock already
  if (!stopped) mutators.lock.lock();
  if (op == HandshakeOp::barriers_on) mutators.barriers_on = true;
  if (op == HandshakeOp::scan_stack) mutators.black_cycle = current_cycle.load(std::memory_order_relaxed);
  if (op == HandshakeOp::barriers_off) {
    mutators.barriers_on = false;
    mutators.black_cycle = 0;
    mutators.off_cycle = current_cycle.load(std::memory_order_relaxed);
  }
  request_and_wait_locked(op);
  if (!stopped) mutators.lock.unlock();
}

WorldStopped::WorldStopped() {
  LULL_PROBE1(stop_begin, mutators.count_now());
  const trace::Span span(trace::What::world_stopped, 0);
  mutators.lock.lock();
  handshake_stats.global_stops.fetch_add(1, std::memory_order_relaxed);
  request_and_wait_locked(HandshakeOp::park);
  mutators.world_stopped = true;
  since_ns_ = os::monotonic_ns();
  LULL_PROBE1(stopped, mutators.count_now());
}

WorldStopped::~WorldStopped() {
  const std::uint64_t now = os::monotonic_ns();
  trace::record(trace::What::world_stopped, since_ns_, now, 1);
  LULL_PROBE1(stop_end, now - since_ns_);
  mutators.world_stopped = false;
  for (Mutator* m = mutators.first; m != nullptr; m = m->next) {
    if (!m->held) continue;
    m->held = false;
    m->state.store(ThreadState::blocked, std::memory_order_release);
    os::futex_wake_all(m->state);
  }
  resumed.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in park()
  os::futex_wake_all(resumed);
  mutators.lock.unlock();
}

namespace {

// Frames between here and the caller of blocking_region go away when it returns: keep what they hold, callee-saved
// registers above all.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] void publish_stack(void* argument, std::uintptr_t sp) {
  auto& m = *static_cast<Mutator*>(argument);
  const std::uintptr_t caller = m.blocked_sp;
  std::uint32_t n = 0;
  for (std::uintptr_t a = sp; a < caller && n < Mutator::kSavedWords; a += sizeof(std::uintptr_t))
    m.saved[n++] = *reinterpret_cast<const volatile std::uintptr_t*>(a);
  m.saved_count = n;
  LULL_CHECK(sp + n * sizeof(std::uintptr_t) >= caller, "frames of enter_blocked are larger than expected");
}

}  // namespace

void enter_blocked(Mutator& m, std::uintptr_t caller_sp) {
  delay_point();
  m.blocked_depth = m.blocked_depth + 1;
  if (m.blocked_depth > 1) return;
  // The handler must not park here: it would publish its own place in place of this one. Who asks meanwhile finds the thread
  // blocked in a moment.
  m.runtime_depth = m.runtime_depth + 1;
  asm volatile("" ::: "memory");
  note_blocked_at(m, caller_sp);
  lull_with_registers(publish_stack, &m);
  // Publishes stack, registers and cache to answer_for; seq_cst, a locked instruction: drains the store buffer.
  m.state.store(ThreadState::blocked, std::memory_order_seq_cst);
  m.runtime_depth = m.runtime_depth - 1;
}

void leave_blocked(Mutator& m) {
  m.silent.store(0, std::memory_order_relaxed);
  if (m.blocked_depth == 1) become_running(m);
  m.blocked_depth = m.blocked_depth - 1;
}

}  // namespace lull::gc

// fork() beside all threads of the library (gc/cycle/fork.cc, alloc/front/fork_gate.cc): two threads of the program, of which one or
// both fork, the driver, a helper, the purger and the finalizer, each anywhere in what it does.
//
// Memory is a number of words. A structure that is changed in two steps is a pair of words, whole while they are equal. The kernel
// copies a process page by page while its other threads run, and one whose processor has the old translation of a page still writes into
// the child's copy. So between the begin of a fork and its end each store of another thread reaches the child or does not, whatever
// became of the store before it. Then the state goes on as the parent, or as the child: the copy, with the forking thread alone.
// A child takes every lock, looks at every pair, forks again, has its pages purged, waits for destructors, and collects if it may.
//
// Stores of the flags of visitors go through a store buffer. Everybody's work is bounded, so that a thread that waits for ever is one
// that the others cannot hide by going on: a deadlock.
#pragma once
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "packed.h"

namespace model::forks {

enum class Mutant {
  none,
  no_cycle_gate,     // the fork does not wait for the cycle
  reset_instead,     // likewise; instead the child resets phase, barriers and helpers
  not_blocked,       // the forking thread is not blocked while it waits
  no_registry_lock, no_index_lock, no_pages_lock,  // not held over the fork
  index_lock_first,  // taken before the heap's gate is closed
  bins_in_visit,     // a visit of malloc takes the lock that a fork has when it waits for visitors
  registry_in_visit, // likewise of the heap
  gate_last,         // the cycle gate is taken after the other locks of the collector
  no_heap_gate, no_malloc_gate,
  no_barrier,        // the gates empty no store buffers
  heap_gate_late,    // opened after the locks that let the next fork close it
  malloc_gate_late,
  records_kept,      // the child keeps the others' records
  driver_kept, busy_kept, purger_kept, finalizer_kept,  // the child takes a thread that is gone for one that is there
  visitors_kept,     // ... or for a visitor
  in_flight_kept,    // ... or for one that still runs a destructor
  driver_alone,      // only the driver wakes the finalizer
  lost_spans_kept,   // ... or leaves it its span, which no cycle then knows
  cursor_believed,   // ... or takes what lies beyond the cursor that it sees for free
  cards_believed,    // ... or its cards for all there are
  hole_outside, register_outside, claim_outside,  // done outside of visits
  pages_in_hand,     // the fork does not wait for pages that the purger has in hand without the lock
  fork_waits_kept,   // ... or goes on to keep it from taking more
};

struct Config {
  int gc = 1;        // 0: a program that uses malloc only
  int attached = 1;  // the first thread is a mutator
  int other = 0;     // likewise the second
  int budget = 1;    // what they do, at most
  int cycle = 0;     // a cycle is asked for at first
  int helper = 0, purger = 0, dying = 0;  // dying: objects with destructors that the cycle finds
  std::string ops = "";  // of the second thread, and of the first when it has forked: see begin()
  Mutant mutant = Mutant::none;
};

enum class Fault { none, torn, half, record, orphan, early, lost, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::torn: return "HALF A CHANGE IN THE CHILD";
    case Fault::half: return "A CYCLE UNDER WAY IN THE CHILD";
    case Fault::record: return "A LOST THREAD HAS A RECORD";
    case Fault::orphan: return "A LOST THREAD'S SPAN COLLECTED";
    case Fault::early: return "DESTRUCTOR OF WHAT IS NOT WHOLE";
    case Fault::lost: return "REACHABLE OBJECT FREED";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

// What a thread with a span does in it (ops 'o'): opens a hole, takes the object in it, makes it, registers its destructor, stores its address into an old
// object, dirties the card, destroys it. object: 1 made, 2 destroyed.
//
// Words of memory. idx: any lock that guards a structure of the collector; bins: the first of malloc's. A bit for each thread of the
// program in list (and 4: the finalizer's), barrier, pending, blocked. unrun: destructors queued or under way.
enum Word : u8 {
  cyc, reg, idx, bins, pages, heap_closed, closed, heap_visit0, heap_visit1, visit0, visit1, without_bins,
  central1, central2, set1, set2, index1, index2, heap1, heap2, cached,
  hole1, hole2, cursor, object, destroy_bit, known, card,
  list, barrier, pending, blocked, stopped,
  driver_started, requested, completed, phase, marking, busy, grey,
  purger_state, dirty, queue, unrun, finalizer_started,
  in_hand, fork_waits,
  kWords
};
constexpr int bits_of(u8 word) {
  switch (word) {
    case list: return 3;
    case without_bins: case barrier: case pending: case blocked: case requested: case completed: case phase: case busy:
    case purger_state: case queue: case unrun: case object: return 2;
    default: return 1;
  }
}
using Memory = std::array<u8, kWords>;

enum Phase : u8 { off, marks, sweeps };
enum PurgerState : u8 { none, sleeping, working };

enum Pc : u8 {
  idle, gone, done,
  reg_wait, reg_change, reg_release,                                                                  // attach, detach
  hv_flag, hv_check, hv_back, hv_wait, hv_set1, hv_lock, hv_index1, hv_index2, hv_unlock, hv_set2, hv_leave,  // a visit of the heap
  hv_do,  // ... for a step in the thread's span
  mv_flag, mv_check, mv_back, mv_wait, mv_central1, mv_lock, mv_heap1, mv_heap2, mv_unlock, mv_central2, mv_leave,  // of malloc
  k_lock, k_index1, k_index2, k_unlock,  // a structure of the collector outside of visits
  nudges, wakes_purger,
  o_hole1, o_hole2, o_cursor, o_make, o_register, o_know, o_card, o_claim, o_destroy,
  f_block, f_cyc, f_reg, f_heap_close, f_heap_wait, f_idx, f_bins, f_close, f_wait, f_pages, f_copy, f_return,
  u_pages, u_open, u_bins, u_idx, u_heap_open, u_reg, u_cyc, u_run,
  c_locks, c_forks, c_nudge, c_purged, c_finalize, c_finalized, c_collect, c_collected,
};
enum DriverPc : u8 {
  d_none, d_idle, d_gate, d_ask_on, d_wait_on, d_mark, d_end, d_queue, d_ask_off, d_wait_off, d_sweep1, d_sweep2, d_off, d_after, d_job, d_job_end, d_wake, d_done
};
enum HelperPc : u8 { h_none, h_wait, h_saw, h_counted, h_work, h_leave, h_nap };
enum PurgerPc : u8 { p_none, p_enter, p_check, p_back, p_wait, p_central1, p_central2, p_leave, p_pass, p_lock, p_heap1, p_heap2, p_unhand, p_relock, p_clear, p_unlock, p_sleep, p_asleep };
enum FinalizerPc : u8 { z_none, z_attach, z_wait, z_take, z_run, z_count };

struct State {
  Memory m{}, copy{};      // copy: the child's, while a fork is under way
  u8 forking = 0;          // thread + 1
  u8 pc[2]{}, buffered[2]{};  // buffered: the flag's word
  u8 without[2]{};             // visits malloc without bins
  u8 then[2]{};                // the step in its span that a visit of the heap is for; idle: none
  u8 left = 0, has_forked = 0, child = 0, lost_others = 0;  // left: what the threads may still do
  u8 driver = 0, helper = 0, purger = 0, finalizer = 0;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class ForkModel {
 public:
  using State = forks::State;
  using Step = forks::Step;
  using Fault = forks::Fault;
  using Key = Packed<4>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit ForkModel(const Config& c) : c_(c) {
    if (c.gc) before_ = {f_block, f_cyc, f_reg, f_heap_close, f_heap_wait, f_idx};
    for (Pc pc : {f_bins, f_close, f_wait, f_pages, f_copy, f_return}) before_.push_back(pc);
    after_ = {u_pages, u_open, u_bins};
    if (c.gc)
      for (Pc pc : {u_idx, u_heap_open, u_reg, u_cyc, u_run}) after_.push_back(pc);
    const auto without = [&](std::initializer_list<Pc> steps) {
      for (Pc pc : steps) std::erase(before_, pc), std::erase(after_, pc);
    };
    const auto move_behind = [](std::vector<Pc>& steps, Pc moved, Pc place) {
      std::erase(steps, moved);
      steps.insert(std::find(steps.begin(), steps.end(), place) + 1, moved);
    };
    switch (c.mutant) {
      case Mutant::no_cycle_gate: case Mutant::reset_instead: without({f_cyc, u_cyc}); break;
      case Mutant::not_blocked: without({f_block}); break;
      case Mutant::no_registry_lock: without({f_reg, u_reg}); break;
      case Mutant::no_index_lock: without({f_idx, u_idx}); break;
      case Mutant::no_pages_lock: without({f_pages, u_pages}); break;
      case Mutant::index_lock_first: move_behind(before_, f_idx, f_reg); break;
      case Mutant::gate_last: move_behind(before_, f_cyc, f_idx); break;
      case Mutant::no_heap_gate: without({f_heap_close, f_heap_wait, u_heap_open}); break;
      case Mutant::no_malloc_gate: without({f_close, f_wait, u_open}); break;
      case Mutant::heap_gate_late: move_behind(after_, u_heap_open, u_cyc); break;
      case Mutant::malloc_gate_late: move_behind(after_, u_open, u_bins); break;
      default: break;
    }
  }

  State initial() const {
    State s;
    s.left = u8(c_.budget);
    s.m[list] = u8((c_.gc && c_.attached ? 1 : 0) | (c_.gc && c_.other ? 2 : 0));
    if (c_.cycle) s.m[requested] = s.m[driver_started] = 1, s.driver = d_idle;
    return s;
  }
  Key pack(const State& s) const { return pack_fields<Key>(s, [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& to) const {
    const auto emit = [&](const State& next, const Step& step) { emit_stores(s, next, step, to); };
    for (u8 t : {u8{0}, u8{1}}) {
      if (s.buffered[t]) write_buffered(s, t, emit);
      step_thread(s, t, emit);
    }
    step_driver(s, emit);
    step_helper(s, emit);
    step_purger(s, emit);
    step_finalizer(s, emit);
    if (is_over(s)) to(s, Step{"nothing is left to do"});
  }

 private:
  Config c_;
  std::vector<Pc> before_, after_;  // a fork's handlers

  bool is(Mutant m) const { return c_.mutant == m; }
  bool may(char op) const { return c_.ops.find(op) != std::string::npos; }

  template <class Io>
  void transfer(Io&& io, State& s) const {
    for (u8 w = 0; w < kWords; ++w) io(s.m[w], bits_of(w)), io(s.copy[w], bits_of(w));
    io(s.forking, 2), io(s.left, 2), io(s.has_forked, 2), io(s.child, 1), io(s.lost_others, 1);
    for (u8 t : {u8{0}, u8{1}}) io(s.pc[t], 7), io(s.buffered[t], 4), io(s.without[t], 1), io(s.then[t], 7);
    io(s.driver, 5), io(s.helper, 3), io(s.purger, 5), io(s.finalizer, 3);
  }

  static bool is_over(const State& s) {
    const auto rests = [&](u8 pc) { return pc == done || pc == gone; };
    return rests(s.pc[0]) && rests(s.pc[1]) && !s.buffered[0] && !s.buffered[1] && s.driver <= d_idle && s.m[requested] == s.m[completed] &&
           (s.helper == h_none || s.helper == h_wait) && (s.purger == p_none || s.purger == p_asleep) &&
           (s.finalizer == z_none || s.finalizer == z_wait);
  }

  // A fork under way: what a thread stores reaches the copy or does not.
  template <class To>
  static void emit_stores(const State& before, const State& next, const Step& step, To& to) {
    to(next, step);
    if (!before.forking || next.forking != before.forking) return;
    State seen = next;
    for (u8 w = 0; w < kWords; ++w)
      if (next.m[w] != before.m[w]) seen.copy[w] = next.m[w];
    if (seen.copy != next.copy) to(seen, Step{"... and the child's copy has that"});
  }
  template <class Emit>
  static void write_buffered(const State& before, u8 t, Emit& emit) {
    State s = before;
    drain(s, t);
    emit(s, Step{"T%d: the buffered flag reaches memory", t});
  }
  static void drain(State& s, u8 t) {
    if (s.buffered[t]) s.m[s.buffered[t]] = 1, s.buffered[t] = 0;
  }
  void process_barrier(State& s) const {
    if (!is(Mutant::no_barrier)) drain(s, 0), drain(s, 1);
  }

  static u8 bit(u8 t) { return u8(1 << t); }
  static u8 heap_visit(u8 t) { return u8(heap_visit0 + t); }
  static u8 visit(u8 t) { return u8(visit0 + t); }
  static u8 follower(const std::vector<Pc>& steps, u8 pc) { return u8(*(std::find(steps.begin(), steps.end(), pc) + 1)); }

  // A thread of the program. ------------------------------------------------------------------------------------------------------

  template <class Emit>
  void step_thread(const State& before, u8 t, Emit& emit) const {
    const u8 pc = before.pc[t];
    if (pc == gone || pc == done) return;
    if (pc == idle) return begin(before, t, emit);
    if (pc >= c_locks) return live(before, t, emit);
    if (pc >= f_block) return step_fork(before, t, emit);
    State s = before;
    Memory& m = s.m;
    const bool flushed = !before.buffered[t];  // stores and locked instructions come behind the flag
    const auto done = [&](const char* what, u8 next) { s.pc[t] = next, emit(s, Step{what, t}); };
    const auto flip = [&](u8 word, const char* what, u8 next) {
      if (flushed) m[word] ^= 1, done(what, next);
    };
    const auto take = [&](u8 lock, const char* what, u8 next) {
      if (flushed && !m[lock]) m[lock] = 1, done(what, next);
    };
    const auto rest = [&](const char* what) {
      if (flushed) s.without[t] = 0, done(what, idle);
    };
    switch (pc) {
      case reg_wait: return take(reg, "T%d takes the mutators' lock", reg_change);
      case reg_change:
        m[list] ^= bit(t);
        m[barrier] = u8((m[barrier] & ~bit(t)) | (m[list] & bit(t) && m[phase] == marks ? bit(t) : 0));
        m[blocked] &= u8(~bit(t));
        return done("T%d attaches, or detaches", reg_release);
      case reg_release: m[reg] = 0; return rest("T%d gives the mutators' lock up");

      case hv_flag: s.buffered[t] = heap_visit(t); return done("T%d says that it visits the heap", hv_check);
      case hv_check: return done("T%d looks at the heap's gate", m[heap_closed] ? hv_back : s.then[t] ? hv_do : hv_set1);
      case hv_do: if (flushed) s.pc[t] = s.then[t], step_in_span(s, t, emit); return;
      case hv_back: if (flushed) m[heap_visit(t)] = 0, done("T%d does not visit the heap yet", hv_wait); return;
      case hv_wait: if (!m[heap_closed]) done("T%d finds the heap's gate open", hv_flag); return;
      case hv_set1:
        flip(set1, "T%d begins to change a set of spans", hv_lock), s = before;
        return flip(set1, "T%d begins to change a set of spans, and makes none", hv_set2);
      case hv_lock: return take(is(Mutant::registry_in_visit) ? reg : idx, "T%d takes the index' lock", hv_index1);
      case hv_index1: return flip(index1, "T%d begins to change the index", hv_index2);
      case hv_index2: return flip(index2, "T%d ends to change the index", hv_unlock);
      case hv_unlock: m[is(Mutant::registry_in_visit) ? reg : idx] = 0; return done("T%d gives the index' lock up", hv_set2);
      case hv_set2: m[cached] ^= t; return flip(set2, "T%d ends to change a set of spans", hv_leave);
      case hv_leave: m[heap_visit(t)] = 0; return rest_of_object(s, t, "T%d leaves the heap", emit);

      case mv_flag:
        if (s.without[t]) ++m[without_bins];
        else s.buffered[t] = visit(t);
        return done("T%d says that it visits malloc", mv_check);
      case mv_check: return done("T%d looks at malloc's gate", m[closed] ? mv_back : mv_central1);
      case mv_back: if (flushed) leave_malloc(s, t), done("T%d does not visit malloc yet", mv_wait); return;
      case mv_wait: if (!m[closed]) done("T%d finds malloc's gate open", mv_flag); return;
      case mv_central1:
        flip(central1, "T%d begins to change the central store", mv_lock), s = before;
        return flip(central1, "T%d begins to change the central store, without pages", mv_central2);
      case mv_lock: return take(is(Mutant::bins_in_visit) ? bins : pages, "T%d takes the page heap's lock", mv_heap1);
      case mv_heap1: return flip(heap1, "T%d begins to change the page heap", mv_heap2);
      case mv_heap2: return flip(heap2, "T%d ends to change the page heap", mv_unlock);
      case mv_unlock: m[is(Mutant::bins_in_visit) ? bins : pages] = 0; return done("T%d gives the page heap's lock up", mv_central2);
      case mv_central2: return flip(central2, "T%d ends to change the central store", mv_leave);
      case mv_leave: if (flushed) leave_malloc(s, t), rest("T%d leaves malloc"); return;

      case k_lock: return take(idx, "T%d takes a lock of the collector's", k_index1);
      case k_index1: return flip(index1, "T%d begins to change what it guards", k_index2);
      case k_index2: return flip(index2, "T%d ends to change that", k_unlock);
      case k_unlock: m[idx] = 0; return rest("T%d gives that lock up");

      case o_hole1: case o_hole2: case o_cursor: case o_make: case o_register: case o_know: case o_card: case o_claim: case o_destroy:
        return step_in_span(s, t, emit);

      case nudges: m[dirty] = 1; return done("T%d has pages that are idle", wakes_purger);
      case wakes_purger: nudge(s); return rest("T%d nudges the purger");
    }
  }
  // One after the other; a hole, the registration and the claim in a visit each.
  template <class Emit>
  void step_in_span(State s, u8 t, Emit& emit) const {
    Memory& m = s.m;
    const u8 now = s.pc[t];
    const auto done = [&](const char* what, u8 next) { s.pc[t] = next, emit(s, Step{what, t}); };
    const auto end_visit = [&](const char* what, u8 next, Mutant outside) {
      s.then[t] = next;
      if (!is(outside)) return done(what, hv_leave);
      rest_of_object(s, t, what, emit);
    };
    switch (now) {
      case o_hole1: m[hole1] ^= 1; return done("T%d begins to open a hole", o_hole2);
      case o_hole2: m[hole2] ^= 1; return end_visit("T%d has opened a hole", o_cursor, Mutant::hole_outside);
      case o_cursor: m[cursor] = 1; return done("T%d takes an object", o_make);
      case o_make:
        m[object] = 1;
        done("T%d has made it, without a destructor", o_know);
        s.then[t] = o_register;
        return visit_for(s, t, "T%d has made it", Mutant::register_outside, emit);
      case o_register: m[destroy_bit] = 1; return end_visit("T%d registers its destructor", o_know, Mutant::register_outside);
      case o_know: m[known] = 1; return done("T%d stores its address", o_card);
      case o_card:
        m[card] = 1;
        done("T%d dirties the card", idle);  // and leaves it at that
        if (!m[destroy_bit]) return;
        s.then[t] = o_claim;
        return visit_for(s, t, "T%d dirties the card, and will destroy the object", Mutant::claim_outside, emit);
      case o_claim: m[destroy_bit] = 0; return end_visit("T%d takes the object to destroy it", o_destroy, Mutant::claim_outside);
      default: m[object] = 2; return done("T%d has destroyed it", idle);
    }
  }
  // Goes on with `then`, in a visit unless `outside` is the mutant.
  template <class Emit>
  void visit_for(State s, u8 t, const char* what, Mutant outside, Emit& emit) const {
    if (is(outside)) s.pc[t] = s.then[t], s.then[t] = idle;
    else s.pc[t] = hv_flag;
    emit(s, Step{what, t});
  }
  // After a visit, or what should have been one.
  template <class Emit>
  static void rest_of_object(State s, u8 t, const char* what, Emit& emit) {
    s.pc[t] = s.then[t], s.then[t] = idle;
    emit(s, Step{what, t});
  }
  static void leave_malloc(State& s, u8 t) {
    if (s.without[t]) --s.m[without_bins];
    else s.m[visit(t)] = 0;
  }
  static void nudge(State& s) {
    if (s.m[purger_state] == none) s.purger = p_enter;
    s.m[purger_state] = working;
  }

  template <class Emit>
  void begin(const State& before, u8 t, Emit& emit) const {
    const auto go = [&](u8 next, const char* what, auto&& change) {
      State s = before;
      s.pc[t] = next;
      change(s);
      emit(s, Step{what, t});
    };
    const auto spend = [](State& s) { --s.left; };
    const bool is_mutator = before.m[list] & bit(t);
    if (before.m[pending] & bit(t)) go(idle, "T%d answers", [&](State& s) { answer(s, t); });
    const bool forks = t == 0 || (may('f') && before.left > 0);
    if (forks && !(before.has_forked & bit(t)))
      go(u8(before_[0]), "T%d forks", [&](State& s) {
        s.has_forked |= bit(t);
        if (t == 1) spend(s);
      });
    if (before.has_forked & bit(t) || t == 1) go(done, "T%d has done its work", [](State&) {});
    if ((t == 0 && !before.has_forked) || before.left == 0) return;
    if (c_.gc && t == 1 && may('a') && !(is_mutator && before.m[cached]))  // a thread gives its span back before it detaches
      go(reg_wait, "T%d will attach, or detach", [&](State& s) {
        spend(s);
        if (is_mutator) s.m[blocked] |= bit(t);
      });
    if (is_mutator && may('o') && t == 1 && before.m[cached] && !before.m[cursor])
      visit_for_object(before, t, emit);
    if (is_mutator && may('h')) go(hv_flag, "T%d wants a span", spend);
    if (c_.gc && may('k')) go(k_lock, "T%d calls the collector", spend);
    if (may('m')) go(mv_flag, "T%d goes to malloc", spend);
    if (may('w')) go(mv_flag, "T%d goes to malloc, without bins", [&](State& s) { spend(s), s.without[t] = 1; });
    if (may('n')) go(nudges, "T%d frees", spend);
    if (is_mutator && may('r') && before.m[requested] == before.m[completed])
      go(idle, "T%d asks for a cycle", [&](State& s) { spend(s), ask_for_cycle(s); });
  }
  template <class Emit>
  void visit_for_object(State s, u8 t, Emit& emit) const {
    --s.left;
    s.then[t] = o_hole1;
    visit_for(s, t, "T%d opens a hole", Mutant::hole_outside, emit);
  }
  static void ask_for_cycle(State& s) {
    s.m[requested] = (s.m[completed] + 1) & 3;
    if (!s.m[driver_started]) s.m[driver_started] = 1, s.driver = d_idle;
  }

  // Its handlers. -------------------------------------------------------------------------------------------------------------------

  template <class Emit>
  void step_fork(const State& before, u8 t, Emit& emit) const {
    State s = before;
    Memory& m = s.m;
    const u8 pc = before.pc[t], o = 1 - t;
    const auto done = [&](const char* what) {
      const bool is_last = pc == after_.back();
      s.pc[t] = is_last ? u8(idle) : pc == f_return ? u8(after_[0]) : follower(pc < u_pages ? before_ : after_, pc);
      emit(s, Step{what, t});
    };
    const auto take = [&](u8 lock, const char* what) {
      if (!m[lock]) m[lock] = 1, done(what);
    };
    switch (pc) {
      case f_block: if (m[list] & bit(t)) m[blocked] |= bit(t); return done("T%d is blocked while it forks");
      case f_cyc: return take(cyc, "T%d takes the cycle gate");
      case f_reg: return take(reg, "T%d takes the mutators' lock");
      case f_heap_close: m[heap_closed] = 1, process_barrier(s); return done("T%d closes the heap's gate");
      case f_heap_wait: if (!(m[list] & bit(o) && m[heap_visit(o)])) done("T%d sees that nobody visits the heap"); return;
      case f_idx: return take(idx, "T%d takes the index' lock");
      case f_bins: return take(bins, "T%d takes malloc's first lock");
      case f_close: m[closed] = 1, process_barrier(s); return done("T%d closes malloc's gate");
      case f_wait: if (!m[visit(o)] && !m[without_bins]) done("T%d sees that nobody visits malloc"); return;
      case f_pages:
        if (!m[fork_waits]) {
          m[fork_waits] = 1;
          return emit(s, Step{"T%d says that a fork waits for pages in hand", t});
        }
        if (m[pages] || (m[in_hand] && !is(Mutant::pages_in_hand))) return;  // taken, seen, and given up again
        m[pages] = 1, m[fork_waits] = is(Mutant::fork_waits_kept);
        return done("T%d takes the page heap's lock, and nobody has pages in hand");
      case f_copy: s.copy = m, s.forking = u8(t + 1); return done("the kernel begins to copy the process for T%d");
      case f_return:
        become_child(s, t, emit);
        s = before, s.copy = {}, s.forking = 0;
        return done("T%d goes on as the parent");
      case u_pages: m[pages] = 0; return done("T%d gives the page heap's lock up");
      case u_open: m[closed] = 0; return done("T%d opens malloc's gate");
      case u_bins: m[bins] = 0; return done("T%d gives malloc's first lock up");
      case u_idx: m[idx] = 0; return done("T%d gives the index' lock up");
      case u_heap_open: m[heap_closed] = 0; return done("T%d opens the heap's gate");
      case u_reg: m[reg] = 0; return done("T%d gives the mutators' lock up");
      case u_cyc: m[cyc] = 0; return done("T%d gives the cycle gate up");
      case u_run: m[blocked] &= u8(~bit(t)); return done("T%d runs again");
    }
  }

  // The handlers in the child: one step, since nobody is there to see them in between.
  template <class Emit>
  void become_child(const State& before, u8 t, Emit& emit) const {
    State s;
    s.m = before.copy;
    s.child = 1;
    s.pc[t] = c_locks, s.pc[1 - t] = gone;
    Memory& m = s.m;
    const auto release = [&](Pc step, u8 word) {
      if (std::find(after_.begin(), after_.end(), step) != after_.end()) m[word] = 0;
    };
    release(u_pages, pages), release(u_open, closed), release(u_bins, bins), release(u_idx, idx), release(u_heap_open, heap_closed);
    release(u_reg, reg), release(u_cyc, cyc);
    s.lost_others = (m[list] & ~bit(t)) != 0;
    if (!is(Mutant::records_kept)) m[list] &= bit(t);
    if (!is(Mutant::driver_kept)) m[driver_started] = 0, m[requested] = m[completed];
    if (!is(Mutant::busy_kept)) m[busy] = 0;
    if (!is(Mutant::purger_kept)) m[purger_state] = none;
    if (!is(Mutant::visitors_kept)) m[without_bins] = 0, m[visit(1 - t)] = 0;
    if (!is(Mutant::finalizer_kept)) m[finalizer_started] = 0;
    if (!is(Mutant::in_flight_kept)) m[unrun] = m[queue];
    if (is(Mutant::reset_instead)) m[phase] = off, m[cyc] = m[barrier] = m[marking] = m[grey] = m[pending] = 0;
    m[blocked] &= u8(~bit(t)), m[pending] &= u8(~bit(t));
    emit(s, Step{"T%d goes on as the child", t});
  }

  // A child's life.
  template <class Emit>
  void live(const State& before, u8 t, Emit& emit) const {
    State s = before;
    Memory& m = s.m;
    const auto done = [&](const char* what, u8 next) { s.pc[t] = next, emit(s, Step{what, t}); };
    switch (before.pc[t]) {
      case c_locks: {
        const Fault f = what_is_wrong(m, t);
        if (f != Fault::none) return emit(s, Step{"the child of T%d looks around", t, 0, 0, f});
        if (!m[cyc] && !m[reg] && !m[idx] && !m[bins] && !m[pages] && !m[heap_closed] && !m[closed]) done("the child of T%d takes every lock", c_forks);
        return;
      }
      case c_forks:
        if (!m[visit(1 - t)] && !m[without_bins]) done("the child of T%d forks again", c_nudge);
        return;
      case c_nudge:
        if (!c_.purger) return done("the child of T%d frees nothing", c_finalize);
        m[dirty] = 1, nudge(s);
        return done("the child of T%d frees", c_purged);
      case c_purged:
        if (!m[dirty]) done("the child of T%d has been purged", c_finalize);
        return;
      case c_finalize:
        if (m[unrun] && !is(Mutant::driver_alone)) wake_finalizer(s);
        return done("the child of T%d waits for destructors", c_finalized);
      case c_finalized:
        if (!m[unrun]) done("the child of T%d has waited for destructors", c_collect);
        return;
      case c_collect:
        if (!c_.gc) return done("the child of T%d does not collect", forks::done);
        m[list] |= bit(t);
        ask_for_cycle(s);
        return done("the child of T%d collects", c_collected);
      case c_collected:
        if (m[requested] == m[completed]) done("the child of T%d has collected", forks::done);
        return;
    }
  }
  static Fault what_is_wrong(const Memory& m, u8 t) {
    if (m[phase] != off || m[barrier] || m[marking] || m[stopped]) return Fault::half;
    if (m[central1] != m[central2] || m[set1] != m[set2] || m[index1] != m[index2] || m[heap1] != m[heap2]) return Fault::torn;
    if (m[in_hand]) return Fault::torn;  // nobody gives them back
    return m[list] & ~bit(t) ? Fault::record : Fault::none;
  }
  static void wake_finalizer(State& s) {
    if (!s.m[finalizer_started]) s.m[finalizer_started] = 1, s.finalizer = z_attach;
  }

  // The library's threads. ----------------------------------------------------------------------------------------------------------

  static void answer(State& s, u8 t) {
    s.m[pending] &= u8(~bit(t));
    if (s.m[phase] == marks) s.m[barrier] |= bit(t);
    else s.m[barrier] &= u8(~bit(t));
  }
  static bool can_be_answered_for(const State& s, u8 t) {
    return s.m[blocked] & bit(t) || s.pc[t] == done || s.pc[t] >= c_locks;  // a child waits in blocking regions
  }

  // Before a child's cycle: the lost thread's span goes back. The cycle that follows frees what it takes for garbage, and destroys what is registered.
  Fault adopt(State& s) const {
    Memory& m = s.m;
    if (m[cached] && !is(Mutant::lost_spans_kept)) m[cached] = 0, m[set1] ^= 1, m[set2] ^= 1;
    if (m[cached]) return Fault::orphan;
    if (m[hole1] != m[hole2]) return Fault::torn;
    if (m[destroy_bit] && m[object] != 1) return Fault::early;
    // Known to an old object: found in a full cycle, or by the card; and it has to count as allocated.
    const bool is_found = !is(Mutant::cards_believed) || m[card], is_allocated = !is(Mutant::cursor_believed) || m[cursor];
    return m[known] && s.lost_others && !(is_found && is_allocated) ? Fault::lost : Fault::none;
  }

  template <class Emit>
  void step_driver(const State& before, Emit& emit) const {
    State s = before;
    Memory& m = s.m;
    const auto done = [&](const char* what, u8 next) { s.driver = next, emit(s, Step{what}); };
    const auto ask = [&](Phase phase_now, const char* what, u8 next) {
      if (!m[reg]) m[reg] = 1, m[phase] = phase_now, m[pending] = m[list] & 3, done(what, next);
    };
    const auto wait = [&](const char* what, u8 next) {
      for (u8 t : {u8{0}, u8{1}})
        if (before.m[pending] & bit(t) && can_be_answered_for(before, t)) s = before, answer(s, t), emit(s, Step{"the driver answers for T%d", t});
      s = before;
      if (c_.helper && s.helper == h_none) s.helper = h_wait;
      if (!m[pending]) m[reg] = 0, m[grey] = m[marking] = m[phase] == marks, done(what, next);
    };
    switch (before.driver) {
      case d_idle: if (m[requested] != m[completed]) done("the driver is asked for a cycle", d_gate); return;
      case d_gate: if (!m[cyc]) m[cyc] = 1, done("the driver takes the cycle gate", d_ask_on); return;
      case d_ask_on:
        if (s.child)
          if (const Fault f = adopt(s); f != Fault::none) return emit(s, Step{"the driver begins a cycle", 0, 0, 0, f});
        return ask(marks, "the driver asks for barriers", d_wait_on);
      case d_wait_on: return wait("the driver begins to mark", d_mark);
      case d_mark:
        if (m[grey]) m[grey] = 0, done("the driver marks", d_mark);
        else if (!m[busy]) m[marking] = 0, done("the driver has marked", d_end);
        return;
      case d_end: if (!m[busy]) done("no helper is busy", d_queue); return;
      case d_queue:
        if (!m[idx] || !c_.dying) {
          if (m[completed] == 0 && !s.child) m[queue] = m[unrun] = u8(c_.dying);
          done("the driver queues what has died", d_ask_off);
        }
        return;
      case d_ask_off: return ask(sweeps, "the driver asks for no barriers", d_wait_off);
      case d_wait_off: return wait("the driver begins to sweep", d_sweep1);
      case d_sweep1: m[set1] ^= 1; return done("the driver sweeps", d_sweep2);
      case d_sweep2: m[set2] ^= 1; return done("the driver has swept", d_off);
      case d_off: m[phase] = off; return done("the cycle is over", d_after);
      case d_after:
        m[cyc] = 0;
        done("the driver gives the cycle gate up", d_wake);
        return done("the driver gives the cycle gate up, a job waits", d_job);
      case d_job: if (!m[reg]) m[reg] = m[stopped] = 1, done("the driver stops the world", d_job_end); return;
      case d_job_end: m[reg] = m[stopped] = 0; return done("the driver resumes the world", d_wake);
      case d_wake: if (m[unrun]) wake_finalizer(s); return done("the driver wakes the finalizer", d_done);
      case d_done: m[completed] = m[requested]; return done("the driver has completed the cycle", d_idle);
    }
  }
  template <class Emit>
  void step_helper(const State& before, Emit& emit) const {
    State s = before;
    Memory& m = s.m;
    const auto done = [&](const char* what, u8 next) { s.helper = next, emit(s, Step{what}); };
    switch (before.helper) {
      case h_wait: if (m[marking]) done("the helper sees marking", h_saw); return;
      case h_saw: ++m[busy]; return done("the helper counts itself", h_counted);
      case h_counted:
        if (!m[marking] || !m[grey]) return done("the helper finds nothing", h_leave);
        m[grey] = 0;
        return done("the helper takes grey objects", h_work);
      case h_work: return done("the helper has marked", h_leave);
      case h_leave: --m[busy]; return done("the helper does not count any more", h_nap);
      case h_nap: if (!m[marking]) done("the helper sees that marking is over", h_wait); return;  // it looks once a cycle
    }
  }
  template <class Emit>
  void step_purger(const State& before, Emit& emit) const {
    State s = before;
    Memory& m = s.m;
    const auto done = [&](const char* what, u8 next) { s.purger = next, emit(s, Step{what}); };
    switch (before.purger) {
      case p_enter: ++m[without_bins]; return done("the purger says that it visits", p_check);
      case p_check: return done("the purger looks at malloc's gate", m[closed] ? p_back : p_central1);
      case p_back: --m[without_bins]; return done("the purger does not visit yet", p_wait);
      case p_wait: if (!m[closed]) done("the purger finds malloc's gate open", p_enter); return;
      case p_central1: m[central1] ^= 1; return done("the purger begins to change a span", p_central2);
      case p_central2: m[central2] ^= 1; return done("the purger ends to change a span", p_leave);
      case p_leave: --m[without_bins]; return done("the purger leaves", p_pass);
      case p_pass: if (!m[fork_waits]) done("the purger sees that no fork waits", p_lock); return;
      case p_lock: if (!m[pages]) m[pages] = 1, done("the purger takes the page heap's lock", p_heap1); return;
      case p_heap1: m[heap1] ^= 1; return done("the purger begins to change the page heap", p_heap2);
      case p_heap2: m[heap2] ^= 1, m[in_hand] = 1; return done("the purger ends to change the page heap, and has pages in hand", p_unhand);
      case p_unhand: m[pages] = 0; return done("the purger gives the page heap's lock up, and the pages to the system", p_relock);
      case p_relock: if (!m[pages]) m[pages] = 1, done("the purger takes the page heap's lock again", p_clear); return;
      case p_clear: m[dirty] = 0, m[in_hand] = 0; return done("the purger has given pages back", p_unlock);
      case p_unlock: m[pages] = 0; return done("the purger gives the page heap's lock up", p_sleep);
      case p_sleep: m[purger_state] = sleeping; return done("the purger will sleep", p_asleep);
      case p_asleep:
        if (m[dirty] || m[purger_state] == working) m[purger_state] = working, done("the purger works again", p_enter);
        return;
    }
  }
  template <class Emit>
  void step_finalizer(const State& before, Emit& emit) const {
    State s = before;
    Memory& m = s.m;
    const auto done = [&](const char* what, u8 next) { s.finalizer = next, emit(s, Step{what}); };
    switch (before.finalizer) {
      case z_attach: if (!m[reg]) m[list] |= 4, done("the finalizer attaches", z_wait); return;
      case z_wait: if (m[queue]) done("the finalizer has work", z_take); return;
      case z_take: if (!m[idx]) --m[queue], done("the finalizer takes an object", z_run); return;
      case z_run: return done("the finalizer has destroyed it", z_count);
      case z_count: --m[unrun]; return done("the finalizer counts that", z_wait);
    }
  }
};

}  // namespace model::forks

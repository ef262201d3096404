// Spans of collected objects from cycle to cycle (gc/sweep/span_supply.cc, sweeper.cc): which a thread may take at which point of a
// cycle, who sweeps them, whose objects are candidates. Two threads and the driver; two spans of two slots, one class.
//
// Marking is one step, which marks every candidate that the program has: that this can be done is the business of protocol.h. Threads
// refuse handshakes while they get a span or give one back; in between they answer at once or later. Memory is sequentially consistent:
// what orders these steps are locked instructions, and stores that are released before another thread looks.
#pragma once
#include <utility>

#include "packed.h"

namespace model::sweeps {

enum class Mutant {
  none,
  no_snapshot_taken,   // a black thread takes a span without a snapshot
  no_snapshot_cached,  // handshake 2 takes none of the span that a thread has
  later_snapshot,      // the snapshot is of the cycle that runs when it is taken, not of the one that the thread looked at first
  any_span,            // between handshake 3 and the opening of the sweep threads take all spans, not fresh ones only
  kept,                // handshake 3 leaves threads their spans
  opened_first,        // the sweep is opened before the sets are turned over
  look_first,          // a thread looks whether sweeping is open before it says that it sweeps
  no_wait,             // the driver closes the sweep and does not wait for who sweeps
  no_drain,            // a cycle begins though spans are unswept
  tenured_stay,        // full cycles do not turn the tenured sets over
};

struct Config {
  int young = 1, full = 1;
  int spans = 2, slots = 2;
  Mutant mutant = Mutant::none;
};

enum class Fault { none, lost, leaked, early };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::lost: return "REACHABLE OBJECT FREED";
    case Fault::leaked: return "GARBAGE KEPT BY TWO FULL CYCLES";
    case Fault::early: return "SNAPSHOT BEFORE HANDSHAKE 1";
  }
  return "?";
}

constexpr int kThreads = 2, kSpans = 2;
enum Place : u8 { nowhere, any0, any1, tenured0, tenured1, cache0, cache1, hand0, hand1, driver_hand };
enum Pc : u8 { program, r_load, r_push, q_stage, q_generations, q_partial, q_tenured, q_says, q_looks, q_now, q_unswept, q_sweep, q_put, q_ends, q_fresh, q_take };
enum DriverPc : u8 { d_idle, d_drain, d_shut, d_wait, d_cycle, d_hs1, d_hs2, d_mark, d_hs3, d_turn_full, d_turn, d_opened, d_open, d_sweep };

struct Span {
  u8 place = nowhere, alloc = 0, snapshot = 0, marks = 0;  // bits of slots
  u8 has_snapshot = 0, has_marks = 0;                      // of this cycle, of this epoch
  u8 live = 0, doomed = 0, condemned = 0;                  // what the program has; garbage when the last full cycle began, and the one before
};
struct Thread {
  u8 pc = program, span = 0;
  u8 scanned = 0, left = 0, sweeping = 0, open = 0;
  u8 any = 0, full = 0;                           // generations, as read
  u8 is_old = 0, born_black = 0, fresh_only = 0;  // its stage; is_old: of the cycle before
};
struct State {
  Span s[kSpans];
  Thread t[kThreads];
  u8 driver = d_idle, is_full = 0, any = 0, full = 0, opened = 1, open = 1, pending = 0, first_full = 0;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class SweepModel {
 public:
  using State = sweeps::State;
  using Step = sweeps::Step;
  using Fault = sweeps::Fault;
  using Key = Packed<2>;
  static constexpr Fault kDeadlock = Fault::leaked;

  explicit SweepModel(const Config& c) : c_(c) {}

  State initial() const { return {}; }
  // States that differ in the names of threads or spans only count once.
  Key pack(const State& from) const {
    State s = from;
    Key least = pack_as_is(s);
    const auto keep_least = [&] {
      if (const Key key = pack_as_is(s); key < least) least = key;
    };
    swap_threads(s), keep_least();
    if (c_.spans == 1) return least;
    swap_spans(s), keep_least();
    swap_threads(s), keep_least();
    return least;
  }
  State unpack(const Key& key) const {
    State s;
    Bits<2> bits(key);
    transfer([&](u8& v, int n) { v = u8(bits.get(n)); }, s);
    return s;
  }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    for (u8 i = 0; i < c_.spans; ++i)
      for (u8 bit : {u8{1}, u8{2}})
        if (s.s[i].live & bit) {
          State x = s;
          x.s[i].live ^= bit;
          emit(x, Step{"the program drops object %d of span %d", bit, i});
        }
    for (u8 t = 0; t < kThreads; ++t) step_thread(s, t, emit);
    step_driver(s, emit);
  }

 private:
  Config c_;

  bool is(Mutant m) const { return c_.mutant == m; }

  static Key pack_as_is(State s) {
    Bits<2> bits;
    transfer([&](u8& v, int n) { bits.put(v, n); }, s);
    return bits.value();
  }
  static void swap_threads(State& s) {
    std::swap(s.t[0], s.t[1]);
    s.pending = u8((s.pending >> 1) | ((s.pending & 1) << 1));
    for (Span& p : s.s)
      if (p.place >= cache0 && p.place <= hand1) p.place = u8(((p.place - cache0) ^ 1) + cache0);
  }
  static void swap_spans(State& s) {
    std::swap(s.s[0], s.s[1]);
    for (Thread& t : s.t)
      if (t.pc == r_load || t.pc == r_push || t.pc == q_sweep || t.pc == q_put || t.pc == q_take) t.span ^= 1;
  }

  template <class Io>
  static void transfer(Io&& io, State& s) {
    for (Span& p : s.s) io(p.place, 4), io(p.alloc, 2), io(p.snapshot, 2), io(p.marks, 2), io(p.has_snapshot, 1), io(p.has_marks, 1), io(p.live, 2), io(p.doomed, 2), io(p.condemned, 2);
    for (Thread& t : s.t) {
      io(t.pc, 4), io(t.span, 1), io(t.scanned, 1), io(t.left, 1), io(t.sweeping, 1), io(t.open, 1), io(t.any, 1), io(t.full, 1);
      io(t.is_old, 1), io(t.born_black, 1), io(t.fresh_only, 1);
    }
    io(s.driver, 4), io(s.is_full, 1), io(s.any, 1), io(s.full, 1), io(s.opened, 1), io(s.open, 1), io(s.pending, 2), io(s.first_full, 1);
  }

  bool has_room(const Span& p) const { return p.alloc != (1 << c_.slots) - 1; }
  static u8 candidates(const Span& p) { return p.has_snapshot ? p.snapshot : p.alloc; }
  static void take_snapshot(Span& p) {
    if (!p.has_snapshot) p.snapshot = p.alloc, p.has_snapshot = 1;
  }
  // True: all that is left is marked.
  static bool sweep(Span& p, Fault& f) {
    const u8 marks = p.has_marks ? p.marks : u8(0), dead = u8(candidates(p) & ~marks);
    if (dead & p.live) f = Fault::lost;
    p.alloc &= u8(~dead);
    p.doomed &= p.alloc, p.condemned &= p.alloc;
    return (p.alloc & ~marks) == 0;
  }
  static u8 any_set(u8 generation) { return u8(any0 + (generation & 1)); }
  static u8 tenured_set(u8 generation) { return u8(tenured0 + (generation & 1)); }

  template <class Emit>
  void step_thread(const State& before, u8 i, Emit& emit) const {
    State s = before;
    Thread& t = s.t[i];
    const auto done = [&](const char* what, u8 next, Fault f = Fault::none) {
      t.pc = next;
      if (next == q_stage || next == q_unswept || next == q_ends || next == q_fresh) t.span = 0;
      if (next == program) t = {.scanned = t.scanned, .left = t.left};
      emit(s, Step{what, i, before.t[i].span, 0, f});
      s = before;
    };
    // Tries all spans there are in a set.
    const auto pop = [&](u8 set, bool with_room, const char* what, u8 next) {
      bool found = false;
      for (u8 p = 0; p < c_.spans; ++p)
        if (s.s[p].place == set && (!with_room || has_room(s.s[p]))) {
          found = true;
          t.span = p, s.s[p].place = u8(hand0 + i);
          done(what, next);
        }
      return found;
    };
    Span& own = s.s[t.span];
    switch (t.pc) {
      case program: return idle(before, i, emit);
      case r_load: t.any = s.any; return done("T%d, with span %d, reads the generation", r_push);
      case r_push: own.place = any_set(t.any); t.any = 0; return done("T%d gives span %d back", q_stage);
      case q_stage:
        t.born_black = t.scanned && !s.opened;
        t.fresh_only = t.left && !s.opened && !is(Mutant::any_span);
        return done("T%d looks how far the cycle is", t.fresh_only ? q_fresh : q_generations);
      case q_generations: t.any = s.any, t.full = s.full; return done("T%d reads the generations", q_partial);
      case q_partial:
        if (!pop(any_set(t.any), true, "T%d takes a span that has been swept", q_take)) done("T%d finds no swept span", q_tenured);
        return;
      case q_tenured:
        if (!pop(tenured_set(t.full), true, "T%d takes a tenured span", q_take)) done("T%d finds no tenured span", q_says);
        return;
      case q_says:
        if (is(Mutant::look_first)) t.open = s.open;
        else t.sweeping = 1;
        return done("T%d says that it sweeps", q_looks);
      case q_looks:
        if (is(Mutant::look_first)) t.sweeping = 1;
        else t.open = s.open;
        return done("T%d looks whether it may", t.open ? q_now : q_ends);
      case q_now: t.any = s.any, t.full = s.full; return done("T%d reads the generations to sweep", q_unswept);
      case q_unswept: {
        bool found = pop(any_set(u8(t.any ^ 1)), false, "T%d takes an unswept span", q_sweep);
        if (!found) found = pop(tenured_set(u8(t.full ^ 1)), false, "T%d takes an unswept tenured span", q_sweep);
        if (!found) done("T%d finds nothing to sweep", q_ends);
        return;
      }
      case q_sweep: {
        Fault f = Fault::none;
        t.open = sweep(own, f);  // from here on: is it tenured?
        if (has_room(own)) t.sweeping = 0, t.open = 0, done("T%d sweeps span %d and takes it", q_take, f);
        else done("T%d sweeps span %d, which is full", q_put, f);
        return;
      }
      case q_put:
        own.place = t.open ? tenured_set(t.full) : any_set(t.any);
        t.open = 1;
        return done("T%d puts span %d, swept, into a set", q_unswept);
      case q_ends: t.sweeping = 0, t.open = 0; return done("T%d sweeps no more", q_fresh);
      case q_fresh:
        for (u8 p = 0; p < c_.spans; ++p)
          if (s.s[p].place == nowhere) {
            s.s[p] = {.place = u8(hand0 + i)};
            t.span = p;
            return done("T%d makes a span", q_take);
          }
        return done("T%d finds no memory", program);
      case q_take: {
        Fault f = Fault::none;
        const bool now = !t.is_old || is(Mutant::later_snapshot);
        if (t.born_black && now && !is(Mutant::no_snapshot_taken)) {
          if (s.driver <= d_hs1 && s.driver > d_cycle) f = Fault::early;
          take_snapshot(own);
        }
        own.place = u8(cache0 + i);
        return done("T%d has span %d", program, f);
      }
    }
  }
  template <class Emit>
  void idle(const State& before, u8 i, Emit& emit) const {
    State s = before;
    Thread& t = s.t[i];
    int cached = -1;
    for (u8 p = 0; p < c_.spans; ++p)
      if (s.s[p].place == cache0 + i) cached = p;
    for (u8 bit : {u8{1}, u8{2}})
      if (cached >= 0 && bit >> c_.slots == 0 && !(s.s[cached].alloc & bit)) {
        s.s[cached].alloc |= bit, s.s[cached].live |= bit;
        emit(s, Step{"T%d allocates object %d of span %d", i, bit, cached});
        s = before;
        break;
      }
    if (cached < 0 || !has_room(s.s[cached])) {
      t.pc = cached < 0 ? q_stage : r_load;
      if (cached >= 0) t.span = u8(cached), s.s[cached].place = u8(hand0 + i);
      emit(s, Step{"T%d wants a span", i});
      s = before;
    }
    if (!(s.pending >> i & 1)) return;
    if (s.driver == d_hs2) {
      t.scanned = 1;
      if (cached >= 0 && !is(Mutant::no_snapshot_cached)) take_snapshot(s.s[cached]);
    } else if (s.driver == d_hs3) {
      t.left = 1;
      if (cached >= 0 && !is(Mutant::kept)) s.s[cached].place = any_set(s.any);
    }
    const u8 was = s.driver;
    s.pending &= u8(~(1 << i));
    if (!s.pending) ++s.driver;
    if (!s.pending && s.driver == d_hs2) s.pending = 3;
    if (s.driver == d_turn_full) s.driver = is(Mutant::opened_first) ? u8(d_opened) : after_hs3(s);
    emit(s, Step{was == d_hs1 ? "T%d answers HS1" : was == d_hs2 ? "T%d answers HS2" : "T%d answers HS3", i});
  }

  u8 after_hs3(const State& s) const { return s.is_full && !is(Mutant::tenured_stay) ? d_turn_full : d_turn; }

  // One span that is unswept, whole. True: there was one.
  template <class Emit>
  bool sweep_one(const State& before, Emit& emit) const {
    bool found = false;
    for (u8 p = 0; p < c_.spans; ++p) {
      const u8 place = before.s[p].place;
      if (place == driver_hand) {
        State s = before;
        Fault f = Fault::none;
        const bool tenured = sweep(s.s[p], f);
        if (!s.s[p].alloc) s.s[p] = {};
        else s.s[p].place = tenured ? tenured_set(s.full) : any_set(s.any);
        emit(s, Step{"the driver sweeps span %d", p, 0, 0, f});
        return true;
      }
      if (place != any_set(u8(before.any ^ 1)) && place != tenured_set(u8(before.full ^ 1))) continue;
      found = true;
      State s = before;
      s.s[p].place = driver_hand;
      emit(s, Step{"the driver takes span %d, unswept", p});
    }
    return found;
  }

  template <class Emit>
  void step_driver(const State& before, Emit& emit) const {
    State s = before;
    const auto done = [&](const char* what, u8 next, Fault f = Fault::none) {
      s.driver = next;
      emit(s, Step{what, 0, 0, 0, f});
      s = before;
    };
    switch (s.driver) {
      case d_idle:
        if (c_.young && s.first_full) s.is_full = 0, done("== a young cycle is wanted", d_drain);
        if (c_.full) s.is_full = 1, done("== a full cycle is wanted", d_drain);
        return;
      case d_drain:
        if (is(Mutant::no_drain) || !sweep_one(before, emit)) done("nothing is left to sweep", d_shut);
        return;
      case d_shut: s.open = 0; return done("the sweep is closed", d_wait);
      case d_wait:
        if ((s.t[0].sweeping || s.t[1].sweeping) && !is(Mutant::no_wait)) return;
        return done("nobody sweeps", d_cycle);
      case d_cycle: {
        Fault f = Fault::none;
        for (Span& p : s.s) {
          if (p.condemned) f = Fault::leaked;
          p.has_snapshot = p.snapshot = 0;
          if (!s.is_full) continue;
          p.condemned = p.doomed;
          p.doomed = u8(p.alloc & ~p.live);
          p.has_marks = p.marks = 0;
        }
        for (Thread& t : s.t) {
          t.scanned = t.left = 0;
          t.is_old = t.pc > q_stage;
        }
        s.opened = 0, s.pending = 3, s.first_full = 1;
        return done("the cycle has a number", d_hs1, f);
      }
      case d_hs1: case d_hs2: case d_hs3: return;  // threads answer
      case d_mark:
        for (Span& p : s.s)
          if (const u8 marked = candidates(p) & p.live) {
            p.marks = u8((p.has_marks ? p.marks : 0) | marked);
            p.has_marks = 1;
          }
        s.pending = 3;
        return done("everything reachable is marked", d_hs3);
      case d_turn_full: s.full ^= 1; return done("the tenured sets are turned over", d_turn);
      case d_turn: s.any ^= 1; return done("the sets are turned over", is(Mutant::opened_first) ? d_open : d_opened);
      case d_opened: s.opened = 1; return done("the cycle counts as opened", is(Mutant::opened_first) ? after_hs3(s) : u8(d_open));
      case d_open: s.open = 1; return done("the sweep is open", d_sweep);
      case d_sweep:
        if (!sweep_one(before, emit)) done("the driver finds nothing left to sweep", d_idle);
        else if (is(Mutant::no_drain)) done("the driver leaves the rest", d_idle);
        return;
    }
  }
};

}  // namespace model::sweeps

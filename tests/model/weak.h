// Weak references, ephemerons, destructors and callbacks (gc/weak, gc/mark/ephemeron_marking.cc, gc/model/ephemerons.h, and the part of
// gc/cycle/cycle.cc that drives them), over unboundedly many full and young cycles, some of which are given up: which function of the code a step
// stands for is said beside it. Two threads, each of which may change the heap, run destructors, assist; the driver.
//
// The barrier, handshakes and cards below are those that protocol.h explores, and coarser: a store writes its slot and its card in one step, and
// shades in others; a handshake may fall between any two steps but in runtime sections, and scans then. Root cells are read in every cycle.
#pragma once
#include <cstring>
#include <utility>

#include "weak_threads.h"

namespace model::weak {

class WeakModel : private Threads {
 public:
  using State = weak::State;
  using Step = weak::Step;
  using Fault = weak::Fault;
  using Key = Packed<4>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit WeakModel(const Config& c) : Threads(c) {}

  State initial() const {
    State s;
    std::memset(&s, 0, sizeof s);
    return s;
  }
  Key pack(const State& from) const {
    State s = from;
    Bits<4> bits;
    transfer([&](u8& v, int n) { bits.put(v, n); }, s, c_);
    return bits.value();
  }
  State unpack(const Key& key) const {
    State s = initial();
    Bits<4> bits(key);
    transfer([&](u8& v, int n) { v = u8(bits.get(n)); }, s, c_);
    return s;
  }

  template <class Emit>
  void successors(const State& s, Emit&& to) const {
    const auto emit = [&](const State& from, const Step& step) {
      State x = from;
      pass(x);
      to(x, step);
    };
    for (int t = 0; t < kThreads; ++t) {
      if (s.t[t].pc == idle) begin(s, t, emit);
      else go_on(s, t, emit);
      answer(s, t, emit);
    }
    drive(s, emit);
  }

 private:
  // ---- the driver (gc/cycle/cycle.cc)
  static void ask(State& x, DriverPc pc) { x.driver = pc, x.pending = 3; }
  static void append(u8 (&list)[kLongest], u8 entry) {
    for (u8& at : list)
      if (!at) return void(at = entry);
  }
  static void hand_over(State& x) {  // hand_found_over
    for (u8& entry : x.found)
      if (entry) append(x.queue, std::exchange(entry, u8(0)));
  }
  // What somebody may find while the cycle runs, or what it keeps.
  u8 kept(const State& s) const {
    u8 r = u8(reachable(s, true) | s.owed | bit(s.weak) | s.work | s.deferred);
    for (const Thread& t : s.t) r |= u8(bit(t.old) | bit(t.neu) | (t.slot <= kIds ? bit(t.slot) : 0) | t.buf | t.deferred);
    r = closure(s, r);
    for (u8 c = kFirstCell; any_does('t') && c <= kIds; ++c)
      if (r & bit(c)) r = closure(s, u8(r | bit(key_of(s, c))));
    return r;
  }

  // Steps of the driver that do nothing: in state done what is white stays so, and nobody has any of it.
  void pass(State& x) const {
    if (x.driver == c_map && !c_.cells) x.driver = c_queue;
    if (x.driver == c_queue && !x.queue[0]) x.driver = c_callbacks;
    if (x.driver == c_callbacks && !any_does('c')) x.driver = c_.young && !x.full ? c_cards : c_mark;
    if (x.driver == c_weak && !white(x, x.weak)) x.driver = c_empty;
    if (x.driver == c_empty && !x.waits[0] && !x.waits[1]) x.driver = c_find;
    if (x.driver == c_find && !x.found[0] && !finds(x)) x.driver = is(Mutant::callbacks_first) ? c_find_callback : c_closure;
    if (x.driver == c_closure && !x.work && !x.deferred) x.driver = c_find_callback;
    if (x.driver == c_find_callback && (x.callback != registered || !white(x, x.record)))
      x.driver = is(Mutant::callbacks_first) && x.work ? c_closure : c_closure2;
    if (x.driver == c_closure2 && !x.work && !x.deferred) x.driver = c_empty2;
    if (x.driver == c_empty2 && !x.waits[0] && !x.waits[1] && !is(Mutant::weak_after)) x.driver = c_hand;
    if (x.driver == c_hand && !x.found[0]) ask(x, c_off);
  }

  template <class Emit>
  void drive(const State& s, Emit& emit) const {
    State x = s;
    const auto out = [&](const char* what, int a = 0, int b = 0, Fault f = Fault::none) { emit(x, Step{what, a, b, 0, f}), x = s; };
    const auto go = [&](DriverPc next, const char* what, int a = 0, Fault f = Fault::none) { x.driver = next, out(what, a, 0, f); };
    switch (s.driver) {
      case c_idle:
        if (c_.full) begin_cycle(x, 1), out("== a full cycle begins");
        if (c_.young && (!s.after_abort || is(Mutant::abort_young))) begin_cycle(x, 0), out("== a young cycle begins");
        return;
      case c_clean:  // DirtyCards::take
        x.list = s.full ? u8(0) : s.card, x.card = 0;
        ask(x, c_hs2);
        return out("the driver lists and cleans the cards");
      case c_scans:  // take_answers
        for (int o = 1; o <= kIds; ++o)
          if (s.words & bit(o)) mark_now(x, o);
        x.words = 0;
        return go(c_global, "the driver marks what the stacks hold");
      // mark_roots
      case c_global: mark_now(x, s.global); return go(c_map, "the driver marks o%d out of the global cell", s.global);
      case c_map:
        if (c_.map_in == 0) mark_now(x, s.map);
        return go(c_queue, "the driver marks the map");
      case c_queue:
        for (u8 entry : s.queue)
          if (!is(Mutant::queue_no_root)) mark_now(x, entry != kCallback ? entry : is(Mutant::callback_unmarked) ? 0 : s.capture);
        return go(c_callbacks, "the driver marks what is in the queue of destructors");
      case c_callbacks:
        if (s.callback == registered && !is(Mutant::callback_no_root) && !is(Mutant::callbacks_early)) mark_now(x, s.capture);
        return go(c_.young && !s.full ? c_cards : c_mark, "the driver marks what callbacks have captured");
      case c_cards:  // DirtyCards::scan
        for (int id = 1; id <= kIds; ++id)
          if (s.list & bit(id)) {
            x.list &= u8(~bit(id));
            if (marked(s, id)) scan_now(x, id, x.deferred, [&](u8 v) { mark_now(x, v); });
            return out("the driver looks at o%d on a dirty card", id);
          }
        return go(c_mark, "the driver has looked at the dirty cards");
      case c_mark: return mark_on(s, emit);
      // settle, WaitingEphemerons::add
      case c_awaited:
        x.awaited = 1;
        return go(c_insert, "the driver says that o%d is awaited", s.settling_key);
      case c_insert:
        x.waits[s.settling - kFirstCell] = s.settling_key;
        return go(c_recheck, "the ephemeron o%d waits", s.settling);
      case c_recheck:
        if (!is(Mutant::no_recheck) && marked(s, s.settling_key)) x.work |= wake(x, s.settling_key);
        if (is(Mutant::awaited_late)) return go(c_late_awaited, "the driver looks at the mark of o%d again", s.settling_key);
        return settled(x), out("the driver looks at the mark of o%d again", s.settling_key);
      case c_late_awaited: x.awaited = 1; settled(x); return out("the driver says that o%d is awaited", s.settling_key);
      // terminate
      case c_term:
        x.state = terminating, x.hadwork = 0;
        ask(x, c_flush);
        return out("the driver asks for a flush");
      case c_take:
        x.words = 0;
        for (int o = 1; o <= kIds; ++o)
          if (s.words & bit(o)) mark_now(x, o);
        if (x.work || (x.deferred && !is(Mutant::deferred_uncounted))) x.hadwork = 1;
        return go(c_decide, x.hadwork ? "the driver takes the answers, which bring work" : "the driver takes the answers");
      case c_decide:
        if (!s.hadwork && s.state == terminating) {
          x.state = done;
          return go(is(Mutant::weak_after) || is(Mutant::weak_late) ? c_empty : c_weak, "marking is done");
        }
        x.state = marking, x.hadwork = 0;
        if (c_.rounds && ++x.rounds > c_.rounds) return out("marking goes on, for ever", 0, 0, Fault::endless);
        return go(c_mark, "marking goes on");
      // handle_unreachable
      case c_weak:
        clear_weak(x);
        return go(c_.cells ? c_empty : c_find, "the driver empties the weak cell");
      case c_empty:
        empty(x);
        return go(c_find, "the driver empties the ephemerons that wait");
      case c_find:
        if (!find(s, emit)) {
          if (!is(Mutant::closure_unmarked))
            for (u8 o : s.found) mark_now(x, o == kCallback ? 0 : o);
          go(is(Mutant::callbacks_first) ? c_find_callback : c_closure, "the driver marks what it has found");
        }
        return;
      case c_closure: case c_closure2: return mark_on(s, emit);
      case c_find_callback: return find_callback(s, emit);
      case c_empty2:
        if (is(Mutant::weak_after)) clear_weak(x);
        if (!is(Mutant::emptied_once)) empty(x);
        return go(c_hand, "the driver empties the ephemerons that still wait");
      case c_hand: {
        const u8 live = reachable(s, false);
        Fault f = Fault::none;
        for (u8 o : s.found)
          if (o && o != kCallback && live & bit(o)) f = Fault::destroyed;
        hand_over(x), ask(x, c_off);
        return out("the driver hands over what it has found", 0, 0, f);
      }
      case c_off_late:
        if (is(Mutant::weak_late)) clear_weak(x);
        if (is(Mutant::emptied_late)) empty_now(x);
        return go(c_sweep, "the driver comes late");
      case c_sweep: return sweep(s, emit);
      case c_forget:  // abort
        x.work = x.words = 0, x.state = off;
        ask(x, c_off);
        return out("the driver drops what is grey");
      default: return;  // threads answer
    }
  }

  void begin_cycle(State& x, u8 full) const {  // Cycle::begin, turn_barriers_on
    x.doomed = full && c_.live && !x.after_abort ? u8(x.alloc & ~kept(x)) : u8(0);
    x.full = full, x.after_abort = 0, x.state = snapshot, x.rounds = 0;
    if (full) x.mark = 0;
    x.awaited = x.hadwork = 0;  // awaited in another cycle
    if (is(Mutant::callbacks_early) && x.callback == registered) x.words |= bit(x.capture);
    ask(x, c_hs1);
  }

  // One step of mark_concurrently, or of mark_closures.
  template <class Emit>
  void mark_on(const State& s, Emit& emit) const {
    State x = s;
    const auto out = [&](const char* what, int a = 0) { emit(x, Step{what, a}), x = s; };
    if (c_.abort && (s.driver == c_mark || s.work)) {
      x.aborted = 1, x.state = s.state;
      ask(x, c_abort);
      out("== the driver gives the cycle up");
    }
    for (int id = 1; id <= kIds; ++id) {
      if (!(s.work & bit(id))) continue;
      x.work &= u8(~bit(id));
      if (!marked(s, id)) mark_now(x, id);  // a raw entry
      else scan_now(x, id, x.deferred, [&](u8 v) { mark_now(x, v); });
      out("the driver scans o%d", id);
    }
    if (s.work) return;
    if (s.deferred && !(s.driver != c_mark && is(Mutant::closure_settles_not))) return settle(s, emit);
    if (s.driver == c_closure) return x.driver = c_find_callback, out("the closures are marked");
    if (s.driver == c_closure2) return x.driver = c_.cells || is(Mutant::weak_after) ? c_empty2 : c_hand, x.deferred = 0, out("the closures are marked");
    if (is(Mutant::found_early) && find(s, emit)) return;
    if (is(Mutant::emptied_early)) empty_now(x);
    x.driver = c_term, out("the driver has nothing to scan");
  }
  // Marker::settle
  template <class Emit>
  void settle(const State& s, Emit& emit) const {
    State x = s;
    const u8 cell = s.deferred & bit(kFirstCell) ? kFirstCell : u8(kFirstCell + 1), key = key_of(s, cell);
    x.deferred &= u8(~bit(cell));
    if (!key) return emit(x, Step{"the deferred ephemeron o%d is dead", cell});
    if (!white(s, key)) return x.work |= bit(cell), emit(x, Step{"the key of the deferred ephemeron o%d is marked", cell});
    if (c_.oom) {
      State y = x;
      mark_now(y, key), y.work |= bit(cell);
      emit(y, Step{"there is no memory for the ephemeron o%d to wait", cell});
    }
    x.settling = cell, x.settling_key = key, x.back = s.driver, x.driver = is(Mutant::awaited_late) ? c_insert : c_awaited;
    emit(x, Step{"the driver finds the key of the ephemeron o%d white", cell});
  }
  static void settled(State& x) { x.driver = x.back, x.back = x.settling = x.settling_key = 0; }

  void clear_weak(State& x) const {  // clear_weak_cells
    if (white(x, x.weak)) x.weak = x.weak_to_taken = 0;
  }
  static void empty_now(State& x) {  // WaitingEphemerons::empty_all
    for (u8 c = kFirstCell; c <= kIds; ++c)
      if (u8& waits = x.waits[c - kFirstCell]) key_of(x, c) = x.field[c - 1] = waits = 0;
  }
  void empty(State& x) const {
    if (is(Mutant::not_emptied)) std::fill(x.waits, x.waits + kCells, u8(0));
    else if (!is(Mutant::emptied_early) && !is(Mutant::emptied_late)) empty_now(x);
  }

  // queue_dead_of: the next one in the order of addresses.
  u8 finds(const State& s) const {
    for (u8 o = 1; o <= c_.n; ++o) {
      if (!(s.bits & bit(o)) || !(is(Mutant::found_born) ? s.alloc & bit(o) && !marked(s, o) : white(s, o))) continue;
      if (std::find(s.found, s.found + kLongest, o) == s.found + kLongest && std::find(s.queue, s.queue + kLongest, o) == s.queue + kLongest) return o;
    }
    return 0;
  }
  // queue_object. False: there is nothing (more) to find.
  template <class Emit>
  bool find(const State& s, Emit& emit) const {
    const u8 o = finds(s);
    if (!o) return false;
    State x = s;
    if (c_.oom) {
      if (!is(Mutant::unremembered)) mark_now(x, o);
      else x.bits &= u8(~bit(o));
      emit(x, Step{"there is no memory to note that o%d is found", o});
      x = s;
    }
    append(is(Mutant::handed_at_once) ? x.queue : x.found, o);
    if (!is(Mutant::bit_kept) && !is(Mutant::bit_late)) x.bits &= u8(~bit(o));
    x.taken |= bit(o);
    emit(x, Step{"o%d, which is to be destroyed, is found", o, 0, 0, reachable(s, false) & bit(o) ? Fault::destroyed : Fault::none});
    return true;
  }
  // queue_callbacks
  template <class Emit>
  void find_callback(const State& s, Emit& emit) const {
    State x = s;
    x.driver = is(Mutant::callbacks_first) ? c_closure : c_closure2;
    if (s.callback != registered || !white(s, s.record)) return emit(x, Step{"no callback is due"});
    if (c_.oom) {
      State y = x;
      mark_now(y, s.record);
      emit(y, Step{"there is no memory to note the callback of o%d", s.record});
    }
    append(x.found, kCallback);
    x.callback = queued, x.record = 0;
    const bool early = (reachable(s, true) | s.owed) & bit(s.record);
    emit(x, Step{"the callback of o%d is found", s.record, 0, 0, early ? Fault::callback : Fault::none});
  }

  // Cycle::sweep, or the end of Cycle::abort
  template <class Emit>
  void sweep(const State& s, Emit& emit) const {
    State x = s;
    Fault f = Fault::none;
    const bool sweeps = !s.aborted || is(Mutant::abort_sweeps);
    const u8 dead = sweeps ? u8(s.alloc & ~s.born & ~s.mark) : u8(0), live = reachable(s, true);
    if (dead & live) f = Fault::lost;
    else if (dead & s.owed) f = Fault::never;
    else if (dead & bit(s.weak)) f = Fault::dangling;
    else if (dead & bit(s.record)) f = Fault::never;
    else if (s.doomed & ~dead && sweeps) f = Fault::leaked;
    for (u8 c = kFirstCell; c <= kIds; ++c)
      if (live & bit(c) && dead & bit(key_of(s, c)) && f == Fault::none) f = Fault::dangling;
    for (u8 id = 1; id <= kIds; ++id) {
      if (!(dead & bit(id))) continue;
      x.field[id - 1] = 0;
      if (is_cell(id)) key_of(x, id) = 0;
      if (c_.map_in == id) x.map = 0;
    }
    x.alloc &= u8(~dead), x.card &= x.alloc, x.taken &= x.alloc;
    if (s.aborted && !is(Mutant::abort_forgets)) hand_over(x);
    if (s.aborted) std::fill(x.found, x.found + kLongest, u8(0)), std::fill(x.waits, x.waits + kCells, u8(0)), x.deferred = 0;
    x.after_abort = s.aborted, x.aborted = 0;
    x.born = x.work = x.words = x.list = x.doomed = 0, x.full = 0, x.hadwork = 0, x.rounds = 0;
    x.state = off, x.driver = c_idle;
    for (Thread& t : x.t) t.black = 0;
    emit(x, Step{sweeps ? "== the sweep frees the set %d" : "== nothing is swept", dead, 0, 0, f});
  }
};

}  // namespace model::weak

// The threads of the model of weak references, ephemerons, destructors and callbacks (weak.h): what the program does, and how it answers handshakes.
#pragma once
#include <algorithm>

#include "weak_state.h"

namespace model::weak {

struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class Threads {
 public:
  explicit Threads(const Config& c) : c_(c), ops_{bits_of(c.ops0), bits_of(c.ops1)} {}

 protected:
  Config c_;
  std::uint32_t ops_[kThreads];

  bool is(Mutant m) const { return c_.mutant == m; }
  static std::uint32_t bits_of(const std::string& ops) {
    std::uint32_t bits = 0;
    for (const char op : ops) bits |= 1u << (op - 'a');
    return bits;
  }
  bool does(int t, char op) const { return ops_[t] >> (op - 'a') & 1; }
  bool any_does(char op) const { return does(0, op) || does(1, op); }
  static u8 bit(int id) { return id ? u8(1u << (id - 1)) : u8(0); }
  static bool is_cell(int id) { return id >= kFirstCell && id <= kIds; }
  static u8& key_of(State& s, int cell) { return s.key[cell - kFirstCell]; }
  static u8 key_of(const State& s, int cell) { return s.key[cell - kFirstCell]; }

  // ---- colours (gc/model/colour.h)
  static bool candidate(const State& s, int id) { return id && s.alloc & bit(id) & ~s.born; }
  static bool marked(const State& s, int id) { return s.mark & bit(id); }
  static bool white(const State& s, int id) { return candidate(s, id) && !marked(s, id); }

  // ---- what the program has
  u8 closure(const State& s, u8 from) const {
    for (u8 before = 0; before != from;) {
      before = from;
      for (int o = 1; o <= kObjects; ++o)
        if (from & bit(o)) from |= u8(bit(s.field[o - 1]) | (c_.map_in == o ? bit(s.map) : 0));
      for (int c = kFirstCell; c <= kIds; ++c)
        if (from & bit(c) && from & bit(key_of(s, c))) from |= bit(s.field[c - 1]);
    }
    return from;
  }
  u8 reachable(const State& s, bool with_found) const {
    u8 r = u8(bit(s.global) | (c_.map_in == 0 ? bit(s.map) : 0) | (s.callback != nowhere ? bit(s.capture) : 0));
    for (const Thread& t : s.t) {
      r |= u8(bit(t.reg[0]) | bit(t.reg[1]) | bit(t.self) | bit(t.cell) | bit(t.a) | bit(t.b));
      if (t.pc == rn_shade) r |= bit(t.old);
    }
    for (int i = 0; i < kLongest; ++i) {
      if (s.queue[i] != kCallback) r |= bit(s.queue[i]);
      if (with_found && s.found[i] != kCallback) r |= bit(s.found[i]);
    }
    return closure(s, r);
  }

  // ---- marking
  static u8 wake(State& x, int key) {  // WaitingEphemerons::wake
    u8 woken = 0;
    for (int c = 0; c < kCells; ++c)
      if (key && x.waits[c] == key) woken |= bit(c + kFirstCell), x.waits[c] = 0;
    return woken;
  }
  void mark_now(State& x, int id) const {  // Marker::mark_word of the driver
    if (!white(x, id)) return;
    if (x.state == terminating) x.state = marking;
    x.mark |= bit(id), x.work |= bit(id);
    x.hadwork = 1;
    if (x.awaited) x.work |= wake(x, id);
  }
  template <class Visit>
  void scan_now(State& x, int id, u8& deferred, Visit&& visit) const {  // scan_object; Marker::meet_ephemeron
    if (!is_cell(id)) {
      visit(x.field[id - 1]);
      if (c_.map_in == id) visit(x.map);
      return;
    }
    const u8 key = key_of(x, id);
    if (!key) return;
    if (!white(x, key)) return visit(x.field[id - 1]);
    if (is(Mutant::strong)) return visit(key), visit(x.field[id - 1]);
    if (!is(Mutant::dropped)) deferred |= bit(id);
  }

  // ---- shading: gc/mutator/barrier.cc, shade(). True: that was its last step.
  static bool needs_shade(const State& s, const Thread& t, u8 v) {
    if (!v || !t.flag) return false;
    return s.state == snapshot ? (s.alloc & bit(v)) && !marked(s, v) : (s.state == marking || s.state == terminating) && white(s, v);
  }
  bool shade(State& x, Thread& y, u8 v, const char*& what) const {
    const auto last = [&] { y.stage = y.looked = 0; return true; };
    if (y.stage == 0) {
      if (!needs_shade(x, y, v)) return last();
      if (x.state == snapshot) return y.buf |= bit(v), last();
      if (x.state == terminating) return x.state = marking, y.stage = 1, what = "T%d cancels termination for o%d", false;
      if (is(Mutant::looks_first)) return y.looked = x.awaited, y.stage = 1, false;
    }
    if (y.stage == 2) return y.buf |= x.awaited && !is(Mutant::shade_wakes_nobody) ? wake(x, v) : u8(0), last();
    if (marked(x, v)) return last();
    x.mark |= bit(v), y.buf |= bit(v);
    what = "T%d marks o%d";
    if (!c_.cells || (is(Mutant::looks_first) && !y.looked)) return last();
    y.stage = 2;
    return false;
  }
  // barrier.cc, may_hide_new_value
  bool may_hide(const State& s, u8 slot) const {
    if (s.state != snapshot) return false;
    if (s.driver == c_hs2 || slot == kGlobal) return true;
    return slot == kMap ? c_.map_in == 0 || marked(s, c_.map_in) : marked(s, slot);
  }

  // ---- the program
  static u8& word_at(State& s, u8 slot) { return slot == kGlobal ? s.global : slot == kMap ? s.map : s.field[slot - 1]; }
  enum Then : u8 { to_idle, to_key, to_slot, to_erased };
  // detail::store_word up to its slow path
  void store(State& x, int t, u8 slot, u8 v, Then then) const {
    Thread& y = x.t[t];
    y.slot = slot, y.old = word_at(x, slot), y.neu = v, y.then = then;
    word_at(x, slot) = v;
    if (c_.young && slot <= kIds && !(is_cell(slot) && is(Mutant::value_dirties_not))) x.card |= bit(slot);
    if (c_.young && slot == kMap && c_.map_in) x.card |= bit(c_.map_in);
    y.pc = st_old;
    if (is(Mutant::value_unshaded) && then == to_key) y.neu = 0;
    if (is(Mutant::erased_unshaded) && then == to_erased) y.old = 0;
    if (is(Mutant::cleared_unshaded) && slot == kMap) y.old = 0;
  }
  static void finish(Thread& t) {
    t.pc = t.then == to_key ? in_key : t.then == to_slot ? in_slot : t.then == to_erased ? er_key : idle;
    if (t.pc == idle) t.cell = t.a = t.b = 0;
    t.slot = t.old = t.neu = t.then = t.stage = 0;
  }
  bool born(State& x, int t, u8 id) const {  // allocation; candidates are what is there when its thread is scanned
    x.alloc |= bit(id);
    if (x.t[t].black) x.born |= bit(id);
    x.taken &= u8(~bit(id));
    return true;
  }
  static Fault load(const State& s, u8 v) { return !v || s.alloc & bit(v) ? Fault::none : Fault::dangling; }

  // What the program may do next.
  template <class Emit>
  void begin(const State& s, int t, Emit& emit) const {
    const Thread& me = s.t[t];
    const Thread& other = s.t[1 - t];
    const int regs = t ? c_.r1 : c_.r0;
    State x = s;
    Thread& y = x.t[t];
    const auto out = [&](const char* what, int a = 0, int b = 0, Fault f = Fault::none) { emit(x, Step{what, t, a, b, f}), x = s; };
    int room = -1;
    for (int r = regs; r-- > 0;)
      if (!me.reg[r]) room = r;
    const auto held = [&](u8 o) { return o && (me.reg[0] == o || me.reg[1] == o || me.self == o); };
    const bool is_lent = does(1 - t, 'p') && other.cell;  // until insert() returns, as any argument
    for (int r = 0; r < regs; ++r)
      if (const u8 o = me.reg[r]; o && !(is_lent && (o == other.a || o == other.b))) y.reg[r] = 0, out("T%d drops o%d", o);
    if (me.self) y.self = 0, out("T%d has run the destructor, or callback, with o%d", me.self);
    if (does(t, 'r') && !me.self && s.queue[0]) take(s, t, emit);
    if (does(t, 'u') && me.flag && s.work && s.state == marking && s.driver < c_weak) y.pc = as_take, out("T%d begins to assist");
    if (room >= 0) {
      const auto get = [&](u8 v, const char* what, int from, Fault f = Fault::none) {
        if (v && !held(v)) y.reg[room] = v, out(what, v, from, f == Fault::none ? load(s, v) : f);
      };
      if (does(t, 'l')) {
        get(s.global, "T%d loads o%d from the global cell", 0);
        for (u8 o = 1; o <= c_.n; ++o)
          if (held(o)) get(s.field[o - 1], "T%d loads o%d from o%d", o);
      }
      for (u8 o = 1; o <= c_.n; ++o) {
        if (s.alloc & bit(o)) continue;
        if (does(t, 'a')) born(x, t, o), y.reg[room] = o, out("T%d makes o%d", o);
        // make, and note_constructed
        if (does(t, 'b')) born(x, t, o), y.reg[room] = o, x.bits |= bit(o), x.owed |= bit(o), out("T%d makes o%d, which has a destructor", o);
        break;
      }
      if (does(t, 'k') && s.weak && !held(s.weak)) y.pc = lk_look, y.old = s.weak, out("T%d begins lock() of o%d", s.weak);
    }
    if (does(t, 's'))
      for (u8 slot = 1; slot <= kGlobal; ++slot) {
        if (slot == kGlobal ? !c_.global : slot > c_.n || !c_.fields || !held(slot)) continue;
        if (other.slot == slot && other.pc >= st_old && other.pc <= st_new) continue;  // one writer at a time
        for (u8 v = 0; v <= c_.n; ++v)
          if ((!v || held(v)) && v != word_at(x, slot)) {
            store(x, t, slot, v, to_idle);
            out(slot == kGlobal ? "T%d stores o%d to the global cell" : "T%d stores o%d to o%d", v, slot);
          }
      }
    for (u8 o = 1; o <= c_.n; ++o) {
      if (!held(o)) continue;
      // make_weak_cell; who has just run a destructor may make one of what is taken
      if (does(t, 'w') && !s.weak) x.weak = o, x.weak_to_taken = (s.taken & bit(o)) != 0, out("T%d makes a weak reference to o%d", o);
      if (does(t, 'x') && s.owed & bit(o) & ~s.taken) {  // run_destructor in gc/weak/destroy.cc
        const Fault f = s.bits & bit(o) ? Fault::none : Fault::twice;
        if (!is(Mutant::destroy_keeps_bit)) x.bits &= u8(~bit(o));
        x.owed &= u8(~bit(o)), out("T%d destroys o%d", o, 0, f);
      }
      if (does(t, 'n') && !(s.owed & bit(o)) && !(s.bits & bit(o)))  // lull_enable_finalizer
        x.bits |= bit(o), x.owed |= bit(o), x.taken &= u8(~bit(o)), out("T%d has o%d destroyed once more", o);
      if (does(t, 'c') && s.callback == nowhere)
        for (u8 v = 0; v <= (c_.captures ? c_.n : 0); ++v)  // register_callback
          if (v != o && (!v || held(v))) x.callback = registered, x.record = o, x.capture = v, out("T%d registers a callback of o%d that captures o%d", o, v);
    }
    if (c_.cells && (c_.map_in == 0 || held(u8(c_.map_in)))) use_map(s, t, room, held, emit);
  }

  // lull::ephemeron_map: add, clear, find, assign, remove of EphemeronTable, and for_each.
  template <class Held, class Emit>
  void use_map(const State& s, int t, int room, Held& held, Emit& emit) const {
    if (s.t[1 - t].cell || s.t[1 - t].slot == kMap) return;  // one writer, or several readers
    State x = s;
    Thread& y = x.t[t];
    const auto out = [&](const char* what, int a = 0, int b = 0, Fault f = Fault::none) { emit(x, Step{what, t, a, b, f}), x = s; };
    const u8 cell = s.map, key = cell ? key_of(s, cell) : u8(0);
    const auto is_lent = [&](u8 o) { return does(t, 'p') && (s.t[1 - t].reg[0] == o || s.t[1 - t].reg[1] == o); };
    if (does(t, 'i') && !key)
      for (u8 k = 1; k <= c_.n; ++k)
        for (u8 v = 1; v <= c_.n; ++v) {
          if (!(held(k) || is_lent(k)) || !(held(v) || is_lent(v))) continue;
          u8 c = is(Mutant::cell_reused) && cell ? cell : u8(0);
          for (u8 fresh = kFirstCell; !c && fresh < kFirstCell + c_.cells; ++fresh)
            if (!(s.alloc & bit(fresh))) c = fresh, born(x, t, c);
          if (!c) continue;
          y.pc = in_value, y.cell = c, y.a = k, y.b = v, out("T%d inserts o%d, o%d", k, v);
        }
    if (!cell) return;
    if (does(t, 'z')) store(x, t, kMap, 0, to_idle), out("T%d clears the map");
    if (!key) return;
    if (held(key)) {
      const u8 value = s.field[cell - 1];
      if (does(t, 'f') && room >= 0 && value && !held(value)) y.reg[room] = value, out("T%d finds o%d under o%d", value, key, load(s, value));
      if (does(t, 'v'))
        for (u8 v = 1; v <= c_.n; ++v)
          if (held(v) && v != value) store(x, t, cell, v, to_idle), y.cell = cell, out("T%d assigns o%d to the entry of o%d", v, key);
      if (does(t, 'e')) store(x, t, cell, 0, to_erased), y.cell = cell, out("T%d erases the entry of o%d", key);
    } else if (does(t, 't') && room >= 0) {  // for_each: lock_key
      y.old = key;
      if (is(Mutant::iterates_unlocked)) y.old = 0, y.reg[room] = key, out("T%d meets o%d", key, 0, load(s, key));
      else y.pc = lk_look, y.cell = cell, out("T%d begins to lock the key o%d", key);
    }
  }

  // run_next: take_next, then run_one
  template <class Emit>
  void take(const State& s, int t, Emit& emit) const {
    State x = s;
    Thread& y = x.t[t];
    const u8 entry = s.queue[0];
    std::copy(x.queue + 1, x.queue + kLongest, x.queue), x.queue[kLongest - 1] = 0;
    y.pc = rn_shade, y.slot = entry, y.old = entry;
    if (entry == kCallback) y.old = s.capture, x.capture = 0, x.callback = nowhere;
    emit(x, Step{entry == kCallback ? "T%d takes the callback out of the queue" : "T%d takes o%d out of the queue", t, entry});
  }
  Fault run(State& x, Thread& y) const {  // run_one
    const u8 entry = y.slot, o = y.old;
    y.self = o, y.slot = y.old = 0, y.pc = idle;
    if (entry == kCallback) return Fault::none;
    const Fault f = !(x.owed & bit(o)) ? Fault::twice : x.weak == o && !x.weak_to_taken ? Fault::revived : Fault::none;
    x.owed &= u8(~bit(o));
    if (is(Mutant::bit_late)) x.bits &= u8(~bit(o));
    return f;
  }

  // The next step of what the thread is in the midst of.
  template <class Emit>
  void go_on(const State& s, int t, Emit& emit) const {
    State x = s;
    Thread& y = x.t[t];
    const char* what = "";
    const auto out = [&](const char* text, int a = 0, int b = 0, Fault f = Fault::none) { emit(x, Step{text, t, a, b, f}), x = s; };
    switch (y.pc) {
      case st_old: {  // from here on in barrier_slow; the flag is read first
        const bool hides = may_hide(s, y.slot) && y.neu;
        if (y.stage == 0 && !needs_shade(s, y, y.old) && !(hides && needs_shade(s, y, y.neu))) return finish(y), out("T%d has nothing to shade");
        what = "T%d shades the old o%d";
        if (shade(x, y, y.old, what)) y.pc = st_new;
        return out(what, s.t[t].old);
      }
      case st_new:
        what = "T%d shades the new o%d";
        if (y.stage != 0 || (y.neu && may_hide(s, y.slot))) {
          if (shade(x, y, y.neu, what)) finish(y);
        } else finish(y), what = "T%d does not shade the new o%d";
        return out(what, s.t[t].neu);
      case in_value: store(x, t, y.cell, y.b, to_key); return out("T%d stores the entry's value o%d", y.b);
      case in_key:
        key_of(x, y.cell) = y.a;
        if (c_.young && !is(Mutant::key_dirties_not)) x.card |= bit(y.cell);
        y.pc = st_old, y.slot = y.cell, y.neu = is(Mutant::key_unshaded) ? u8(0) : y.a, y.then = to_slot;
        return out("T%d stores the entry's key o%d", y.a);
      case in_slot: store(x, t, kMap, y.cell, to_idle); return out("T%d puts the entry into the map");
      case er_key: key_of(x, y.cell) = 0; y.pc = idle; y.cell = 0; return out("T%d has erased the entry");
      case rn_shade: {
        what = "T%d shades o%d";
        if (!is(Mutant::taken_unshaded) && !shade(x, y, y.old, what)) return out(what, y.old);
        const u8 entry = y.slot;
        const Fault f = run(x, y);
        return out(entry == kCallback ? "T%d runs the callback with o%d" : "T%d runs the destructor of o%d", y.self, 0, f);
      }
      case as_take: case as_scan: case as_wake: case as_hand: case as_after: return assist(s, t, emit);
      default: return lock(s, t, emit);
    }
  }

  // gc/mark/assist.cc, scan_for_a_quantum, one object
  template <class Emit>
  void assist(const State& s, int t, Emit& emit) const {
    State x = s;
    Thread& y = x.t[t];
    const auto out = [&](const char* text, int a = 0) { emit(x, Step{text, t, a}), x = s; };
    switch (y.pc) {
      case as_take:
        for (int id = 1; id <= kIds; ++id)
          if (s.work & bit(id)) x.work &= u8(~bit(id)), y.old = u8(id), y.pc = as_scan, out("T%d takes o%d to scan it", id);
        if (!s.work) y.pc = idle, out("T%d finds nothing to scan");
        return;
      case as_scan: {
        const u8 id = y.old;
        const auto visit = [&](u8 v) {
          if (!white(x, v)) return;
          if (x.state == terminating) x.state = marking;
          x.mark |= bit(v), y.buf |= bit(v);
          y.neu = v;
        };
        if (!marked(s, id)) visit(id);
        else scan_now(x, id, y.deferred, visit);
        y.old = 0, y.pc = c_.cells && y.neu ? as_wake : as_hand;
        return out("T%d scans o%d", id);
      }
      case as_wake:
        for (u8 o = 1; o <= kObjects; ++o)  // all that it may have marked
          if (x.awaited && y.buf & bit(o) && !is(Mutant::assist_wakes_nobody)) y.buf |= wake(x, o);
        y.neu = 0, y.pc = as_hand;
        return out("T%d looks who waits for what it has marked");
      case as_hand: {  // hand_over_rest: cancels, then hands over
        const bool keeps = is(Mutant::deferred_kept);
        if (!y.old && (y.buf || (y.deferred && !keeps))) {
          if (x.state == terminating) x.state = marking;
          y.old = kMap;
          return out("T%d is about to hand over");
        }
        x.work |= y.buf, y.buf = y.old = 0;
        if (!keeps) x.deferred |= y.deferred, y.deferred = 0;
        y.pc = as_after;
        return out("T%d has handed over");
      }
      default:
        if (x.state == terminating) x.state = marking;
        y.pc = idle;
        return out("T%d has assisted");
    }
  }

  // gc/weak/weak_cells.cc, lock_cell; of the weak cell, or, in iteration, of an entry's key
  template <class Emit>
  void lock(const State& s, int t, Emit& emit) const {
    State x = s;
    Thread& y = x.t[t];
    const bool is_key = y.cell != 0;
    const auto out = [&](const char* text, int a = 0, Fault f = Fault::none) { emit(x, Step{text, t, a, 0, f}), x = s; };
    const auto give = [&](u8 v) {
      y.old = y.cell = y.stage = 0, y.pc = idle;
      if (!v) return out("T%d locks nothing");
      for (int r = 0; r < (t ? c_.r1 : c_.r0); ++r)
        if (!y.reg[r]) {
          y.reg[r] = v;
          break;
        }
      const bool revived = !is_key && s.taken & bit(v) && !s.weak_to_taken;
      out("T%d has locked o%d", v, !(s.alloc & bit(v)) ? Fault::dangling : revived ? Fault::revived : Fault::none);
    };
    switch (y.pc) {
      case lk_look:
        if (!y.flag) return give(y.old);
        y.pc = s.state == terminating && !is(Mutant::lock_cancels_not) && (white(s, y.old) || is(Mutant::lock_cancels_always)) ? lk_cancel : lk_second;
        return out("T%d looks how far marking is");
      case lk_cancel:
        if (x.state == terminating) x.state = marking;
        y.pc = lk_second;
        return out("T%d cancels termination, if it is not too late");
      case lk_second: y.pc = s.state != done || is(Mutant::lock_ignores_done) ? lk_shade : lk_white; return out("T%d looks whether marking is done");
      case lk_shade: {
        const char* what = "T%d, which locks, shades o%d";
        if (!is(Mutant::lock_shades_not) && !shade_locked(x, y, what)) return out(what, y.old);
        return give(y.old);
      }
      case lk_white:
        if (white(s, y.old)) return give(0);
        if (is(Mutant::lock_reads_once)) return give(y.old);
        y.pc = lk_again;
        return out("T%d finds o%d marked", y.old);
      default: return give(is_key ? key_of(s, y.cell) : s.weak);
    }
  }
  // With lock_cancels_not neither does its shade.
  bool shade_locked(State& x, Thread& y, const char*& what) const {
    if (is(Mutant::lock_cancels_not) && y.stage == 0 && x.state == terminating && white(x, y.old)) y.stage = 1;
    return shade(x, y, y.old, what);
  }

  // ---- handshakes (gc/mutator/handshake.cc)
  static bool is_between(const Thread& t) { return t.pc == idle || (t.pc == st_old && t.stage == 0) || (t.pc >= in_value && t.pc <= er_key); }
  void scan_stack(State& x, const Thread& t) const {  // and FrameOfOne
    x.words |= u8(bit(t.reg[0]) | bit(t.reg[1]) | bit(t.cell) | bit(t.a) | bit(t.b));
    if (!is(Mutant::running_no_root)) x.words |= bit(t.self);
    if (t.pc == st_old) x.words |= u8(bit(t.old) | bit(t.neu) | (t.slot <= kIds ? bit(t.slot) : 0));
  }
  // perform: barriers_on, do_scan, do_flush, do_barriers_off
  template <class Emit>
  void answer(const State& s, int t, Emit& emit) const {
    if (!(s.pending >> t & 1) || !is_between(s.t[t])) return;
    State x = s;
    Thread& y = x.t[t];
    const char* what = "T%d answers HS1";
    Fault f = Fault::none;
    switch (s.driver) {
      case c_hs1: y.flag = 1; break;
      case c_hs2:
        scan_stack(x, y);
        y.black = 1, x.work |= y.buf, y.buf = 0;
        what = "T%d answers HS2";
        break;
      case c_flush: case c_abort:
        if (y.pc != idle) scan_stack(x, y);
        if (y.buf) x.hadwork = 1;
        x.work |= y.buf, y.buf = 0;
        what = "T%d answers a flush";
        break;
      default:
        y.flag = 0;
        if (!s.aborted && (y.buf || y.deferred)) f = Fault::late;
        what = "T%d answers HS3";
    }
    x.pending &= u8(~(1u << t));
    if (!x.pending) ++x.driver;
    if (x.driver == c_clean && !c_.young) x.driver = c_hs2, x.pending = 3;
    if (x.driver == c_scans) x.state = marking;
    if (x.driver == c_off_late && !is(Mutant::emptied_late) && !is(Mutant::weak_late)) x.driver = c_sweep;
    emit(x, Step{what, t, 0, 0, f});
  }

};

}  // namespace model::weak

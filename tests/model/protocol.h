// The protocol: every step a mutator or the collector can take from a state, for one choice of variants.
#pragma once
#include "state.h"

namespace model {

enum class Handshake { cooperative, asynchronous, refuse_in_barrier };
// hoisted: the flag is read before the slot is written
enum class BarrierOrder { post_store, pre_store, flag_hoisted };
// cleaned_late: after the stack scans, clean, then read.
// cleaned_between: clean after all threads passed HS1 and before HS2, read after HS2.
// cleaned_early: clean before HS1 (a mutant).
// epoch: stamps, never cleaned.
enum class Cards { none, cleaned_late, cleaned_between, cleaned_early, epoch };
// Shade the new value: always, while any stack is grey, while the own stack is grey, never.
enum class Insertion { always, any_grey_stack, scanning, hs2_only, grey_stack, never };
// two threads storing to one slot: excluded / xchg / plain load+store
enum class Writers { exclusive, exchange, racy };
enum class Rounds { until_quiet_cas, until_quiet, one };

struct Config {
  Shape sh;
  Handshake hs = Handshake::cooperative;
  // asynchronous handshakes that fall between two instructions also scan
  bool scan_at_hs1 = false, scan_at_flush = false;
  bool keep_alive = true;          // the barrier's values are in scanned registers until its end
  bool poll_in_slow_path = false;  // the slow path polls on entry, before it shades (wrong on purpose)
  bool recheck = true;             // the slow path reads the flag again once it refuses handshakes
  bool global_flag = false;        // one flag for all threads instead of one each
  BarrierOrder order = BarrierOrder::post_store;
  Cards card = Cards::cleaned_late;
  bool card_first = false;   // card store before slot store
  bool card_test = false;    // "if (card != dirty) card = dirty"
  bool clean_fence = true;   // false: the reads overtake the cleaning
  bool lossy_clean = false;  // list the dirty cards, later zero all (stores in between are lost)
  bool redirty_scan = true, redirty_mark = true, full_cleans = false;
  bool only_current_epoch = false, epoch_at_hs2 = false, epoch_global = false;
  Insertion ins = Insertion::always;
  bool deletion = true;
  bool promote_at_birth = false;   // objects born during a cycle are born marked
  bool early_snapshot = false;     // a span's snapshot may be taken any time between HS1 and its owner's HS2
  bool merged_handshakes = false;  // HS1 and HS2 in one
  bool publish_first = false;      // alloc bit set before the address is in a register
  bool move_new = false;           // a store may consume the register that held the new value
  bool split_alloc = false;        // address in a register, then alloc bit, as two instructions
  Writers wr = Writers::exclusive;
  Rounds term = Rounds::until_quiet_cas;
  bool cancel_first = true;  // a shade cancels a termination round before it sets the mark bit
  bool raw_buffers = false;  // a shade only records the pointer; marks are set when the buffer is handed over
  bool helper = false;       // a second marker; mutators may hand buffers over at any poll
  bool cancel_on_handover = true;  // handing over grey objects cancels a termination round too
  // Sh.assist: mutators scan, too. To take an object from the worklist and to scan it are two steps; in between they refuse handshakes.
  bool assist_looks = true;     // they begin only while no termination is under way
  bool assist_cancels = true;   // done, they cancel one that has begun meanwhile
  bool weak = false, lock_shades = true, lock_cancels = true, lock_checks_done = true;
  bool lock_spares_marked = true;  // lock() does not cancel termination for an object that is no white candidate
  bool abort = false;  // the collector may give a cycle up; the next one is full
  bool aborted_forces_full = true;
  bool young = true, full = true;
  bool check_live = true;
  bool use_global = true;
  bool root_card = false;  // young cycles scan the global cell only if its card is dirty, as if it were an old object (not with tso)
  // A thread may copy a pointer out of a local variable of the other thread into one of its own, through the barrier.
  // The variable's end is no store and has none, but it comes after the copy: the program sees to that.
  bool peek = false;
  // Sh.fiber: a stack of one variable that threads run on, leave, and run on again. The thread's own registers stay at hand
  // meanwhile, so references pass between the two without a barrier.
  bool fiber_card = false;          // young cycles read it only if it is dirty, as if it were an old object
  bool fiber_store = false;         // threads store into its variable while it is parked, through the barrier
  bool fiber_free = false;          // it is given up while it is parked, and a new one begins
  bool fiber_enter_scans = true;    // a black thread scans it before it runs on it, unless that was done
  bool fiber_leave_greys = true;    // left, it has the colour of the thread that leaves
  bool fiber_free_scans = true;     // scanned before it is given up, whoever does that
  bool fiber_leave_dirties = true;  // leaving it dirties its card
  bool fiber_store_dirties = true;  // a store to its variable dirties its card, with fiber_card
  bool fiber_lossy = false;         // with lossy_clean: its card too is listed first and zeroed later
  bool fiber_early = false;         // the collector reads it before all threads have answered HS2
  // Sh.coro: one object may be a coroutine's frame. Threads run in it by turns, and then its field is a local variable: nothing that
  // they do with it passes a barrier. While it is suspended it is an object as any other.
  bool coro_enter_scans = true;    // a black thread shades what it holds before it runs in it, unless that was done
  bool coro_grey_scans = true;     // so does a grey one whose flag is on
  bool coro_running_scans = true;  // scanned with the stack of the thread that runs in it
  bool coro_leave_scans = true;    // a grey thread whose flag is on shades what it holds when it leaves
  bool coro_leave_dirties = true;  // leaving it dirties its card
  bool coro_leave_greys = true;    // left by a grey thread it is grey, though that has shaded what it holds
  // Sh.ends: threads end and others start, at any time but between the begin and the end of a handshake, whose lock they need. What a
  // thread answers lies in its record until the collector takes it.
  bool end_hands_over = true;      // its grey objects go to the worklist
  bool end_cancels = true;         // ... which cancels termination first
  bool end_is_blocked = true;      // the collector answers for it while it waits for the lock
  bool end_leaves_answers = true;  // what it has answered and nobody has taken goes to the worklist
  bool dies = false;               // threads may end and tell nobody: the collector finds out in the next handshake, and does for them what they would have done
  bool start_flag = true;          // starts with the others' flag
  bool start_black = true;         // black, once HS2 was asked
  bool start_black_after = true;   // ... and until the sweep is over
  bool start_cancels = true;       // cancels termination before its stack's words become work; too late, they do not
  bool stale = false;              // its stack may hold the address of any object
};

enum MutatorPc : u8 {
  idle,
  st_slot,
  st_epoch,
  st_card,
  st_flag,
  st_phase,
  st_test,
  st_enter,
  st_old,
  st_old_cas,
  st_new,
  st_new_cas,
  al_bit,
  lk_act,
  lk_cas,
  lk_shade,
  as_take,
  as_scan,
  as_after,
  co_leave
};
// leaving: it refuses handshakes; cancelled: likewise, and it may hand over; waits: for the lock, and the collector answers for it.
// dead: it is not there any more, its record is.
enum Life : u8 { attached, leaving, cancelled, waits, gone, dead };
enum CollectorPc : u8 {
  c_idle,
  c_hs1,
  c_clean,
  c_hs2,
  c_take_scans,  // option ends only, like c_take_flushed
  c_cards,
  c_mark,
  c_term,
  c_flush,
  c_take_flushed,
  c_decide,
  c_weak,
  c_off_start,
  c_off,
  c_sweep
};
enum MarkState : u8 { marking, terminating, done };

enum class Fault { none, lost, leaked, dangling, late_grey };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none:
      return "-";
    case Fault::lost:
      return "REACHABLE OBJECT FREED";
    case Fault::leaked:
      return "GARBAGE KEPT BY A FULL CYCLE";
    case Fault::dangling:
      return "DANGLING POINTER LOADED";
    case Fault::late_grey:
      return "GREY OBJECT AFTER TERMINATION";
  }
  return "?";
}

struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class Protocol {
 public:
  explicit Protocol(const Config& c) : c_(c), n_(c.sh.n), global_(u8(c.sh.n + 1)), fiber_(u8(c.sh.n + 2)) {}

  State initial() const {
    State s;
    std::memset(&s, 0, sizeof s);
    for (Mutator& m : s.m) m.epoch = 2;
    return s;
  }

  // calls emit(next_state, step) for every step that is possible in s
  // Steps that nobody else can see or influence are taken together with the one before them ("settled").
  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    auto settled = [&](const State& x, const Step& st) {
      State y = x;
      settle(y);
      emit(y, st);
    };
    for (int t = 0; t < kThreads; ++t) {
      if (s.m[t].life == attached) mutate(s, t, settled);
      if (c_.sh.ends) end_or_start(s, t, settled);
      answer(s, t, settled);
      drain(s, t, settled);
    }
    collect(s, settled);
  }

 private:
  const Config& c_;
  int n_;
  u8 global_, fiber_;

  static u8 bit(int o) { return u8(1u << (o - 1)); }
  bool young_kept_apart() const { return c_.card != Cards::none; }
  bool k2() const { return c_.card == Cards::epoch; }

  // ---- memory as a thread sees it
  u8 read(const State& s, int t, int slot, int f) const {
    const Mutator& m = s.m[t];
    for (int i = m.sbn - 1; i >= 0; --i)
      if (!m.sb[i].card && m.sb[i].target == slot && m.sb[i].field == f) return m.sb[i].value;
    return slot == global_ ? s.global : slot == fiber_ ? s.fiber : s.field[slot - 1][f];
  }
  int card_of(int o) const { return c_.sh.one_card ? 0 : o - 1; }
  static void write_now(State& s, int slot, int f, u8 v, u8 global) {
    if (slot == global)
      s.global = v;
    else if (slot == global + 1)
      s.fiber = v;
    else
      s.field[slot - 1][f] = v;
  }
  bool room(const State& s, int t) const { return !c_.sh.tso || s.m[t].sbn < c_.sh.sb; }
  bool drained(const State& s, int t) const { return s.m[t].sbn == 0; }
  void write(State& s, int t, int slot, int f, u8 v) const {
    Mutator& m = s.m[t];
    if (c_.sh.tso)
      m.sb[m.sbn++] = {0, u8(slot), u8(f), v};
    else
      write_now(s, slot, f, v, global_);
  }
  void write_card(State& s, int t, int o, u8 v) const {
    Mutator& m = s.m[t];
    if (c_.sh.tso)
      m.sb[m.sbn++] = {1, u8(o), 0, v};
    else if (o == global_)
      s.root_dirty = v;
    else if (o == fiber_)
      s.fiber_dirty = v;
    else
      s.card[card_of(o)] = v;
  }
  u8 read_card(const State& s, int t, int o) const {
    if (o == global_) return s.root_dirty;
    if (o == fiber_) return s.fiber_dirty;
    const Mutator& m = s.m[t];
    for (int i = m.sbn - 1; i >= 0; --i)
      if (m.sb[i].card && card_of(m.sb[i].target) == card_of(o)) return m.sb[i].value;
    return s.card[card_of(o)];
  }
  template <class Emit>
  void drain(const State& s, int t, Emit&& emit) const {
    if (!s.m[t].sbn) return;
    State x = s;
    Mutator& m = x.m[t];
    StoreBufferEntry e = m.sb[0];
    for (int i = 1; i < m.sbn; ++i) m.sb[i - 1] = m.sb[i];
    m.sb[--m.sbn] = {};
    if (e.card)
      x.card[card_of(e.target)] = e.value;
    else
      write_now(x, e.target, e.field, e.value, global_);
    emit(x, Step{e.card ? "T%d's buffered card store of o%d becomes visible"
                        : "T%d's buffered store to o%d becomes visible (value o%d)",
                 t, e.target, e.value});
  }

  // ---- colours
  static bool candidate(const State& s, int o) { return o && (s.alloc & bit(o)) && !(s.born & bit(o)); }
  static bool white(const State& s, int o) { return candidate(s, o) && !(s.mark & bit(o)); }
  bool flag(const State& s, int t) const { return c_.global_flag ? s.m[0].flag : s.m[t].flag; }

  bool in_barrier(const Mutator& m) const { return m.pc >= st_slot && m.pc <= st_new_cas; }
  bool in_runtime(const Mutator& m) const { return (m.pc >= st_old && m.pc <= st_new_cas) || m.pc >= lk_act; }

  // From the start of a cycle until all answers to HS2 are in.
  static bool some_stack_is_grey(const State& s) { return s.cpc >= c_hs1 && s.cpc <= c_hs2; }
  bool is_old(const State& s, int o) const {
    if (o == fiber_) return false;  // whatever is stored into it after the cleaning has it read in this cycle
    return o == global_ ? c_.root_card : (s.mark & bit(o)) != 0;
  }
  bool has_card(u8 slot) const {
    return slot == global_ ? c_.root_card : slot == fiber_ ? c_.fiber_card && c_.fiber_store_dirties : true;
  }

  // Does the slow path shade the new value? Before HS2 no stack is black, and nothing is born black: only an old object, whose
  // card may be clean already, hides a value from the cycle.
  bool inserts(const State& s, int t) const {
    switch (c_.ins) {
      case Insertion::always:
        return true;
      case Insertion::any_grey_stack:
        return some_stack_is_grey(s);
      case Insertion::scanning:
        return some_stack_is_grey(s) && (s.cpc == c_hs2 || is_old(s, s.m[t].slot));
      case Insertion::hs2_only:
        return s.cpc == c_hs2;
      case Insertion::grey_stack:
        return !s.m[t].black;
      case Insertion::never:
        return false;
    }
    return true;
  }

  // Does the fast path leave when nothing is overwritten and all stacks are black?
  bool looks_at_stacks() const {
    return c_.ins == Insertion::any_grey_stack || c_.ins == Insertion::scanning || c_.ins == Insertion::hs2_only;
  }

  // ---- the barrier as a sequence of program counters
  u8 after_slow(const Mutator& m) const {
    return c_.order == BarrierOrder::pre_store ? first_store(m) : u8(idle);
  }
  u8 card_start(const Mutator& m) const {
    return c_.card == Cards::none || !has_card(m.slot) ? after_card(m) : u8(k2() ? st_epoch : st_card);
  }
  u8 first_store(const Mutator& m) const {
    return c_.card_first && m.slot != global_ && c_.card != Cards::none ? u8(k2() ? st_epoch : st_card)
                                                                        : u8(st_slot);
  }
  u8 after_stores() const {
    return c_.order == BarrierOrder::post_store  ? st_flag
           : c_.order == BarrierOrder::pre_store ? idle
                                                 : st_test;
  }
  u8 after_card(const Mutator& m) const {
    return c_.card_first && m.slot != global_ ? u8(st_slot) : after_stores();
  }
  u8 after_slot(const Mutator& m) const { return c_.card_first ? after_stores() : card_start(m); }
  bool stored(const Mutator& m) const {  // has the slot been written already?
    bool at_card = m.pc == st_epoch || m.pc == st_card;
    if (m.pc == st_slot) return false;
    if (at_card) return !c_.card_first || m.slot == global_;
    if (m.pc == st_test) return true;
    if (m.pc == st_flag) return c_.order == BarrierOrder::post_store;
    return c_.order != BarrierOrder::pre_store;
  }
  static void finish(Mutator& m) {
    if (m.pc == idle) {
      m.slot = m.field = m.old = m.neu = m.tmp = 0;
    }
  }

  void settle(State& x) const {
    for (int t = 0; t < kThreads; ++t)
      for (bool moved = true; moved;) {
        Mutator& m = x.m[t];
        moved = false;
        auto go = [&](u8 pc) {
          m.pc = pc;
          finish(m);
          moved = true;
        };
        // nothing can come between two barrier instructions
        bool alone = c_.hs != Handshake::asynchronous && !c_.global_flag;
        if (alone && m.pc == st_flag) {
          if (c_.order == BarrierOrder::flag_hoisted) {
            m.tmp = m.flag;
            go(first_store(m));
          } else
            go(!m.flag ? after_slow(m) : m.old == 0 && looks_at_stacks() ? u8(st_phase) : u8(st_enter));
        } else if (alone && m.pc == st_test) {
          bool f = m.tmp;
          m.tmp = 0;
          go(f ? u8(st_enter) : u8(idle));
        } else if (alone && m.pc == st_enter)
          go(!c_.recheck || m.flag ? u8(st_old) : after_slow(m));
        else if (m.pc == st_old && m.flag && !c_.poll_in_slow_path && (!c_.deletion || !white(x, m.old)))
          go(st_new);  // not white now: not white later
        else if (m.pc == st_new && m.flag && (!inserts(x, t) || !white(x, m.neu)))
          go(after_slow(m));
      }
    if (x.cpc == c_mark && x.rooted && fiber_is_read(x) && !x.list && !x.todo && !x.work && !x.raw && !x.cur && c_.term != Rounds::one)
      x.cpc = c_term;
    if (x.cpc == c_term && c_.term != Rounds::one) {
      x.term = terminating;
      x.hadwork = 0;
      x.cpc = c_flush;
      ask(x);
    }
    if (x.cpc == c_weak && !c_.weak) x.cpc = c_off_start;
    if (x.cpc == c_off_start && !c_.weak) {
      if (c_.global_flag) x.m[0].flag = 0;
      x.cpc = c_off;
      ask(x);
    }
    if (x.cpc == c_cards && x.full && !c_.full_cleans) x.cpc = c_mark;
  }

  // ---- mutators
  template <class Emit>
  void mutate(const State& s, int t, Emit&& emit) const {
    const Mutator& m = s.m[t];
    switch (m.pc) {
      case idle:
        idle_steps(s, t, emit);
        return;
      case st_slot: {
        if (c_.wr == Writers::exchange ? !drained(s, t) : !room(s, t)) return;
        State x = s;
        Mutator& y = x.m[t];
        if (c_.wr == Writers::exchange) {
          y.old = read(s, t, m.slot, m.field);
          write_now(x, m.slot, m.field, m.neu, global_);
        } else
          write(x, t, m.slot, m.field, m.neu);
        y.pc = after_slot(y);
        Step st{
            m.slot == global_ ? "T%d stores to the global cell%.0d value o%d" : "T%d stores to o%d value o%d",
            t, m.slot == global_ ? 0 : m.slot, m.neu};
        finish(y);
        emit(x, st);
        return;
      }
      case st_epoch: {
        State x = s;
        x.m[t].tmp = c_.epoch_global ? u8(2) : m.epoch;
        x.m[t].pc = st_card;
        emit(x, Step{"T%d reads the epoch", t});
        return;
      }
      case st_card: {
        u8 v = k2() ? m.tmp : u8(1);
        bool skip = c_.card_test && read_card(s, t, m.slot) == v;
        if (!skip && !room(s, t)) return;
        State x = s;
        Mutator& y = x.m[t];
        if (!skip) write_card(x, t, m.slot, v);
        if (k2()) y.tmp = 0;
        y.pc = after_card(y);
        finish(y);
        emit(x, Step{skip ? "T%d sees the card of o%d dirty already" : "T%d dirties the card of o%d", t,
                     m.slot});
        return;
      }
      case st_flag: {
        State x = s;
        Mutator& y = x.m[t];
        bool f = flag(s, t);
        if (c_.order == BarrierOrder::flag_hoisted) {
          y.tmp = f;
          y.pc = first_store(y);
        } else
          y.pc = !f ? after_slow(y) : y.old == 0 && looks_at_stacks() ? u8(st_phase) : u8(st_enter);
        finish(y);
        emit(x, Step{f ? "T%d reads flag: on" : "T%d reads flag: off", t});
        return;
      }
      case st_phase: {  // nothing was overwritten: is there anything to do at all?
        State x = s;
        Mutator& y = x.m[t];
        const bool grey = some_stack_is_grey(s);
        y.pc = grey ? u8(st_enter) : after_slow(y);
        finish(y);
        emit(x, Step{grey ? "T%d sees that a stack may be grey" : "T%d sees that all stacks are black, leaves", t});
        return;
      }
      case st_test: {
        State x = s;
        Mutator& y = x.m[t];
        y.pc = m.tmp ? u8(st_enter) : u8(idle);
        y.tmp = 0;
        finish(y);
        emit(x, Step{"T%d tests the flag it read", t});
        return;
      }
      case st_enter: {
        State x = s;
        Mutator& y = x.m[t];
        bool go = !c_.recheck || flag(s, t);
        y.pc = go ? u8(st_old) : after_slow(y);
        finish(y);
        emit(x, Step{go ? "T%d enters the slow path" : "T%d enters the slow path, finds the flag off", t});
        return;
      }
      case st_old:
        shade_step(s, t, c_.deletion ? m.old : u8(0), st_old_cas, st_new, "T%d shades old o%d", emit);
        return;
      case st_old_cas:
        after_cancel(s, t, m.old, st_new, "T%d shades old o%d", emit);
        return;
      case st_new: {
        shade_step(s, t, inserts(s, t) ? m.neu : u8(0), st_new_cas, after_slow(m), "T%d shades new o%d", emit);
        return;
      }
      case st_new_cas:
        after_cancel(s, t, m.neu, after_slow(m), "T%d shades new o%d", emit);
        return;
      case al_bit: {
        State x = s;
        Mutator& y = x.m[t];
        u8 o = y.old;
        y.old = 0;
        if (!c_.publish_first) born(x, t, o, false);
        put(y, t, o);
        y.pc = idle;
        emit(x, Step{c_.publish_first ? "T%d gets the address of o%d into a register"
                                      : "T%d sets alloc bit of o%d",
                     t, o});
        return;
      }
      case co_leave:
        leave_frame(s, t, emit);
        return;
      case as_take:
      case as_scan:
      case as_after:
        assist_steps(s, t, emit);
        return;
      default:
        lock_steps(s, t, emit);
        return;
    }
  }

  void put(Mutator& m, int t, u8 o) const {
    for (int r = 0; r < c_.sh.regs[t]; ++r)
      if (!m.reg[r]) {
        m.reg[r] = o;
        return;
      }
  }

  void born(State& x, int t, u8 o, bool outside_snapshot) const {
    x.alloc |= bit(o);
    bool late = x.m[t].black || outside_snapshot;
    if (late) {
      x.born |= bit(o);
      if (c_.promote_at_birth && flag(x, t)) x.mark |= bit(o);
    }
  }

  // What the other thread copies out of a local variable of this one, which has to keep it as it is meanwhile.
  u8 lent_by(const State& s, int t) const {
    const Mutator& copier = s.m[1 - t];
    return in_barrier(copier) && copier.slot == 0 ? copier.neu : u8(0);
  }
  template <class Emit>
  void idle_steps(const State& s, int t, Emit&& emit) const {
    const Mutator& m = s.m[t];
    int regs = c_.sh.regs[t];
    int free_reg = -1;
    for (int r = 0; r < regs; ++r)
      if (!m.reg[r]) {
        free_reg = r;
        break;
      }
    auto held = [&](int o) {
      for (int r = 0; r < regs; ++r)
        if (m.reg[r] == o) return true;
      return false;
    };
    const u8 lent = lent_by(s, t);
    for (int r = 0; r < regs; ++r)
      if (m.reg[r] && m.reg[r] != lent) {
        State x = s;
        x.m[t].reg[r] = 0;
        emit(x, Step{"T%d drops o%d", t, m.reg[r]});
      }
    // loads: into an empty register, or over one that holds something (then the other is the base, or itself)
    if (c_.sh.fiber) fiber_steps(s, t, free_reg, held, emit);
    if (c_.sh.coro) frame_steps(s, t, free_reg, held, emit);
    for (int src = 1; src <= n_ + 1; ++src) {
      if (src == global_ ? !c_.use_global : !held(src)) continue;
      if (src == s.frame && s.frame_runner) continue;  // frame_steps
      for (int f = 0; f < (src == global_ ? 1 : c_.sh.f); ++f) {
        u8 v = read(s, t, src, f);
        if (!v || held(v)) continue;
        for (int r = 0; r < regs; ++r) {
          if (free_reg >= 0 && r != free_reg && m.reg[r] != src) continue;
          if (m.reg[r] != 0 && m.reg[r] == lent) continue;
          State x = s;
          x.m[t].reg[r] = v;
          Fault ft = s.alloc & bit(v) ? Fault::none : Fault::dangling;
          if (src == global_)
            emit(x, Step{"T%d loads o%d from the global cell", t, v, 0, ft});
          else
            emit(x, Step{"T%d loads o%d from o%d", t, v, src, ft});
        }
      }
    }
    if (c_.peek && free_reg >= 0)
      for (u8 v : s.m[1 - t].reg) {
        if (!v || held(v)) continue;
        State x = s;
        Mutator& y = x.m[t];
        y.reg[free_reg] = y.neu = v;
        y.pc = st_flag;
        emit(x, Step{"T%d copies o%d from a local variable of the other thread", t, v});
      }
    // stores
    for (int dst = 1; dst <= n_ + 2; ++dst) {
      if (dst == fiber_ ? !c_.fiber_store || s.runner != 0 : dst == global_ ? !c_.use_global : !held(dst) && !runs_in(s, t, dst)) continue;
      if (dst == s.frame && s.frame_runner == 2 - t) continue;  // its own runner stores through the barrier, too
      for (int f = 0; f < (dst >= global_ ? 1 : c_.sh.f); ++f) {
        const Mutator& other = s.m[1 - t];
        if (c_.wr == Writers::exclusive && in_barrier(other) && other.slot == dst && other.field == f)
          continue;
        if (c_.wr == Writers::exclusive &&
            c_.sh.tso) {  // the lock that excludes the other writer drains its buffer
          bool pending = false;
          for (int i = 0; i < other.sbn; ++i)
            if (!other.sb[i].card && other.sb[i].target == dst) pending = true;
          if (pending) continue;
        }
        u8 old = read(s, t, dst, f);
        for (int v = 0; v <= n_; ++v) {
          if (v && !held(v)) continue;
          if (v == old && c_.wr == Writers::exclusive) continue;
          for (int move = 0; move <= (c_.move_new && v ? 1 : 0); ++move) {
            State x = s;
            Mutator& y = x.m[t];
            y.slot = u8(dst);
            y.field = u8(f);
            y.neu = u8(v);
            y.old = c_.wr == Writers::exchange ? u8(0) : old;
            if (move)
              for (int r = 0; r < regs; ++r)
                if (y.reg[r] == v) y.reg[r] = 0;
            y.pc = c_.order == BarrierOrder::post_store ? first_store(y) : u8(st_flag);
            if (dst == global_)
              emit(x, Step{"T%d begins global cell := o%d (old value o%d)", t, v, old});
            else if (dst == fiber_)
              emit(x, Step{"T%d begins variable of the parked fiber := o%d (old value o%d)", t, v, old});
            else
              emit(x, Step{"T%d begins o%d.f := o%d", t, dst, v});
          }
        }
      }
    }
    // allocation
    if (free_reg >= 0)
      for (int o = 1; o <= n_; ++o) {
        if (s.alloc & bit(o)) continue;
        if (s.m[1 - t].pc == al_bit && s.m[1 - t].old == o) continue;
        if (c_.publish_first) {
          State x = s;
          Mutator& y = x.m[t];
          born(x, t, u8(o), false);
          y.old = u8(o);
          y.pc = al_bit;
          emit(x, Step{"T%d sets alloc bit of o%d, address not yet in a register", t, o});
        } else if (c_.split_alloc) {
          State x = s;
          Mutator& y = x.m[t];
          y.old = u8(o);
          y.pc = al_bit;
          emit(x, Step{"T%d has the address of free cell o%d in a register", t, o});
        } else {
          for (int out = 0; out <= (c_.early_snapshot && s.cpc == c_hs2 && !s.m[t].black ? 1 : 0); ++out) {
            State x = s;
            born(x, t, u8(o), out);
            x.m[t].reg[free_reg] = u8(o);
            emit(x, Step{out ? "T%d allocates o%d, after an early snapshot" : "T%d allocates o%d", t, o});
            if (!c_.sh.coro || s.frame) continue;
            x.frame = u8(o);
            x.frame_runner = u8(t + 1);
            x.frame_black = m.black;
            emit(x, Step{"T%d allocates o%d, a coroutine's frame, and runs in it", t, o});
          }
        }
      }
    if (c_.sh.assist && flag(s, t) && drained(s, t) && s.work && s.cpc >= c_cards && s.cpc <= c_decide && (s.term == marking || !c_.assist_looks)) {
      State x = s;
      x.m[t].pc = as_take;
      emit(x, Step{"T%d begins to assist", t});
    }
    // handing a barrier buffer over before it is asked for
    if (c_.helper && m.buf && (s.cpc >= c_hs2 && s.cpc <= c_decide)) {
      State x = s;
      bool any = take_buffer(x, t);
      if (c_.cancel_on_handover && any && x.term == terminating) x.term = marking;
      emit(x, Step{"T%d hands its full buffer over", t});
    }
    if (c_.weak) {
      for (int r = 0; r < regs; ++r)
        if (m.reg[r] && !s.weak) {
          State x = s;
          x.weak = m.reg[r];
          emit(x, Step{"T%d makes a weak reference to o%d", t, m.reg[r]});
        }
      if (s.weak && free_reg >= 0 &&
          !held(s.weak)) {  // lock(): load the reference and the collector's state, then act on it
        State x = s;
        Mutator& y = x.m[t];
        y.old = s.weak;
        y.tmp = flag(s, t) ? s.term : u8(3);
        y.pc = lk_act;
        emit(x, Step{"T%d begins lock() of o%d, collector state %d", t, s.weak, y.tmp});
      }
    }
  }

  // ---- fibers
  void shade_for_fiber(State& x, int t) const {
    if (!white(x, x.fiber)) return;
    if (x.term == terminating) x.term = marking;
    grey(x, t, x.fiber);
  }
  bool is_unread(const State& s) const {
    return !s.fiber_black && (!c_.fiber_card || s.full || s.fiber_listed || s.fiber_dirty);
  }
  template <class Held, class Emit>
  void fiber_steps(const State& s, int t, int free_reg, Held&& held, Emit&& emit) const {
    const Mutator& m = s.m[t];
    // The program keeps the variable as it is while another thread stores to it or copies out of it.
    bool used = false;
    for (const Mutator& other : s.m)
      used |= in_barrier(other) && (other.slot == fiber_ || (other.slot == 0 && other.neu == s.fiber && s.fiber));
    if (s.runner == 0 && !used && drained(s, t)) {
      State x = s;
      x.runner = u8(t + 1);
      if (c_.fiber_enter_scans && flag(s, t) && m.black && is_unread(s)) {
        shade_for_fiber(x, t);
        x.fiber_black = 1;
      }
      emit(x, Step{x.fiber_black != s.fiber_black ? "T%d scans the fiber and runs on it" : "T%d runs on the fiber", t});
      if (c_.fiber_free && s.fiber) {
        State y = s;
        if (c_.fiber_free_scans && flag(s, t) && is_unread(s)) shade_for_fiber(y, t);
        y.fiber = 0;
        y.fiber_black = m.black;
        y.fiber_dirty = c_.fiber_card;
        emit(y, Step{"T%d gives the fiber up, with o%d, and makes a new one", t, s.fiber});
      }
    }
    if (s.runner == t + 1) {
      State x = s;
      x.runner = 0;
      if (c_.fiber_leave_greys) x.fiber_black = m.black;
      if (c_.fiber_card && c_.fiber_leave_dirties) x.fiber_dirty = 1;
      emit(x, Step{"T%d leaves the fiber", t});
      if (s.fiber && free_reg >= 0 && !held(s.fiber)) {
        x = s;
        x.m[t].reg[free_reg] = s.fiber;
        emit(x, Step{"T%d copies o%d from the fiber's variable", t, s.fiber});
      }
      if (s.fiber && !used) {
        x = s;
        x.fiber = 0;
        emit(x, Step{"T%d drops o%d from the fiber's variable", t, s.fiber});
      }
      if (!s.fiber)
        for (int r = 0; r < c_.sh.regs[t]; ++r)
          if (m.reg[r]) {
            x = s;
            x.fiber = m.reg[r];
            emit(x, Step{"T%d copies o%d to the fiber's variable", t, m.reg[r]});
          }
    } else if (c_.peek && s.fiber && free_reg >= 0 && !held(s.fiber)) {
      State x = s;
      Mutator& y = x.m[t];
      y.reg[free_reg] = y.neu = s.fiber;
      y.pc = st_flag;
      emit(x, Step{"T%d copies o%d from a variable of the fiber that it does not run on", t, s.fiber});
    }
  }

  // ---- coroutines
  bool runs_in(const State& s, int t, int o) const { return s.frame == o && s.frame_runner == t + 1; }
  u8& in_frame(State& x) const { return x.field[x.frame - 1][0]; }
  void shade_frame(State& x, int t) const {
    const u8 v = in_frame(x);
    if (!white(x, v)) return;
    if (x.term == terminating) x.term = marking;
    grey(x, t, v);
  }
  template <class Held, class Emit>
  void frame_steps(const State& s, int t, int free_reg, Held&& held, Emit&& emit) const {
    const Mutator& m = s.m[t];
    if (!s.frame) return;
    const u8 v = s.field[s.frame - 1][0];
    // The program keeps the variable as it is while another thread stores to it or copies out of it.
    bool used = false;
    for (const Mutator& other : s.m)
      used |= in_barrier(other) && (other.slot == s.frame || (other.slot == 0 && other.neu == v && v));
    State x = s;
    if (s.frame_runner == 0) {
      if (!held(s.frame) || used) return;
      x.frame_runner = u8(t + 1);
      if (flag(s, t) && !s.frame_black && (m.black ? c_.coro_enter_scans : c_.coro_grey_scans)) shade_frame(x, t);
      x.frame_black |= m.black;
      emit(x, Step{"T%d resumes the coroutine o%d", t, s.frame});
      return;
    }
    if (s.frame_runner != t + 1) {
      if (!c_.peek || !v || free_reg < 0 || held(v)) return;
      x.m[t].reg[free_reg] = x.m[t].neu = v;
      x.m[t].pc = st_flag;
      emit(x, Step{"T%d copies o%d from a variable of the coroutine that it does not run", t, v});
      return;
    }
    if (c_.coro_leave_dirties) write_card(x, t, s.frame, 1);
    x.m[t].pc = co_leave;
    emit(x, Step{"T%d dirties the card of the coroutine's frame o%d", t, s.frame});
    if (v && free_reg >= 0 && !held(v)) {
      x = s;
      x.m[t].reg[free_reg] = v;
      emit(x, Step{"T%d copies o%d from the coroutine's variable", t, v});
    }
    if (v && !used) {
      x = s;
      in_frame(x) = 0;
      emit(x, Step{"T%d drops o%d from the coroutine's variable", t, v});
    }
    if (v) return;
    for (int r = 0; r < c_.sh.regs[t]; ++r)
      if (m.reg[r]) {
        x = s;
        in_frame(x) = m.reg[r];
        emit(x, Step{"T%d copies o%d to the coroutine's variable", t, m.reg[r]});
      }
  }
  template <class Emit>
  void leave_frame(const State& s, int t, Emit&& emit) const {
    State x = s;
    Mutator& y = x.m[t];
    if (flag(s, t) && !y.black && c_.coro_leave_scans) shade_frame(x, t);
    x.frame_black = y.black || (!c_.coro_leave_greys && flag(s, t));
    x.frame_runner = 0;
    y.pc = idle;
    emit(x, Step{"T%d suspends the coroutine o%d", t, s.frame});
  }

  template <class Emit>
  void assist_steps(const State& s, int t, Emit&& emit) const {
    State x = s;
    Mutator& y = x.m[t];
    if (y.pc == as_take) {
      for (int o = 1; o <= n_; ++o)
        if (s.work & bit(o)) {
          x = s;
          x.work &= u8(~bit(o));
          y.old = u8(o);
          y.pc = as_scan;
          emit(x, Step{"T%d, which assists, takes o%d", t, o});
        }
      if (s.work) return;
    } else if (y.pc == as_scan) {
      y.old = 0;
      y.pc = as_after;
      visit(x, s.m[t].old, 0, c_.redirty_mark, true);
      return emit(x, Step{"T%d, which assists, scans o%d", t, s.m[t].old});
    }
    if (c_.assist_cancels && x.term == terminating) x.term = marking;
    y.pc = idle;
    emit(x, Step{"T%d has assisted", t});
  }

  // ---- threads that end and start
  static bool has(const Mutator& m, u8 o) {
    for (u8 held : m.reg)
      if (o && held == o) return true;
    return false;
  }
  static bool has_the_lock(const State& s) { return s.cpc == c_hs1 || s.cpc == c_hs2 || s.cpc == c_flush || s.cpc == c_off; }
  template <class Emit>
  void end_or_start(const State& s, int t, Emit&& emit) const {
    State x = s;
    Mutator& y = x.m[t];
    const bool is_late = s.cpc >= c_weak && !s.aborted;
    const Fault late = is_late && (y.buf | y.raw | y.answered | y.answered_raw) ? Fault::late_grey : Fault::none;
    const auto clear = [&] { y.buf = y.raw = 0; };
    switch (y.life) {
      case attached:
        if (y.pc != idle || !drained(s, t) || s.runner == t + 1 || s.frame_runner == t + 1) return;
        if (c_.dies && !has(y, lent_by(s, t))) {
          State z = s;
          z.m[t].life = dead;
          for (u8& o : z.m[t].reg) o = 0;
          emit(z, Step{"T%d ends and tells nobody", t});
        }
        for (u8 o : y.reg)
          if (o) return;  // it drops what it holds first, at any time
        y.life = leaving;
        if (!c_.end_hands_over) clear();
        return emit(x, Step{"T%d begins to end", t});
      case leaving:
        if (y.buf | y.raw) {
          if (c_.end_cancels && x.term == terminating) x.term = marking;
          y.life = cancelled;
          return emit(x, Step{"T%d cancels termination, if need be", t, 0, 0, late});
        }
        y.life = waits;
        return emit(x, Step{"T%d, which ends, waits for the lock", t});
      case cancelled:
        x.work |= y.buf;
        x.raw |= y.raw;
        clear();
        y.life = waits;
        return emit(x, Step{"T%d hands its grey objects over and waits for the lock", t});
      case waits:
        if (has_the_lock(s)) return;
        leave_answers(x, y);
        y = {};
        y.life = gone;
        return emit(x, Step{"T%d is gone", t, 0, 0, late});
      case dead:
        if (!(s.pend >> t & 1)) return;
        if (c_.end_hands_over) {
          if ((y.buf | y.raw) && c_.end_cancels && x.term == terminating) x.term = marking;
          x.work |= y.buf;
          x.raw |= y.raw;
        }
        leave_answers(x, y);
        y = {};
        y.life = gone;
        x.pend &= u8(~(1u << t));
        if (!x.pend) all_answered(x);
        return emit(x, Step{"collector finds T%d gone and takes it out", t, 0, 0, late});
      case gone: {
        if (has_the_lock(s)) return;
        y.life = attached;
        y.epoch = 2;
        y.flag = s.cpc > c_hs1 && s.cpc < c_off && c_.start_flag;
        y.black = (s.cpc > c_hs2 && s.cpc < c_off && c_.start_black) || (s.cpc == c_sweep && c_.start_black_after);
        emit(x, Step{y.black ? "T%d starts, black" : "T%d starts", t});
        if (!c_.stale || !y.black || s.cpc == c_sweep) return;
        if (c_.start_cancels && is_late) return;
        if (c_.start_cancels && x.term == terminating) x.term = marking;
        for (int o = 1; o <= n_; ++o)
          if (white(s, o)) {
            State z = x;
            z.m[t].raw = bit(o);
            emit(z, Step{"T%d starts, black, with a stale word: o%d", t, o});
          }
        return;
      }
    }
  }
  void leave_answers(State& x, const Mutator& m) const {
    if (!c_.end_leaves_answers) return;
    if ((m.answered | m.answered_raw) && x.term == terminating) x.term = marking;
    x.work |= m.answered;
    x.raw |= m.answered_raw;
  }
  static void answer_with_buffer(Mutator& m) {
    m.answered |= m.buf;
    m.answered_raw |= m.raw;
    m.buf = m.raw = 0;
  }
  void mark_word(State& x, int o) const {
    if (!white(x, u8(o))) return;
    x.mark |= bit(o);
    x.work |= bit(o);
    x.hadwork = 1;  // looked at after a flush only
  }
  template <class Emit>
  void take_answers(const State& s, Emit&& emit) const {
    State x = s;
    for (Mutator& m : x.m) {
      x.work |= m.answered;
      if (m.answered) x.hadwork = 1;
      for (int o = 1; o <= n_; ++o)
        if (m.answered_raw & bit(o)) mark_word(x, o);
      m.answered = m.answered_raw = 0;
    }
    x.cpc = s.cpc == c_take_scans ? c_cards : c_decide;
    emit(x, Step{"collector takes the answers"});
  }

  template <class Emit>
  void lock_steps(const State& s, int t, Emit&& emit) const {
    const Mutator& m = s.m[t];
    State x = s;
    Mutator& y = x.m[t];
    auto give = [&](u8 o, const char* why) {
      y.old = y.tmp = 0;
      y.pc = idle;
      Fault ft = Fault::none;
      if (o) {
        put(y, t, o);
        if (!(s.alloc & bit(o))) ft = Fault::dangling;
      }
      emit(x, Step{why, t, o, 0, ft});
    };
    if (m.pc == lk_shade) {
      if (!c_.lock_shades) {
        give(m.old, "T%d: lock() returns o%d unshaded");
        return;
      }
      if (white(s, m.old)) {
        if (!drained(s, t)) return;
        grey(x, t, m.old);
      }
      give(m.old, "T%d: lock() shades and returns o%d");
      return;
    }
    if (m.pc == lk_cas) {
      if (!drained(s, t)) return;
      if (s.term == terminating) x.term = marking;
      if (s.term == done) {
        y.tmp = done;
        y.pc = lk_act;
        emit(x, Step{"T%d: lock() comes too late to cancel termination", t});
      } else {
        y.pc = lk_shade;
        emit(x, Step{"T%d: lock() cancels termination", t});
      }
      return;
    }
    switch (m.tmp) {
      case 3:
        give(m.old, "T%d: lock() returns o%d");
        return;
      case marking:
        y.pc = lk_shade;
        emit(x, Step{"T%d: lock() sees marking", t});
        return;
      case terminating:
        y.pc = c_.lock_cancels && (!c_.lock_spares_marked || white(s, m.old)) ? lk_cas : lk_shade;
        emit(x, Step{"T%d: lock() sees termination", t});
        return;
      default:
        give(c_.lock_checks_done && white(s, m.old) ? u8(0) : m.old,
             "T%d: lock() after termination returns o%d");
        return;
    }
  }

  void grey(State& x, int t, u8 o) const {
    if (!c_.raw_buffers) x.mark |= bit(o);
    x.m[t].buf |= bit(o);
  }

  // cancel_first: cancel, then mark.  Otherwise mark, then cancel.
  template <class Emit>
  void shade_step(const State& s, int t, u8 o, u8 cas, u8 next, const char* what, Emit&& emit) const {
    State x = s;
    Mutator& y = x.m[t];
    y.pc = next;
    if (white(s, o)) {
      if (!c_.raw_buffers && !drained(s, t)) return;  // a locked instruction drains the store buffer
      bool cancel = c_.term == Rounds::until_quiet_cas && s.term == terminating;
      if (cancel && !drained(s, t)) return;
      if (cancel) y.pc = cas;
      if (cancel && c_.cancel_first) {
        x.term = marking;
        emit(x, Step{"T%d cancels termination", t});
        return;
      }
      grey(x, t, o);
    }
    finish(y);
    emit(x, Step{what, t, o});
  }
  template <class Emit>
  void after_cancel(const State& s, int t, u8 o, u8 next, const char* what, Emit&& emit) const {
    State x = s;
    Mutator& y = x.m[t];
    y.pc = next;
    if (c_.cancel_first) {
      if (white(s, o)) grey(x, t, o);
    } else {
      if (x.term == terminating) x.term = marking;
      what = "T%d cancels termination";
    }
    finish(y);
    emit(x, Step{what, t, o});
  }

  // ---- handshakes, seen from the thread that answers
  bool may_answer(const State& s, int t) const {
    const Mutator& m = s.m[t];
    if (!(s.pend >> t & 1) || !drained(s, t)) return false;
    if (m.life == leaving || m.life == cancelled || m.life == dead || (m.life == waits && !c_.end_is_blocked)) return false;
    if (m.pc == idle) return true;
    if (c_.poll_in_slow_path && m.pc == st_old) return true;
    if (in_runtime(m)) return false;
    if (c_.hs == Handshake::asynchronous) return true;
    if (c_.hs == Handshake::refuse_in_barrier) return !in_barrier(m);
    return false;
  }
  void scan(State& x, int t) const {
    const Mutator& m = x.m[t];
    auto see = [&](u8 o) {
      if (!o || o > n_ || !white(x, o)) return;
      if (c_.sh.ends) x.m[t].answered_raw |= bit(o);
      else grey(x, t, o);
    };
    for (int r = 0; r < c_.sh.regs[t]; ++r) see(m.reg[r]);
    if (x.runner == t + 1) see(x.fiber);
    if (x.frame_runner == t + 1) {
      see(x.frame);
      if (c_.coro_running_scans) see(in_frame(x));
    }
    if (c_.keep_alive && in_barrier(m)) {
      see(m.old);
      see(m.neu);
      if (m.slot != global_) see(m.slot);
    }
  }
  bool take_buffer(State& x, int t) const {  // true if it held anything newly grey
    u8 b = x.m[t].buf;
    x.m[t].buf = 0;
    if (c_.raw_buffers) {
      b &= u8(x.alloc & ~x.born & ~x.mark);
      x.mark |= b;
    }
    x.work |= b;
    return b != 0;
  }
  template <class Emit>
  void answer(const State& s, int t, Emit&& emit) const {
    if (!may_answer(s, t)) return;
    State x = s;
    Mutator& y = x.m[t];
    bool inside = s.m[t].pc != idle;  // fell between two instructions
    auto hand_over = [&] {
      if (c_.sh.ends) answer_with_buffer(y);
      else if (take_buffer(x, t) && s.cpc == c_flush) x.hadwork = 1;
    };
    const char* what = "";
    switch (s.cpc) {
      case c_hs1:
        y.flag = 1;
        if (!c_.epoch_at_hs2) y.epoch = 2;
        if (inside && c_.scan_at_hs1) scan(x, t);
        what = inside ? "T%d answers HS1 (flag on) inside an operation" : "T%d answers HS1 (flag on)";
        if (c_.merged_handshakes) {
          scan(x, t);
          y.black = 1;
          if (s.runner == t + 1) x.fiber_black = 1;
          if (s.frame_runner == t + 1) x.frame_black = 1;
          y.epoch = 2;
          hand_over();
        }
        break;
      case c_hs2:
        scan(x, t);
        y.black = 1;
        if (s.runner == t + 1) x.fiber_black = 1;
        if (s.frame_runner == t + 1) x.frame_black = 1;
        y.epoch = 2;
        hand_over();
        what = inside ? "T%d answers HS2 (scan) inside an operation" : "T%d answers HS2 (scan)";
        break;
      case c_flush:
        if (inside && c_.scan_at_flush) scan(x, t);
        hand_over();
        what = inside ? "T%d answers a flush inside an operation" : "T%d answers a flush";
        break;
      case c_off:
        y.flag = 0;
        what = inside ? "T%d answers HS3 (flag off) inside an operation" : "T%d answers HS3 (flag off)";
        break;
      default:
        return;
    }
    Fault ft = Fault::none;
    if (s.cpc == c_off && (y.buf | y.raw)) {
      if (!s.aborted && (!c_.raw_buffers || (y.buf & s.alloc & ~s.born & ~s.mark))) ft = Fault::late_grey;
      y.buf = y.raw = 0;
    }
    x.pend &= u8(~(1u << t));
    if (!x.pend) all_answered(x);
    emit(x, Step{what, t, 0, 0, ft});
  }
  // A handshake asks the threads that there are; without any it is over.
  void ask(State& x) const {
    x.pend = 0;
    for (int t = 0; t < kThreads; ++t) x.pend |= u8((x.m[t].life != gone) << t);
    if (!x.pend) all_answered(x);
  }
  void all_answered(State& x) const {
    switch (x.cpc) {
      case c_hs1:
        if (c_.merged_handshakes)
          x.cpc = c_cards;
        else if (c_.card == Cards::cleaned_between && (!x.full || c_.full_cleans))
          x.cpc = c_clean;
        else {
          x.cpc = c_hs2;
          ask(x);
        }
        break;
      case c_hs2:
        x.cpc = c_.sh.ends ? c_take_scans : c_cards;
        break;
      case c_flush:
        x.cpc = c_.sh.ends ? c_take_flushed : c_decide;
        break;
      case c_off:
        x.cpc = c_sweep;
        break;
    }
  }

  // ---- the collector
  void collect_cards(State& x, bool clean) const {
    for (int o = 1; o <= n_; ++o) {
      bool dirty = k2() ? x.card[card_of(o)] >= (c_.only_current_epoch ? 2 : 1) : x.card[card_of(o)] != 0;
      if (dirty) x.list |= bit(o);
    }
    if (c_.root_card && !x.full && !x.root_dirty) x.rooted = 1;
    if (c_.root_card && clean) x.root_dirty = 0;
    if (c_.fiber_card) x.fiber_listed |= x.fiber_dirty;
    if (c_.fiber_card && (clean || !c_.fiber_lossy)) x.fiber_dirty = 0;
    if (clean)
      for (u8& k : x.card) k = 0;
  }
  // scan one field of an object that is old or becomes old
  void visit(State& x, int o, int f, bool redirty, bool cancel) const {
    u8 v = x.field[o - 1][f];
    if (white(x, v)) {
      x.mark |= bit(v);
      x.work |= bit(v);
      if (cancel && c_.term == Rounds::until_quiet_cas && x.term == terminating) x.term = marking;
    } else if (v && redirty && !k2() && young_kept_apart() && (x.born & bit(v)) && !(x.mark & bit(v)) &&
               (!x.full || c_.full_cleans))
      x.card[card_of(o)] = 1;
  }
  template <class Emit>
  void mark_steps(const State& s, bool helper, Emit&& emit) const {
    if (s.cur) {
      State x = s;
      x.cur = 0;
      visit(x, s.cur, 1, c_.redirty_mark, helper);
      emit(x, Step{"collector scans the second field of o%d", s.cur});
      return;
    }
    for (int o = 1; o <= n_; ++o)
      if (s.work & bit(o)) {
        State x = s;
        x.work &= u8(~bit(o));
        visit(x, o, 0, c_.redirty_mark, helper);
        if (c_.sh.f > 1) x.cur = u8(o);
        emit(x, Step{helper ? "helper scans o%d" : "collector scans o%d", o});
      }
  }
  u8 reachable(const State& s) const {
    u8 r = 0;
    auto add = [&](int o) {
      if (o >= 1 && o <= n_) r |= bit(o);
    };
    if (c_.use_global) add(s.global);
    add(s.fiber);
    if (s.frame_runner) add(s.frame);
    for (int t = 0; t < kThreads; ++t) {
      const Mutator& m = s.m[t];
      for (int k = 0; k < c_.sh.regs[t]; ++k) add(m.reg[k]);
      if (in_barrier(m) && !stored(m)) {
        add(m.slot);
        add(m.neu);
      }
      if (m.pc == al_bit) add(m.old);
      for (int i = 0; i < m.sbn; ++i)
        if (!m.sb[i].card) {
          add(m.sb[i].target);
          add(m.sb[i].value);
        }
    }
    for (u8 before = 0; before != r;) {
      before = r;
      for (int o = 1; o <= n_; ++o)
        if (r & bit(o))
          for (int f = 0; f < c_.sh.f; ++f) add(s.field[o - 1][f]);
    }
    return r;
  }
  u8 closure_with(const State& s, u8 extra) const {
    u8 r = extra;
    for (u8 before = 0; before != r;) {
      before = r;
      for (int o = 1; o <= n_; ++o)
        if (r & bit(o))
          for (int f = 0; f < c_.sh.f; ++f)
            if (u8 v = s.field[o - 1][f]) r |= bit(v);
    }
    return r;
  }
  // Without a fiber its part of the state is not kept from step to step.
  bool fiber_is_read(const State& s) const { return !c_.sh.fiber || s.fiber_read; }
  // All threads are black, so who runs on it has scanned it, and nobody makes it grey again.
  template <class Emit>
  void read_fiber(const State& s, Emit&& emit) const {
    State x = s;
    x.fiber_read = 1;
    const bool read = s.runner == 0 && is_unread(s);
    if (read && white(s, s.fiber)) {
      x.mark |= bit(s.fiber);
      x.work |= bit(s.fiber);
    }
    if (read) x.fiber_black = 1;
    emit(x, Step{read ? "collector reads the parked fiber (o%d)" : "collector passes the fiber", s.fiber});
  }
  void off(State& x) const { x.cpc = c_off_start; }

  template <class Emit>
  void collect(const State& s, Emit&& emit) const {
    switch (s.cpc) {
      case c_idle:
        for (int full = 0; full <= 1; ++full) {
          if (full ? !c_.full : (!c_.young || (s.aborted && c_.aborted_forces_full))) continue;
          State x = s;
          x.full = u8(full);
          x.aborted = 0;
          x.term = marking;
          x.rooted = !c_.use_global;
          x.fiber_read = 0;
          x.hadwork = 0;
          if (full) x.mark = 0;
          if (k2()) {
            auto age = [](u8& v) {
              if (v) --v;
            };
            for (u8& k : x.card) age(k);
            for (Mutator& m : x.m) {
              age(m.epoch);
              if (m.pc == st_card) age(m.tmp);
              for (int i = 0; i < m.sbn; ++i)
                if (m.sb[i].card) age(m.sb[i].value);
            }
          }
          if (c_.card == Cards::cleaned_early && !full) collect_cards(x, true);
          if (full && c_.check_live) {
            u8 temps = 0;
            for (const Mutator& m : s.m) {
              if (m.old) temps |= bit(m.old);
              if (m.neu) temps |= bit(m.neu);
            }
            if (s.weak) temps |= bit(s.weak);
            x.doomed = s.alloc & u8(~closure_with(s, u8(reachable(s) | temps)));
          }
          if (c_.global_flag) x.m[0].flag = 1;
          x.cpc = c_hs1;
          ask(x);
          emit(x, Step{full ? "== full cycle starts" : "== young cycle starts"});
        }
        return;
      case c_clean: {
        State x = s;
        if (c_.lossy_clean && !s.hadwork) {
          collect_cards(x, false);
          x.hadwork = 1;
          emit(x, Step{"collector lists the dirty cards"});
          return;
        }
        if (c_.lossy_clean) {
          for (u8& k : x.card) k = 0;
          x.root_dirty = 0;
          if (c_.fiber_lossy) x.fiber_dirty = 0;
          x.hadwork = 0;
        } else
          collect_cards(x, true);
        if (x.full) x.list = 0;  // a full cycle meets every old object anyway
        x.cpc = c_hs2;
        ask(x);
        emit(x, Step{c_.lossy_clean ? "collector zeroes all cards"
                                    : "collector lists and cleans the dirty cards"});
        return;
      }
      case c_hs2:
        if (c_.fiber_early && !fiber_is_read(s)) read_fiber(s, emit);
        return;
      case c_cards: {
        State x = s;
        x.cpc = c_mark;
        if (!x.full) {
          if (c_.card == Cards::cleaned_late) {
            collect_cards(x, c_.clean_fence);
            if (!c_.clean_fence) x.todo = x.list;
          }
          if (c_.card == Cards::epoch) collect_cards(x, false);
        } else if (c_.full_cleans && young_kept_apart() && c_.card != Cards::cleaned_between)
          for (u8& k : x.card) k = 0;
        emit(x, Step{c_.card == Cards::cleaned_late && !s.full
                         ? "collector lists the dirty cards and cleans them"
                         : "collector starts marking"});
        return;
      }
      case c_mark: {
        bool idle_now = true;
        if (c_.abort) {
          State x = s;
          x.aborted = 1;
          x.work = x.raw = x.list = x.todo = 0;
          x.cur = 0;
          x.rooted = x.fiber_read = 0;
          off(x);
          if (c_.global_flag) x.m[0].flag = 0;
          emit(x, Step{"== collector gives the cycle up"});
        }
        if (!fiber_is_read(s)) {
          idle_now = false;
          read_fiber(s, emit);
        }
        if (!s.rooted) {
          idle_now = false;
          State x = s;
          x.rooted = 1;
          if (white(s, s.global)) {
            x.mark |= bit(s.global);
            x.work |= bit(s.global);
          }
          emit(x, Step{"collector scans the global cell (o%d)", s.global});
        }
        if (!s.cur)
          for (int o = 1; o <= n_; ++o)
            if (s.list & bit(o)) {
              idle_now = false;
              State x = s;
              x.list &= u8(~bit(o));
              bool old = s.mark & bit(o);
              if (old)
                for (int f = 0; f < c_.sh.f; ++f) visit(x, o, f, c_.redirty_scan, false);
              emit(x, Step{old ? "collector scans the old object o%d on a dirty card"
                               : "collector skips young o%d on a dirty card",
                           o});
            }
        for (int o = 1; o <= n_; ++o)
          if ((s.todo & bit(o)) && !(s.list & bit(o))) {  // cleaning overtaken by the reads
            idle_now = false;
            State x = s;
            x.todo &= u8(~bit(o));
            x.card[card_of(o)] = 0;
            emit(x, Step{"the cleaning of o%d's card becomes visible", o});
          }
        if (s.work || s.cur) {
          idle_now = false;
          mark_steps(s, false, emit);
        }
        for (int o = 1; o <= n_; ++o)
          if (s.raw & bit(o)) {
            idle_now = false;
            State x = s;
            x.raw &= u8(~bit(o));
            mark_word(x, o);
            emit(x, Step{"collector looks at the word o%d", o});
          }
        if (idle_now) {
          State x = s;
          x.cpc = c_term;
          emit(x, Step{"collector: worklist empty"});
        }
        return;
      }
      case c_term: {
        State x = s;
        if (c_.term == Rounds::one && s.hadwork == 1 && s.todo == 0 && s.pend == 0 && s.term == terminating) {
          x.term = done;
          x.cpc = c_weak;
          emit(x, Step{"collector: marking declared done after one round"});
          return;
        }
        x.term = terminating;
        x.hadwork = 0;
        x.cpc = c_flush;
        ask(x);
        emit(x, Step{"collector starts a flush round"});
        return;
      }
      case c_flush:
        if (c_.helper) mark_steps(s, true, emit);
        return;
      case c_take_scans:
      case c_take_flushed:
        take_answers(s, emit);
        return;
      case c_decide: {
        if (c_.helper && (s.work || s.cur)) mark_steps(s, true, emit);
        State x = s;
        if (c_.term == Rounds::one) {
          x.hadwork = 1;
          x.cpc = c_mark;
          emit(x, Step{"collector takes what the only flush brought"});
          return;
        }
        bool quiet =
            !s.work && !s.raw && !s.cur && !s.hadwork && (c_.term != Rounds::until_quiet_cas || s.term == terminating);
        if (quiet) {
          x.term = done;
          x.cpc = c_weak;
          emit(x, Step{"collector: marking is done"});
        } else {
          x.term = marking;
          x.cpc = c_mark;
          emit(x, Step{"collector: round found work, marks on"});
        }
        return;
      }
      case c_weak: {
        State x = s;
        if (c_.weak && white(s, s.weak)) x.weak = 0;
        off(x);
        emit(x, Step{"collector clears dead weak references"});
        return;
      }
      case c_off_start: {
        State x = s;
        if (c_.global_flag) x.m[0].flag = 0;
        x.cpc = c_off;
        ask(x);
        emit(x, Step{"collector starts HS3 (barriers off)"});
        return;
      }
      case c_sweep: {
        State x = s;
        Fault ft = Fault::none;
        if (!s.aborted) {
          u8 dead = s.alloc & u8(~s.born) & u8(~s.mark);
          if (dead & reachable(s))
            ft = Fault::lost;
          else if (s.doomed & u8(~dead))
            ft = Fault::leaked;
          x.alloc &= u8(~dead);
          for (int o = 1; o <= n_; ++o)
            if (dead & bit(o))
              for (int f = 0; f < c_.sh.f; ++f) x.field[o - 1][f] = 0;
          if (s.weak && (dead & bit(s.weak))) ft = Fault::dangling;
          if (s.raw) ft = Fault::late_grey;  // it would be looked at in the next cycle
        }
        x.born = 0;
        x.doomed = 0;
        x.hadwork = 0;
        x.work = x.raw = x.list = x.todo = 0;
        x.rooted = 0;
        x.fiber_black = x.fiber_read = x.fiber_listed = x.frame_black = 0;
        if (s.frame && !(x.alloc & bit(s.frame))) x.frame = x.frame_runner = 0;
        x.cur = 0;
        x.term = marking;
        x.full = 0;
        for (Mutator& m : x.m) m.black = 0;
        x.cpc = c_idle;
        emit(x, Step{s.aborted ? "== nothing swept" : "== sweep (frees o-set %d)",
                     int(s.alloc & u8(~s.born) & u8(~s.mark)), 0, 0, ft});
        return;
      }
    }
  }
};

}  // namespace model

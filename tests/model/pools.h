// Numbers of lull::pool and the threads' parts by them (gc/mutator/pools.cc, include/lull/detail/pool.h): pools that come and go with one number, two
// threads that use, make and destroy them, end and start, one of which may end and tell nobody, and the driver, which ages all parts in full cycles
// and frees what nobody keeps.
//
// Of each part the model knows whose it is, of which pool, and whether its memory is there. What lies in it is not modelled: an object of
// one pool that comes out of another is a part of one pool that is used for another. The program uses no pool that is being destroyed.
#pragma once
#include "packed.h"

namespace model::pools {

enum class Mutant {
  none,
  number_at_once,   // a destroyed pool's number is free before its parts are forgotten
  list_kept,        // its list stays until then: harmless, since nobody uses it
  forget_nothing,   // nobody forgets them
  forget_own,       // only who destroys it does
  root_early,       // the list's root goes before the parts are forgotten
  adopt_anyway,     // a thread takes a part over without a swap
  leave_open,       // a thread that ends answers handshakes while it leaves its parts
  bury_nothing,     // of a thread that ended unnoticed nobody leaves the parts
};

struct Config {
  int budget = 3;  // what each thread does, at most
  int cycles = 2;
  int pools = 2;   // that are made, at most
  int dies = 0;    // thread 1 may end and tell nobody
  Mutant mutant = Mutant::none;
};

enum class Fault { none, mixed, freed, shared, lost, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::mixed: return "PART OF ANOTHER POOL USED";
    case Fault::freed: return "PART TOUCHED THAT WAS FREED";
    case Fault::shared: return "PART USED BY TWO THREADS";
    case Fault::lost: return "PART THAT NOBODY TAKES OVER";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

constexpr int kThreads = 2, kMostPools = 3, kMostParts = 6;
constexpr u8 kDriver = kThreads + 1;             // holds a lock
enum List : u8 { number_free, no_parts, first };  // first + p: pool p's
enum Pc : u8 {
  program,
  u_look, u_adopt, u_swap, u_have,         // own_local()
  x_list, x_lock, x_forget, x_next, x_unlock, x_free, x_root,  // forget_pool()
  e_load, e_store, e_lock, e_unlink, gone, s_lock, s_link,    // leave_pools(), detach_self(), try_attach()
  a_load, a_move,                          // age_own_pools(), by the thread itself
  dead,
};
// d_ask to d_wait: handshake 1, and again, when all is marked, handshake 3.
enum DriverPc : u8 { d_idle, d_lock, d_age, d_age_back, d_unlock, d_ask, d_wait, d_load, d_move, d_sweep };

struct Thread {
  u8 pc = program, back = program;
  u8 part = 0;   // in its table
  u8 seen = 0;   // in a register; of an answer: other
  u8 other = 0;
  u8 pool = 0;   // it uses or destroys
  u8 linked = 1, asked = 0, left = 0;
};
struct Part {
  u8 pool = 0, owned = 0, freed = 0;
  u8 doomed = 0;  // not marked
};
struct State {
  Thread t[kThreads];
  Part part[kMostParts + 1];  // [0]: none
  u8 list = number_free, usable = 0, made = 0;  // usable: the pool that there is
  u8 roots = 0;                                 // bit p: pool p's list is kept
  u8 lock = 0, threads_lock = 0;                // by whom
  u8 driver = d_idle, at = 0, cycles = 0, marked = 0;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class PoolModel {
 public:
  using State = pools::State;
  using Step = pools::Step;
  using Fault = pools::Fault;
  using Key = Packed<2>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit PoolModel(const Config& c) : c_(c) {}

  State initial() const {
    State s;
    for (Thread& t : s.t) t.left = u8(c_.budget);
    s.cycles = u8(c_.cycles);
    return s;
  }
  Key pack(const State& s) const { return pack_fields<Key>(s, [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    for (int t = 0; t < kThreads; ++t) {
      step_thread(s, t, emit);
      answer(s, t, emit);
    }
    step_driver(s, emit);
    const auto rests = [](const Thread& t) { return (t.pc == program && t.asked == 0) || t.pc == gone || t.pc == dead; };
    if (s.driver == d_idle && rests(s.t[0]) && rests(s.t[1])) emit(s, Step{"nothing has to be done", 0, 0, 0, has_lost_part(s) ? Fault::lost : Fault::none});
  }

 private:
  Config c_;

  bool is(Mutant m) const { return c_.mutant == m; }

  template <class Io>
  static void transfer(Io&& io, State& s) {
    for (Thread& t : s.t) {
      io(t.pc, 5), io(t.back, 5), io(t.part, 3), io(t.seen, 3), io(t.other, 3), io(t.pool, 2), io(t.linked, 1), io(t.asked, 1), io(t.left, 3);
    }
    for (int i = 1; i <= kMostParts; ++i) io(s.part[i].pool, 2), io(s.part[i].owned, 1), io(s.part[i].freed, 1), io(s.part[i].doomed, 1);
    io(s.list, 3), io(s.usable, 2), io(s.made, 2), io(s.roots, 4), io(s.lock, 2), io(s.threads_lock, 2);
    io(s.driver, 4), io(s.at, 3), io(s.cycles, 2), io(s.marked, 1);
  }

  static bool has_lost_part(const State& s) {
    for (u8 p = 1; p <= kMostParts; ++p)
      if (s.part[p].pool && s.part[p].pool == s.usable && s.part[p].owned && s.t[0].part != p && s.t[1].part != p) return true;
    return false;
  }
  static bool is_nobodys(const State& s, u8 p) { return s.part[p].pool && s.list == first + s.part[p].pool && !s.part[p].owned; }
  static Fault touch(const State& s, u8 part) { return part != 0 && s.part[part].freed ? Fault::freed : Fault::none; }
  // A part has come into the thread's table.
  static Fault got(const State& s, int t) {
    const Thread &own = s.t[t], &other = s.t[1 - t];
    if (s.part[own.part].freed) return Fault::freed;
    if (s.part[own.part].pool != own.pool) return Fault::mixed;
    return other.linked && other.part == own.part ? Fault::shared : Fault::none;
  }
  static bool is_used(const State& s) {
    for (const Thread& t : s.t)
      if (t.pool == s.usable && t.pc != dead) return true;
    return false;
  }
  // Where a handshake's signal is refused, and where the driver answers instead.
  bool refuses(const Thread& t) const {
    if (t.pc == e_load || t.pc == e_store) return !is(Mutant::leave_open);
    return t.pc == x_list || t.pc == x_free || t.pc == a_load || t.pc == a_move || t.pc == s_link;
  }
  static bool is_blocked(const Thread& t) { return t.pc == x_lock || t.pc == e_lock || (t.pc >= x_forget && t.pc <= x_unlock) || t.pc == e_unlink; }

  template <class Emit>
  void answer(const State& before, int i, Emit& emit) const {
    const Thread& t = before.t[i];
    if (!t.asked || t.pc == gone || t.pc == dead || t.pc == s_lock || is_blocked(t) || refuses(t)) return;
    State s = before;
    if (s.marked) {
      s.t[i].asked = 0;
      return emit(s, Step{"T%d answers handshake 3", i});
    }
    s.t[i].back = t.pc, s.t[i].pc = a_load;
    emit(s, Step{"T%d begins to answer", i});
  }

  template <class Emit>
  void step_thread(const State& before, int i, Emit& emit) const {
    State s = before;
    Thread& t = s.t[i];
    const u8 me = u8(i + 1);
    const auto done = [&](const char* what, u8 next, Fault f = Fault::none) {
      t.pc = next;
      emit(s, Step{what, i, 0, 0, f});
      s = before;
    };
    switch (t.pc) {
      case program:
        if (!t.left) return;
        --t.left;
        if (s.list == number_free && s.made < c_.pools && s.lock == 0 && !s.usable) {  // take_number()
          ++s.made, s.usable = s.made, s.list = u8(first + s.made), s.roots |= u8(1u << s.made);
          done("T%d makes a pool", program);
          --t.left;
        }
        if (s.usable) t.pool = s.usable, done("T%d begins to use the pool", u_look), --t.left;
        if (s.usable && !is_used(s)) t.pool = s.usable, s.usable = 0, done("T%d begins to destroy the pool", x_list), --t.left;
        if (i == 1 && c_.dies) done("T%d ends and tells nobody", dead), --t.left;
        return done("T%d begins to end", e_load);

      case u_look:
        if (t.part != 0) return done("T%d has a part", u_have, got(s, i));
        return done("T%d has no part", u_adopt);
      case u_adopt: {
        for (u8 p = 1; p <= kMostParts; ++p)
          if (is_nobodys(s, p)) t.seen = p, done("T%d finds a part that is nobody's", u_swap, touch(before, p));
        u8 fresh = 1;
        while (fresh <= kMostParts && s.part[fresh].pool) ++fresh;
        if (fresh > kMostParts) return done("T%d has no memory for a part", u_have);
        if (s.list < first) return done("T%d finds no list", u_have, Fault::mixed);
        s.part[fresh] = {.pool = u8(s.list - first), .owned = 1}, t.part = fresh;
        return done("T%d makes a part", u_have, got(s, i));
      }
      case u_swap:
        if (s.part[t.seen].owned && !is(Mutant::adopt_anyway)) return t.seen = 0, done("T%d was too late for it", u_adopt);
        s.part[t.seen].owned = 1, t.part = t.seen, t.seen = 0;
        return done("T%d takes it over", u_have, got(s, i));
      case u_have: {
        const Fault f = t.part ? got(s, i) : Fault::none;
        t.pool = 0;
        return done("T%d has used it", program, f);
      }

      case x_list:
        if (s.lock != 0) return;
        if (!is(Mutant::list_kept)) s.list = is(Mutant::number_at_once) ? number_free : no_parts;
        if (is(Mutant::root_early)) s.roots &= u8(~(1u << t.pool));
        return done("T%d closes the pool's list", is(Mutant::forget_nothing) ? x_free : x_lock);
      case x_lock:
        if (s.threads_lock != 0) return;
        s.threads_lock = me;
        return done("T%d goes through the threads", x_forget);
      case x_forget:
        t.part = 0;
        return done("T%d forgets its own part", is(Mutant::forget_own) ? x_unlock : x_next);
      case x_next:
        if (s.t[1 - i].linked) s.t[1 - i].part = 0;
        return done("T%d forgets the other thread's part", x_unlock);
      case x_unlock:
        s.threads_lock = 0;
        return done("T%d has gone through the threads", x_free);
      case x_free:
        if (s.lock != 0) return;
        if (s.list == no_parts || is(Mutant::list_kept)) s.list = number_free;
        return done("T%d frees the number", x_root);
      case x_root:
        s.roots &= u8(~(1u << t.pool)), t.pool = 0;
        return done("T%d lets the list go", program);

      case e_load: t.seen = t.part, t.part = 0; return done("T%d, which ends, looks for its part", e_store);
      case e_store: {
        const Fault f = touch(s, t.seen);
        s.part[t.seen].owned = 0, t.seen = 0;
        return done("T%d leaves its part", e_lock, f);
      }
      case e_lock:
        if (s.threads_lock != 0) return;
        s.threads_lock = me;
        return done("T%d has the list of threads", e_unlink);
      case e_unlink:
        s.threads_lock = 0, t.linked = 0, t.asked = 0;
        return done("T%d is gone", gone);
      case gone:
        if (!t.left) return;
        --t.left;
        return done("T%d starts", s_lock);
      case s_lock:
        if (s.threads_lock != 0) return;
        s.threads_lock = me;
        return done("T%d, which starts, has the list of threads", s_link);
      case s_link:
        s.threads_lock = 0, t.linked = 1;
        return done("T%d is in the list", program);

      case a_load: t.other = t.part; return done("T%d looks for the part that is to age", a_move);
      case a_move: {
        const Fault f = touch(s, t.other);
        t.other = 0, t.asked = 0, t.pc = t.back, t.back = program;
        return done("T%d ages its part", t.pc, f);
      }
    }
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
        if (!s.cycles) return;
        --s.cycles;
        return done("a full cycle begins", d_lock);
      case d_lock:
        if (s.lock != 0) return;
        s.lock = kDriver;
        return done("the driver has the lock of the lists", d_age);
      case d_age:
        for (u8 p = 1; p <= kMostParts; ++p)
          if (is_nobodys(s, p)) {
            const Fault f = touch(s, p);
            s.part[p].owned = 1, s.at = p;
            done("the driver ages a part that is nobody's", d_age_back, f);
          }
        return done("the driver has aged the lists", d_unlock);
      case d_age_back:
        s.part[s.at].owned = 0, s.at = 0;
        return done("the driver is done with it", d_unlock);
      case d_unlock:
        s.lock = 0;
        return done("the driver gives the lock up", d_ask);
      case d_ask:
        if (s.threads_lock != 0) return;
        s.threads_lock = kDriver;
        for (Thread& t : s.t) t.asked = t.linked;
        return done("the driver asks the threads", d_wait);
      case d_wait: {
        bool all = true;
        for (u8 i = 0; i < kThreads; ++i) {
          const Thread& t = before.t[i];
          if (!t.asked) continue;
          all = false;
          if (is_blocked(t)) {
            if (s.marked) s.t[i].asked = 0, done("the driver answers handshake 3 for a thread", d_wait);
            else s.at = i, done("the driver answers for a thread", d_load);
          }
          if (t.pc == dead) bury(before, i, emit);
        }
        if (!all) return;
        s.threads_lock = 0;
        if (s.marked) return done("all have answered", d_sweep);
        s.marked = 1;
        for (Part& part : s.part) part.doomed = part.pool && !(s.roots >> part.pool & 1);
        return done("all have answered, what is kept is marked", d_ask);
      }
      case d_load: s.t[s.at].other = s.t[s.at].part; return done("the driver looks for the part that is to age", d_move);
      case d_move: {
        Thread& t = s.t[s.at];
        const Fault f = touch(s, t.other);
        t.other = 0, t.asked = 0, s.at = 0;
        return done("the driver ages it", d_wait, f);
      }
      case d_sweep:
        s.marked = 0;
        for (Part& part : s.part)
          if (part.doomed) part.freed = 1;
        return done("parts that nobody keeps are freed", d_idle);
    }
  }
  template <class Emit>
  void bury(State s, int i, Emit& emit) const {
    Thread& t = s.t[i];
    const Fault f = touch(s, t.part);
    if (!is(Mutant::bury_nothing)) s.part[t.part].owned = 0;
    t = {.pc = gone, .linked = 0, .left = t.left};
    s.part[0] = {};
    emit(s, Step{"the driver finds T%d gone and leaves its part", i, 0, 0, f});
  }
};

}  // namespace model::pools

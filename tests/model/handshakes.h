// Handshakes below the protocol (gc/mutator/handshake.cc, signal.cc, registry.cc): who performs an operation, the thread or the driver for
// it, while threads block, come back, are interrupted by the handshake signal, end, and start with the record of one that ended.
//
// Every access of a shared word is a step. Each that stores is a locked instruction in the code, so memory is sequentially consistent.
// What threads and driver may do is bounded; then a thread computes and answers, by signal or by polls. A driver that waits for ever is
// so one that nothing else can hide.
#pragma once
#include "packed.h"

namespace model::handshakes {

enum class Mutant {
  none,
  no_claim,            // the driver looks at the state and does not change it
  leave_anyway,        // a thread comes back though it is claimed
  park_clears_late,    // parking, it is blocked before its request is cleared
  park_counted_early,  // ... it has answered before it is blocked
  epoch_late,          // ... it looks up the number of stops when it has answered
  clear_late,          // an answer reads the request before it clears the flag of polls
  flag_first,          // the driver sets that flag before the request
  missing_late,        // it counts the threads after it has asked
  handler_anyway,      // the handler answers in runtime sections, too
  enter_open,          // a thread that blocks does not refuse the signal meanwhile
  end_unlocked,        // a thread ends, or starts, without the lock of the list
  start_unlocked,
  state_kept,          // the record of a thread that ended keeps its state
  dead_waited_for,     // nobody looks for threads that ended without telling
  dead_uncounted,      // such a thread is taken out of the list, and waited for all the same
  dead_answered,       // ... and counted though it had answered
  dead_flagged,        // its flag of polls, which went with it, is set
  dead_acted_for,      // a blocked thread is acted for without a look whether it is there
};

struct Config {
  int signals = 1;  // 0: threads poll
  int budget = 2;   // what each thread does, at most
  int rounds = 2;   // handshakes, at most, a stop being one
  int stops = 1;    // the driver may stop the world
  int dies = 0;     // 1: threads may end without telling anybody, 2: blocked ones, too
  Mutant mutant = Mutant::none;
};

enum class Fault { none, twice, missed, unsafe, awake, vanished, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::twice: return "PERFORMED TWICE";
    case Fault::missed: return "NOT PERFORMED";
    case Fault::unsafe: return "PERFORMED ON A THREAD THAT RUNS";
    case Fault::awake: return "A THREAD RUNS IN A STOPPED WORLD";
    case Fault::vanished: return "MEMORY OF A THREAD THAT IS GONE IS TOUCHED";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

constexpr int kThreads = 2;
enum ThreadState : u8 { running, blocked, claimed };
enum Op : u8 { none, small, park };
enum Place : u8 { nowhere, in_a_region, parked };  // what blocked_sp says
enum Pc : u8 {
  program,
  r_out,                                            // a runtime section, which polls at its end
  b_publish, b_state, b_refuse,                     // enter_blocked()
  region, l_swap, l_poll,                           // blocked; leave_blocked()
  a_clear, a_read, a_perform, a_note, a_count, a_leave,  // answer_self()
  p_epoch, p_place, p_note, p_state, p_count, p_late, p_wait, p_swap,  // park()
  e_state, e_lock, gone, s_link,                    // detach_self(), try_attach()
  dead,                                             // the thread has ended, its record is in the list
};
enum DriverPc : u8 { d_idle, d_lock, d_count, d_ask, d_flag, d_wait, d_look, d_clear, d_missing, d_unclaim, d_stopped, d_free, d_resume, d_unlock };

struct Thread {
  u8 pc = program, back = program;
  u8 state = running, pending = none, polled = 0, place = nowhere;
  u8 linked = 1, refuses = 0, handler = 0;  // refuses: depth of runtime sections
  u8 op = none, epoch = 0, held = 0, performed = 0, left = 0;
};
struct State {
  Thread t[kThreads];
  u8 driver = d_idle, at = 0, op = none, rounds = 0, locked = 0, missing = 0, stopped = 0, resumed = 0;  // locked: the driver's; no thread keeps it from step to step
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class HandshakeModel {
 public:
  using State = handshakes::State;
  using Step = handshakes::Step;
  using Fault = handshakes::Fault;
  using Key = Packed<2>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit HandshakeModel(const Config& c) : c_(c) {}

  State initial() const {
    State s;
    for (Thread& t : s.t) t.left = u8(c_.budget);
    s.rounds = u8(c_.rounds);
    return s;
  }
  Key pack(const State& s) const { return pack_fields<Key>(s, [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    for (int t = 0; t < kThreads; ++t) {
      step_thread(s, t, emit);
      interrupt(s, t, emit);
    }
    step_driver(s, emit);
    const auto rests = [](const Thread& t) { return t.pc == gone || t.pc == dead || (t.pc == program && !t.handler); };
    if (s.driver == d_idle && s.rounds == 0 && rests(s.t[0]) && rests(s.t[1])) emit(s, Step{"nothing is left to do"});
  }

 private:
  Config c_;

  bool is(Mutant m) const { return c_.mutant == m; }

  template <class Io>
  static void transfer(Io&& io, State& s) {
    for (Thread& t : s.t) {
      io(t.pc, 5), io(t.back, 5), io(t.state, 2), io(t.pending, 2), io(t.polled, 1), io(t.place, 2), io(t.linked, 1), io(t.refuses, 2);
      io(t.handler, 1), io(t.op, 2), io(t.epoch, 2), io(t.held, 1), io(t.performed, 2), io(t.left, 2);
    }
    io(s.driver, 4), io(s.at, 1), io(s.op, 2), io(s.rounds, 2), io(s.locked, 1), io(s.missing, 2), io(s.stopped, 1), io(s.resumed, 2);
  }

  // It executes nothing of the program, nor an answer, until somebody lets it. In regions it counts as running until it is blocked.
  static bool is_stopped(const Thread& t) {
    return t.pc == b_refuse || t.pc == region || t.pc == l_swap || t.pc == e_lock || (t.pc >= p_count && t.pc <= p_swap);
  }
  static Place place_of(const Thread& t) { return t.pc >= p_count && t.pc <= p_swap ? parked : in_a_region; }
  static Fault perform(Thread& t, bool on_behalf) {
    if (t.pc == dead) return Fault::vanished;
    if (on_behalf && (!is_stopped(t) || t.place != place_of(t))) return Fault::unsafe;
    return ++t.performed > 1 ? Fault::twice : Fault::none;
  }

  // The handler: anywhere but in runtime sections and blocked. The driver sends the signal again as long as it waits.
  template <class Emit>
  void interrupt(const State& before, int i, Emit& emit) const {
    const Thread& t = before.t[i];
    if (!c_.signals || !t.linked || t.handler || t.pending == none || before.driver != d_wait || t.pc == gone || t.pc == s_link || t.pc == dead) return;
    if (t.state != running || (t.refuses && !is(Mutant::handler_anyway))) return;
    State s = before;
    s.t[i].handler = 1, s.t[i].back = t.pc, s.t[i].pc = a_clear;
    if (t.refuses && t.pc >= a_clear && t.pc <= p_swap) s.t[i].back = a_leave;  // one place to come back to is enough for that mutant
    emit(s, Step{"T%d is interrupted and begins to answer", i});
  }

  template <class Emit>
  void step_thread(const State& before, int i, Emit& emit) const {
    State s = before;
    Thread& t = s.t[i];
    const auto done = [&](const char* what, u8 next, Fault f = Fault::none) {
      t.pc = next;
      emit(s, Step{what, i, 0, 0, f});
      s = before;
    };
    const auto answer = [&](const char* what, u8 back) {
      t.back = back, ++t.refuses;
      done(what, a_clear);
    };
    const bool is_free = !before.locked;
    switch (t.pc) {
      case program:
        if (t.polled && !t.handler) answer("T%d polls", program);
        if (!t.left) return;
        if (c_.dies && !t.handler) --t.left, done("T%d ends and tells nobody", dead);
        --t.left, ++t.refuses, done("T%d begins a runtime section", r_out);
        --t.left, t.refuses = u8(t.refuses + !is(Mutant::enter_open)), done("T%d begins to block", b_publish);
        --t.left, ++t.refuses, t.place = in_a_region, done("T%d begins to end", e_state);
        return;
      case r_out:
        --t.refuses;
        return done("T%d ends a runtime section", l_poll);
      case b_publish: t.place = in_a_region; return done("T%d publishes where it blocks", b_state);
      case b_state: t.state = blocked; return done("T%d is blocked", b_refuse);
      case b_refuse: t.refuses = 0; return done("T%d does not refuse signals any more", region);
      case region:
        if (c_.dies == 2) done("T%d ends blocked and tells nobody", dead);
        return done("T%d wants to come back", l_swap);
      case l_swap:
        if (t.state != blocked && !is(Mutant::leave_anyway)) return;
        t.state = running;
        return done("T%d has come back", l_poll);
      case l_poll:
        if (t.pending != none) return answer("T%d polls and finds a request", program);
        return done("T%d polls", program);

      case a_clear:
        if (is(Mutant::clear_late)) t.op = t.pending;
        else t.polled = 0;
        return done("T%d clears its flag", a_read);
      case a_read:
        if (is(Mutant::clear_late)) t.polled = 0;
        else t.op = t.pending;
        return done("T%d reads what is asked", t.op == none ? a_leave : t.op == park ? p_epoch : a_perform);
      case a_perform: {
        const Fault f = perform(t, false);
        return done("T%d performs it", a_note, f);
      }
      case a_note: t.pending = none; return done("T%d clears the request", a_count);
      case a_count:
        --s.missing, t.op = none;
        return done("T%d counts its answer", a_leave);
      case a_leave:
        if (t.handler) t.handler = 0;
        else --t.refuses;
        t.op = none;
        t.pc = t.back, t.back = program;
        return done("T%d has answered", t.pc);

      case p_epoch:
        if (!is(Mutant::epoch_late)) t.epoch = s.resumed;
        return done("T%d reads the number of stops", p_place);
      case p_place: {
        t.place = parked;
        const Fault f = perform(t, false);
        return done("T%d publishes where it parks", p_note, f);
      }
      case p_note:
        if (is(Mutant::park_clears_late)) t.state = blocked;
        else t.pending = none;
        if (is(Mutant::park_counted_early)) --s.missing;
        return done("T%d clears the request to park", p_state);
      case p_state:
        if (is(Mutant::park_clears_late)) t.pending = none;
        else t.state = blocked;
        return done("T%d is parked", p_count);
      case p_count:
        if (!is(Mutant::park_counted_early)) --s.missing;
        return done("T%d counts its answer and waits", is(Mutant::epoch_late) ? p_late : p_wait);
      case p_late: t.epoch = s.resumed; return done("T%d reads the number of stops, late", p_wait);
      case p_wait:
        if (s.resumed == t.epoch) return;
        t.epoch = 0;
        return done("T%d finds that the world goes on", p_swap);
      case p_swap:
        if (t.state != blocked) return;
        t.state = running;
        return done("T%d runs again", a_clear);

      case e_state: t.state = blocked; return done("T%d, which ends, is blocked", e_lock);
      case e_lock:
        if (!is_free && !is(Mutant::end_unlocked)) return;
        if (is(Mutant::state_kept)) t.refuses = t.performed = 0, t.linked = 0;
        else t = {.linked = 0, .left = t.left};
        return done("T%d is gone", gone);
      case gone:  // the record is taken again, by this thread or another
        if (!t.left) return;
        --t.left, t.refuses = 1;
        return done("T%d starts", s_link);
      case s_link:
        if (!is_free && !is(Mutant::start_unlocked)) return;
        t.linked = 1, t.refuses = 0;
        return done("T%d is in the list", l_poll);
    }
  }

  static u8 count(const State& s) { return u8(s.t[0].linked + s.t[1].linked); }

  template <class Emit>
  void step_driver(const State& before, Emit& emit) const {
    State s = before;
    Thread& t = s.t[s.at];
    const auto done = [&](const char* what, u8 next, Fault f = Fault::none) {
      s.driver = next;
      emit(s, Step{what, before.at, 0, 0, f});
      s = before;
    };
    const auto next_thread = [&](u8 first, u8 after) { return s.at ? (s.at = 0, after) : (s.at = 1, first); };
    switch (s.driver) {
      case d_idle:
        if (!s.rounds) return;
        --s.rounds, s.op = small, done("the driver wants a handshake", d_lock);
        if (c_.stops) --s.rounds, s.op = park, done("the driver wants to stop the world", d_lock);
        return;
      case d_lock:
        s.locked = 1;
        return done("the driver has the lock", d_count);
      case d_count:
        if (!is(Mutant::missing_late)) s.missing = count(s);
        return done("the driver counts the threads", d_ask);
      case d_ask: {
        if (!t.linked) {
          const u8 next = next_thread(d_ask, d_wait);
          if (next == d_wait && is(Mutant::missing_late)) s.missing = count(s);
          return done("T%d is not in the list", next);
        }
        if (is(Mutant::flag_first)) t.polled = 1;
        else t.pending = s.op;
        return done("the driver asks T%d", d_flag);
      }
      case d_flag: {
        const bool asked_by_signal = c_.dies && !is(Mutant::dead_flagged);  // the flag lies in the thread's own memory
        const Fault f = t.pc == dead && !asked_by_signal ? Fault::vanished : Fault::none;
        if (is(Mutant::flag_first)) t.pending = s.op;
        else if (!asked_by_signal) t.polled = 1;
        const u8 next = next_thread(d_ask, d_wait);
        if (next == d_wait && is(Mutant::missing_late)) s.missing = count(s);
        return done("the driver sets T%d's flag", next, f);
      }
      case d_wait: return wait(before, emit);
      case d_look: {
        if (t.pending != s.op) return done("T%d has answered already", d_unclaim);
        const Fault f = perform(t, true);
        t.polled = 0;
        return done("the driver performs it for T%d", d_clear, f);
      }
      case d_clear: t.pending = none; return done("the driver clears T%d's request", d_missing);
      case d_missing: --s.missing; return done("the driver counts T%d's answer", d_unclaim);
      case d_unclaim: {
        const Fault f = is_stopped(t) ? Fault::none : Fault::unsafe;
        if (s.op == park) t.held = 1;
        else if (!t.held) t.state = blocked;
        s.at = 0;
        return done("the driver is done with T%d", d_wait, f);
      }
      case d_stopped: {
        Fault f = Fault::none;
        for (const Thread& u : s.t)
          if (u.linked && u.pc != dead && !is_stopped(u)) f = Fault::awake;
        done("the driver has stopped the world", d_free, f);
        if (s.rounds) --s.rounds, s.op = small, done("the driver wants a handshake in the stopped world", d_count);
        return;
      }
      case d_free: {
        if (t.held) t.held = 0, t.state = blocked;
        const u8 next = next_thread(d_free, d_resume);
        return done("the driver lets T%d go", next);
      }
      case d_resume:
        s.stopped = 0, s.resumed = u8((s.resumed + 1) & 3);
        return done("the driver lets the world go on", d_unlock);
      case d_unlock:
        s.locked = 0, s.op = none;
        return done("the driver gives the lock up", d_idle);
    }
  }
  // The list's lock, which the driver has, keeps others from the record until the next handshake; its fields are as unlink_locked leaves them.
  template <class Emit>
  void bury(const State& before, u8 i, Emit& emit) const {
    const Thread& t = before.t[i];
    if (!t.linked || t.pc != dead || is(Mutant::dead_waited_for)) return;
    if (t.pending == none && !is(Mutant::dead_answered)) return;
    State s = before;
    s.t[i] = {.pc = gone, .linked = 0, .left = t.left};
    if (!is(Mutant::dead_uncounted)) --s.missing;
    emit(s, Step{"the driver finds T%d gone and takes it out", i});
  }
  // Claims whom it finds blocked, takes out who is gone, or sleeps until the last answer is in.
  template <class Emit>
  void wait(const State& before, Emit& emit) const {
    for (u8 i = 0; i < kThreads; ++i) {
      const Thread& t = before.t[i];
      bury(before, i, emit);
      if (!t.linked || t.pending == none || !(t.held || t.state == blocked)) continue;
      if (t.pc == dead && !is(Mutant::dead_acted_for)) continue;
      State s = before;
      s.at = i;
      if (!is(Mutant::no_claim)) s.t[i].state = claimed;
      s.driver = d_look;
      emit(s, Step{"the driver finds T%d blocked", i});
    }
    if (before.missing != 0) return;
    State s = before;
    Fault f = Fault::none;
    for (Thread& t : s.t) {
      if (t.linked && t.performed != 1) f = Fault::missed;
      t.performed = 0;
    }
    s.at = 0;
    if (s.op == park) s.stopped = 1;
    s.driver = s.stopped ? d_stopped : d_unlock;
    emit(s, Step{"the driver has all answers", 0, 0, 0, f});
  }
};

}  // namespace model::handshakes

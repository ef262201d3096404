// The queue of destructors: who runs them and who waits for them (gc/weak/destructors.cc). The driver hands entries over, the finalizer sleeps
// until there are some, another thread runs them by hand, one waits until all that are due have run. That they may run, and what
// they find then, is the business of weak.h.
//
// Each access to a word that another thread looks at without the lock is a step, and so is each section under the lock. A runner's store that says
// that it has run an entry stays in its store buffer until its next locked instruction, or less long; every other such store is locked.
#pragma once
#include "packed.h"

namespace model::finalizers {

enum class Mutant {
  none,
  counts_run,       // who waits counts entries that have run
  at_early,         // a runner says that it has run an entry before it has
  at_late,          // ... when it has woken those who wait
  number_late,      // it says which entry it has when it has left the lock
  not_joined,       // it is not on the list of runners
  progress_late,    // it wakes those who wait before it tells of the progress
  no_progress,      // it does not tell
  waiters_not,      // who waits does not say so
  seen_late,        // ... reads the progress when he has looked
  wake_late,        // the finalizer reads the word that it sleeps on when it has run everything
  no_wake,          // the driver starts the finalizer, and does not wake it later
  wakes_first,      // ... wakes it before it hands entries over
  queued_late,      // entries are counted when the lock is left
};

struct Config {
  int entries = 2, batches = 2;  // handed over (1-3), in so many cycles (1-2)
  int by_hand = 1, waits = 1;    // calls of run_finalizers() and wait_for_finalizers() (0-2)
  int thread = 1;                // 0: LULL_FINALIZERS=manual
  int inside = 0;                // the first entry's destructor waits, too: for itself, which is why the code stops the process
  Mutant mutant = Mutant::none;
};

enum class Fault { none, early, counted, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::early: return "WAITED TOO SHORT";
    case Fault::counted: return "MORE RUN THAN QUEUED";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

constexpr u8 kNowhere = 7;
enum RunnerPc : u8 { r_none, r_top, r_join, r_take, r_number, r_run, r_ran, r_count, r_progress, r_look, r_wake, r_late, r_leave, r_bottom, r_asleep, r_done };
enum StarterPc : u8 { s_idle, s_check, s_start, s_word, s_wake, s_done };  // start_finalizer_if_needed
enum DriverPc : u8 { d_hand, d_count, d_start, d_done };
enum WaiterPc : u8 { w_due, w_start, w_waiters, w_seen, w_look, w_seen_late, w_sleep, w_asleep, w_done };

struct Runner {
  u8 pc = r_none, at = kNowhere, hand = kNowhere, seen = 0, joined = 0, looked = 0, left = 0;
};
struct State {
  u8 appended = 0, taken = 0, queued = 0, run = 0, finished = 0;  // finished: a bit for each entry
  u8 wake = 0, progress = 0, waiters = 0, thread_started = 0;
  u8 driver = d_hand, batch = 0, starter[2]{};  // of the driver, of who waits
  Runner r[2];                                  // the finalizer; by hand
  u8 waiter = w_due, due = 0, seen = 0, waits = 0;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class FinalizerModel {
 public:
  using State = finalizers::State;
  using Step = finalizers::Step;
  using Fault = finalizers::Fault;
  using Key = Packed<2>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit FinalizerModel(const Config& c) : c_(c) {}

  State initial() const {
    State s;
    if (c_.by_hand) s.r[1].pc = r_join, s.r[1].left = u8(c_.by_hand - 1);
    else s.r[1].pc = r_done;
    if (!c_.waits) s.waiter = w_done;
    else s.waits = u8(c_.waits - 1);
    return s;
  }
  Key pack(const State& s) const { return pack_fields<Key>(s, [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& to) const {
    const auto emit = [&](const State& x, Step step) {
      if (step.f == Fault::none && x.run > x.queued) step.f = Fault::counted;
      to(x, step);
    };
    drive(s, emit);
    for (int i = 0; i < 2; ++i) run(s, i, emit);
    wait(s, emit);
    const bool at_rest = s.driver == d_done && s.waiter == w_done && s.r[1].pc == r_done && (s.r[0].pc == r_asleep || s.r[0].pc == r_none);
    if (at_rest && (!c_.thread || (s.taken == s.appended && s.finished == (1 << s.appended) - 1))) emit(s, Step{"everything is at rest"});
  }

 private:
  Config c_;
  bool is(Mutant m) const { return c_.mutant == m; }

  template <class Io>
  static void transfer(Io&& io, State& s) {
    io(s.appended, 2), io(s.taken, 2), io(s.queued, 2), io(s.run, 2), io(s.finished, 3);
    io(s.wake, 3), io(s.progress, 3), io(s.waiters, 1), io(s.thread_started, 1);
    io(s.driver, 2), io(s.batch, 2);
    for (u8& starter : s.starter) io(starter, 3);
    for (Runner& r : s.r) io(r.pc, 4), io(r.at, 3), io(r.hand, 3), io(r.seen, 3), io(r.joined, 1), io(r.looked, 1), io(r.left, 1);
    io(s.waiter, 4), io(s.due, 2), io(s.seen, 3), io(s.waits, 1);
  }
  static void wake_finalizer(State& x) {
    if (x.r[0].pc == r_asleep) x.r[0].pc = r_top, x.r[0].seen = 0;
  }

  // start_finalizer_if_needed, by the driver (0) and by who waits (1). Its last step leaves s_done.
  template <class Emit>
  void start(const State& s, int who, Emit& emit) const {
    State x = s;
    u8& pc = x.starter[who];
    const auto out = [&](const char* what, u8 next) { pc = next, emit(x, Step{what, who}); };
    switch (pc) {
      case s_idle: case s_check: return out("%d looks whether there is something to run", c_.thread && s.queued != s.run ? s_start : s_done);
      case s_start:
        if (!x.thread_started) x.thread_started = 1, x.r[0].pc = r_top;
        return out("%d starts the finalizer, if need be", is(Mutant::no_wake) ? s_done : s_word);
      case s_word: ++x.wake; return out("%d changes the word that the finalizer sleeps on", s_wake);
      case s_wake: wake_finalizer(x); return out("%d wakes the finalizer", s_done);
      default: return;
    }
  }

  template <class Emit>
  void drive(const State& s, Emit& emit) const {
    State x = s;
    switch (s.driver) {
      case d_hand: {  // hand_found_over
        if (is(Mutant::wakes_first) && s.starter[0] != s_done) return start(s, 0, emit);
        const u8 all = u8(c_.entries), more = s.batch + 1 == c_.batches ? u8(all - s.appended) : u8(1);
        x.appended += more;
        if (!is(Mutant::queued_late)) x.queued = x.appended;
        x.driver = is(Mutant::queued_late) ? d_count : d_start;
        return emit(x, Step{"the driver hands %d entries over", more});
      }
      case d_count: x.queued = x.appended, x.driver = d_start; return emit(x, Step{"the driver counts them"});
      case d_start:
        if (s.starter[0] != s_done) return start(s, 0, emit);
        x.starter[0] = s_idle, x.driver = ++x.batch == c_.batches ? d_done : d_hand;
        return emit(x, Step{"the driver's cycle is over"});
      default: return;
    }
  }

  template <class Emit>
  void run(const State& s, int i, Emit& emit) const {
    State x = s;
    Runner& r = x.r[i];
    const auto out = [&](const char* what, u8 next, int a = 0) { r.pc = next, emit(x, Step{what, i, a}); };
    switch (r.pc) {
      case r_top:  // finalizer_main
        if (!is(Mutant::wake_late)) r.seen = s.wake;
        return out("R%d reads the word that it will sleep on", r_join);
      case r_join: r.joined = !is(Mutant::not_joined); return out("R%d joins the runners", r_take);
      case r_take:  // take_locked
        if (s.taken == s.appended) return out("R%d finds nothing to run", r_leave);
        r.hand = x.taken++;
        if (is(Mutant::number_late)) return out("R%d takes entry %d", r_number, r.hand);
        r.at = is(Mutant::at_early) ? kNowhere : r.hand;
        return out("R%d takes entry %d", r_run, r.hand);
      case r_number: r.at = r.hand; return out("R%d says which", r_run);
      case r_run:
        if (c_.inside && r.hand == 0 && first_unfinished(s) < s.queued) return;
        x.finished |= u8(1u << r.hand);
        return out("R%d has run entry %d", is(Mutant::at_late) ? r_count : r_ran, r.hand);
      case r_ran:
        out("R%d says so, in its store buffer", r_count);
        r.at = r.hand = kNowhere;
        return out("R%d says so", r_count);
      // note_run
      case r_count:
        if (!is(Mutant::at_late)) r.at = r.hand = kNowhere;
        ++x.run;
        return out("R%d counts it", is(Mutant::progress_late) ? r_look : r_progress);
      case r_progress:
        if (!is(Mutant::no_progress)) x.progress = (x.progress + 1) & 7;
        return out("R%d tells of the progress", is(Mutant::progress_late) ? r_take : r_look);
      case r_look:
        return out("R%d looks whether somebody waits", s.waiters ? r_wake : is(Mutant::progress_late) ? r_progress : is(Mutant::at_late) ? r_late : r_take);
      case r_wake:
        if (x.waiter == w_asleep) x.waiter = w_seen, x.seen = 0;
        return out("R%d wakes who waits", is(Mutant::progress_late) ? r_progress : is(Mutant::at_late) ? r_late : r_take);
      case r_late: r.at = r.hand = kNowhere; return out("R%d says that it has run it", r_take);
      case r_leave:
        r.joined = 0;
        if (i == 0) return out("R%d leaves the runners", r_bottom);
        if (!r.left) return out("R%d leaves the runners", r_done);
        --r.left;
        return out("R%d leaves the runners", r_join);
      case r_bottom:
        if (is(Mutant::wake_late) && !r.looked) return r.seen = s.wake, r.looked = 1, out("R%d reads the word that it will sleep on", r_bottom);
        r.looked = 0;
        if (s.wake != r.seen) return r.seen = 0, out("R%d does not sleep", r_top);
        r.seen = 0;
        return out("R%d sleeps", r_asleep);
      default: return;
    }
  }

  // wait_for_finalizers
  u8 first_unfinished(const State& s) const {
    if (is(Mutant::counts_run)) return s.run;
    u8 first = s.taken;
    for (const Runner& r : s.r)
      if (r.joined && r.at < first) first = r.at;
    return first;
  }
  template <class Emit>
  void wait(const State& s, Emit& emit) const {
    State x = s;
    const auto out = [&](const char* what, u8 next, Fault f = Fault::none) { x.waiter = next, emit(x, Step{what, 0, 0, 0, f}); };
    switch (s.waiter) {
      case w_due: x.due = s.queued; return out("W will wait for what is queued", w_start);
      case w_start:
        if (s.starter[1] != s_done) return start(s, 1, emit);
        x.starter[1] = s_idle;
        return out("W has woken the finalizer, if need be", w_waiters);
      case w_waiters: x.waiters = !is(Mutant::waiters_not); return out("W says that it waits", w_seen);
      case w_seen:
        if (!is(Mutant::seen_late)) x.seen = s.progress;
        return out("W reads the progress", w_look);
      case w_look: {
        if (first_unfinished(s) < s.due) return out("W sees that some are unfinished", is(Mutant::seen_late) ? w_seen_late : w_sleep);
        const u8 due = u8((1u << s.due) - 1);
        x.waiters = x.due = x.seen = 0;
        const bool again = x.waits != 0;
        if (again) --x.waits;
        return out("W has waited", again ? w_due : w_done, (s.finished & due) != due ? Fault::early : Fault::none);
      }
      case w_seen_late: x.seen = s.progress; return out("W reads the progress, late", w_sleep);
      case w_sleep:
        if (s.progress != s.seen) return x.seen = 0, out("W does not sleep", w_seen);
        x.seen = 0;
        return out("W sleeps", w_asleep);
      default: return;
    }
  }
};

}  // namespace model::finalizers

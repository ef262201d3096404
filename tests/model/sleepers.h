// The protocol by which the purger empties the bins of a thread that sleeps (alloc/front/sleepers.h): one thread, who allocates,
// frees, sleeps, and may be stopped anywhere by a signal handler that sleeps; and the purger, who asks and tries without end.
//
// The thread's accesses of its bins are plain loads and stores, each a step, and go through a store buffer as on x86-64:
// first in, first out, read by the thread itself, empty before a locked instruction and before the thread sleeps. The
// purger's barrier empties it.
// Bins are a number of blocks, like what the program and the central store have: a pop that the purger does not see, or sees twice,
// changes the sum, which is looked at when both rest.
#pragma once
#include "packed.h"

namespace model::sleepers {

enum class Mutant {
  none,
  no_barrier,       // the purger does not empty store buffers after it has asked
  no_visit_check,   // it does not look whether the thread visits the central store
  no_wait_check,    // it does not look whether the thread waits in a system call
  no_stack_check,   // it does not look for what a handler has interrupted
  no_time_check,    // it does not compare processor times
  no_variable_check,     // it does not look whether the thread's variable is still what it made it
  early_variable_check,  // it does so before the times are compared
  no_visit_recheck, // a visit does not look whether its bins are asked for
  take_busy,        // the thread takes its bins back while the purger has them
  no_wake,          // the purger does not wake a thread that waits for its bins
  no_look,          // it asks without a look whether the thread is there
};

struct Config {
  int blocks = 2, room = 2;  // all there are; of the bins
  int strangers = 1;         // the thread also uses its bins outside of visits, in slow paths
  int signals = 1;           // handlers that sleep
  int ends = 0;              // the thread may end
  int dies = 0;              // 1: it may end and tell nobody; 2: also between the purger's look and its store
  Mutant mutant = Mutant::none;
};

enum class Fault { none, twice, vanished, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::twice: return "BLOCK HANDED OUT TWICE";
    case Fault::vanished: return "MEMORY OF A THREAD THAT IS GONE IS TOUCHED";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

enum Sleep : u8 { ended, awake, asleep, busy, awaited };
enum Op : u8 { allocates, frees, keeps_stranger, ends };
enum Pc : u8 {
  idle,
  fast_load, fast_top, fast_store,                   // malloc and free: thread_bins, the bin's top, the new top
  slow_own,                                          // own_bins()
  wake_state, wake_swap, wake_wait, wake_variable,   // wake_own_bins(), end_sleeper()
  visit_enter, visit_check, visit_back, visit_top, visit_store, visit_leave,
  gone,  // and has given its bins back, or
  dead,  // has not
};
enum Waiting : u8 { runs, waits, waits_in_handler };
enum PurgerPc : u8 {
  p_idle,
  ask_swap, ask_look, ask_variable, ask_finish, ask_barrier,
  try_swap, try_look, try_visit, try_variable_early, try_time, try_wait, try_stack, try_time_again, try_variable, give_read, give_clear, try_finish,
};
enum Place : u8 { of_visiting, of_variable, of_top };

struct Store { u8 place = 0, value = 0; };
constexpr int kBuffer = 3;

struct State {
  u8 sleep, variable, visiting, top, central, program;  // variable: 1: the empty bins
  u8 pc, op, wakes_to, n, seen, waiting, ran;           // of the thread; ran: since the purger read its processor time
  Store buffer[kBuffer];
  u8 buffered;
  u8 purger, taken, proved, emptied;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class SleeperModel {
 public:
  using State = sleepers::State;
  using Step = sleepers::Step;
  using Fault = sleepers::Fault;
  using Key = Packed<2>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit SleeperModel(const Config& c) : c_(c) {}

  State initial() const {
    State s{};
    s.sleep = awake;
    s.top = 1;
    s.central = u8(c_.blocks - 1);
    return s;
  }
  Key pack(const State& s) const { return pack_fields<Key>(s, [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    if (at_rest(s) && s.top + s.central + s.program != c_.blocks)
      emit(s, Step{"at rest: %d in the bins, %d in the central store, %d the program's", s.top, s.central, s.program, Fault::twice});
    if (s.buffered > 0) drain(s, emit);
    if (s.waiting != runs) resume(s, emit);
    else step_thread(s, emit);
    step_purger(s, emit);
  }

 private:
  Config c_;

  bool is(Mutant m) const { return c_.mutant == m; }

  template <class Io>
  void transfer(Io&& io, State& s) const {
    io(s.sleep, 3), io(s.variable, 1), io(s.visiting, 1), io(s.top, 3), io(s.central, 3), io(s.program, 3);
    io(s.pc, 5), io(s.op, 2), io(s.wakes_to, 4), io(s.n, 3), io(s.seen, 3), io(s.waiting, 2), io(s.ran, 1);
    for (Store& b : s.buffer) io(b.place, 2), io(b.value, 3);
    io(s.buffered, 2), io(s.purger, 5), io(s.taken, 3), io(s.proved, 1), io(s.emptied, 1);
  }

  static bool at_rest(const State& s) { return (s.pc == idle || s.pc >= gone) && s.buffered == 0 && s.purger == p_idle; }

  // What the thread reads: its own store, or memory.
  static u8 read(const State& s, Place place) {
    for (int i = s.buffered; i-- > 0;)
      if (s.buffer[i].place == place) return s.buffer[i].value;
    return place == of_visiting ? s.visiting : place == of_variable ? s.variable : s.top;
  }
  static bool can_store(const State& s) { return s.buffered < kBuffer; }
  static void store(State& s, Place place, u8 value) { s.buffer[s.buffered++] = {u8(place), value}; }
  static void write_oldest(State& s) {
    const Store first = s.buffer[0];
    (first.place == of_visiting ? s.visiting : first.place == of_variable ? s.variable : s.top) = first.value;
    for (int i = 1; i < kBuffer; ++i) s.buffer[i - 1] = s.buffer[i];
    s.buffer[kBuffer - 1] = {};
    --s.buffered;
  }
  template <class Emit>
  void drain(const State& before, Emit& emit) const {
    State s = before;
    write_oldest(s);
    emit(s, Step{"the thread's oldest store reaches memory"});
  }
  template <class Emit>
  void resume(const State& before, Emit& emit) const {
    State s = before;
    s.waiting = runs;
    s.ran = 1;
    emit(s, Step{"the thread wakes up"});
  }

  // A handler's frame holds the address of the bins that the interrupted code uses.
  static bool frame_has_address(const State& s) { return s.pc > fast_load && s.pc != slow_own && s.pc < gone; }

  // Slow paths make system calls right before visits (the fork gate) and in them (the page heap); fast paths, and the way from
  // taking the bins back to their first use, none.
  static bool may_wait(const State& s) { return s.pc == idle || (s.pc >= visit_enter && s.pc < gone); }

  template <class Emit>
  void step_thread(const State& before, Emit& emit) const {
    State s = before;
    if (before.pc >= gone) return emit(s, Step{"the thread is gone"});
    s.ran = 1;
    const auto done = [&](const char* what) { emit(s, Step{what, before.n, s.program, s.top}); };
    if (before.buffered == 0 && before.pc != wake_wait) {
      if (may_wait(before)) s.waiting = waits, done("the thread waits in a system call");
      if (before.pc != idle && c_.signals) s.waiting = waits_in_handler, done("a handler interrupts the thread and sleeps");
      s = before, s.ran = 1;
    }
    switch (before.pc) {
      case idle: return start(before, emit);
      case fast_load:
        s.pc = read(s, of_variable) ? slow_own : fast_top;
        return done("the thread reads thread_bins");
      case fast_top:
      case visit_top:
        s.n = read(s, of_top);
        s.pc = before.pc == visit_top ? visit_store : (s.op == allocates ? s.n == 0 : s.n >= c_.room) ? slow_own : fast_store;
        return done("the thread reads the top of the bin");
      case fast_store:
        if (!can_store(s)) return;
        use_fast(s);
        return done("the thread moves the top from %d, the program has %d");
      case slow_own:
        s.wakes_to = s.op == keeps_stranger ? fast_top : visit_enter;
        s.pc = read(s, of_variable) ? u8(wake_state) : s.wakes_to;
        return done("the thread's slow path reads thread_bins");
      case wake_state:
        s.seen = s.sleep;
        s.pc = s.seen == awake && s.op != ends ? wake_variable : wake_swap;
        return done("the thread reads whose its bins are");
      case wake_swap: return swap_to_own(before, emit);
      case wake_wait:
        if (s.sleep == awaited) return;
        s.pc = wake_state;
        return done("the thread need not wait for its bins any more");
      case wake_variable:
        if (!can_store(s)) return;
        store(s, of_variable, 0);
        s.pc = s.wakes_to;
        return done("the thread points thread_bins at its own");
      case visit_enter:
        if (!can_store(s)) return;
        store(s, of_visiting, 1);
        s.pc = visit_check;
        return done("the thread says that it visits");
      case visit_check:
        s.pc = s.sleep != awake && s.sleep != ended && !is(Mutant::no_visit_recheck) ? visit_back : visit_top;
        return done("the thread looks whether its bins are asked for");
      case visit_back:
        if (!can_store(s)) return;
        store(s, of_visiting, 0);
        s.pc = wake_state, s.wakes_to = visit_enter;
        return done("the thread does not visit yet");
      case visit_store:
        if (!can_store(s)) return;
        use_in_visit(s);
        s.pc = visit_leave;
        return done("the thread visits with %d in the bin, the program has %d");
      case visit_leave:
        if (!can_store(s)) return;
        store(s, of_visiting, 0);
        rest(s);
        return done("the thread's visit is over");
    }
  }

  static void rest(State& s) { s.pc = idle, s.op = 0, s.n = s.seen = s.wakes_to = 0; }

  template <class Emit>
  void start(const State& before, Emit& emit) const {
    const auto begin = [&](Op op, Pc pc, const char* what) {
      State s = before;
      s.ran = 1, s.op = op, s.pc = pc;
      emit(s, Step{what});
    };
    begin(allocates, fast_load, "the thread allocates");
    if (before.program > 0) begin(frees, fast_load, "the thread frees");
    if (before.program > 0 && c_.strangers) begin(keeps_stranger, slow_own, "the thread frees a stranger");
    if (c_.ends) begin(ends, wake_state, "the thread ends");
    if (c_.dies && before.buffered == 0) begin(allocates, dead, "the thread ends and tells nobody");
  }
  void use_fast(State& s) const {
    if (s.op == allocates) {
      store(s, of_top, u8(s.n - 1)), ++s.program;
    } else if (s.n < 7) {  // a stranger has room of its own
      store(s, of_top, u8(s.n + 1)), --s.program;
    }
    rest(s);
  }
  // Refills an empty bin by one block beyond the one that the program gets; a full bin gives one away.
  void use_in_visit(State& s) const {
    if (s.op == allocates) {
      if (s.n > 0) return store(s, of_top, u8(s.n - 1)), void(++s.program);
      if (s.central == 0) return;
      --s.central, ++s.program;
      if (s.central > 0) --s.central, store(s, of_top, 1);
    } else {
      --s.program;
      if (s.n >= c_.room) ++s.central;
      else store(s, of_top, u8(s.n + 1));
    }
  }

  template <class Emit>
  void swap_to_own(const State& before, Emit& emit) const {
    if (before.buffered != 0) return;  // locked
    State s = before;
    s.ran = 1;
    const bool has_purger = before.seen == busy || before.seen == awaited;
    s.seen = 0;
    if (before.sleep != before.seen) {
      s.pc = wake_state;
      return emit(s, Step{"the thread's swap fails"});
    }
    if (has_purger && !is(Mutant::take_busy)) {
      s.sleep = awaited, s.pc = wake_wait;
      return emit(s, Step{"the thread begins to wait for its bins"});
    }
    if (before.op != ends) {
      s.sleep = awake, s.pc = wake_variable;
      return emit(s, Step{"the thread takes its bins back"});
    }
    s.sleep = ended, s.variable = 1;  // release_bins() gives what is there back
    s.central = u8(s.central + s.top), s.top = 0;
    rest(s);
    s.pc = gone;
    emit(s, Step{"the thread ends"});
  }

  template <class Emit>
  void step_purger(const State& before, Emit& emit) const {
    State s = before;
    const auto done = [&](const char* what, int next) {
      s.purger = u8(next);
      emit(s, Step{what, before.taken});
    };
    const auto prove = [&](bool holds, const char* what, int next) { done(what, holds ? next : try_finish); };
    switch (before.purger) {
      case p_idle:
        if (before.sleep == awake) done("the purger will ask", ask_swap);
        if (before.sleep == asleep && !before.emptied) done("the purger will try", try_swap);
        return;
      case ask_swap:
        if (before.sleep != awake) return done("the purger need not ask", p_idle);
        s.sleep = busy, s.emptied = 0;
        return done("the purger asks", ask_look);
      case ask_look:
        if (is_gone(before) && !is(Mutant::no_look)) return bury(before, emit);
        if (c_.dies == 2) return done("the purger sees that the thread is there", ask_variable);
        [[fallthrough]];  // one step: the code has two system calls' time between them
      case ask_variable:
        s.variable = 1;
        s.purger = ask_finish;
        return emit(s, Step{"the purger points thread_bins at empty ones", 0, 0, 0, is_gone(before) ? Fault::vanished : Fault::none});
      case ask_finish:
        finish(s);
        return done("the purger has asked", ask_barrier);
      case ask_barrier:
        while (s.buffered > 0 && !is(Mutant::no_barrier)) write_oldest(s);
        return done("the purger's barrier", p_idle);
      case try_swap:
        if (before.sleep != asleep) return done("the purger need not try", p_idle);
        s.sleep = busy;
        return done("the purger tries", try_look);
      case try_look:
        if (is_gone(before)) return bury(before, emit);
        return done("the purger looks whether the thread is there", try_visit);
      case try_visit:
        return prove(!before.visiting || is(Mutant::no_visit_check), "the purger looks for a visit", try_variable_early);
      case try_variable_early:
        return prove(before.variable || !is(Mutant::early_variable_check), "the purger looks at thread_bins, if it does so early", try_time);
      case try_time:
        s.ran = 0;
        return done("the purger reads the thread's time", try_wait);
      case try_wait:
        return prove(before.waiting != runs || is(Mutant::no_wait_check), "the purger looks whether the thread waits", try_stack);
      case try_stack:
        return prove(before.waiting != waits_in_handler || !frame_has_address(before) || is(Mutant::no_stack_check),
                     "the purger looks at the stack", try_time_again);
      case try_time_again:
        return prove((!before.ran && !is_gone(before)) || is(Mutant::no_time_check), "the purger reads the time again", try_variable);
      case try_variable:
        return prove(before.variable || is(Mutant::no_variable_check) || is(Mutant::early_variable_check), "the purger looks at thread_bins", give_read);
      case give_read:
        s.taken = before.top;
        s.central = u8(before.central + before.top);
        return done("the purger gives back what is in the bins", give_clear);
      case give_clear:
        s.top = 0, s.taken = 0, s.emptied = 1;
        return done("the purger empties the bins: %d", try_finish);
      case try_finish:
        finish(s);
        return done("the purger is done", p_idle);
    }
  }
  static bool is_gone(const State& s) { return s.pc == dead; }
  template <class Emit>
  void bury(const State& before, Emit& emit) const {
    State s = before;
    s.central = u8(s.central + s.top), s.top = 0, s.sleep = ended, s.pc = gone, s.op = 0, s.purger = p_idle;
    emit(s, Step{"the purger finds the thread gone and gives back what is in its bins"});
  }
  void finish(State& s) const {
    if (s.sleep != awaited || !is(Mutant::no_wake)) s.sleep = asleep;
  }
};

}  // namespace model::sleepers

// The protocol of a heap object's spans (alloc/front/heap_span.h): one user, who allocates, frees, collects what others gave
// and releases spans all of whose blocks are free; and others, who give blocks. Each access of a shared word is a step.
//
// Spans are recycled: a giver's reference has a bit, stale, that says that its span was released since. The set of given spans is
// its membership alone, any member may be popped: spans.h explores alloc/cache/span_set.h itself.
#pragma once
#include <bit>
#include "packed.h"

namespace model::heap_spans {

constexpr int kMostGivers = 3, kMostSpans = 2;

enum class Mutant {
  none,
  count_first,  // the count is added before the bit is set
  collect_all,  // all given bits are collected, also those that are not counted
  peek,         // given bits are collected from spans that were not popped
  keep_link,    // collecting leaves the span linked
  link_after,   // whether to link is decided by a read after the count was added
  push_always,  // every giver pushes
};

struct Config {
  int givers = 2, spans = 1, blocks = 2;
  Mutant mutant = Mutant::none;
};

enum class Fault { none, missing, lost, stale, links, alarm, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::missing: return "RESERVED BLOCKS DO NOT EXIST";
    case Fault::lost: return "BLOCK OR DESCRIPTOR LOST";
    case Fault::stale: return "RECYCLED DESCRIPTOR TOUCHED";
    case Fault::links: return "SPAN LINKED WRONGLY";
    case Fault::alarm: return "DOUBLE FREE REPORTED WITHOUT ONE";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

enum Pc : u8 { idle, look, give, count, read_link, push };
enum UserPc : u8 { user_idle, user_exchange, user_collect };

struct Span {
  u8 alive = 0, free = 0, given = 0, count = 0, linked = 0, in_set = 0;
  u8 out = 0;  // blocks that the program has
};
struct Giver {
  u8 pc = idle, span = 0, bit = 0, stale = 0;
  u8 counted = 0;  // mutant count_first
};
struct State {
  Span spans[kMostSpans];
  Giver givers[kMostGivers];
  u8 user_pc, user_span, user_n;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class HeapSpanModel {
 public:
  using State = heap_spans::State;
  using Step = heap_spans::Step;
  using Fault = heap_spans::Fault;
  using Key = Packed<2>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit HeapSpanModel(const Config& c) : c_(c), all_(u8((1u << c.blocks) - 1)) {}

  State initial() const { return {}; }
  Key pack(const State& s) const { return pack_fields<Key>(s, [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    if (at_rest(s)) emit(s, Step{"at rest", 0, 0, 0, judge(s)});
    step_user(s, emit);
    for (int g = 0; g < c_.givers; ++g) step_giver(s, g, emit);
  }

 private:
  Config c_;
  u8 all_;

  bool is(Mutant m) const { return c_.mutant == m; }

  template <class Io>
  void transfer(Io&& io, State& s) const {
    for (Span& x : s.spans) io(x.alive, 1), io(x.free, 3), io(x.given, 3), io(x.count, 2), io(x.linked, 1), io(x.in_set, 1), io(x.out, 3);
    for (Giver& x : s.givers) io(x.pc, 3), io(x.span, 1), io(x.bit, 3), io(x.stale, 1), io(x.counted, 1);
    io(s.user_pc, 2), io(s.user_span, 1), io(s.user_n, 2);
  }

  bool at_rest(const State& s) const {
    for (const Giver& g : s.givers)
      if (g.pc != idle) return false;
    return s.user_pc == user_idle;
  }
  Fault judge(const State& s) const {
    for (const Span& x : s.spans) {
      if (!x.alive && (x.in_set || x.linked || x.count || x.given)) return Fault::links;
      if (!x.alive) continue;
      if ((x.free | x.given | x.out) != all_ || x.count != std::popcount(x.given)) return Fault::lost;
      if (x.linked != x.in_set || (x.count > 0) != (x.in_set != 0)) return Fault::links;
    }
    return Fault::none;
  }

  template <class Emit>
  void step_user(const State& before, Emit& emit) const {
    const u8 at = before.user_span;
    if (before.user_pc == user_idle) {
      for (u8 i = 0; i < c_.spans; ++i) start_user(before, i, emit);
    } else if (before.user_pc == user_exchange) {
      State s = before;
      s.user_n = s.spans[at].count;
      s.spans[at].count = 0;
      if (!is(Mutant::keep_link)) s.spans[at].linked = 0;
      s.user_pc = user_collect;
      emit(s, Step{"the user takes the count of %d: %d", at, before.spans[at].count, 0, s.spans[at].alive ? Fault::none : Fault::stale});
    } else {
      collect(before, at, before.user_n, emit);
    }
  }

  // Any `n` given bits.
  template <class Emit>
  void collect(const State& before, u8 at, int n, Emit& emit) const {
    const u8 given = before.spans[at].given;
    if (std::popcount(given) < n) return emit(before, Step{"the user finds too few given blocks in %d", at, 0, 0, Fault::missing});
    for (unsigned chosen = 0; chosen <= all_; ++chosen) {
      if ((chosen & given) != chosen) continue;
      if (is(Mutant::collect_all) ? chosen != given : std::popcount(chosen) != n) continue;
      State s = before;
      Span& x = s.spans[at];
      const Fault fault = x.free & chosen ? Fault::alarm : Fault::none;
      x.given = u8(x.given & ~chosen);
      x.free = u8(x.free | chosen);
      s.user_pc = user_idle;
      s.user_span = s.user_n = 0;
      emit(s, Step{"the user collects blocks %d of %d", int(chosen), at, 0, fault});
    }
  }

  template <class Emit>
  void start_user(const State& before, u8 i, Emit& emit) const {
    const Span& now = before.spans[i];
    State s = before;
    Span& x = s.spans[i];
    if (!now.alive) {
      x.alive = 1, x.free = all_;
      return emit(s, Step{"the user makes %d", i});
    }
    for (u8 bit = 1; bit <= all_; bit = u8(bit * 2)) {
      s = before;
      if (now.free & bit) {
        x.free = u8(x.free & ~bit), x.out = u8(x.out | bit);
        emit(s, Step{"the user allocates block %d of %d", bit, i});
      } else if (now.out & bit) {
        x.out = u8(x.out & ~bit), x.free = u8(x.free | bit);
        emit(s, Step{"the user frees block %d of %d", bit, i, 0, now.given & bit ? Fault::alarm : Fault::none});
      }
    }
    s = before;
    if (now.in_set) {
      x.in_set = 0, s.user_pc = user_exchange, s.user_span = i;
      emit(s, Step{"the user pops %d", i});
    }
    if (is(Mutant::peek) && now.given != 0) collect(before, i, 1, emit);
    s = before;
    if (now.free == all_) {
      x.alive = 0, x.free = 0;
      for (Giver& g : s.givers) g.stale |= u8(g.pc != idle && g.span == i);
      emit(s, Step{"the user releases %d", i});
    }
  }

  template <class Emit>
  void step_giver(const State& before, int id, Emit& emit) const {
    const Giver& now = before.givers[id];
    if (now.pc == idle) {
      for (u8 i = 0; i < c_.spans; ++i)
        for (u8 bit = 1; bit <= all_; bit = u8(bit * 2)) {
          if (!(before.spans[i].out & bit)) continue;
          State s = before;
          s.spans[i].out = u8(s.spans[i].out & ~bit);
          s.givers[id] = {.pc = look, .span = i, .bit = bit};
          emit(s, Step{"G%d frees block %d of %d", id, bit, i});
        }
      return;
    }
    State s = before;
    Giver& g = s.givers[id];
    Span& x = s.spans[g.span];
    Fault fault = now.stale ? Fault::stale : Fault::none;
    const auto done = [&](const char* what) { emit(s, Step{what, id, now.bit, now.span, fault}); };
    const auto rest = [&] { g = {}; };
    if (now.pc == look) {
      if (x.free & g.bit) fault = Fault::alarm;
      g.pc = is(Mutant::count_first) ? count : give;
      return done("G%d finds block %d of %d in use");
    }
    if (now.pc == give) {
      if (x.given & g.bit) fault = Fault::alarm;
      x.given = u8(x.given | g.bit);
      if (!g.counted) g.pc = count; else rest();
      return done("G%d sets the given bit of block %d of %d");
    }
    if (now.pc == count) {
      ++x.count;
      const bool links = !x.linked || is(Mutant::push_always);
      if (!is(Mutant::link_after)) x.linked = 1;
      if (is(Mutant::link_after)) g.pc = read_link;
      else if (links) g.pc = push;
      else if (is(Mutant::count_first)) g.pc = give, g.counted = 1;
      else rest();
      return done("G%d counts block %d of %d");
    }
    if (now.pc == read_link) {
      if (x.linked) rest(); else x.linked = 1, g.pc = push;
      return done("G%d reads whether (block %d) %d is linked");
    }
    if (x.in_set) fault = Fault::links;
    x.in_set = 1;
    if (is(Mutant::count_first)) g.pc = give, g.counted = 1; else rest();
    done("G%d pushes, after block %d, %d");
  }
};

}  // namespace model::heap_spans

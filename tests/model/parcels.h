// The protocol of parcels (alloc/front/strangers.h): blocks of another thread's mark are collected in a parcel, which travels through the mark's inbox
// to a thread with that mark, or to the purger, and back to those that nobody uses. Each access of a shared word is a step; a parcel with one
// owner is worked on in one.
//
// There are two marks; thread i has mark i % 2, so of three threads two share an inbox, and all send to the other mark. Marks are hints: any
// block may be taken for a stranger or not. Spans, bins and the central store are places here, where a block is or is not: spans.h and sleepers.h explore those.
//
// A fork finds nobody inside a visit, and the child has only the forking thread. So in each state without visitors every
// parcel and block has to be in one place, what the lost threads do between two visits included.
#pragma once
#include "packed.h"

namespace model::parcels {

constexpr int kMostThreads = 3, kMostParcels = 4, kMostBlocks = 3, kMarks = 2;

enum class Mutant {
  none,
  link_late,       // the parcel's link is written after it is in the inbox
  put_blind,       // a put that lost against another one tries again with the link and the count that it had
  keep_sent,       // the sender goes on using what it sent
  drop_first,      // an emptied parcel is given away before its link is read
  drop_full,       // a parcel is given away before it is emptied
  count_stays,     // a parcel that was emptied keeps its count
  stale_index,     // the place in the parcel is the one seen before the visit
  take_outside,    // a thread takes its inbox outside of a visit
  clear_outside,   // a sender leaves the visit before it forgets what it sent
};

struct Config {
  int threads = 2, parcels = 3, room = 2, inbox = 2, blocks = 3;
  Mutant mutant = Mutant::none;
};

enum class Fault { none, twice, lost, links, stale, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::twice: return "BLOCK HANDED OUT TWICE";
    case Fault::lost: return "BLOCK OR DESCRIPTOR LOST";
    case Fault::links: return "SPAN LINKED WRONGLY";
    case Fault::stale: return "RECYCLED DESCRIPTOR TOUCHED";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

// Of a thread. enter: it decided to go the long way and may wait at the gate; kept: it has a parcel and room in it.
enum Pc : u8 { idle, enter, have, put_link, put_swap, put_link_late, put_forget, look, take, read_link, empty, drop, ended };
enum PurgerPc : u8 { purger_idle, purger_take, purger_link, purger_give, purger_drop };
// Of a block. in_hand: a thread is freeing it; at + i: in the bin of thread i.
enum Place : u8 { in_span, out, in_parcel, in_hand, at };

struct Parcel {
  u8 next, count, blocks[2];  // next: number + 1
};
struct Thread {
  u8 pc, visits, own, spare;  // own, spare, current, link: a parcel's number + 1
  u8 block, index, head, heads_count, current, link;
};
struct State {
  u8 place[kMostBlocks];
  Parcel parcels[kMostParcels];
  u8 made, free;  // parcels; the first free one's number + 1
  struct {
    u8 head, count;
  } inbox[kMarks];
  Thread threads[kMostThreads];
  u8 purger_pc, purger_inbox, purger_current, purger_link;
};
struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

class ParcelModel {
 public:
  using State = parcels::State;
  using Step = parcels::Step;
  using Fault = parcels::Fault;
  using Key = Packed<3>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit ParcelModel(const Config& c) : c_(c) {}

  State initial() const { return {}; }
  Key pack(const State& s) const { return pack_fields<Key>(renamed(s), [&](auto&& io, State& x) { transfer(io, x); }); }
  State unpack(const Key& key) const { return unpack_fields<State>(key, [&](auto&& io, State& x) { transfer(io, x); }); }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    if (nobody_visits(s))
      if (const Fault f = judge(s); f != Fault::none) emit(s, Step{"a fork looks", 0, 0, 0, f});
    for (u8 t = 0; t < c_.threads; ++t) {
      if (s.threads[t].pc == idle) start(s, t, emit);
      else if (s.threads[t].pc == ended) set(s, t, idle, "T%d begins with the bins of one that ended", emit);
      else go_on(s, t, emit);
    }
    step_purger(s, emit);
  }

 private:
  Config c_;

  bool is(Mutant m) const { return c_.mutant == m; }

  template <class Io>
  void transfer(Io&& io, State& s) const {
    for (u8& b : s.place) io(b, 3);
    for (Parcel& p : s.parcels) io(p.next, 3), io(p.count, 2), io(p.blocks[0], 2), io(p.blocks[1], 2);
    io(s.made, 3), io(s.free, 3);
    for (auto& i : s.inbox) io(i.head, 3), io(i.count, 2);
    for (Thread& t : s.threads)
      io(t.pc, 4), io(t.visits, 1), io(t.own, 3), io(t.spare, 3), io(t.block, 2), io(t.index, 2), io(t.head, 3), io(t.heads_count, 2), io(t.current, 3), io(t.link, 3);
    io(s.purger_pc, 3), io(s.purger_inbox, 1), io(s.purger_current, 3), io(s.purger_link, 3);
  }

  // Parcels and blocks by the order in which one meets them, since their numbers mean nothing.
  State renamed(const State& s) const {
    State to = s;
    u8 number[kMostParcels + 1] = {}, block[kMostBlocks], parcels = 0, blocks = 0;
    for (u8& b : block) b = kMostBlocks;
    const auto name_block = [&](u8 b) {
      if (block[b] == kMostBlocks) to.place[blocks] = s.place[b], block[b] = blocks++;
      return block[b];
    };
    const auto name = [&](u8 first) {
      for (u8 p = first; p != 0 && number[p] == 0; p = s.parcels[p - 1].next) {
        number[p] = ++parcels;
        const Parcel& from = s.parcels[p - 1];
        for (int i = 0; i < from.count; ++i) name_block(from.blocks[i]);
      }
      return number[first];
    };
    for (int t = 0; t < c_.threads; ++t) {
      const Thread& from = s.threads[t];
      Thread& x = to.threads[t];
      x.own = name(from.own), x.spare = name(from.spare), x.current = name(from.current), x.link = name(from.link), x.head = name(from.head);
      if (from.pc == enter || from.pc == have) x.block = name_block(from.block);
    }
    for (int i = 0; i < kMarks; ++i) to.inbox[i].head = name(s.inbox[i].head);
    to.free = name(s.free), to.purger_current = name(s.purger_current), to.purger_link = name(s.purger_link);
    for (u8 p = 1; p <= s.made; ++p) name(p);
    // What is in no parcel, by its place.
    for (u8 place = 0; place < 8; ++place)
      for (u8 b = 0; b < c_.blocks; ++b)
        if (s.place[b] == place) name_block(b);
    for (u8 p = 1; p <= s.made; ++p) {
      const Parcel& from = s.parcels[p - 1];
      Parcel& x = to.parcels[number[p] - 1];
      x = {number[from.next], from.count, {}};
      for (int i = 0; i < from.count; ++i) x.blocks[i] = block[from.blocks[i]];
    }
    return to;
  }

  bool nobody_visits(const State& s) const {
    for (int t = 0; t < c_.threads; ++t)
      if (s.threads[t].visits) return false;
    return s.purger_pc == purger_idle;
  }

  // Every parcel that was made is in one place, every block that is in a parcel is in one, and an inbox has as many as it says.
  Fault judge(const State& s) const {
    u8 seen[kMostParcels] = {}, found[kMostBlocks] = {};
    const auto visit = [&](u8 number) { return number == 0 || (number <= s.made && seen[number - 1]++ == 0); };
    const auto contents = [&](const Parcel& p) {
      for (int i = 0; i < p.count; ++i) ++found[p.blocks[i]];
    };
    for (int t = 0; t < c_.threads; ++t) {
      if (!visit(s.threads[t].own) || !visit(s.threads[t].spare)) return Fault::links;
      if (s.threads[t].own) contents(s.parcels[s.threads[t].own - 1]);
    }
    for (const auto& inbox : s.inbox) {
      int n = 0;
      for (u8 p = inbox.head; p != 0; p = s.parcels[p - 1].next, ++n) {
        if (!visit(p)) return Fault::links;
        contents(s.parcels[p - 1]);
      }
      if (n != inbox.count) return Fault::links;
    }
    for (u8 p = s.free; p != 0; p = s.parcels[p - 1].next)
      if (!visit(p)) return Fault::links;
    for (int p = 0; p < s.made; ++p)
      if (!seen[p]) return Fault::lost;
    for (int b = 0; b < c_.blocks; ++b)
      if (found[b] != (s.place[b] == in_parcel)) return found[b] ? Fault::twice : Fault::lost;
    return Fault::none;
  }

  static Fault move(State& s, u8 block, u8 from, u8 to) {
    const Fault f = s.place[block] == from ? Fault::none : Fault::twice;
    s.place[block] = to;
    return f;
  }
  static Fault add(State& s, Parcel& p, u8 block, u8 index) {
    p.blocks[index] = block;
    p.count = u8(index + 1);
    return move(s, block, in_hand, in_parcel);
  }
  // give_contents() and unpack()
  Fault pour(State& s, u8 number, u8 to) const {
    Parcel& p = s.parcels[number - 1];
    Fault f = Fault::none;
    for (int i = 0; i < p.count; ++i)
      if (move(s, p.blocks[i], in_parcel, to) != Fault::none) f = Fault::twice;
    if (!is(Mutant::count_stays)) p.count = 0, p.blocks[0] = p.blocks[1] = 0;
    return f;
  }
  static void drop_to_free(State& s, u8 number) { s.parcels[number - 1].next = s.free, s.free = number; }

  template <class Emit>
  void set(State s, u8 t, u8 pc, const char* what, Emit& emit) const {
    s.threads[t].pc = pc;
    emit(s, Step{what, t});
  }

  template <class Emit>
  void start(const State& before, u8 t, Emit& emit) const {
    const Thread& now = before.threads[t];
    for (u8 b = 0; b < c_.blocks; ++b) {
      State s = before;
      if (before.place[b] == in_span || before.place[b] == at + t) {
        s.place[b] = out;
        emit(s, Step{"T%d allocates block %d", t, b});
      } else if (before.place[b] == out) {
        s.place[b] = u8(at + t);
        emit(s, Step{"T%d frees block %d into its bin", t, b});
        // keep_stranger(): outside of a visit while there is room for more than one
        s = before;
        Thread& me = s.threads[t];
        s.place[b] = in_hand;
        Parcel* p = now.own ? &s.parcels[now.own - 1] : nullptr;
        if (p == nullptr || p->count == c_.room - 1) {
          me.pc = enter, me.block = b, me.index = p ? p->count : 0;
          emit(s, Step{"T%d frees block %d, a stranger, and goes to the gate", t, b});
        } else {
          const Fault f = add(s, *p, b, p->count);
          emit(s, Step{"T%d frees block %d, a stranger, into its parcel", t, b, 0, f});
        }
      }
    }
    State s = before;
    Thread& me = s.threads[t];
    me.pc = look, me.visits = !is(Mutant::take_outside);
    emit(s, Step{"T%d fetches a magazine", t});
    s = before;
    Fault f = Fault::none;
    for (u8 b = 0; b < c_.blocks; ++b)
      if (s.place[b] == at + t) s.place[b] = in_span;
    if (now.own) f = pour(s, now.own, in_span);
    me.pc = ended;
    emit(s, Step{"T%d ends", t, 0, 0, f});
  }

  // One step of a thread inside keep_in_visit(), send() or receive_strangers().
  template <class Emit>
  void go_on(const State& before, u8 t, Emit& emit) const {
    State s = before;
    Thread& me = s.threads[t];
    auto& to = s.inbox[(t + 1) % kMarks];
    auto& mine = s.inbox[t % kMarks];
    const auto done = [&](const char* what, u8 pc, Fault f = Fault::none) {
      me.pc = pc;
      if (pc == idle) me.visits = me.block = me.index = me.head = me.heads_count = me.current = me.link = 0;
      emit(s, Step{what, t, 0, 0, f});
    };
    switch (me.pc) {
      case enter:
        me.visits = 1;
        return done("T%d is inside", have);
      case have: {
        if (me.own == 0) {
          if (me.spare) me.own = me.spare, me.spare = 0;
          else if (s.free) me.own = s.free, s.free = s.parcels[me.own - 1].next;
          else if (s.made < c_.parcels) me.own = ++s.made;
          else return done("T%d gets no parcel: the block goes to its span", idle, move(s, me.block, in_hand, in_span));
          s.parcels[me.own - 1].next = 0;
        }
        Parcel& p = s.parcels[me.own - 1];
        const u8 index = is(Mutant::stale_index) ? me.index : p.count;
        if (index >= c_.room) return done("T%d writes beyond its parcel", idle, Fault::stale);
        const Fault f = add(s, p, me.block, index);
        if (p.count < c_.room) return done("T%d adds the block", idle, f);
        me.head = to.head, me.heads_count = to.count;
        return done("T%d adds the last block and reads the inbox", put_link, f);
      }
      case put_link:
        if (me.heads_count == c_.inbox) return done("T%d finds it full: the blocks go to their spans", look, pour(s, me.own, in_span));
        if (!is(Mutant::link_late)) s.parcels[me.own - 1].next = me.head;
        return done("T%d links its parcel", put_swap);
      case put_swap:
        if (to.head != me.head || to.count != me.heads_count) {
          if (is(Mutant::put_blind)) {
            to.head = me.own, to.count = u8(me.heads_count + 1);
            return done("T%d puts its parcel in blindly", put_forget);
          }
          me.head = to.head, me.heads_count = to.count;
          return done("T%d was overtaken", put_link);
        }
        to.head = me.own, to.count = u8(to.count + 1);
        if (is(Mutant::clear_outside)) me.visits = 0;
        return done("T%d puts its parcel in", is(Mutant::link_late) ? put_link_late : put_forget);
      case put_link_late:
        s.parcels[me.own - 1].next = me.head;
        return done("T%d links its parcel", put_forget);
      case put_forget:
        if (!is(Mutant::keep_sent)) me.own = 0;
        me.visits = 1;
        return done("T%d forgets its parcel", look);
      case look:
        if (mine.head == 0) return done("T%d finds nothing in its inbox", idle);
        return done("T%d sees something in its inbox", take);
      case take:
        me.current = mine.head, mine.head = mine.count = 0;
        return me.current ? done("T%d takes all", read_link) : done("T%d finds that all was taken", idle);
      case read_link:
        if (is(Mutant::drop_first) && !me.link) {
          const Fault f = pour(s, me.current, u8(at + t));
          drop_to_free(s, me.current);
          me.link = 1;
          return done("T%d empties its parcel and gives it away", read_link, f);
        }
        me.link = s.parcels[me.current - 1].next;
        if (is(Mutant::drop_first)) {
          me.current = me.link, me.link = 0;
          return done("T%d reads the link of what it gave away", me.current ? read_link : idle);
        }
        if (is(Mutant::drop_full)) {
          drop_to_free(s, me.current);
          return done("T%d gives its parcel away", empty);
        }
        return done("T%d reads the link", empty);
      case empty: {
        // Into bins or to the spans, as there is room.
        const u8 pc = is(Mutant::drop_full) ? (me.link ? read_link : idle) : drop;
        State whole = s;
        for (const u8 place : {u8(at + t), u8(in_span)}) {
          s = whole;
          const Fault f = pour(s, me.current, place);
          if (is(Mutant::drop_full)) me.current = me.link;
          done("T%d empties a parcel", pc, f);
        }
        return;
      }
      default: {
        if (me.spare == 0) me.spare = me.current;
        else drop_to_free(s, me.current);
        me.current = me.link;
        me.link = 0;
        return done("T%d puts the parcel aside", me.current ? read_link : idle);
      }
    }
  }

  template <class Emit>
  void step_purger(const State& before, Emit& emit) const {
    State s = before;
    const auto done = [&](const char* what, u8 pc, Fault f = Fault::none, int a = 0) {
      s.purger_pc = pc;
      if (pc == purger_idle) s.purger_inbox = s.purger_current = s.purger_link = 0;
      emit(s, Step{what, a, 0, 0, f});
    };
    const auto next = [&](const char* what, Fault f = Fault::none) {
      s.purger_current = s.purger_link, s.purger_link = 0;
      if (s.purger_current) return done(what, purger_link, f);
      if (s.purger_inbox == kMarks - 1) return done(what, purger_idle, f);
      ++s.purger_inbox;
      done(what, purger_take, f);
    };
    auto& inbox = s.inbox[s.purger_inbox];
    switch (s.purger_pc) {
      case purger_idle:
        // try_to_empty(): of a thread that is proved to be outside, or waits at the gate
        for (u8 t = 0; t < c_.threads; ++t) {
          const Thread& of = before.threads[t];
          if (of.own == 0 || (of.pc != idle && of.pc != enter)) continue;
          s = before;
          const Fault f = pour(s, of.own, in_span);
          done("the purger empties the parcel of T%d", purger_idle, f, t);
        }
        s = before;
        return done("the purger begins with the inboxes", purger_take);
      case purger_take:
        s.purger_current = inbox.head, inbox.head = inbox.count = 0;
        if (s.purger_current) return done("the purger takes all", purger_link);
        return next("the purger finds an empty inbox");
      case purger_link:
        s.purger_link = s.parcels[s.purger_current - 1].next;
        return done("the purger reads the link", purger_give);
      case purger_give: {
        const Fault f = pour(s, s.purger_current, in_span);
        return done("the purger gives the blocks to their spans", purger_drop, f);
      }
      default:
        drop_to_free(s, s.purger_current);
        return next("the purger puts the parcel aside");
    }
  }
};

}  // namespace model::parcels

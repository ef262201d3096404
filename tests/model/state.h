// The state of the model: a tiny heap, two mutators, one collector; and its packing into a few machine words.
//
// Objects are numbered 1..N; 0 is null; N+1 names the global root cell when it appears as a store's target, N+2 the fiber's variable.
// Packing is canonical up to renaming of objects, of a thread's registers, and (if both threads are alike) of
// threads: states that differ only in such names count once. An imperfect choice of representative costs
// states, never soundness.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include "packed.h"

namespace model {

constexpr int kMaxObjects = 4, kMaxFields = 2, kMaxRegs = 2, kMaxStoreBuffer = 4, kThreads = 2;

// card: 1 = a card store, 0 = a slot store
struct StoreBufferEntry {
  u8 card, target, field, value;
};

struct Mutator {
  u8 reg[kMaxRegs];  // private, un-barriered roots
  u8 pc;             // see MutatorPc in protocol.h
  u8 slot, field;    // the slot of the store in flight (object, or N+1 for the global cell)
  u8 old, neu;       // the barrier's two values
  u8 tmp;            // in flight: epoch read, collector state read, or flag read
  u8 flag;           // this thread's "marking" flag
  u8 black;          // own stack was scanned in this cycle; what it allocates from now on is born-during
  u8 epoch;          // K2: 2 = the current epoch, 1 = the one before
  u8 buf;            // barrier buffer: set of grey objects
  // Option ends: see Life in protocol.h; what it has answered and the collector has not taken (marked; as found on its stack); words that
  // its buffer holds as they were found
  u8 life, answered, answered_raw, raw;
  u8 sbn;            // TSO store buffer
  StoreBufferEntry sb[kMaxStoreBuffer];
};

struct State {
  u8 alloc, mark, born;  // sets of objects (bit i-1 = object i)
  u8 card[kMaxObjects];  // K1: 0 clean, 1 dirty. K2: 2 this epoch, 1 the one before, 0 older
  u8 field[kMaxObjects][kMaxFields];
  u8 global, weak;
  u8 cpc, full, term, hadwork, pend;  // collector
  // worklist, cards to scan, cards to clean late, global cell scanned, must be freed
  u8 work, list, todo, rooted, doomed;
  u8 root_dirty;  // option root_card: the global cell has a card, and it is dirty
  u8 cur;  // object whose second field is still to be read
  u8 aborted;
  // Option fiber: a stack of one variable, which no thread owns. 0: parked; t+1: thread t runs on it
  u8 fiber, runner;
  u8 fiber_black, fiber_read;     // scanned in this cycle; the collector's pass over parked stacks is done
  u8 fiber_dirty, fiber_listed;   // option fiber_card: as an old object's card
  // Option coro: the object that is a coroutine's frame; 0: none is. 0: suspended; t+1: thread t runs in it
  u8 frame, frame_runner;
  u8 frame_black;  // what it holds was shaded in this cycle
  u8 raw;          // option ends: words in the worklist, of threads that have ended
  Mutator m[kThreads];
};

struct Shape {
  int n = 3, f = 1, regs[2] = {2, 1};
  bool tso = false;
  int sb = 2;
  bool alike = false;
  bool one_card = false;
  bool fiber = false;
  bool coro = false;
  bool ends = false;
  bool assist = false;
};

// One walk over all members serves packing and unpacking, so the two cannot disagree.
template <class Io>
void transfer(Io&& io, State& s, const Shape& sh) {
  int n = sh.n, id = n <= 3 ? 2 : 3, target = 3;
  io(s.alloc, n);
  io(s.mark, n);
  io(s.born, n);
  for (int i = 0; i < n; ++i) {
    io(s.card[i], 2);
    for (int f = 0; f < sh.f; ++f) io(s.field[i][f], id);
  }
  io(s.global, id);
  io(s.weak, id);
  io(s.cpc, 4);
  io(s.full, 1);
  io(s.term, 2);
  io(s.hadwork, 1);
  io(s.pend, 2);
  io(s.work, n);
  io(s.list, n);
  io(s.todo, n);
  io(s.rooted, 1);
  io(s.doomed, n);
  io(s.aborted, 1);
  io(s.root_dirty, 1);
  if (sh.f > 1) io(s.cur, id);
  if (sh.fiber) {
    io(s.fiber, id);
    io(s.runner, 2);
    io(s.fiber_black, 1);
    io(s.fiber_read, 1);
    io(s.fiber_dirty, 1);
    io(s.fiber_listed, 1);
  }
  if (sh.coro) {
    io(s.frame, id);
    io(s.frame_runner, 2);
    io(s.frame_black, 1);
  }
  if (sh.ends) io(s.raw, n);
  for (int t = 0; t < kThreads; ++t) {
    Mutator& m = s.m[t];
    if (sh.ends) {
      io(m.life, 3);
      io(m.answered, n);
      io(m.answered_raw, n);
      io(m.raw, n);
    }
    for (int r = 0; r < sh.regs[t]; ++r) io(m.reg[r], id);
    io(m.pc, sh.coro || sh.assist ? 5 : 4);
    io(m.slot, target);
    if (sh.f > 1) io(m.field, 1);
    io(m.old, id);
    io(m.neu, id);
    io(m.tmp, 2);
    io(m.flag, 1);
    io(m.black, 1);
    io(m.epoch, 2);
    io(m.buf, n);
    if (sh.tso) {
      io(m.sbn, 3);
      for (int i = 0; i < sh.sb; ++i) {
        io(m.sb[i].card, 1);
        io(m.sb[i].target, target);
        io(m.sb[i].value, id);
      }
    }
  }
}

// to[old name] = new name, to[0] = 0, to[n+1] = n+1, to[n+2] = n+2
inline State rename(const State& s, const u8* to, const Shape& sh) {
  State r = s;
  auto set = [&](u8 b) {
    u8 o = 0;
    for (int i = 0; i < sh.n; ++i)
      if (b >> i & 1) o |= u8(1u << (to[i + 1] - 1));
    return o;
  };
  r.alloc = set(s.alloc);
  r.mark = set(s.mark);
  r.born = set(s.born);
  r.work = set(s.work);
  r.list = set(s.list);
  r.todo = set(s.todo);
  r.doomed = set(s.doomed);
  r.raw = set(s.raw);
  for (int i = 0; i < sh.n; ++i) {
    int j = to[i + 1] - 1;
    if (!sh.one_card) r.card[j] = s.card[i];
    for (int f = 0; f < sh.f; ++f) r.field[j][f] = to[s.field[i][f]];
  }
  r.global = to[s.global];
  r.weak = to[s.weak];
  r.cur = to[s.cur];
  r.fiber = to[s.fiber];
  r.frame = to[s.frame];
  for (Mutator& m : r.m) {
    for (u8& x : m.reg) x = to[x];
    m.slot = to[m.slot];
    m.old = to[m.old];
    m.neu = to[m.neu];
    m.buf = set(m.buf);
    m.answered = set(m.answered);
    m.answered_raw = set(m.answered_raw);
    m.raw = set(m.raw);
    for (int i = 0; i < m.sbn; ++i) {
      m.sb[i].target = to[m.sb[i].target];
      if (!m.sb[i].card) m.sb[i].value = to[m.sb[i].value];
    }
  }
  return r;
}

// Name objects in the order in which a walk from the roots meets them; order the rest by what is known.
inline State name_by_walk(const State& s, const Shape& sh) {
  u8 to[kMaxObjects + 3] = {}, order[kMaxObjects];
  int k = 0;
  auto meet = [&](u8 o) {
    if (o >= 1 && o <= sh.n && !to[o]) {
      order[k] = o;
      to[o] = u8(++k);
    }
  };
  meet(s.global);
  meet(s.weak);
  meet(s.cur);
  meet(s.fiber);
  meet(s.frame);
  for (int t = 0; t < kThreads; ++t) {
    const Mutator& m = s.m[t];
    for (int r = 0; r < sh.regs[t]; ++r) meet(m.reg[r]);
    meet(m.slot);
    meet(m.neu);
    meet(m.old);
    for (int i = 0; i < m.sbn; ++i) {
      meet(m.sb[i].target);
      if (!m.sb[i].card) meet(m.sb[i].value);
    }
  }
  for (int done = 0;;) {
    for (; done < k; ++done)
      for (int f = 0; f < sh.f; ++f) meet(s.field[order[done] - 1][f]);
    if (k == sh.n) break;
    int best = 0;
    unsigned best_key = 0;
    for (int i = 0; i < sh.n; ++i)
      if (!to[i + 1]) {
        unsigned key = 1;
        for (u8 b : {s.alloc, s.mark, s.born, s.work, s.list, s.todo, s.doomed, s.m[0].buf, s.m[1].buf})
          key = key * 2 + (b >> i & 1);
        key = key * 4 + (sh.one_card ? 0 : s.card[i]);
        for (int f = 0; f < sh.f; ++f) key = key * 8 + to[s.field[i][f]];
        if (key > best_key) {
          best_key = key;
          best = i + 1;
        }
      }
    meet(u8(best));
  }
  to[sh.n + 1] = u8(sh.n + 1);
  to[sh.n + 2] = u8(sh.n + 2);
  return rename(s, to, sh);
}

template <int W>
Packed<W> pack_as_is(State s, const Shape& sh) {
  Bits<W> b;
  transfer([&](u8& v, int n) { b.put(v, n); }, s, sh);
  return b.value();
}

template <int W>
State unpack(const Packed<W>& p, const Shape& sh) {
  State s;
  std::memset(&s, 0, sizeof s);
  Bits<W> b(p);
  transfer([&](u8& v, int n) { v = u8(b.get(n)); }, s, sh);
  return s;
}

template <int W>
Packed<W> pack(const State& s, const Shape& sh) {
  bool first = true;
  Packed<W> best{};
  for (int swap = 0; swap <= (sh.alike ? 1 : 0); ++swap)
    for (int r0 = 0; r0 < std::max(1, sh.regs[swap]); ++r0)
      for (int r1 = 0; r1 < std::max(1, sh.regs[1 - swap]); ++r1) {
        State c = s;
        if (swap) {
          std::swap(c.m[0], c.m[1]);
          c.pend = u8((c.pend >> 1 & 1) | (c.pend << 1 & 2));
          if (c.runner) c.runner = u8(3 - c.runner);
          if (c.frame_runner) c.frame_runner = u8(3 - c.frame_runner);
        }
        if (r0) {
          if (!c.m[0].reg[0] || !c.m[0].reg[1]) continue;
          std::swap(c.m[0].reg[0], c.m[0].reg[1]);
        } else if (sh.regs[0] > 1 && !c.m[0].reg[0])
          std::swap(c.m[0].reg[0], c.m[0].reg[1]);
        if (r1) {
          if (!c.m[1].reg[0] || !c.m[1].reg[1]) continue;
          std::swap(c.m[1].reg[0], c.m[1].reg[1]);
        } else if (sh.regs[1] > 1 && !c.m[1].reg[0])
          std::swap(c.m[1].reg[0], c.m[1].reg[1]);
        Packed<W> p = pack_as_is<W>(name_by_walk(c, sh), sh);
        if (first || p < best) {
          best = p;
          first = false;
        }
      }
  return best;
}

inline int packed_bits(const Shape& sh) {
  State s;
  std::memset(&s, 0, sizeof s);
  int total = 0;
  transfer([&](u8&, int n) { total += n; }, s, sh);
  return total;
}

}  // namespace model

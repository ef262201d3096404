// The protocol of malloc's shared spans (alloc/front/shared_span.h, alloc/front/central.cc, alloc/cache/span_set.h): every
// atomic step of take, give, hold, drop, release and trim, for one size class. Who pops or makes a span may reserve from it in
// the step that makes it held (take_first_blocks) or just hold it (hold_span).
//
// Places are runs of pages, descriptors are what describes one; both are numbered from 1, 0 is none, both are recycled.
// The tag beside the head of the set never repeats, so it is not a number here but a bit of each thread that has read the
// head: stale, somebody pushed since. A thread's reference to a descriptor has such a bit too: stale, the descriptor was
// released since.
#pragma once
#include <algorithm>
#include <bit>
#include <utility>
#include "packed.h"

namespace model::spans {

constexpr int kMostThreads = 3, kMostDescriptors = 3, kMostPlaces = 2, kMostHomes = 2;

enum class Mutant {
  none,
  count_first,     // the count is added before the bits are set
  ignore_held,     // a held span is retired
  link_after,      // whether to link is decided by a read after the count was added
  push_first,      // pushed before the state says linked
  no_reserve,      // bits are cleared first, their number subtracted later
  no_tag,          // the set's head has no tag
  keep_dead,       // whoever pops a dead span takes it for an exhausted one
  free_at_death,   // the descriptor is released with the pages, though it is in the set
  plain_drop,      // an exhausted span is unlinked by a plain store
  blind,           // bits are set without looking whether they are
  purge_unchecked, // a purger takes the bits of a span it read the number of, without reserving them
  empties_twice,   // a wholly free span is counted as such by its retirer too
  plain_hold,      // who pops a span and reserves from it writes the state by a plain store
  keep_linked,     // who reserves all blocks of a span that it popped leaves it linked
  first_uncounted, // who pops a wholly free span and reserves from it counts no empty span less
  born_counted,    // a new span of which blocks are reserved is counted as an empty one
  dead_nowhere,    // who retires a span that is in no set does not put it there, for a popper to release the descriptor
};

struct Config {
  int threads = 2, places = 1, blocks = 2, words = 1, descriptors = 0;  // 0: one more than places
  // What each thread does, letters: a takes, f frees, r releases the span it holds, t trims, p purges: takes all free blocks
  // of any span, without holding it, and returns them (alloc/front/span_purge.cc; with one word only).
  const char* roles[kMostThreads] = {"afr", "afr", "afr"};
  int spares = -1;     // -1: whether a wholly free span is kept is left open; 0 and up: by the counter of such spans
  bool full = false;   // begins with every block in the program's hands
  int doubles = 0;     // blocks that two threads free
  int homes = 1;       // sets; thread i takes from set i % homes first, then from the other, and a span goes to that of who took from it last
  bool unlinks = true; // false: popping a span without free blocks, which only a purger can bring about, is a fault
  Mutant mutant = Mutant::none;
};

enum class Fault { none, twice, missing, lost, early, stale, links, drift, alarm, unreported, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::twice: return "BLOCK HANDED OUT TWICE";
    case Fault::missing: return "RESERVED BLOCKS DO NOT EXIST";
    case Fault::lost: return "BLOCK OR DESCRIPTOR LOST";
    case Fault::early: return "PAGES GIVEN BACK TOO EARLY OR TWICE";
    case Fault::stale: return "RECYCLED DESCRIPTOR TOUCHED";
    case Fault::links: return "SPAN LINKED WRONGLY";
    case Fault::drift: return "COUNT OF EMPTY SPANS IS OFF";
    case Fault::alarm: return "DOUBLE FREE REPORTED WITHOUT ONE";
    case Fault::unreported: return "DOUBLE FREE UNNOTICED";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

enum Pc : u8 {
  idle,
  pop_head, pop_next, pop_cas, push_next, push_cas,           // SpanSet
  hold_state, hold_store, create_descriptor, create_state,    // hold_span, take_first_blocks
  take_reserve, take_empties, take_collect, take_subtract,    // take_blocks, take_first_blocks
  drop, drop_store,                                           // drop_if_exhausted
  release_drop, release_state, release_empties, release_desc, release_pages,  // release_held_span
  give_bits, give_count, give_pages, give_empties, give_read, give_link,      // give_gathered, count_free
  trim_state, trim_empties, trim_pages, trim_desc, trim_back,                 // trim_central
  purge_reserve, purge_empties, purge_collect,                                // TakenBlocks
};
enum After : u8 { then_rest, then_hold, then_trim, then_trim_back, then_count };  // a pop or push

struct Descriptor {
  u8 linked = 0, held = 0, dead = 0, count = 0;  // the state word
  u8 home = 0;                                   // the state word, too
  u8 bits = 0, next = 0, place = 0, free = 0;    // free: in the table's list of free descriptors
};
struct Place { u8 owner = 0, out = 0; };  // its descriptor; the blocks that the program has
struct Thread {
  u8 pc = idle, after = then_rest;
  u8 d = 0, stale = 0;           // the descriptor in hand
  u8 held = 0;                   // the span it holds
  u8 mask = 0, n = 0, word = 0;  // blocks to give; blocks to take
  u8 head = 0, head_stale = 0, next = 0;
  u8 keep = 0;                   // trim: those taken out
  u8 place = 0, link = 0;
  u8 set = 0;                    // that it pops from or pushes to
};
struct State {
  Descriptor d[kMostDescriptors];
  Place p[kMostPlaces];
  Thread t[kMostThreads];
  u8 head[kMostHomes], free_list, empties, doubles, stopped;
};

struct Step {
  const char* what;
  int a = 0, b = 0, c = 0;
  Fault f = Fault::none;
};

constexpr u8 kNoEmpties = 4;  // the counter is stored with this added, since it lags

class SpanModel {
 public:
  using State = spans::State;
  using Step = spans::Step;
  using Fault = spans::Fault;
  using Key = Packed<4>;
  static constexpr Fault kDeadlock = Fault::deadlock;

  explicit SpanModel(const Config& c) : c_(c), descriptors_(c.descriptors ? c.descriptors : c.places + 1) {
    descriptors_ = std::min(descriptors_, kMostDescriptors);
    all_ = u8((1u << c.blocks) - 1);
  }

  State initial() const {
    State s{};
    s.empties = kNoEmpties;
    s.doubles = u8(c_.doubles);
    for (int d = descriptors_; d > 0; --d) {
      s.d[d - 1] = {.next = s.free_list, .free = 1};
      s.free_list = u8(d);
    }
    for (u8 p = 1; c_.full && p <= c_.places; ++p) {
      const u8 d = s.free_list;
      s.free_list = s.d[d - 1].next;
      s.d[d - 1] = {.place = p};
      s.p[p - 1] = {d, all_};
    }
    return s;
  }

  Key pack(const State& from) const {
    State s = from;
    for (int i = 1; i < c_.threads; ++i)  // threads that do the same have no names
      for (int j = i; j > 0 && alike(j, j - 1) && std::memcmp(&s.t[j], &s.t[j - 1], sizeof(Thread)) < 0; --j)
        std::swap(s.t[j], s.t[j - 1]);
    Bits<4> bits;
    transfer([&](u8& v, int n) { bits.put(v, n); }, s);
    return bits.value();
  }
  State unpack(const Key& key) const {
    State s{};
    Bits<4> bits(key);
    transfer([&](u8& v, int n) { v = u8(bits.get(n)); }, s);
    return s;
  }

  template <class Emit>
  void successors(const State& s, Emit&& emit) const {
    if (s.stopped) return emit(s, Step{"stopped"});
    if (at_rest(s)) emit(s, Step{"at rest", 0, 0, 0, judge(s)});
    for (int t = 0; t < c_.threads; ++t) ThreadStep<Emit>{*this, emit, s, t}.run();
  }

 private:
  Config c_;
  int descriptors_;
  u8 all_;

  bool alike(int a, int b) const { return std::strcmp(c_.roles[a], c_.roles[b]) == 0 && home_of(a) == home_of(b); }
  u8 home_of(int t) const { return u8(t % c_.homes); }
  u8 word_mask(int w) const { return c_.words == 1 ? all_ : w == 0 ? u8(all_ >> 1) : u8(all_ & ~(all_ >> 1)); }

  template <class Io>
  void transfer(Io&& io, State& s) const {
    for (int i = 0; i < descriptors_; ++i) {
      Descriptor& d = s.d[i];
      io(d.linked, 1), io(d.held, 1), io(d.dead, 1), io(d.count, 2), io(d.home, 1);
      io(d.bits, 3), io(d.next, 2), io(d.place, 2), io(d.free, 1);
    }
    for (int i = 0; i < c_.places; ++i) io(s.p[i].owner, 2), io(s.p[i].out, 3);
    for (int i = 0; i < c_.threads; ++i) {
      Thread& t = s.t[i];
      io(t.pc, 6), io(t.after, 3), io(t.d, 2), io(t.stale, 1), io(t.held, 2), io(t.mask, 3), io(t.n, 2), io(t.word, 1);
      io(t.head, 2), io(t.head_stale, 1), io(t.next, 2), io(t.keep, 2), io(t.place, 2), io(t.link, 1), io(t.set, 1);
    }
    for (u8& head : s.head) io(head, 2);
    io(s.free_list, 2), io(s.empties, 3), io(s.doubles, 1), io(s.stopped, 1);
  }

  bool at_rest(const State& s) const {
    for (int t = 0; t < c_.threads; ++t)
      if (s.t[t].pc != idle) return false;
    return true;
  }

  // How often `d` is in a list; more than once also when the list has a cycle.
  int times_in(const State& s, u8 list, u8 d) const {
    int times = 0, length = 0;
    for (u8 at = list; at != 0; at = s.d[at - 1].next) {
      times += at == d;
      if (++length > descriptors_) return 2;
    }
    return times;
  }
  int times_in_sets(const State& s, u8 d) const {
    int times = 0;
    for (const u8 head : s.head) times += times_in(s, head, d);
    return times;
  }
  int holders(const State& s, u8 d) const {
    int n = 0;
    for (int t = 0; t < c_.threads; ++t) n += s.t[t].held == d;
    return n;
  }

  bool freed_twice(const State& s) const { return s.doubles < c_.doubles; }

  // All threads rest: nothing is lost, and what is said of spans is true.
  Fault judge(const State& s) const {
    if (freed_twice(s)) {  // the second free has come when the program has nothing left
      for (int p = 0; p < c_.places; ++p)
        if (s.p[p].out != 0) return Fault::none;
      return Fault::unreported;
    }
    int empties = 0;
    for (u8 d = 1; d <= descriptors_; ++d) {
      const Descriptor& x = s.d[d - 1];
      const int in_set = times_in_sets(s, d), held = holders(s, d);
      if (x.free) {
        if (in_set || held) return Fault::stale;
      } else if (x.dead || x.place == 0 || s.p[x.place - 1].owner != d) {
        if (!x.dead || in_set != 1 || held) return Fault::lost;  // a descriptor that nobody will find again
      } else {
        const u8 out = s.p[x.place - 1].out;
        if ((out & x.bits) || x.count != std::popcount(x.bits) || (out | x.bits) != all_) return Fault::lost;
        if (held > 1 || x.held != held || x.linked != (in_set || held) || (in_set && held) || in_set > 1) return Fault::links;
        if (x.count > 0 && !x.linked) return Fault::lost;
        empties += x.count == c_.blocks;
      }
    }
    if (c_.spares >= 0 && s.empties != kNoEmpties + empties) return Fault::drift;
    return Fault::none;
  }

  // One step of one thread: the state before, and the one that becomes of it.
  template <class Emit>
  struct ThreadStep {
    const SpanModel& m;
    Emit& emit;
    const State& before;
    int id;
    State s = before;
    Fault fault = Fault::none;

    Thread& self() { return s.t[id]; }
    Descriptor& desc(u8 d) { return s.d[d - 1]; }
    Descriptor& mine() { return desc(self().d); }
    bool is(Mutant x) const { return m.c_.mutant == x; }
    int blocks() const { return m.c_.blocks; }

    void done(const char* what, int b = 0, int c = 0) { emit(s, Step{what, id, b, c, fault}); }
    void fail(Fault f) { if (fault == Fault::none) fault = f; }
    void go(Pc pc) { self().pc = pc; }
    void rest() { self() = {.held = self().held}; }
    void check_fresh() { if (self().stale && !m.c_.doubles) fail(Fault::stale); }

    void run() {
      switch (before.t[id].pc) {
        case idle: return start();
        case pop_head: return read_head();
        case pop_next:
          self().next = desc(self().head).next;
          go(pop_cas);
          return done("T%d reads the link of %d: %d", self().head, self().next);
        case pop_cas: return pop();
        case push_next: return prepare_push();
        case push_cas: return push();
        case hold_state: return hold();
        case hold_store: return hold_by_store();
        case create_descriptor: return create();
        case create_state: return publish();
        case take_reserve: return reserve();
        case take_empties:
          --s.empties;
          go(take_collect);
          return done("T%d counts an empty span less");
        case take_collect: return collect();
        case take_subtract:
          mine().count = u8(mine().count - self().mask);
          self().mask = 0;
          go(drop);
          return done("T%d subtracts what it took from %d", self().d);
        case drop: return drop_held();
        case drop_store:
          set_state(mine(), 0, 0, 0, 0);
          self().held = 0;
          rest();
          return done("T%d stores: unlinked", self().d);
        case release_drop: return release_if_exhausted();
        case release_state: return release_held();
        case release_empties:
          --s.empties;
          go(release_desc);
          return done("T%d counts an empty span less");
        case release_desc:
          free_descriptor(self().d);
          go(release_pages);
          return done("T%d releases descriptor %d", self().d);
        case release_pages: case give_pages: return give_pages_back();
        case give_bits: return set_bits();
        case give_count: return count();
        case give_empties:
          ++s.empties;
          if (self().link) start_push(then_rest); else rest();
          return done("T%d counts an empty span more");
        case give_read:
          if (mine().linked) rest(); else go(give_link);
          return done("T%d reads whether %d is linked", before.t[id].d);
        case give_link:
          mine().linked = 1;
          start_push(then_rest);
          return done("T%d links %d", self().d);
        case trim_state: return trim();
        case trim_empties:
          --s.empties;
          go(trim_pages);
          return done("T%d counts an empty span less");
        case trim_pages: return give_pages_back();
        case trim_desc:
          free_descriptor(self().d);
          go(pop_head);
          return done("T%d releases descriptor %d", self().d);
        case trim_back: return put_back();
        case purge_reserve: return reserve_all();
        case purge_empties:
          --s.empties;
          go(purge_collect);
          return done("T%d counts an empty span less");
        case purge_collect: return collect_all();
      }
    }

    // The program's choices.
    void start() {
      for (const char* role = m.c_.roles[id]; *role; ++role) {
        s = before;
        if (*role == 'a') start_take();
        if (*role == 'f') start_give();
        if (*role == 'r' && self().held) {
          self().d = self().held;
          go(release_drop);
          done("T%d releases the span it holds");
        }
        if (*role == 'p') start_purge();
        if (*role == 't') {
          self().after = then_trim;
          go(pop_head);
          done("T%d trims");
        }
      }
    }
    void start_take() {
      self().d = self().held;
      self().after = then_hold;
      self().set = m.home_of(id);
      go(self().held ? take_reserve : pop_head);
      done("T%d wants blocks");
    }
    void start_give() {
      for (int p = 1; p <= m.c_.places; ++p)
        for (int w = 0; w < m.c_.words; ++w)
          for (unsigned mask = 1; mask <= m.all_; ++mask) {
            if (mask & ~unsigned(before.p[p - 1].out & m.word_mask(w))) continue;
            s = before;
            self().mask = u8(mask);
            self().d = s.p[p - 1].owner;
            go(is(Mutant::count_first) ? give_count : give_bits);
            s.p[p - 1].out &= u8(~mask);
            if (s.p[p - 1].owner == 0) {
              report("T%d finds no span around its blocks");
              continue;
            }
            done("T%d frees blocks %d of place %d", int(mask), p);
            if (before.doubles == 0) continue;
            --s.doubles;
            s.p[p - 1].out |= u8(mask);
            done("T%d frees blocks %d of place %d, and somebody else will too", int(mask), p);
          }
    }

    void start_purge() {
      for (int p = 1; p <= m.c_.places; ++p) {
        if (before.p[p - 1].owner == 0) continue;
        s = before;
        self().d = s.p[p - 1].owner;
        go(purge_reserve);
        done("T%d looks at span %d", self().d);
      }
    }

    // SpanSet.
    void read_head() {
      Thread& t = self();
      t.head = head();
      t.head_stale = 0;
      if (t.head != 0) go(pop_next); else found_none();
      done("T%d reads the head of set %d: %d", before.t[id].set, t.head);
    }
    u8& head() { return s.head[self().set]; }
    bool others_follow() { return m.c_.homes > 1 && self().set == m.home_of(id); }
    void found_none() {
      if (self().after == then_trim) return go(trim_back);
      if (!others_follow()) return go(create_descriptor);
      self().set ^= 1;
      go(pop_head);
    }
    bool head_is_as_read() { return head() == self().head && (!self().head_stale || is(Mutant::no_tag)); }
    void pop() {
      Thread& t = self();
      if (!head_is_as_read()) {
        t.head = head();
        t.head_stale = 0;
        if (t.head != 0) go(pop_next); else found_none();
        return done("T%d fails to pop, the head is %d", t.head);
      }
      t.d = t.head;
      t.stale = 0;
      head() = t.next;
      t.head = t.next = 0;
      if (desc(t.d).free) fail(Fault::stale);
      if (head() != 0 && desc(head()).free) fail(Fault::links);
      go(t.after == then_hold ? hold_state : trim_state);
      done("T%d pops %d", t.d);
    }
    void start_push(After after) {
      self().after = after;
      if (after != then_trim_back) self().set = mine().home;  // linked, so it stays what it is
      go(push_next);
    }
    // Reading the head and writing the link are one step: whatever could happen between them may as well happen after.
    void prepare_push() {
      Thread& t = self();
      check_fresh();
      t.head = head();
      t.head_stale = 0;
      mine().next = t.head;
      go(push_cas);
      done("T%d links %d to %d", t.d, t.head);
    }
    void push() {
      Thread& t = self();
      check_fresh();
      if (!head_is_as_read()) {
        go(push_next);
        return done("T%d fails to push %d", t.d);
      }
      const u8 d = t.d;
      if (m.times_in_sets(before, d) || mine().free || m.holders(s, d)) fail(Fault::links);
      head() = d;
      for (int u = 0; u < m.c_.threads; ++u)
        if (u != id && s.t[u].set == t.set && (s.t[u].pc == pop_next || s.t[u].pc == pop_cas || s.t[u].pc == push_cas)) s.t[u].head_stale = 1;
      t.head = 0;
      if (t.after == then_trim_back) {
        t.d = 0;
        go(trim_back);
      } else if (t.after == then_count) {
        t.link = 1;  // is done
        go(give_count);
      } else {
        rest();
      }
      done("T%d pushes %d", d);
    }

    // hold_span.
    void hold() {
      Thread& t = self();
      Descriptor& d = mine();
      check_fresh();
      const u8 popped = t.d;
      if (d.dead && !is(Mutant::keep_dead)) {
        free_descriptor(t.d);
        t.d = 0;
        t.set = m.home_of(id);
        go(pop_head);
        return done("T%d finds %d dead and releases the descriptor", popped);
      }
      if (d.count == 0) {
        if (!m.c_.unlinks) fail(Fault::links);
        set_state(d, 0, 0, 0, 0);
        d.home = m.home_of(id);
        t.d = 0;
        t.set = m.home_of(id);
        go(pop_head);
        return done("T%d unlinks %d", popped);
      }
      const int most = d.count;
      hold_only();
      for (int n = 1; n <= most; n += most > 1 ? most - 1 : 1) hold_and_reserve(n);
    }
    void hold_only() {
      s = before;
      mine().held = 1;
      mine().home = m.home_of(id);
      self().held = self().d;
      self().set = 0;
      go(take_reserve);
      done("T%d holds %d", self().d);
    }
    void hold_and_reserve(int n) {
      s = before;
      Thread& t = self();
      t.n = u8(n);
      if (is(Mutant::plain_hold)) {
        t.mask = mine().count;
        go(hold_store);
        return done("T%d means to reserve %d of %d", n, t.d);
      }
      first_reserved(mine().count);
      done("T%d takes hold of %d and reserves %d", t.d, n);
    }
    void hold_by_store() {
      first_reserved(std::exchange(self().mask, 0));
      done("T%d stores that it holds %d and reserved %d", self().d, self().n);
    }
    // `had`: the free blocks of the span that was popped.
    void first_reserved(int had) {
      Thread& t = self();
      const int left = had - t.n;
      const bool stays = left > 0 || is(Mutant::keep_linked);
      set_state(mine(), stays, left > 0, 0, left);
      mine().home = m.home_of(id);
      t.set = 0;
      t.held = left > 0 ? t.d : 0;
      t.after = then_rest;  // after the bits
      const bool was_empty = m.c_.spares >= 0 && had == blocks() && !is(Mutant::first_uncounted);
      go(was_empty ? take_empties : take_collect);
    }
    void create() {
      Thread& t = self();
      u8 p = 1;
      while (p <= m.c_.places && s.p[p - 1].owner != 0) ++p;
      if (p > m.c_.places || s.free_list == 0) {
        rest();
        return done("T%d finds no memory");
      }
      t.d = s.free_list;
      t.stale = 0;
      s.free_list = mine().next;
      mine() = {.home = m.home_of(id), .place = p};
      t.set = 0;
      s.p[p - 1] = {t.d, 0};
      go(create_state);
      done("T%d makes span %d at place %d", t.d, p);
    }
    void publish() {
      hold_new();
      for (int n = 1; n <= blocks(); n += blocks() > 1 ? blocks() - 1 : 1) reserve_from_new(n);
    }
    void reserve_from_new(int n) {
      s = before;
      Thread& t = self();
      mine().bits = m.all_;
      const int left = blocks() - n;
      set_state(mine(), left > 0, left > 0, 0, left);
      if (m.c_.spares >= 0 && is(Mutant::born_counted)) ++s.empties;
      t.held = left > 0 ? t.d : 0;
      t.n = u8(n);
      t.after = then_rest;
      go(take_collect);
      done("T%d makes %d known with %d blocks reserved", t.d, n);
    }
    void hold_new() {
      mine().bits = m.all_;
      set_state(mine(), 1, 1, 0, blocks());
      if (m.c_.spares >= 0) ++s.empties;
      self().held = self().d;
      go(take_reserve);
      done("T%d holds the new span %d", self().d);
    }

    // take_blocks: one block or as many as there are.
    void reserve() {
      const Descriptor d = mine();
      const int most = d.dead ? 0 : d.count;
      if (most == 0) {
        go(drop);
        return done("T%d finds nothing free in %d", self().d);
      }
      for (int n = 1; n <= most; n += most > 1 ? most - 1 : 1) {
        s = before;
        if (!is(Mutant::no_reserve)) mine().count = u8(most - n);
        self().n = u8(n);
        self().mask = is(Mutant::no_reserve) ? u8(n) : 0;
        go(m.c_.spares >= 0 && most == blocks() ? take_empties : take_collect);
        done("T%d reserves %d of %d", n, most);
      }
    }
    void collect() {
      Thread& t = self();
      Descriptor& d = mine();
      check_fresh();
      if (std::popcount(d.bits) < t.n) fail(Fault::missing);
      u8 chosen = d.bits & m.word_mask(t.word);
      while (std::popcount(chosen) > t.n) chosen &= u8(~std::bit_floor(unsigned(chosen)));
      if (chosen != 0) {
        Place& place = s.p[d.place == 0 ? 0 : d.place - 1];
        if (d.place == 0 || place.owner != t.d) fail(Fault::stale);
        if (place.out & chosen) fail(Fault::twice);
        place.out |= chosen;
        d.bits &= u8(~chosen);
        t.n = u8(t.n - std::popcount(chosen));
      }
      t.word = u8((t.word + 1) % m.c_.words);
      if (t.n == 0) {
        const u8 taken_from = t.d;
        t.word = 0;
        if (t.after != then_hold) rest();  // take_first_blocks
        else go(is(Mutant::no_reserve) ? take_subtract : drop);
        return done("T%d takes blocks %d of %d", chosen, taken_from);
      }
      done("T%d takes blocks %d of %d", chosen, t.d);
    }

    // A purger. Whatever became of the descriptor since it was looked up: what it reserves is there now, and keeps it.
    void reserve_all() {
      const u8 number = self().d;
      Descriptor& d = mine();
      const int n = d.dead ? 0 : d.count;
      if (n == 0) {
        rest();
        return done("T%d finds nothing to purge in %d", number);
      }
      self().stale = 0;
      self().n = u8(n);
      if (!is(Mutant::purge_unchecked)) d.count = 0;
      go(m.c_.spares >= 0 && n == blocks() ? purge_empties : purge_collect);
      done("T%d reserves all %d of %d", n, number);
    }
    void collect_all() {
      Thread& t = self();
      Descriptor& d = mine();
      check_fresh();
      if (std::popcount(d.bits) < t.n) fail(Fault::missing);
      u8 chosen = d.bits;
      while (std::popcount(chosen) > t.n) chosen &= u8(~std::bit_floor(unsigned(chosen)));
      if (d.place == 0 || s.p[d.place - 1].owner != t.d) fail(Fault::stale);
      else if (s.p[d.place - 1].out & chosen) fail(Fault::twice);
      d.bits &= u8(~chosen);
      t.mask = chosen;
      t.n = 0;
      go(give_bits);
      done("T%d takes blocks %d of %d and purges", chosen, t.d);
    }

    // drop_if_exhausted, release_held_span.
    void drop_held() {
      const u8 d = self().d;
      if (mine().count != 0) {
        rest();
        return done("T%d keeps %d", d);
      }
      if (is(Mutant::plain_drop)) {
        go(drop_store);
        return done("T%d finds %d exhausted", d);
      }
      set_state(mine(), 0, 0, 0, 0);
      self().held = 0;
      rest();
      done("T%d unlinks %d, which is exhausted", d);
    }
    void release_if_exhausted() {
      const u8 d = self().d;
      if (mine().count != 0) {
        go(release_state);
        return done("T%d finds free blocks in %d", d);
      }
      set_state(mine(), 0, 0, 0, 0);
      self().held = 0;
      rest();
      done("T%d unlinks %d, which is exhausted", d);
    }
    void release_held() {
      const u8 d = self().d;
      const bool full = mine().count == blocks();
      if (!full || may_keep(1)) {
        mine().held = 0;
        self().held = 0;
        start_push(then_rest);
        done("T%d holds %d no longer", d);
      }
      if (!full || !may_retire(1)) return;
      s = before;
      self().place = mine().place;
      retire(mine(), 0);
      self().held = 0;
      go(m.c_.spares >= 0 ? release_empties : release_desc);
      done("T%d retires %d, which it held", d);
    }
    // The rule of spares, where `own` of the counted ones are the span in question.
    bool may_retire(int own) const { return m.c_.spares < 0 || before.empties - kNoEmpties - own >= m.c_.spares; }
    bool may_keep(int own) const { return m.c_.spares < 0 || !may_retire(own); }

    // give_gathered, count_free.
    void set_bits() {
      Thread& t = self();
      Descriptor& d = mine();
      check_fresh();
      if ((d.bits & t.mask) && !is(Mutant::blind)) return report("T%d finds a block of %d free already");
      d.bits |= t.mask;
      if (!is(Mutant::count_first)) go(give_count);
      else if (t.link) start_push(then_rest);
      else rest();
      done("T%d sets bits %d of %d", before.t[id].mask, before.t[id].d);
    }
    void report(const char* what) {
      if (!m.c_.doubles) fail(Fault::alarm);
      s.stopped = 1;
      done(what, before.t[id].d);
    }
    void count() {
      check_fresh();
      const Descriptor d = mine();
      const int n = std::popcount(self().mask);
      if (d.count + n > blocks() || d.dead) return report("T%d finds the count of %d impossible");
      if (is(Mutant::push_first) && !d.linked && !self().link) {
        start_push(then_count);
        return done("T%d sees that %d is not linked", self().d);
      }
      const bool full = d.count + n == blocks();
      const bool retirable = full && (!d.held || is(Mutant::ignore_held));
      if (!retirable || may_keep(0)) add(d, n, full);
      if (!retirable || !may_retire(0)) return;
      s = before;
      self().place = d.place;
      self().link = !d.linked && !is(Mutant::dead_nowhere);
      retire(mine(), 1);
      if (is(Mutant::free_at_death)) free_descriptor(self().d);
      if (is(Mutant::empties_twice)) ++s.empties;
      go(give_pages);
      done("T%d retires %d", self().d);
    }
    void add(const Descriptor& d, int n, bool full) {
      Thread& t = self();
      mine().count = u8(d.count + n);
      if (!is(Mutant::link_after)) mine().linked = 1;
      t.link = !d.linked && !is(Mutant::push_first) && !is(Mutant::link_after);
      if (is(Mutant::count_first)) go(give_bits);
      else if (is(Mutant::link_after)) go(give_read);
      else if (full && m.c_.spares >= 0) go(give_empties);
      else if (t.link) start_push(then_rest);
      else rest();
      done("T%d adds %d to the count of %d", n, before.t[id].d);
    }

    // trim_central.
    void trim() {
      Thread& t = self();
      Descriptor& d = mine();
      check_fresh();
      const u8 popped = t.d;
      if (d.dead) {
        free_descriptor(popped);
        t.d = 0;
        go(pop_head);
        return done("T%d finds %d dead and releases the descriptor", popped);
      }
      if (d.count == blocks() && d.linked && !d.held) {
        t.place = d.place;
        retire(d, 1);
        go(m.c_.spares >= 0 ? trim_empties : trim_pages);
        return done("T%d retires %d", popped);
      }
      d.next = t.keep;
      t.keep = popped;
      t.d = 0;
      go(pop_head);
      done("T%d keeps %d aside", popped);
    }
    void put_back() {
      Thread& t = self();
      if (t.keep == 0 && t.set + 1 < m.c_.homes) {
        ++t.set;
        t.after = then_trim;
        go(pop_head);
        return done("T%d goes on to set %d", t.set);
      }
      if (t.keep == 0) {
        rest();
        return done("T%d has trimmed");
      }
      t.d = t.keep;
      t.stale = 0;
      t.keep = mine().next;
      start_push(then_trim_back);
      done("T%d puts %d back", t.d);
    }

    // Shared parts.
    void set_state(Descriptor& d, int linked, int held, int dead, int count) {
      d.linked = u8(linked);
      d.held = u8(held);
      d.dead = u8(dead);
      d.count = u8(count);
    }
    void retire(Descriptor& d, int linked) {
      const u8 number = u8(&d - s.d + 1);
      if ((s.p[d.place - 1].out != 0 && !m.freed_twice(s)) || d.bits != m.all_) fail(Fault::early);
      for (int u = 0; u < m.c_.threads; ++u)
        if (s.t[u].d == number && s.t[u].n > 0) fail(Fault::early);
      set_state(d, linked, 0, 1, 0);
    }
    void give_pages_back() {
      Thread& t = self();
      const int p = t.place;
      if (s.p[p - 1].owner == 0 || (s.p[p - 1].out != 0 && !m.freed_twice(s))) fail(Fault::early);
      s.p[p - 1].owner = 0;
      t.place = 0;
      if (t.pc == trim_pages) go(trim_desc);
      else if (t.pc == give_pages && t.link) start_push(then_rest);
      else rest();
      done("T%d gives the pages of place %d back", p);
    }
    void free_descriptor(u8 number) {
      Descriptor& d = desc(number);
      if (d.free || m.holders(s, number) || m.times_in_sets(s, number)) fail(Fault::stale);
      d = {.next = s.free_list, .free = 1};
      s.free_list = number;
      for (int u = 0; u < m.c_.threads; ++u)
        if (u != id && s.t[u].d == number) s.t[u].stale = 1;
    }
  };
};

}  // namespace model::spans

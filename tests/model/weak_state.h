// The state of the model of weak references, ephemerons, destructors and callbacks (weak.h), and its packing.
//
// Objects are 1 to 3, cells of the ephemeron map 4 and 5; 0 is null. As targets of stores 6 is the global root cell and 7 the map's only slot.
#pragma once
#include <string>

#include "packed.h"

namespace model::weak {

enum class Mutant {
  none,
  // Ephemerons.
  strong,              // scanned with a white key it keeps key and value
  dropped,             // ... it is forgotten: it does not wait
  shade_wakes_nobody, assist_wakes_nobody,  // who marks a key leaves the ephemerons alone that wait for it
  awaited_late,        // the driver says that a key is awaited when it has looked at its mark
  no_recheck,          // the driver does not look at the key's mark again
  looks_first,         // who marks a key looks whether it is awaited before he marks it
  deferred_kept,       // an assist keeps what it has deferred
  deferred_uncounted,  // termination does not look for deferred ephemerons
  emptied_early,       // what waits is emptied before termination
  emptied_late,        // ... when the barriers are off
  not_emptied,
  emptied_once,        // not again when the closures are marked
  closure_settles_not, // marking closures leaves deferred ephemerons alone
  key_unshaded, value_unshaded, erased_unshaded, cleared_unshaded,  // stores without the barrier's shades
  key_dirties_not, value_dirties_not,  // ... without its card
  cell_reused,         // erased and inserted again, an entry has the same cell
  iterates_unlocked,   // iteration reads keys as they are
  // Weak references.
  weak_after,          // emptied when closures are marked
  weak_late,           // ... when the barriers are off
  lock_ignores_done, lock_reads_once, lock_shades_not, lock_cancels_not,
  lock_cancels_always, // also for an object that is marked
  // Destructors.
  found_early,         // before termination
  found_born,          // also objects that are no candidates
  handed_at_once,      // what is found is in the queue before its closure is marked
  closure_unmarked,    // ... which is not marked at all
  queue_no_root, running_no_root,
  taken_unshaded,      // an object leaves the queue without a shade
  bit_kept, bit_late,  // the bit stays; it goes when the destructor begins
  destroy_keeps_bit,
  unremembered,        // without memory for the queue an object is not marked
  abort_forgets,       // an aborted cycle forgets what it has found
  abort_sweeps,        // a cycle given up while closures are marked sweeps
  abort_young,         // after an aborted cycle comes a young one
  // Callbacks.
  callbacks_first,     // found before the closures of destructors are marked
  callbacks_early,     // read as roots before handshake 2
  callback_no_root,
  callback_unmarked,   // queued, it is no root
};

struct Config {
  int n = 2;                   // objects (1-3)
  int r0 = 1, r1 = 0;          // registers of the two threads (0-2)
  std::string ops0 = "als", ops1;  // what each thread does; README.md
  int cells = 0;               // of the map (0-2)
  int global = 1, fields = 1;  // a global root cell; objects have a field
  int captures = 1;            // callbacks capture objects
  int map_in = 0;              // 1: the map lies in object 1
  int young = 0, full = 1, abort = 0, oom = 0;
  int live = 0;                // garbage has to go
  int rounds = 0;              // termination may fail so often in a cycle; 0: is not counted
  Mutant mutant = Mutant::none;
};

enum class Fault { none, lost, leaked, dangling, late, destroyed, twice, never, revived, callback, endless, deadlock };
inline const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "-";
    case Fault::lost: return "REACHABLE OBJECT FREED";
    case Fault::leaked: return "GARBAGE KEPT BY A FULL CYCLE";
    case Fault::dangling: return "DANGLING POINTER LOADED";
    case Fault::late: return "GREY OBJECT AFTER TERMINATION";
    case Fault::destroyed: return "REACHABLE OBJECT DESTROYED";
    case Fault::twice: return "DESTRUCTOR RUN TWICE";
    case Fault::never: return "DESTRUCTOR NEVER RUN";
    case Fault::revived: return "LOCKED WHAT IS DESTROYED";
    case Fault::callback: return "CALLBACK BEFORE ITS OBJECT HAS GONE";
    case Fault::endless: return "TERMINATION WITHOUT END";
    case Fault::deadlock: return "DEADLOCK";
  }
  return "?";
}

constexpr int kThreads = 2, kObjects = 3, kCells = 2, kIds = kObjects + kCells, kLongest = kObjects + 1;
constexpr u8 kFirstCell = kObjects + 1, kGlobal = 6, kMap = 7, kCallback = 4;  // the last: as an entry of the queue
constexpr u8 kAllCells = 0b11000;

enum MarkState : u8 { off, snapshot, marking, terminating, done };
enum Pc : u8 {
  idle,
  st_old, st_new,                        // barrier_slow: the slot is written
  in_value, in_key, in_slot, er_key,     // EphemeronTable::add, remove
  lk_look, lk_cancel, lk_second, lk_shade, lk_white, lk_again,  // lock_cell
  rn_shade,                              // take_next
  as_take, as_scan, as_wake, as_hand, as_after,  // scan_for_a_quantum
};
enum DriverPc : u8 {
  c_idle, c_hs1, c_clean, c_hs2, c_scans, c_global, c_map, c_queue, c_callbacks, c_cards, c_mark, c_awaited, c_insert, c_recheck, c_late_awaited, c_term,
  c_flush, c_take, c_decide, c_weak, c_empty, c_find, c_closure, c_find_callback, c_closure2, c_empty2, c_hand, c_off, c_off_late, c_sweep, c_abort, c_forget
};
enum CallbackState : u8 { nowhere, registered, queued };

struct Thread {
  u8 reg[2];
  u8 self;                 // what it destroys, or what the callback that it runs has captured
  u8 pc, stage, then;      // stage: of a shade; then: where a store goes on
  u8 slot, old, neu;       // the store in flight; old: also what is locked, taken, scanned
  u8 cell, a, b;           // of the map's entry in hand; key and value to insert
  u8 flag, black, buf, deferred;
  u8 looked;               // mutant looks_first
};
struct State {
  u8 alloc, mark, born, card;    // sets of ids
  u8 field[kIds], key[kCells];   // field of a cell: its value
  u8 global, map;
  u8 bits, owed, taken;          // to be destroyed; the same as the program sees it; found by the collector
  u8 weak, weak_to_taken;
  u8 record, capture, callback;  // on_unreachable: the object, what the callback captured, CallbackState
  u8 found[kLongest], queue[kLongest];
  u8 work, words, deferred, list;
  u8 waits[kCells];              // keys
  u8 awaited;
  u8 driver, back, settling, settling_key;  // back: where settling ephemerons goes on
  u8 full, state, hadwork, pending, aborted, after_abort, doomed, rounds;
  Thread t[kThreads];
};

// One walk over all members serves packing and unpacking.
template <class Io>
void transfer(Io&& io, State& s, const Config& c) {
  const int ids = c.cells ? kIds : c.n, cells = c.cells;
  io(s.alloc, ids), io(s.mark, ids), io(s.born, ids);
  if (c.young) io(s.card, ids), io(s.list, ids);
  for (int i = 0; i < c.n; ++i) io(s.field[i], 2);
  for (int i = 0; i < cells; ++i) io(s.field[kObjects + i], 2), io(s.key[i], 2), io(s.waits[i], 2);
  io(s.global, 2);
  if (cells) io(s.map, 3), io(s.awaited, 1), io(s.deferred, kIds), io(s.settling, 3), io(s.settling_key, 2), io(s.back, 5);
  io(s.bits, c.n), io(s.owed, c.n), io(s.taken, c.n);
  io(s.weak, 2), io(s.weak_to_taken, 1);
  io(s.record, 2), io(s.capture, 2), io(s.callback, 2);
  for (int i = 0; i <= c.n; ++i) io(s.found[i], 3), io(s.queue[i], 3);
  io(s.work, ids), io(s.words, ids);
  io(s.driver, 5), io(s.full, 1), io(s.state, 3), io(s.hadwork, 1), io(s.pending, 2);
  if (c.abort) io(s.aborted, 1), io(s.after_abort, 1);
  if (c.live) io(s.doomed, ids);
  if (c.rounds) io(s.rounds, 4);
  for (int i = 0; i < kThreads; ++i) {
    Thread& t = s.t[i];
    for (int r = 0; r < (i ? c.r1 : c.r0); ++r) io(t.reg[r], 2);
    io(t.self, 2), io(t.pc, 5), io(t.stage, 2), io(t.then, 3), io(t.slot, 3), io(t.old, 3), io(t.neu, 3);
    if (cells) io(t.cell, 3), io(t.a, 2), io(t.b, 2), io(t.deferred, kIds);
    io(t.flag, 1), io(t.black, 1), io(t.buf, ids);
    if (c.mutant == Mutant::looks_first) io(t.looked, 1);
  }
}

}  // namespace model::weak

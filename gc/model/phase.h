// Where a cycle is. One state machine, written by the driver, and by whoever cancels a termination.
//
// MarkState, what a shade has to do (rule numbers: docs/design/protocol_model.md):
//
//      turn_barriers_on       scan_stacks             terminate                  finish_if_quiet
//   off -------------> snapshot -------------> marking ----------------> terminating ------------> done
//    ^                                            ^                          |                       |
//    |                                            +--- cancel_termination ---+                       |
//    +------------------------------- turn_barriers_off, or an abort --------------------------------+
//
//   off          flags are off (or on their way); a shade does nothing
//   snapshot     handshakes 1 and 2: which objects are candidates is not known everywhere yet, so a shade records the
//                word as it is (raw) and the marker decides
//   marking      shade sets the mark and records the object
//   terminating  as marking, but whoever is about to set a mark first moves the state back (rule 7)
//   done         nothing reachable is white any more; white candidates are garbage
//
// Apart from it, `sweep_open` says whether threads may sweep: from the end of one cycle to the start of the next.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::gc {

// Full: every mark is forgotten first. Young: marked objects are old and stay; only what has come since is traced and freed
// (sticky mark bits: Demers et al. 1990).
enum class CycleKind : std::uint8_t { full, young };

enum class MarkState : std::uint32_t { off, snapshot, marking, terminating, done };

extern std::atomic<MarkState> mark_state;

// Number of the cycle that runs or ran last, and of the last full one (whose mark bits count). Written by the driver
// while every barrier is off; ordered for the others by handshake 1.
extern std::atomic<std::uint32_t> current_cycle;
extern std::atomic<std::uint32_t> mark_epoch;

// Sets of spans flip from swept to unswept with it (alloc/cache/span_class.h).
extern std::atomic<std::uint32_t> sweep_generation;
extern std::atomic<std::uint32_t> full_generation;  // the same for sets of tenured spans: full cycles alone sweep them
extern std::atomic<bool> sweep_open;

// The memory for grey objects ran out: this cycle has to be given up (rule 16).
extern std::atomic<bool> cycle_must_abort;

void set_mark_state(MarkState next);  // driver only; checks the table above

// Handshake 2 of the cycle has been asked, so some stack may be black. Until then all are grey, and nothing is born black.
// seq_cst, which costs no load anything: a thread that has got an object from one that answered handshake 2 reads true.
extern std::atomic<bool> stack_scan_asked;

// Before a mark is set: if the driver thinks that marking may be over, tell it that it is not. False: too late, the state
// is done. Then nothing may be marked: what is white is garbage, a stale word names it, and marked it would survive the
// cycle while what it refers to does not. seq_cst by compare-and-swap: pairs with the driver's own one in
// finish_if_quiet().
bool cancel_termination();
bool finish_if_quiet();  // driver: terminating -> done, false when somebody cancelled

}  // namespace lull::gc

// Which kind the next cycle is: rules with names, over what the last cycles did. Arithmetic only, like the pacer.
//
// Young cycles are cheap while most of what they look at is dead, and cannot free what is old. So the heap ends every cycle
// at the goal that the last full cycle set, and a full one is due when what has been promoted since fills three quarters of
// the room below it, or when young cycles free too little to be worth it. Memory use is that of a collector without generations.
//
// A young cycle that frees little proves nothing against young cycles: while a program builds up what it works on, full ones free
// as little. So it is the full cycle after it that decides: if it finds garbage, the objects die old, and young cycles become rare.
// If it finds none either, the program is building up, and full ones follow until one of them finds garbage: a young cycle promotes
// everything, which fills the room, so that a full one has to follow it at once.
//
// A young cycle starts before the heap has grown to its goal once the young budget is used up: memory that comes round sooner is
// still in the caches. What a cycle costs bounds it from below: it has to scan what is live at the moment, however little has
// been allocated. So the budget is halved while cycles scan next to nothing of what they look at, and doubled while they scan much.
#pragma once

#include <cstdint>

#include "gc/model/phase.h"

namespace lull::gc {

enum class CycleReason : std::uint8_t {
  generations_off,    // full
  nothing_is_old,     // full: there has been no full cycle yet
  last_was_aborted,   // full: the dirty cards of the aborted one are gone (rule 16)
  threads_were_lost,  // full: in a forked child; of what other threads stored their cards may be missing
  old_has_grown,      // full: three quarters of the room that the last full cycle made are taken by what was promoted since
  young_did_not_pay,  // full: the last young cycle freed too little where full ones free more; the oftener so, the more follow it
  young_is_enough,    // young
  asked_for,          // collect(), collect_young(), or memory ran out
  test_asked_for,     // force_kind() or the mode rage
  idle,               // full: the program has stopped allocating, gc/pace/idle.h
  nothing_dies,       // full: neither the last young cycle nor a full one since found garbage; a young one would only be followed by a full one
};

struct NextCycle {
  CycleKind kind;
  CycleReason reason;
};
const char* name_of(CycleReason reason);

struct CycleYield {
  CycleKind kind;
  std::uint64_t allocated;  // since the cycle before, bytes
  std::uint64_t freed;
  std::uint64_t survived;
  std::uint64_t scanned = 0;
};

class Generations {
 public:
  // `goal`: of the last full cycle, UINT64_MAX: none.
  NextCycle next(bool generational, std::uint64_t goal) const;
  void end_cycle(const CycleYield& yield);
  void abort_cycle() { aborted_ = true; }

  // What may be allocated between two cycles if the next one is young; kNoBudget: as much as the goal allows.
  std::uint64_t young_budget() const { return young_budget_; }

  std::uint64_t old_at_full() const { return old_at_full_; }  // what survived the last full cycle

  // A young cycle pays if it frees this much of what was allocated since the cycle before. Higher: more full cycles in
  // programs whose objects live for some time. Lower: young cycles that only move the work to the full one.
  static constexpr unsigned kWorthwhilePercent = 30;
  static constexpr unsigned kMostFullCyclesInARow = 16;  // before young cycles get another chance

  static constexpr std::uint64_t kNoBudget = ~std::uint64_t{0};
  // Smaller: more in the cache, and more cycles, each with three handshakes and a look at every card.
  static constexpr std::uint64_t kSmallestYoungBudget = 32u << 20;
  static constexpr std::uint64_t kSmallestBudgetOfHeap = 16;  // nor less than this part of the heap: there are cards all over it
  // A young cycle that scans less than this of what was allocated since the cycle before halves the budget, one that scans more
  // doubles it. Further apart: slower to adapt; closer together: the budget swings.
  static constexpr unsigned kLittleScannedPercent = 4, kMuchScannedPercent = 16;

 private:
  void end_young(const CycleYield& yield);
  void end_full(const CycleYield& yield);
  void adapt_young_budget(const CycleYield& yield);

  std::uint64_t old_at_full_ = 0, survived_ = 0;
  std::uint64_t young_budget_ = kNoBudget;
  unsigned full_cycles_due_ = 0, poor_in_a_row_ = 0;
  bool young_is_suspect_ = false;  // the last young cycle freed too little: the next full one says whose fault that is
  bool nothing_dies_ = false;      // nor does any full cycle since
  bool had_full_ = false, aborted_ = false;
};

}  // namespace lull::gc

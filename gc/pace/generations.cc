#include "gc/pace/generations.h"

#include <algorithm>

namespace lull::gc {

const char* name_of(CycleReason reason) {
  constexpr const char* kNames[] = {"generations off", "nothing is old",    "last was aborted",
                                    "threads were lost", "old has grown",   "young did not pay", "young is enough",
                                    "asked for",       "by a test",         "idle",
                                    "nothing dies"};
  return kNames[static_cast<unsigned>(reason)];
}

NextCycle Generations::next(bool generational, std::uint64_t goal) const {
  const auto full = [](CycleReason why) { return NextCycle{CycleKind::full, why}; };
  if (!generational) return full(CycleReason::generations_off);
  if (!had_full_) return full(CycleReason::nothing_is_old);
  if (aborted_) return full(CycleReason::last_was_aborted);
  const std::uint64_t room = goal > old_at_full_ ? goal - old_at_full_ : 0;
  const std::uint64_t promoted = survived_ > old_at_full_ ? survived_ - old_at_full_ : 0;
  if (promoted > room / 4 * 3) return full(CycleReason::old_has_grown);
  if (young_is_suspect_ || full_cycles_due_ > 0) return full(CycleReason::young_did_not_pay);
  if (nothing_dies_) return full(CycleReason::nothing_dies);
  return {CycleKind::young, CycleReason::young_is_enough};
}

void Generations::end_cycle(const CycleYield& yield) {
  aborted_ = false;
  if (yield.kind == CycleKind::full) end_full(yield);
  else end_young(yield);
  survived_ = yield.survived;
}

void Generations::end_young(const CycleYield& yield) {
  adapt_young_budget(yield);
  young_is_suspect_ = yield.freed < yield.allocated / 100 * kWorthwhilePercent;
  if (!young_is_suspect_) poor_in_a_row_ = 0;
}

void Generations::end_full(const CycleYield& yield) {
  // What this cycle may have freed: what has been promoted or made since the last full one.
  const std::uint64_t peak = yield.freed + yield.survived;
  const std::uint64_t in_doubt = peak > old_at_full_ ? peak - old_at_full_ : 0;
  const bool found_garbage = yield.freed >= in_doubt / 100 * kWorthwhilePercent;
  if (young_is_suspect_) {
    poor_in_a_row_ = found_garbage ? poor_in_a_row_ + 1 : 0;
    full_cycles_due_ = found_garbage ? std::min(1u << std::min(poor_in_a_row_ - 1, 4u), kMostFullCyclesInARow) : 0;
  }
  nothing_dies_ = !found_garbage && (young_is_suspect_ || nothing_dies_);
  if (full_cycles_due_ > 0) --full_cycles_due_;
  young_is_suspect_ = false;
  had_full_ = true;
  old_at_full_ = yield.survived;
}

void Generations::adapt_young_budget(const CycleYield& yield) {
  const std::uint64_t per_cent = yield.allocated / 100;
  if (yield.scanned > per_cent * kMuchScannedPercent) {
    young_budget_ = young_budget_ > kNoBudget / 2 ? kNoBudget : young_budget_ * 2;
  } else if (yield.scanned < per_cent * kLittleScannedPercent) {
    const std::uint64_t smallest = std::max(kSmallestYoungBudget, yield.survived / kSmallestBudgetOfHeap);
    young_budget_ = std::max(std::min(young_budget_, yield.allocated) / 2, smallest);
  }
}

}  // namespace lull::gc

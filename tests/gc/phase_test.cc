// The state machine of marking, and who may still mark when.
#include "gc/model/phase.h"

#include <gtest/gtest.h>

namespace lull::gc {
namespace {

void advance_to_terminating() {
  set_mark_state(MarkState::off);
  for (const MarkState next : {MarkState::snapshot, MarkState::marking, MarkState::terminating}) set_mark_state(next);
}

TEST(Phase, CancellingMovesTerminationBackToMarking) {
  advance_to_terminating();
  EXPECT_TRUE(cancel_termination());
  EXPECT_EQ(MarkState::marking, mark_state.load());
  EXPECT_FALSE(finish_if_quiet());
  EXPECT_TRUE(cancel_termination());  // nothing to cancel: marks count
  EXPECT_EQ(MarkState::marking, mark_state.load());
}

// A mark set now would keep an object whose fields nobody scans.
TEST(Phase, CancellingTooLateSaysThatNothingMayBeMarked) {
  advance_to_terminating();
  EXPECT_TRUE(finish_if_quiet());
  EXPECT_FALSE(cancel_termination());
  EXPECT_EQ(MarkState::done, mark_state.load());
}

TEST(PhaseDeathTest, IllegalChangesStopTheProgram) {
  EXPECT_DEATH({ set_mark_state(MarkState::off); set_mark_state(MarkState::marking); }, "illegal change of phase");
  EXPECT_DEATH({ advance_to_terminating(); set_mark_state(MarkState::done); }, "illegal change of phase");
}

}  // namespace
}  // namespace lull::gc

// Rule 9, where a mutator scans, too: what it has taken out of the pool is grey, and no flush shows it to the driver.
#include <gtest/gtest.h>

#include <atomic>
#include <string_view>
#include <thread>

#include "gc/cycle/stepper.h"
#include "gc/mark/assist.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::gc::MarkState;
using lull::gc::Step;
using lull::gc::Stepper;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Node {
  lull::ptr<Node> next;
  void trace(lull::tracer& t) const { t(next); }
};

lull::root<Node> anchor, other_root;

std::atomic<bool> assist_has_taken{false}, assist_may_scan{false}, main_has_answered{false}, cycle_is_over{false};
thread_local bool is_main = false;

void wait_for(const std::atomic<bool>& flag) {
  while (!flag) {
  }
}

void hold_at_points(const char* where) {
  const std::string_view point(where);
  if (!is_main) {
    if (point != "marker has taken" || assist_has_taken.exchange(true)) return;
    wait_for(assist_may_scan);
  } else if (point == "about to answer") {
    if (lull::gc::mark_state == MarkState::terminating) main_has_answered = true;
  } else if (point == "stored, not shaded") {
    assist_may_scan = true;
    wait_for(cycle_is_over);  // the first flush to come after the assist interrupts this, if one comes
  }
}

[[gnu::noinline]] Hidden cut_after_anchor() {
  Hidden rest(anchor->next.get());
  anchor->next = nullptr;
  return rest;
}

// anchor -> o1 -> o2. An assist takes o1, marking is over as far as the driver can see, this thread answers the flush, loads o2, and
// overwrites o1.next. Then the assist scans o1 and finds nothing. The only round that knew o1 as grey must not be the last.
TEST(Termination, WaitsForWhatAnAssistTookBeforeItBegan) {
  if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "threads that do not poll need the signal";
  lull::set_gc_percent(-1);
  lull::attach_thread();
  elsewhere([] {
    anchor = lull::make<Node>();
    anchor->next = lull::make<Node>();
    other_root = anchor;
  });
  is_main = true;
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  elsewhere([] { other_root = nullptr; });  // shades o1, and the end of the thread hands it to the pool
  lull::gc::delay_hook_for_testing = hold_at_points;
  lull::gc::options.delay = 1;  // of the hook
  std::thread assisting([] {
    lull::attach_thread();
    lull::gc::RuntimeSection section(lull::gc::self());
    lull::gc::assist_for_a_quantum(lull::gc::self());
  });
  std::thread driving([&] {
    {
      lull::blocking_region waiting;
      wait_for(assist_has_taken);
    }
    stepper.finish();
    cycle_is_over = true;
  });
  wait_for(main_has_answered);
  const Hidden taken = cut_after_anchor();
  {
    lull::blocking_region joining;
    assisting.join();
    driving.join();
  }
  lull::gc::options.delay = 0;
  EXPECT_TRUE(is_allocated(taken));
}

// The deleted object is marked at once; what it refers to, when its buffer gets to a marker.
TEST(Termination, WaitsForWhatAThreadThatHasEndedShaded) {
  lull::set_gc_percent(-1);
  lull::attach_thread();
  Hidden first, second;
  elsewhere([&] {
    anchor = lull::make<Node>();
    anchor->next = lull::make<Node>();
    first = Hidden(anchor.get());
    second = Hidden(anchor->next.get());
  });
  Stepper stepper;
  stepper.run_to(Step::stacks_scanned);
  elsewhere([] { anchor = nullptr; });
  stepper.finish();
  EXPECT_TRUE(is_allocated(first));
  EXPECT_TRUE(is_allocated(second));
  elsewhere([] { lull::collect(); });
  EXPECT_FALSE(is_allocated(second));
}

}  // namespace

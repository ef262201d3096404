// The fast paths, one instruction at a time: the processor's trap flag stops after every instruction, and a handler looks
// at what a handshake that fell there would find. Guards rules 3 (both values of a store stay visible until the slow
// path refuses handshakes) and 12 (an object's address is visible before the object is).
#include <gtest/gtest.h>

#include "gc/model/options.h"
#include "gc/mutator/mutator.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/single_step.h"

namespace {

using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::start_stepping;
using lull::testing::stop_stepping;

struct Node {
  lull::ptr<Node> next;
  std::uint64_t value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

// What the handler checks after each instruction: `visible` values must be in a register or in the stepped function's
// frames whenever `watching()` says so.
struct Watch {
  bool (*watching)() = nullptr;
  Hidden values[2];
  int value_count = 0;
  std::uintptr_t frames_end = 0;
  int checked = 0, missed = 0;
};
Watch watch;

bool finds(const ucontext_t& context, std::uintptr_t low, std::uintptr_t high) {
  const auto in_object = [&](std::uintptr_t word) { return word >= low && word < high; };
  for (int r = REG_R8; r <= REG_RSP; ++r)
    if (in_object(static_cast<std::uintptr_t>(context.uc_mcontext.gregs[r]))) return true;
  constexpr std::uintptr_t kRedZone = 128;
  const auto sp = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
  for (std::uintptr_t at = (sp - kRedZone) & ~std::uintptr_t{7}; at < watch.frames_end; at += 8)
    if (in_object(*reinterpret_cast<volatile std::uintptr_t*>(at))) return true;
  return false;
}

void on_trap(int, siginfo_t*, void* raw) {
  if (watch.watching == nullptr || !watch.watching()) return;
  const auto& context = *static_cast<const ucontext_t*>(raw);
  ++watch.checked;
  for (int i = 0; i < watch.value_count; ++i) {
    const std::uintptr_t object = watch.values[i].address();
    if (!finds(context, object, object + sizeof(Node))) ++watch.missed;
  }
}

class SingleStepTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "looks at machine code of a plain build";
#endif
    lull::gc::read_options();
    lull::set_gc_percent(-1);
    lull::attach_thread();
    ASSERT_TRUE(lull::testing::handle_steps(on_trap));
    watch = {};
  }
};

lull::root<Node> holder;
std::uintptr_t* slot_under_test;

[[gnu::noinline]] void store(Node* into, Node* value) {
  watch.frames_end = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  into->next = lull::ptr<Node>(value);
}

TEST_F(SingleStepTest, AStoreKeepsBothValuesVisibleUntilItsSlowPathRefusesHandshakes) {
  Hidden object, replacement;
  elsewhere([&] {
    holder = lull::make<Node>();
    holder->next = lull::make<Node>();
    replacement = Hidden(lull::make<Node>().get());
    object = Hidden(holder->next.get());
  });
  slot_under_test = reinterpret_cast<std::uintptr_t*>(&holder->next);
  watch.values[0] = object;
  watch.values[1] = replacement;
  watch.value_count = 2;
  lull::detail::thread_block.barrier_on = 1;  // take the slow path; no cycle runs, so it shades nothing
  // Only the store to the heap slot counts, not the one that builds the temporary: from the instruction after which the
  // slot holds the new value until the slow path refuses handshakes.
  static bool left;
  left = false;
  watch.watching = [] {
    if (left || *slot_under_test != watch.values[1].address()) return false;
    if (lull::gc::self().runtime_depth != 0) left = true;
    return !left;
  };
  start_stepping();
  store(holder.get(), replacement.as<Node>());
  stop_stepping();
  watch.watching = nullptr;
  lull::detail::thread_block.barrier_on = 0;
  EXPECT_GT(watch.checked, 3);
  EXPECT_EQ(watch.missed, 0) << "of " << watch.checked << " instructions";
}

lull::detail::AllocSlot* slot_of_node() {
  auto* slots = reinterpret_cast<char*>(lull::detail::thread_block.slots);
  return reinterpret_cast<lull::detail::AllocSlot*>(slots + lull::detail::KindOf<Node>::object.slot_offset.load());
}

[[gnu::noinline]] void* allocate() {
  watch.frames_end = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return lull::detail::allocate_for<Node>();
}

TEST_F(SingleStepTest, AnAllocationHasTheAddressInARegisterBeforeTheObjectIsVisible) {
  lull::make<Node>();  // opens a hole with room
  static lull::detail::AllocSlot* slot;
  slot = slot_of_node();
  ASSERT_LT(slot->cursor + sizeof(Node), slot->limit);
  watch.values[0] = Hidden(reinterpret_cast<void*>(slot->cursor));
  watch.value_count = 1;
  watch.watching = [] { return slot->cursor > watch.values[0].address(); };
  start_stepping();
  void* object = allocate();
  stop_stepping();
  watch.watching = nullptr;
  EXPECT_EQ(object, watch.values[0].as<void>());
  EXPECT_GT(watch.checked, 0);
  EXPECT_EQ(watch.missed, 0) << "of " << watch.checked << " instructions";
}

}  // namespace

// What happens when the system refuses memory, wherever that is: std::bad_alloc or a later try, nothing half built.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "alloc/os/meta_arena.h"
#include "alloc/os/vm.h"
#include "gc/cycle/stepper.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"
#include "tests/support/scale.h"

namespace {

using lull::make;
using lull::os::fail_mapping_for_testing;
using lull::testing::clear_stack_below;
using lull::testing::Node;

// While it exists every mapping is refused.
class NoMemory {
 public:
  NoMemory() { fail_mapping_for_testing(0, true); }
  ~NoMemory() { fail_mapping_for_testing(-1); }
};

// The record of a thread that attached stopped the process when there was no memory for it, also from lull::make, which
// reports std::bad_alloc for everything else; and the half of it that had been made was lost.
TEST(OutOfMemory, AThreadThatCannotBeAttachedGetsBadAllocAndMayTryAgain) {
  lull::attach_thread();
  lull::blocking_region joining;
  std::thread([] {
    {
      const NoMemory none;
      EXPECT_THROW(lull::attach_thread(), std::bad_alloc);
      EXPECT_THROW(make<Node>(), std::bad_alloc);
    }
    EXPECT_EQ(make<Node>()->value, lull::testing::kIntact);
  }).join();
}

TEST(OutOfMemory, AttachingMayFailAtEachOfItsMappings) {
  lull::attach_thread();
  int refused = 0;
  lull::blocking_region joining;
  std::thread([&] {
    for (std::int64_t n = 0; lull::gc::self_or_null() == nullptr; ++n) {
      fail_mapping_for_testing(n);
      try {
        lull::attach_thread();
      } catch (const std::bad_alloc&) {
        ++refused;
      }
    }
    fail_mapping_for_testing(-1);
    EXPECT_EQ(make<Node>()->value, lull::testing::kIntact);
  }).join();
  EXPECT_GE(refused, 2);  // the allocation slots, and the buffer for words of the stack
}

struct Counted {
  lull::ptr<Node> node = make<Node>();
  ~Counted() { destroyed.fetch_add(node->value == lull::testing::kIntact ? 1 : 1000); }
  void trace(lull::tracer& t) const { t(node); }
  static inline std::atomic<int> destroyed{0};
};
[[gnu::noinline]] void make_and_drop() {
  volatile char padding[1024] = {};
  make<Counted>();
  EXPECT_EQ(padding[0], 0);
}

// A function got another one's data.
TEST(OutOfMemory, TheFunctionIsAlwaysPairedWithItsData) {
  static int first, second;
  const lull::gc::OutOfMemory handlers[] = {{[](std::size_t, void*) { return 1; }, &first}, {[](std::size_t, void*) { return 2; }, &second}};
  std::atomic<bool> stop{false};
  std::thread setter([&] {
    for (unsigned i = 0; !stop; ++i) lull::gc::set_out_of_memory(i % 3 == 2 ? lull::gc::OutOfMemory{} : handlers[i % 3]);
  });
  int seen = 0;
  const int pairs = lull::testing::scaled(10'000'000);  // the setter may start late, and what is wrong shows where both run at once
  while (seen < pairs) {
    const lull::gc::OutOfMemory is = lull::gc::out_of_memory();
    seen += is.function != nullptr;
    ASSERT_EQ(is.data, is.function == nullptr ? nullptr : is.function == handlers[0].function ? &first : &second);
  }
  stop = true;
  setter.join();
  lull::gc::set_out_of_memory({});
}

// The oracle stress found that the finalizer thread, which starts when the first destructor is due, stopped the process if
// there was no memory to attach it just then.
TEST(OutOfMemory, DestructorsWaitForTheMemoryThatTheirThreadNeeds) {
  lull::gc::read_options();
  lull::set_gc_percent(-1);
  // What a queue and a cycle need is there from an earlier time: only the thread is to find no memory.
  lull::gc::options.manual_finalizers = 1;
  for (int i = 0; i < 100 && Counted::destroyed == 0; ++i) {
    make_and_drop();
    clear_stack_below();
    lull::collect();
    lull::run_finalizers();
  }
  lull::gc::options.manual_finalizers = 0;
  const int before = Counted::destroyed;
  constexpr int kMany = 20;  // a stale word may keep one
  for (int i = 0; i < kMany; ++i) make_and_drop();
  clear_stack_below();
  const std::uint64_t aborted = lull::read_mem_stats().aborted_cycles;
  {
    const NoMemory none;
    // Nor is there a rest of an earlier mapping that would do.
    for (std::size_t rest = 1 << 20; rest >= 64; rest /= 2)
      while (lull::os::allocate_meta(rest) != nullptr) {
      }
    lull::collect();
    lull::collect();
    EXPECT_EQ(lull::read_mem_stats().aborted_cycles, aborted);
  }
  while (Counted::destroyed == before) lull::collect();
  lull::wait_for_finalizers();
  EXPECT_LE(Counted::destroyed, before + kMany);  // more: one found its object broken
}

// Closures of destructors are marked when the rest is, and need memory as well. A cycle that got none there went on, and swept
// what it had not come to.
struct OwnsMany {
  static constexpr std::size_t kWidth = 30'000;  // grey at once: more than the segments there are can hold
  lull::ptr<lull::ptr<lull::ptr<Node>>[]> parts = lull::make_array<lull::ptr<lull::ptr<Node>>>(kWidth);
  static inline std::atomic<std::size_t> intact{0};
  OwnsMany() {
    for (auto& part : parts) {
      part = make<lull::ptr<Node>>();
      *part = make<Node>();
    }
  }
  ~OwnsMany() {
    for (const auto& part : parts) intact += (*part)->value == lull::testing::kIntact;
  }
  void trace(lull::tracer& t) const { t(parts); }
};

TEST(OutOfMemory, WhileClosuresOfDestructorsAreMarkedGivesTheCycleUp) {
  lull::gc::read_options();
  lull::gc::options.scribble = 1;
  lull::gc::options.manual_finalizers = 1;
  lull::set_gc_percent(-1);
  lull::testing::elsewhere([] { make<OwnsMany>(); });
  const std::uint64_t aborted = lull::read_mem_stats().aborted_cycles;
  {
    lull::gc::Stepper stepper;
    stepper.run_to(lull::gc::Step::weak_cleared);
    const NoMemory none;
    stepper.finish();
  }
  EXPECT_GT(lull::read_mem_stats().aborted_cycles, aborted);
  EXPECT_EQ(lull::run_finalizers(), 1u);
  EXPECT_EQ(OwnsMany::intact, OwnsMany::kWidth);
  const std::uint64_t frees = lull::read_mem_stats().frees;
  lull::collect();
  EXPECT_GT(lull::read_mem_stats().frees, frees + OwnsMany::kWidth);
}

}  // namespace

// A fork at each instruction of a free of a large block: the child finds the block in use, or its pages free.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <time.h>

#include "alloc/front/statistics.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"
#include "lull/heap.h"
#include "lull/malloc.h"
#include "tests/alloc/support.h"
#include "tests/support/single_step.h"

namespace lull {
namespace {

std::atomic<int> stop_after{0}, steps{0};
std::atomic<bool> has_stopped;

// In a visit it keeps the fork waiting, so it goes on after a while.
void on_trap(int) {
  if (steps.fetch_add(1) + 1 != stop_after) return;
  has_stopped = true;
  timespec left{0, 4'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
}

struct Subject {
  void* (*make)();
  void (*drop)(void*);
};

void* block = nullptr;
std::size_t used_before = 0;  // pages, with the block

bool is_in_use() {
  const pages::PageClass now = pages::reservation.classes[pages::page_of(reinterpret_cast<std::uintptr_t>(block)).value];
  return now == pages::PageClass::large || now == pages::PageClass::heap_large;
}
// The caches of threads that are gone have been given back.
bool pages_are_where_they_should_be() {
  const std::size_t used = pages::page_heap.stats().used;
  return is_in_use() ? used == used_before : used < used_before;
}

// The number of instructions; with `after` the thread stops there and this thread forks.
int free_stepwise(const Subject& subject, int after, bool& is_whole) {
  stop_after = after;
  steps = 0;
  has_stopped = false;
  std::atomic<bool> has_block{false}, may_begin{false}, is_over{false};
  std::thread other([&] {
    block = subject.make();
    has_block = true;
    while (!may_begin) {
    }
    testing::start_stepping();
    subject.drop(block);
    testing::stop_stepping();
    is_over = true;
  });
  while (!has_block) {
  }
  used_before = pages::page_heap.stats().used;
  may_begin = true;
  if (after != 0) {
    while (!has_stopped && !is_over) {
    }
    const auto outcome = testing::run_in_child([] { LULL_CHILD_EXPECT(pages_are_where_they_should_be()); });
    is_whole = outcome.exited_well();
  }
  other.join();
  return steps;
}

void fork_at_each_step(const Subject& subject) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "looks at machine code of a plain build";
#endif
  std::signal(SIGTRAP, on_trap);
  bool is_whole = true;
  const int all = free_stepwise(subject, 0, is_whole);
  ASSERT_GT(all, 50);
  for (int n = 1; n <= all; n += 1 + all / 120) {
    free_stepwise(subject, n, is_whole);
    ASSERT_TRUE(is_whole) << "after " << n << " of " << all << " instructions";
  }
}

TEST(ForkLarge, ABlockThatAThreadKeepsIsNotLost) {
  fork_at_each_step({[] { return lull_malloc(65536); }, lull_free});
}
TEST(ForkLarge, ABlockThatGoesToThePageHeapIsNotLost) {
  fork_at_each_step({[] { return lull_malloc(300'000); }, lull_free});
}
lull_heap* heap = nullptr;
TEST(ForkLarge, ABlockOfAHeapIsNotLost) {
  heap = lull_heap_create(0);
  fork_at_each_step({[] { return lull_heap_malloc(heap, 65536); }, lull_free});
}

}  // namespace
}  // namespace lull

// malloc is no cancellation point: a thread that was asked to end goes on until it calls one.
#include <gtest/gtest.h>
#include <pthread.h>

#include <thread>

#include "alloc/front/heap.h"
#include "alloc/os/cgroup.h"
#include "alloc/os/random.h"
#include "alloc/os/thread_state.h"
#include "alloc/pages/memory_limit.h"
#include "lull/malloc.h"
#include "lull/profile.h"
#include "tests/alloc/support.h"

namespace lull::front {
namespace {

// Runs `body` on a thread that has been cancelled already; false when it did not come to its end.
template <class Body>
bool survives(Body&& body) {
  struct Call {
    Body& body;
    bool survived = false;
  } call{body};
  pthread_t thread;
  EXPECT_EQ(0, pthread_create(&thread, nullptr, [](void* argument) -> void* {
    auto& c = *static_cast<Call*>(argument);
    pthread_cancel(pthread_self());
    c.body();
    c.survived = true;
    pthread_testcancel();
    return nullptr;
  }, &call));
  void* result = nullptr;
  EXPECT_EQ(0, pthread_join(thread, &result));
  EXPECT_EQ(PTHREAD_CANCELED, result);
  return call.survived;
}

// In secure mode the page heap asks the kernel for random numbers with its lock held; getrandom() is a cancellation point, so the
// lock stayed locked for ever. The first look at the memory limit opens files, which left the pages just taken with nobody.
TEST(Cancellation, IsNotNoticedInsideMalloc) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "the runtimes find the stack of a cancelled thread still poisoned";
  EXPECT_TRUE(survives([] {
    for (std::size_t size = 1; size < (std::size_t{20} << 20); size = size * 3 / 2 + 1) {
      void* block = lull_realloc(lull_malloc(size), size * 2);
      lull_free(block);
    }
    for (int i = 0; i < 300; ++i) lull_free(lull_malloc(20'000));
    lull_malloc_trim(0);
  }));
  lull_free(lull_malloc(100'000));  // no lock was left held
}

TEST(Cancellation, IsNotNoticedWhereLullAsksTheSystem) {
  if (lull::testing::kSanitized) GTEST_SKIP() << "as above";
  EXPECT_TRUE(survives([] { os::RandomNumbers().below(2); }));
  EXPECT_TRUE(survives([] { os::cgroup_memory_limit(); }));
  EXPECT_TRUE(survives([] { pages::refresh_memory_limit(); }));
  EXPECT_TRUE(survives([] { os::stack_of_waiting_thread(::gettid()); }));
  EXPECT_TRUE(survives([] { os::OwnMemory memory; }));
  EXPECT_TRUE(survives([] { EXPECT_EQ(0, lull_profile_write("/dev/null", LULL_PROFILE_PPROF)); }));
}

}  // namespace
}  // namespace lull::front

// The allocator is entered again from inside itself: freeing may start the purger, and starting a thread allocates and
// frees, with the C library's malloc replaced from this one's bins. The start is intercepted here, and much is made of it.
#include <gtest/gtest.h>

#include <cerrno>
#include <dlfcn.h>
#include <pthread.h>
#include <set>

#include "lull/malloc.h"
#include "tests/alloc/support.h"

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // they intercept pthread_create themselves

namespace {

thread_local void (*during_start)() = nullptr;

}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  if (auto visit = during_start) {
    during_start = nullptr;
    visit();
    errno = EPERM;
  }
  return create(thread, attributes, entry, argument);
}

namespace lull::front {
namespace {

constexpr std::size_t kBytes = 48;
constexpr int kBlocks = 4000;
void* blocks[kBlocks];
void* more[kBlocks];
int taken = 0;

void fill(void** places, int n) {
  for (int i = 0; i < n; ++i) places[i] = lull_malloc(kBytes);
}
void expect_all_different(std::set<void*> known) {
  for (int i = 0; i < 3 * kBlocks; ++i) LULL_CHILD_EXPECT(known.insert(lull_malloc(kBytes)).second);
}
// From now on, the first batch that goes back starts the purger.
void make_the_heap_worth_a_purger() { LULL_CHILD_EXPECT(lull_malloc(40 << 20) != nullptr); }

// make_room() gave blocks while they were still the bin's: a free from within gave them a second time.
TEST(MallocReentry, AThreadStartWithinFreeMayFreeAndAllocate) {
  lull::testing::expect_success_in_new_process([] {
    make_the_heap_worth_a_purger();
    fill(blocks, kBlocks);
    fill(more, kBlocks);
    during_start = [] {
      for (void* block : more) lull_free(block);
      fill(more, ++taken);
    };
    errno = 4711;
    for (void* block : blocks) lull_free(block);
    LULL_CHILD_EXPECT(errno == 4711);
    LULL_CHILD_EXPECT(taken == 1);
    expect_all_different({more[0]});
  });
}

// give_back() gave blocks that were still the bins': an allocation from within got one of them.
TEST(MallocReentry, AThreadStartWithinTrimMayAllocate) {
  lull::testing::expect_success_in_new_process([] {
    make_the_heap_worth_a_purger();
    fill(blocks, 6);
    for (int i = 0; i < 6; ++i) lull_free(blocks[i]);
    during_start = [] { fill(more, taken = 4); };
    lull_malloc_trim(0);
    LULL_CHILD_EXPECT(taken == 4);
    expect_all_different(std::set<void*>(more, more + 4));
  });
}

}  // namespace
}  // namespace lull::front

#endif

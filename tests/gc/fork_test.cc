// fork(): parent and child go on, allocate and collect, whatever other threads were doing.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "gc/cycle/fork.h"
#include "gc/model/delay.h"
#include "lull/lull.h"
#include "lull/pool.h"
#include "tests/support/collecting.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"
#include "tests/support/streams.h"

namespace {

struct Node {
  lull::ptr<Node> next;
  std::uint64_t value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

lull::root<Node> anchor;

int allocate_and_collect(bool collect) {
  auto list = lull::make<Node>();
  for (int i = 0; i < 200'000; ++i) {
    auto node = lull::make<Node>();
    node->value = static_cast<std::uint64_t>(i);
    if (i % 1000 == 0) {
      node->next = list;
      list = node;
    }
  }
  if (collect) lull::collect();
  int length = 0;
  for (Node* n = list.get(); n != nullptr; n = n->next.get()) ++length;
  return length == 201 && anchor->value == 42 ? 0 : 1;
}

int status_of_child(bool collect) {
  const pid_t child = fork();
  if (child == 0) _exit(allocate_and_collect(collect));
  int status = -1;
  lull::blocking_region waiting;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

class ForkTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "TSan does not support threads after a fork of a threaded process";
#endif
    anchor = lull::make<Node>();
    anchor->value = 42;
  }
};

TEST_F(ForkTest, TheChildOfASingleMutatorCollects) {
  lull::collect();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(status_of_child(true), 0);
  EXPECT_EQ(allocate_and_collect(true), 0);
}

// A child of several mutators never collected: the others had been lost in the middle of allocations, and so had their spans. The thread of the
// destructors was one of them, so a program needed no thread of its own for that.
struct Resource {
  ~Resource() { ++released; }
  static std::atomic<int> released;
};
std::atomic<int> Resource::released{0};

class Bystander {
 public:
  Bystander()
      : thread_([this] {
          const lull::ptr<Node> own = lull::make<Node>();  // so it has a span
          is_there_ = true;
          lull::testing::wait_for([this] { return stop_.load(); });
        }) {
    lull::testing::wait_for([this] { return is_there_.load(); });
  }
  ~Bystander() {
    stop_ = true;
    lull::blocking_region joining;
    thread_.join();
  }

 private:
  std::atomic<bool> is_there_{false}, stop_{false};
  std::thread thread_;
};

int collects_what_it_allocates() {
  Resource::released = 0;
  lull::mem_stats before = lull::read_mem_stats();
  lull::testing::elsewhere([] {
    for (int i = 0; i < 1000; ++i) lull::make<Resource>();
  });
  for (int i = 0; i < 10; ++i)
    if (allocate_and_collect(true) != 0) return 1;
  lull::wait_for_finalizers();
  if (Resource::released < 990) return 2;  // some may be in a hole of the thread that ended, or look referred to
  const lull::mem_stats now = lull::read_mem_stats();
  if (now.num_gc < before.num_gc + 10) return 3;
  return now.heap_live < before.heap_live + 2'000'000 ? 0 : 4;  // of 32 MB
}

TEST_F(ForkTest, TheChildOfSeveralMutatorsCollects) {
  const Bystander bystander;
  lull::collect();
  for (int i = 0; i < 3; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      ::alarm(60);
      const int wrong = collects_what_it_allocates();
      if (wrong != 0 || i > 0) _exit(wrong);
      // So does a child's child, of which two threads' spans are lost.
      const Bystander another;
      const pid_t grandchild = fork();
      if (grandchild == 0) _exit(collects_what_it_allocates());
      int status = -1;
      lull::blocking_region waiting;
      _exit(waitpid(grandchild, &status, 0) == grandchild && WIFEXITED(status) ? 10 * WEXITSTATUS(status) : 99);
    }
    int status = -1;
    lull::blocking_region waiting;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << (WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }
}

TEST_F(ForkTest, UnderLoadParentAndChildrenGoOn) {
  // Its allocator's locks are not held over fork() (gcc 12): a thread of the child waited for one that a lost thread had, 1 run in some hundred.
  if (lull::testing::kAddressSanitizer) GTEST_SKIP() << "the child's threads would wait for the sanitizer";
  std::atomic<bool> stop{false};
  std::thread busy[2];
  for (auto& thread : busy)
    thread = std::thread([&] {
      while (!stop) allocate_and_collect(false);
    });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(status_of_child(true), 0);
  stop = true;
  {
    lull::blocking_region joining;
    for (auto& thread : busy) thread.join();
  }
  EXPECT_EQ(allocate_and_collect(true), 0);
}

// Pools have a lock of their own. A child of a fork at which another thread held it waited for it for ever.
struct Reusable {
  void reset() {}
};
void make_a_pool() {
  lull::pool<Reusable> pool;
  pool.get();
}

std::atomic<bool> is_held{false}, has_forked{false};

// With the lock in order nobody has forked before this thread goes on.
void hold_for_a_moment(const char* where) {
  if (std::string_view(where) != "pool gets its number" || is_held.exchange(true)) return;
  for (int i = 0; i < 50 && !has_forked; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_F(ForkTest, TheChildMayMakePoolsThoughOthersWereAtIt) {
  lull::attach_thread();
  lull::gc::delay_hook_for_testing = hold_for_a_moment;
  lull::gc::options.delay = 1;  // of the hook
  std::thread other(make_a_pool);
  lull::testing::wait_for([] { return is_held.load(); });
  const pid_t child = fork();
  if (child == 0) {
    ::alarm(10);
    make_a_pool();
    _exit(0);
  }
  has_forked = true;
  int status = -1;
  lull::testing::wait_for([&] { return waitpid(child, &status, WNOHANG) == child; });
  EXPECT_EQ(status, 0);
  lull::blocking_region joining;
  other.join();
}

// The first object's thread may have a stream's lock: it would wait in pthread_atfork() for a fork that waits for the lock.
bool was_prepared_at_start = false;
[[gnu::constructor(103)]] void look() { was_prepared_at_start = lull::gc::fork_handlers_are_installed(); }

TEST(Fork, IsPreparedForBeforeAnybodyAttaches) { EXPECT_TRUE(was_prepared_at_start); }

TEST_F(ForkTest, WhileStreamsAreUsed) {
  const pid_t child = fork();
  if (child == 0) {
    const auto make_some = [] { for (int i = 0; i < 2000; ++i) lull::make<Node>(); };
    _exit(lull::testing::fork_beside_streams<lull::blocking_region>(make_some, [] { return lull::make<Node>() == nullptr ? 1 : 0; }));
  }
  int status = -1;
  lull::blocking_region waiting;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace

// lull::dump_heap: what it counts as reachable. What the file says of it is tools/heap's matter, and that of tests/fuzz/heap_dump.cc.
//
// With precise roots: no stack names an object then, whatever the compiler leaves there. Nothing is collected meanwhile.
#include "lull/heap_dump.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "gc/model/options.h"
#include "gc/mutator/roots.h"
#include "lull/ephemeron_map.h"
#include "lull/lull.h"
#include "lull/on_unreachable.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"

namespace {

using lull::make;
using lull::root;
using lull::testing::elsewhere;
using lull::testing::Node;
using Map = lull::ephemeron_map<Node, Node>;

root<Map> map;
root<Node> kept;

// With the world stopped, so that this process is the one that walks.
lull::heap_dump_info dumped() {
  lull::heap_dump_info info;
  elsewhere([&] { EXPECT_TRUE(lull::dump_heap("/dev/null", lull::dump_mode::stopped, &info)); });
  return info;
}

class HeapDump : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.precise_roots = 1;
    lull::set_gc_percent(-1);
  }
};

TEST_F(HeapDump, AValueIsReachableIfItsKeyIs) {
  elsewhere([] {
    map = make<Map>();
    map->insert(make<Node>(), make<Node>());  // so that the table is as large as later
  });
  const lull::heap_dump_info before = dumped();
  elsewhere([] {
    kept = make<Node>();
    const lull::ptr<Node> value = make<Node>();
    value->next = make<Node>();
    map->insert(kept, value);
    const lull::ptr<Node> chained = make<Node>();
    map->insert(value->next, chained);  // the value of a key that is reached through another value
    map->insert(make<Node>(), make<Node>());  // of a key that nobody has
  });
  constexpr std::uint64_t kEntries = 3;  // objects of the table's, whatever becomes of their keys
  EXPECT_EQ(dumped().objects - before.objects, kEntries + 4);
  kept = nullptr;
  EXPECT_EQ(dumped().objects - before.objects, kEntries);
  map = nullptr;
}

TEST_F(HeapDump, APipeThatNobodyReadsIsAnError) {
  for (const lull::dump_mode mode : {lull::dump_mode::copy, lull::dump_mode::stopped}) {
    int ends[2];
    ASSERT_EQ(0, pipe(ends));
    close(ends[0]);
    errno = 0;
    EXPECT_FALSE(lull::dump_heap_to(ends[1], mode));
    EXPECT_EQ(EPIPE, errno);
    close(ends[1]);
  }
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(0, sigismember(&pending, SIGPIPE));
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  EXPECT_EQ(0, sigismember(&blocked, SIGPIPE));
}

std::uintptr_t word_of_the_program = 0;

TEST_F(HeapDump, RootFunctionsAndCallbacksAreRoots) {
  const lull::heap_dump_info before = dumped();
  const auto trace = +[](void*, lull::tracer& t) { t.visit(&word_of_the_program); };
  ASSERT_TRUE(lull::gc::add_root_function(trace, nullptr));
  elsewhere([] {
    const lull::ptr<Node> node = make<Node>();
    word_of_the_program = reinterpret_cast<std::uintptr_t>(node.get());
    lull::on_unreachable(node, [] {});
  });
  const lull::heap_dump_info after = dumped();
  EXPECT_EQ(after.objects - before.objects, 2u);  // the node and its callback
  EXPECT_EQ(after.roots - before.roots, 2u);
  word_of_the_program = 0;
  ASSERT_TRUE(lull::gc::remove_root_function(trace, nullptr));
}

}  // namespace

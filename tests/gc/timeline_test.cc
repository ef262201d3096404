// lull/timeline.h: what is recorded, what is lost, and that entries are whole. With an argument the program does something worth
// recording, for tests/check_timeline.py.
#include "lull/timeline.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "alloc/trace/timeline.h"
#include "gc/cycle/stepper.h"
#include "gc/mutator/mutator.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"
#include "tests/support/single_step.h"

namespace {

using lull::gc::HandshakeOp;
using lull::gc::Step;
using lull::trace::Entry;
using lull::trace::What;

std::vector<Entry> entries() {
  std::vector<Entry> out;
  lull::trace::for_each_entry([](void* to, const Entry& e) { static_cast<std::vector<Entry>*>(to)->push_back(e); }, &out);
  return out;
}
template <class Which>
std::vector<Entry> entries(Which&& which) {
  std::vector<Entry> all = entries(), out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), which);
  return out;
}
std::vector<Entry> entries_of(What what) {
  return entries([=](const Entry& e) { return e.what == what; });
}

struct Closes {
  ~Closes() { value = 0; }
  volatile int value = 1;
};

TEST(Timeline, IsSilentWhileOff) {
  lull::collect();
  EXPECT_TRUE(entries().empty());
  lull::timeline::start();
  EXPECT_TRUE(lull::timeline::is_on());
  lull::collect();
  lull::timeline::stop();
  const std::size_t recorded = entries().size();
  EXPECT_GT(recorded, 0u);
  lull::collect();
  EXPECT_EQ(entries().size(), recorded);
}

TEST(Timeline, HasEveryStepOfACycleInOrderInsideTheCycle) {
  lull::attach_thread();
  lull::timeline::start();
  lull::collect();
  lull::timeline::stop();
  const std::vector<Entry> cycles = entries_of(What::cycle), steps = entries_of(What::step);
  ASSERT_EQ(cycles.size(), 1u);
  EXPECT_EQ(cycles[0].argument, 0u);  // full
  std::uint64_t expected = static_cast<std::uint64_t>(Step::sweep_closed), end = cycles[0].start_ns;
  for (const Entry& e : steps) {
    if (e.argument < expected) expected = e.argument;  // another round of termination
    EXPECT_EQ(e.argument, expected);
    EXPECT_GE(e.start_ns, end);
    EXPECT_EQ(e.thread, cycles[0].thread);
    end = e.start_ns + e.duration_ns;
    ++expected;
  }
  EXPECT_EQ(expected, static_cast<std::uint64_t>(Step::swept) + 1);
  EXPECT_LE(end, cycles[0].start_ns + cycles[0].duration_ns);
}

TEST(Timeline, HasHandshakesAndWhoAnsweredThem) {
  std::atomic<int> stage{0};
  std::atomic<int> tid{0};
  std::thread running([&] {
    lull::attach_thread();
    tid = lull::gc::self().tid;
    stage = 1;
    while (stage != 2) lull::safepoint();
  });
  while (stage != 1) std::this_thread::yield();
  lull::timeline::start();
  lull::collect();
  lull::timeline::stop();
  stage = 2;
  {
    lull::blocking_region joining;
    running.join();
  }
  for (HandshakeOp op : {HandshakeOp::barriers_on, HandshakeOp::scan_stack, HandshakeOp::flush, HandshakeOp::barriers_off}) {
    const auto number = static_cast<std::uint64_t>(op);
    EXPECT_GE(entries([&](const Entry& e) { return e.what == What::handshake && e.argument == number; }).size(), 1u) << number;
    EXPECT_GE(entries([&](const Entry& e) {
                return e.what == What::answer && (e.argument & 0xff) == number && e.thread == static_cast<std::uint32_t>(tid.load());
              }).size(), 1u) << number;
  }
  EXPECT_GE(entries([](const Entry& e) { return e.what == What::answer && (e.argument & lull::trace::kOnBehalf) != 0; }).size(), 4u);  // this thread waited
  EXPECT_EQ(entries_of(What::wait).size(), 1u);
}

TEST(Timeline, HasDestructorsStopsAndTheHeap) {
  lull::attach_thread();
  lull::timeline::start();
  lull::testing::elsewhere([] {
    for (int i = 0; i < 5; ++i) lull::make<Closes>();
  });
  lull::collect();
  lull::wait_for_finalizers();
  lull::dump_heap("/dev/null", lull::dump_mode::stopped);
  lull::timeline::stop();
  EXPECT_GE(entries_of(What::destructor).size(), 4u);  // a stale word may keep one
  EXPECT_EQ(entries_of(What::world_stopped).size(), 2u);
  EXPECT_EQ(entries_of(What::heap).size(), 3u);
  EXPECT_EQ(entries_of(What::goal).size(), 2u);
}

TEST(Timeline, KeepsTheNewestAndCountsTheLost) {
  lull::timeline::start(100);  // 128
  std::thread([] {
    for (std::uint64_t i = 1; i <= 1000; ++i) lull::trace::record(What::nap, i, 2 * i, i);
  }).join();
  const std::vector<Entry> naps = entries_of(What::nap);
  ASSERT_EQ(naps.size(), 128u);
  for (std::size_t i = 0; i < naps.size(); ++i) EXPECT_EQ(naps[i].argument, 1000 - 127 + i);
  EXPECT_EQ(lull::trace::for_each_entry([](void*, const Entry&) {}, nullptr).lost, 1000u - 128 + 1);  // and the thread's name
  lull::timeline::start(100);
  EXPECT_TRUE(entries_of(What::nap).empty());
}

// LULL_TIMELINE=file,2305843009213693952 made rings of one page that were taken to be that large: the sum of bytes had wrapped.
TEST(Timeline, MoreEntriesThanMemoryAreAsManyAsItAllows) {
  for (std::size_t wanted : {std::size_t{1} << 61, ~std::size_t{0}}) {
    lull::timeline::start(wanted);
    std::thread([] {
      for (std::uint64_t i = 1; i <= 1000; ++i) lull::trace::record(What::nap, i, 2 * i, i);
    }).join();
    EXPECT_GE(entries_of(What::nap).size(), 64u);
    EXPECT_LE(entries_of(What::nap).size(), 1000u);
  }
}

TEST(Timeline, EntriesAreWholeWhileThreadsOverwriteThem) {
  lull::timeline::start(64);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 1; t <= 3; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t i = t; !over; i += 3) lull::trace::record(What::nap, i, 2 * i, i);
    });
  std::uint64_t seen = 0;
  for (int i = 0; i < lull::testing::scaled(2000) || seen == 0; ++i)
    for (const Entry& e : entries_of(What::nap)) {
      ++seen;
      ASSERT_EQ(e.start_ns, e.argument);
      ASSERT_EQ(e.duration_ns, e.argument);
    }
  over = true;
  for (std::thread& t : threads) t.join();
}

// A reader that took half an entry passed the test above on one processor: nobody writes there while it reads. Here the ring is
// overwritten after the first, the second, ... instruction of a walk.
constexpr std::uint64_t kRing = 64;
std::uint64_t naps_recorded = 0;
int instructions_left = 0;

void record_naps() {
  for (std::uint64_t i = 0; i < kRing; ++i) {
    const std::uint64_t nap = ++naps_recorded;
    lull::trace::record(What::nap, nap, 2 * nap, nap);
  }
}

TEST(Timeline, AnEntryThatIsOverwrittenWhileItIsReadIsLeftOut) {
  if (lull::testing::kThreadSanitizer || lull::testing::kAddressSanitizer) GTEST_SKIP() << "steps through machine code of a plain build";
  ASSERT_TRUE(lull::testing::handle_steps([](int, siginfo_t*, void* context) {
    if (--instructions_left != 0) return;
    lull::testing::stop_stepping(context);
    record_naps();
  }));
  lull::timeline::start(kRing);
  record_naps();
  for (int first = 1; first < 200; ++first) {  // some 25 an entry
    instructions_left = first;
    bool all_whole = true;
    lull::testing::start_stepping();
    lull::trace::for_each_entry([](void* whole, const Entry& e) {
      if (e.start_ns != e.argument || e.duration_ns != e.argument) *static_cast<bool*>(whole) = false;
    }, &all_whole);
    lull::testing::stop_stepping();
    EXPECT_TRUE(all_whole) << "after " << first << " instructions";
    EXPECT_LE(instructions_left, 0);
  }
  lull::timeline::stop();
}

TEST(Timeline, RingsOfThreadsThatEndedAreUsedAgain) {
  lull::timeline::start(64);
  for (int i = 0; i < 50; ++i) lull::testing::elsewhere([] { lull::trace::record(What::nap, 1, 2, 3); lull::make_array<char>(10); });
  // One ring holds at most 64 entries: 50 rings would hold 50 times a name and a nap.
  EXPECT_LE(entries_of(What::nap).size(), 64u);
  EXPECT_GT(lull::trace::for_each_entry([](void*, const Entry&) {}, nullptr).lost, 0u);
}

class TimelineInAForkedChild : public ::testing::Test {
 protected:
  void SetUp() override {
    if (lull::testing::kThreadSanitizer) GTEST_SKIP() << "TSan does not support threads after a fork of a threaded process";
  }
  template <class Live>
  static int status_of_child(Live&& live) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      ::_exit(live() ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
  }
};

// The number was looked at again by attached threads only: one that attached in the child had its parent's.
TEST_F(TimelineInAForkedChild, AThreadThatAttachesThereHasItsNumberThere) {
  lull::timeline::start(64);
  std::thread([] {
    lull::attach_thread();
    lull::trace::record(What::nap, 1, 2, 3);
    lull::detach_thread();
    EXPECT_EQ(status_of_child([] {
                lull::timeline::start(64);
                lull::attach_thread();
                lull::trace::record(What::nap, 1, 2, 3);
                const std::vector<Entry> naps = entries_of(What::nap);
                return naps.size() == 1 && naps[0].thread == static_cast<std::uint32_t>(::getpid());
              }), 0);
  }).join();
}

// Nobody gave the rings of lost threads back: each generation of children made more of them.
TEST_F(TimelineInAForkedChild, NewThreadsHaveTheRingsOfLostOnesAndNothingOfWhatIsInThem) {
  lull::timeline::start(64);
  std::atomic<bool> has_recorded{false}, may_end{false};
  std::thread other([&] {
    lull::trace::record(What::nap, 1, 2, 3);
    has_recorded = true;
    while (!may_end) std::this_thread::yield();
  });
  while (!has_recorded) std::this_thread::yield();
  lull::trace::record(What::assist, 1, 2, 3);
  EXPECT_EQ(status_of_child([] {
              if (!entries_of(What::nap).empty() || entries_of(What::assist).size() != 1) return false;
              lull::timeline::start(1024);  // new rings are larger
              std::thread([] {
                for (std::uint64_t i = 1; i <= 500; ++i) lull::trace::record(What::nap, i, 2 * i, i);
              }).join();
              return entries_of(What::nap).size() == 64;
            }), 0);
  may_end = true;
  other.join();
}

TEST(Timeline, TellsWhyItCannotBeWritten) {
  EXPECT_FALSE(lull::timeline::write("/no/such/folder/timeline.json"));
  EXPECT_EQ(errno, ENOENT);
}

struct Node {
  lull::ptr<Node> next;
  Closes closes;
  void trace(lull::tracer& t) const { t(next); }
};

void work() {
  lull::ptr<Node> list;
  for (int i = 0; i < 200'000; ++i) {
    lull::ptr<Node> node = lull::make<Node>();
    if (i % 1000 != 0) node->next = list;
    list = node;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "work") {
    std::thread other(work);
    work();
    lull::collect();
    lull::blocking_region joining;
    other.join();
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

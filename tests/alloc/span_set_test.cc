#include "alloc/cache/span_set.h"

#include <chrono>
#include <csignal>
#include <sched.h>
#include <set>
#include <sys/time.h>
#include <utility>

#include "alloc/pages/span_geometry.h"
#include "alloc/pages/span_table.h"
#include "tests/alloc/support.h"
#include "tests/support/single_step.h"

namespace lull::cache {
namespace {

using pages::Span;

class SpanSetTest : public ::testing::Test {
 protected:
  ~SpanSetTest() override {
    for (Span* span : spans_) pages::destroy_span(span);
  }
  Span* make() {
    Span* span = pages::create_span(pages::geometry_for(64), {});
    spans_.push_back(span);
    return span;
  }
  std::vector<Span*> spans_;
};

TEST_F(SpanSetTest, AnEmptySetHasNothingToPop) {
  SpanSet set;
  EXPECT_TRUE(set.empty());
  EXPECT_EQ(nullptr, set.pop());
  set.push(make());
  EXPECT_FALSE(set.empty());
  EXPECT_NE(nullptr, set.pop());
  EXPECT_TRUE(set.empty());
  EXPECT_EQ(nullptr, set.pop());
}

TEST_F(SpanSetTest, GivesBackEverySpanOnceNewestFirst) {
  SpanSet set;
  for (int i = 0; i < 100; ++i) set.push(make());
  for (int i = 100; i-- > 0;) EXPECT_EQ(spans_[static_cast<std::size_t>(i)], set.pop());
  EXPECT_EQ(nullptr, set.pop());
}

TEST_F(SpanSetTest, SpansMoveBetweenSets) {
  SpanSet from, to;
  for (int i = 0; i < 10; ++i) from.push(make());
  while (Span* span = from.pop()) to.push(span);
  EXPECT_TRUE(from.empty());
  std::set<Span*> seen;
  while (Span* span = to.pop()) seen.insert(span);
  EXPECT_EQ(10u, seen.size());
}

// The same without chance: after the first, the second, ... instruction of a pop a handler takes the head and what is behind it,
// and puts the head back. A pop that then took the link it had read would make a head of the span that the handler holds.
SpanSet* interrupted = nullptr;
Span* held = nullptr;
int instructions_left = 0;

TEST_F(SpanSetTest, AHeadThatComesBackBetweenTwoInstructionsOfAPopIsAnotherOne) {
  if (testing::kSanitized) GTEST_SKIP() << "steps through machine code of a plain build";
  ASSERT_TRUE(testing::handle_steps([](int, siginfo_t*, void* context) {
    if (--instructions_left != 0) return;
    testing::stop_stepping(context);
    Span* head = interrupted->pop();
    held = interrupted->pop();
    if (head != nullptr) interrupted->push(head);
  }));
  for (int i = 0; i < 3; ++i) make();
  int after = 1;
  for (bool was_in_time = true; was_in_time; ++after) {
    SpanSet set;
    for (Span* span : spans_) set.push(span);
    interrupted = &set;
    held = nullptr;
    instructions_left = after;
    testing::start_stepping();
    Span* popped = set.pop();
    testing::stop_stepping();
    was_in_time = instructions_left <= 0;
    std::multiset<Span*> all{popped};
    if (held != nullptr) all.insert(held);
    for (Span* span; all.size() <= spans_.size() && (span = set.pop()) != nullptr;) all.insert(span);
    ASSERT_EQ(std::multiset<Span*>(spans_.begin(), spans_.end()), all) << "after " << after << " instructions";
  }
  EXPECT_GT(after, 10);
}

// While it lives, threads that let_in() are made to yield at random instructions, some thousand times a second.
class Preemption {
 public:
  Preemption() {
    struct sigaction yields{};
    yields.sa_handler = [](int) { ::sched_yield(); };
    yields.sa_flags = SA_RESTART;
    ::sigaction(SIGALRM, &yields, &previous_);
    mask(SIG_BLOCK);  // of this thread, which only waits: the system would send all of them here
    const itimerval often{{0, 50}, {0, 50}};
    ::setitimer(ITIMER_REAL, &often, nullptr);
  }
  ~Preemption() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    mask(SIG_UNBLOCK);
    ::sigaction(SIGALRM, &previous_, nullptr);
  }
  static void let_in() { mask(SIG_UNBLOCK); }

 private:
  static void mask(int how) {
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(how, &alarm, nullptr);
  }
  struct sigaction previous_;
};

// Few spans and many threads: heads go away and come back all the time, also while a popper is preempted between
// reading the head's link and its compare-and-swap. The descriptor's plain fields belong to whoever popped it.
TEST_F(SpanSetTest, ThreadsLoseNothingAndShareNothing) {
  constexpr unsigned kThreads = 8;
  constexpr std::uint32_t kSpans = 4;
  SpanSet sets[2];
  for (std::uint32_t i = 0; i < kSpans; ++i) {
    make()->allocated = 0;
    sets[i % 2].push(spans_.back());
  }
  std::atomic<int> shared{0};
  std::atomic<std::uint64_t> pops{0};
  const std::uint64_t seed = testing::seed_of_this_run();
  const auto at_last = std::chrono::steady_clock::now() + std::chrono::seconds(10);  // on a busy machine each yield takes milliseconds
  const Preemption preemption;
  testing::run_together(kThreads, [&](unsigned t) {
    Preemption::let_in();
    std::minstd_rand random(static_cast<std::uint32_t>(seed + t));  // cheap: most of the time is to pass inside pop and push
    std::vector<Span*> mine;
    std::uint64_t popped = 0;
    for (int i = 0; i < testing::scaled(4'000'000) && shared.load(std::memory_order_relaxed) == 0; ++i) {
      if (i % 1024 == 0 && std::chrono::steady_clock::now() >= at_last) break;
      const std::uint64_t dice = random() >> 8;
      if (dice % 2 == 0) {
        Span* span = sets[dice / 2 % 2].pop();
        if (span == nullptr) continue;
        if (span->allocated != 0) shared.fetch_add(1);
        span->allocated = t + 1;
        mine.push_back(span);
        ++popped;
      } else if (!mine.empty()) {
        std::swap(mine[dice / 4 % mine.size()], mine.back());
        if (mine.back()->allocated != t + 1) shared.fetch_add(1);
        mine.back()->allocated = 0;
        sets[dice / 2 % 2].push(mine.back());
        mine.pop_back();
      }
    }
    for (Span* span : mine) {
      span->allocated = 0;
      sets[0].push(span);
    }
    pops.fetch_add(popped);
  });
  EXPECT_EQ(0, shared.load()) << "a span was in two hands";
  EXPECT_GT(pops.load(), 1000u);
  std::multiset<Span*> left;
  for (SpanSet& set : sets)
    for (Span* span; left.size() <= kSpans && (span = set.pop()) != nullptr;) left.insert(span);
  EXPECT_EQ(std::multiset<Span*>(spans_.begin(), spans_.end()), left);
}

}  // namespace
}  // namespace lull::cache

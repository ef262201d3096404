// Memory runs out at every place in turn. A program that uses everything is run in a process of its own for each k: the k-th mapping is
// refused, or the k-th and all that follow for a while. Wherever that is, a call reports std::bad_alloc or does without; what was
// made before is whole; and when there is memory again the same program finds everything working.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "alloc/os/vm.h"
#include "tests/support/hidden.h"
#include "tests/support/node.h"

namespace {

using lull::make;
using lull::ptr;
using lull::os::fail_mapping_for_testing;
using lull::testing::kIntact;
using lull::testing::Node;

struct Doomed {
  ptr<Node> held;
  ~Doomed() { intact.fetch_add(!held || held->value == kIntact ? 0 : 1'000'000); }
  void trace(lull::tracer& t) const { t(held); }
  static inline std::atomic<int> intact{0};
};
struct Untraced {
  ptr<Node> held;
  std::uint64_t padding[5] = {};
};

// Runs each step; how many were refused.
class Program {
 public:
  int run() {
    attempt([&] { make_lists(); });
    attempt([&] { make_many_roots(); });
    attempt([&] { make_weak_ones(); });
    attempt([&] { fill_a_map(); });
    attempt([&] { make_doomed_ones(); });
    attempt([&] { register_callbacks(); });
    attempt([&] { make_wide_arrays(); });
    attempt([&] { start_a_thread(); });
    attempt([&] { hold_much_on_the_stack(); });
    lull::collect_young();
    lull::collect();
    return refused_;
  }
  bool is_whole() const {
    std::size_t n = 0;
    for (const Node* at = list_.get(); at != nullptr; at = at->next.get(), ++n)
      if (at->value != kIntact) return false;
    if (n != length_) return false;
    for (std::size_t i = 0; i < watched_.size(); ++i)
      if (watchers_[i]->lock().get() != watched_[i].get()) return false;
    for (std::size_t i = 0; i < keys_.size(); ++i)
      if (map_->find(keys_[i].load()).get() != keys_[i].get()) return false;
    for (const auto& wide : wide_)
      for (const ptr<Node>& node : wide)
        if (node && node->value != kIntact) return false;
    return Doomed::intact == 0;
  }

 private:
  template <class Step>
  void attempt(Step&& step) {
    try {
      step();
    } catch (const std::bad_alloc&) {
      ++refused_;
    }
  }
  void make_lists() {
    for (int i = 0; i < 3000; ++i) {
      const auto node = make<Node>();
      make<Untraced>()->held = node;
      node->next = list_;
      list_ = node;
      ++length_;
    }
  }
  void make_many_roots() {
    for (int i = 0; i < 9000; ++i) roots_.emplace_back(list_.load());  // more than a chunk of the root table
  }
  void make_weak_ones() {
    for (int i = 0; i < 300; ++i) {
      lull::root<Node> node = make<Node>();
      lull::root<lull::weak_ptr<Node>> watcher = make<lull::weak_ptr<Node>>(node.load());
      watched_.push_back(std::move(node));
      watchers_.push_back(std::move(watcher));
    }
  }
  void fill_a_map() {
    map_ = make<lull::ephemeron_map<Node, Node>>();
    for (int i = 0; i < 600; ++i) {
      lull::root<Node> key = make<Node>();
      if (map_->insert(key.load(), key.load()) && i % 2 == 0) keys_.push_back(std::move(key));  // the others die
    }
  }
  void make_doomed_ones() {
    for (int i = 0; i < 1200; ++i) make<Doomed>()->held = make<Node>();
  }
  void register_callbacks() {
    for (int i = 0; i < 600; ++i) lull::on_unreachable(make<Node>(), [] {});
  }
  void make_wide_arrays() {
    for (std::size_t n : {100u, 5000u, 70'000u}) {
      lull::root<ptr<Node>[]> wide = lull::make_array<ptr<Node>>(n);
      wide_.push_back(wide);
      for (std::size_t i = 0; i < n; i += 3) wide[i] = make<Node>();
    }
    lull::make_array<std::uint64_t>(500'000);
  }
  void start_a_thread() {
    bool refused = false;
    std::thread other([&] {
      try {
        for (int i = 0; i < 100; ++i) make<Node>();
      } catch (const std::bad_alloc&) {
        refused = true;
      }
    });
    lull::blocking_region joining;
    other.join();
    if (refused) throw std::bad_alloc();
  }
  // More words than the buffer of a handshake has room for at first.
  [[gnu::noinline]] void hold_much_on_the_stack() {
    Node* volatile many[12'000];
    for (Node* volatile& one : many) one = list_.get();
    lull::collect();
    for (Node* volatile& one : many)
      if (one != many[0]) std::abort();
  }

  lull::root<Node> list_;
  std::size_t length_ = 0;
  std::vector<lull::root<Node>> roots_, watched_, keys_;
  std::vector<lull::root<lull::weak_ptr<Node>>> watchers_;
  lull::root<lull::ephemeron_map<Node, Node>> map_;
  std::vector<lull::root<ptr<Node>[]>> wide_;
  int refused_ = 0;
};

enum Outcome : int { all_right, never_reached, damaged, does_not_recover };

bool is_still_to_come() {  // the fault: then it is this mapping that fails
  void* probe = lull::os::map(4096);
  return probe == nullptr;
}

Outcome outcome_with_fault(std::int64_t k, bool sticky) {
  lull::attach_thread();
  auto first = std::make_unique<Program>();
  fail_mapping_for_testing(k, sticky);
  first->run();
  const bool reached = sticky || !is_still_to_come();
  fail_mapping_for_testing(-1);
  if (!first->is_whole()) return damaged;
  Program second;
  if (second.run() != 0 || !second.is_whole() || !first->is_whole()) return does_not_recover;
  first.reset();
  lull::collect();
  lull::wait_for_finalizers();
  return Doomed::intact == 0 ? reached ? all_right : never_reached : damaged;
}

int status_of_child(std::int64_t k, bool sticky) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(outcome_with_fault(k, sticky));
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

class FaultSweep : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "a process for each fault takes too long under a sanitizer";
#endif
  }
};

TEST_F(FaultSweep, EveryMappingMayFailInTurn) {
  int faults = 0;
  for (std::int64_t k = 0; k < 500; ++k) {
    const int status = status_of_child(k, false);
    ASSERT_TRUE(WIFEXITED(status)) << "mapping " << k << ": signal " << WTERMSIG(status);
    if (WEXITSTATUS(status) == never_reached) break;
    ASSERT_EQ(WEXITSTATUS(status), all_right) << "mapping " << k;
    ++faults;
  }
  std::printf("%d mappings\n", faults);
  EXPECT_GT(faults, 20);
}

TEST_F(FaultSweep, EveryMappingAndAllThatFollowMayFail) {
  for (std::int64_t k = 0; k < 60; k += 3) {
    const int status = status_of_child(k, true);
    ASSERT_TRUE(WIFEXITED(status)) << "from mapping " << k << " on: signal " << WTERMSIG(status);
    ASSERT_EQ(WEXITSTATUS(status), all_right) << "from mapping " << k << " on";
  }
}

}  // namespace

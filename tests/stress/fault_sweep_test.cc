// Memory runs out at every place in turn. A program that uses everything is run in a process of its own for each k: the k-th mapping, record or
// span is refused, or the k-th and all that follow for a while. Wherever that is, a call reports std::bad_alloc or does without; what was
// made before is whole; and when there is memory again the same program finds everything working.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "alloc/os/injected_fault.h"
#include "alloc/os/meta_arena.h"
#include "alloc/os/vm.h"
#include "alloc/pages/span_table.h"
#include "lull/heap.h"
#include "lull/object_profile.h"
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
struct Pooled {
  ptr<Node> held;
  void reset() { held = nullptr; }
  void trace(lull::tracer& t) const { t(held); }
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
    attempt([&] { use_a_pool(); });
    attempt([&] { use_a_heap_of_malloc(); });
    attempt([&] { register_a_stack(); });
    attempt([&] { start_a_thread(); });
    attempt([&] { look_at_it(); });
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
  void use_a_pool() {
    lull::pool<Pooled> pool;
    for (int i = 0; i < 100; ++i) pool.get()->held = make<Node>();
    for (int i = 0; i < 3; ++i) {
      auto one = pool.get(), other = pool.get();
      one->held = make<Node>();
      if (one->held->value != kIntact || one.get() == other.get()) std::abort();
    }
  }
  // Null is an answer.
  void use_a_heap_of_malloc() {
    lull_heap* heap = lull_heap_create(0);
    if (heap == nullptr) throw std::bad_alloc();
    bool refused = false;
    for (std::size_t i = 0; i < 100; ++i) {
      const std::size_t bytes = 1 + i * i * 4;
      auto* block = static_cast<char*>(lull_heap_malloc(heap, bytes));
      if (block == nullptr) refused = true;
      else block[0] = block[bytes - 1] = 1;
      if (i % 3 == 0) lull_heap_free(heap, block);
    }
    lull_heap_destroy(heap);
    if (refused) throw std::bad_alloc();
  }
  void register_a_stack() {
    alignas(16) static char memory[64 * 1024];
    const lull::fiber_stack stack(memory, sizeof memory);
    if (stack.get() == nullptr) throw std::bad_alloc();
  }
  // What looks on does without, or says that it could not.
  void look_at_it() {
    lull::object_profile::start(256);
    const bool watches = lull::leak_watch::start();
    for (int i = 0; i < 300; ++i) make<Untraced>()->held = list_;
    lull::collect();
    const bool written = lull::object_profile::write_folded({[](void*, const char*, std::size_t) {}, nullptr});
    lull::leak_watch::stop();
    lull::object_profile::stop();
    if (!watches || !written) throw std::bad_alloc();
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

// Where memory runs out: the system refuses a mapping, there is none for a record of lull's own, or none for a span.
struct Fault {
  const char* name;
  void (*set)(std::int64_t k, bool sticky);
  bool (*is_still_to_come)();
};
void fail_record(std::int64_t k, bool sticky) { lull::os::meta_fault_for_testing().set_for_testing(k, sticky); }
void fail_span(std::int64_t k, bool sticky) { lull::pages::span_fault_for_testing().set_for_testing(k, sticky); }

const Fault kFaults[] = {
    {"Mapping", fail_mapping_for_testing, [] { return lull::os::map(4096) == nullptr; }},  // then it is this one that fails
    {"Record", fail_record, [] { return lull::os::meta_fault_for_testing().remaining_for_testing() >= 0; }},
    {"Span", fail_span, [] { return lull::pages::span_fault_for_testing().remaining_for_testing() >= 0; }},
};

enum Outcome : int { all_right, never_reached, damaged, does_not_recover };

Outcome outcome_with_fault(const Fault& fault, std::int64_t k, bool sticky) {
  lull::attach_thread();
  auto first = std::make_unique<Program>();
  fault.set(k, sticky);
  first->run();
  const bool reached = sticky || !fault.is_still_to_come();
  fault.set(-1, false);
  if (!first->is_whole()) return damaged;
  Program second;
  if (second.run() != 0 || !second.is_whole() || !first->is_whole()) return does_not_recover;
  first.reset();
  lull::collect();
  lull::wait_for_finalizers();
  return Doomed::intact == 0 ? reached ? all_right : never_reached : damaged;
}

int status_of_child(const Fault& fault, std::int64_t k, bool sticky) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(outcome_with_fault(fault, k, sticky));
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

class FaultSweep : public testing::TestWithParam<Fault> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "a process for each fault takes too long under a sanitizer";
#endif
  }
};

// Every place, or with LULL_FULL_TESTS unset in the environment every few.
std::int64_t stride() { return std::getenv("LULL_FULL_TESTS") != nullptr ? 1 : 7; }

TEST_P(FaultSweep, EveryOneMayBeRefusedInTurn) {
  int faults = 0;
  for (std::int64_t k = 0; k < 5000; k += stride()) {
    const int status = status_of_child(GetParam(), k, false);
    ASSERT_TRUE(WIFEXITED(status)) << GetParam().name << ' ' << k << ": signal " << WTERMSIG(status);
    if (WEXITSTATUS(status) == never_reached) break;
    ASSERT_EQ(WEXITSTATUS(status), all_right) << GetParam().name << ' ' << k;
    ++faults;
  }
  std::printf("%d places\n", faults);
  EXPECT_GT(faults, 3);
}

TEST_P(FaultSweep, OneAndAllThatFollowMayBeRefused) {
  for (std::int64_t k = 0; k < 60; k += 3 * stride()) {
    const int status = status_of_child(GetParam(), k, true);
    ASSERT_TRUE(WIFEXITED(status)) << "from " << GetParam().name << ' ' << k << " on: signal " << WTERMSIG(status);
    ASSERT_EQ(WEXITSTATUS(status), all_right) << "from " << GetParam().name << ' ' << k << " on";
  }
}

INSTANTIATE_TEST_SUITE_P(Of, FaultSweep, testing::ValuesIn(kFaults), [](const auto& fault) { return std::string(fault.param.name); });

}  // namespace

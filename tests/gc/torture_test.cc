// Eight threads on whatever processors there are: graph mutation through shared slots, thread start and exit, blocked
// threads, tight loops that never poll, deep stacks, weak references. Every node carries a check word that a freed
// (scribbled) or reused cell does not have, and is checked whenever it is met.
//   LULL_TORTURE_SECONDS=60   how long (3 by default)      LULL_TEST_SEED=n   replays the random choices of each thread
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "gc/model/options.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::uint64_t kCheck = 0x5eed0b1ec7ull;

struct Node {
  explicit Node(std::uint64_t node_id) : id(node_id), check(node_id ^ kCheck) {}
  std::uint64_t id, check;
  lull::atomic_ptr<Node> kids[3];
  lull::atomic_ptr<char[]> text;
  lull::atomic_ptr<lull::weak_ptr<Node>> friend_of;
  void trace(lull::tracer& t) const { t(kids, text, friend_of); }
};

struct Shared {
  lull::atomic_ptr<Node> slots[512];
  void trace(lull::tracer& t) const { t(slots); }
};

lull::root<Shared> shared;
std::atomic<bool> stop{false};
std::atomic<std::uint64_t> met{0}, corrupt{0};

std::uint64_t seed_from_environment() {
  if (const char* text = std::getenv("LULL_TEST_SEED")) return std::strtoull(text, nullptr, 0);
  return std::random_device{}();
}

void meet(const Node* node) {
  if (node == nullptr) return;
  met.fetch_add(1, std::memory_order_relaxed);
  if ((node->id ^ kCheck) != node->check) corrupt.fetch_add(1);
}

class Player {
 public:
  explicit Player(std::uint64_t seed) : random_(seed) {}

  void step() {
    switch (random_() % 8) {
      case 0: case 1: slot().store(make_tree(static_cast<int>(random_() % 5))); break;
      case 2: slot().store(nullptr); break;
      case 3: move_between_slots(); break;
      case 4: relink(); break;
      case 5: walk(); break;
      case 6: befriend(); break;
      default: write_text(); break;
    }
  }

  lull::ptr<Node> make_tree(int depth) {
    auto node = lull::make<Node>(random_());
    if (depth > 0)
      for (auto& kid : node->kids) kid.store(make_tree(depth - 1 - static_cast<int>(random_() % 2)));
    return node;
  }

  lull::atomic_ptr<Node>& slot() { return shared->slots[random_() % 512]; }
  std::uint64_t random() { return random_(); }

 private:
  void move_between_slots() {
    lull::ptr<Node> taken = slot().exchange(nullptr);
    meet(taken.get());
    taken = slot().exchange(taken);
    meet(taken.get());
    slot().store(taken);
  }
  void relink() {
    Node* from = slot().load().get();
    Node* to = slot().load().get();
    meet(from);
    meet(to);
    if (from != nullptr) from->kids[random_() % 3].store(lull::ptr<Node>(to));
  }
  void walk() {
    Node* node = slot().load().get();
    for (int i = 0; i < 200 && node != nullptr; ++i) {
      meet(node);
      if (auto text = node->text.load())
        for (char c : text) corrupt.fetch_add(c != 'x');
      node = node->kids[random_() % 3].load().get();
    }
  }
  void befriend() {
    Node* node = slot().load().get();
    if (node == nullptr) return;
    if (auto weak = node->friend_of.load())
      if (auto other = weak->lock()) meet(other.get());
    node->friend_of.store(lull::make<lull::weak_ptr<Node>>(slot().load()));
  }
  void write_text() {
    Node* node = slot().load().get();
    if (node == nullptr) return;
    auto text = lull::make_array<char>(1 + random_() % (random_() % 50 == 0 ? 100'000 : 300));
    for (char& c : text) c = 'x';
    node->text.store(text);
  }

  std::mt19937_64 random_;
};

// Keeps the graph from growing without bound: relinking makes chains that nothing else cuts.
void prune_if_large() {
  constexpr std::uint64_t kLarge = std::uint64_t{48} << 20;
  if (lull::read_mem_stats().heap_alloc < kLarge) return;
  for (auto& slot : shared->slots) slot.store(nullptr);
}

void mutate(std::uint64_t seed) {
  Player player(seed);
  for (int i = 0; !stop; ++i) {
    player.step();
    if (i % 1000 == 0) prune_if_large();
  }
}

void churn_threads(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!stop) {
    const std::uint64_t child_seed = random();
    lull::blocking_region joining;
    std::thread([child_seed] {
      Player player(child_seed);
      for (int i = 0; i < 300; ++i) player.step();
    }).join();
  }
}

void block_often(std::uint64_t seed) {
  Player player(seed);
  while (!stop) {
    lull::ptr<Node> held = player.make_tree(4);
    {
      lull::blocking_region sleeping;
      std::this_thread::sleep_for(std::chrono::milliseconds(player.random() % 20));
    }
    meet(held.get());
    for (auto& kid : held->kids) meet(kid.load().get());
  }
}

// Never polls for milliseconds: answers by signal, with its only references in registers and locals.
void spin_without_polls(std::uint64_t seed) {
  Player player(seed);
  while (!stop) {
    Node* node = player.make_tree(5).get();
    Node* kid = node->kids[0].load().get();
    node->kids[0].store(nullptr);
    const auto until = Clock::now() + std::chrono::milliseconds(player.random() % 10);
    std::uint64_t turns = 0;
    while (Clock::now() < until) ++turns;
    meet(node);
    meet(kid);
#if defined(__SANITIZE_THREAD__)
    lull::safepoint();
#endif
  }
}

[[gnu::noinline]] std::uint64_t descend(Player& player, int depth) {
  Node* held = player.make_tree(1).get();
  volatile std::uint64_t padding[16] = {};
  const std::uint64_t below = depth > 0 ? descend(player, depth - 1) : player.random();
  meet(held);
  meet(held->kids[1].load().get());
  return below + padding[0];
}

void use_deep_stacks(std::uint64_t seed) {
  Player player(seed);
  while (!stop) descend(player, static_cast<int>(player.random() % 2000));
}

void collect_often(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!stop) {
    lull::collect();
    lull::blocking_region sleeping;
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 30));
  }
}

void run_torture() {
  const char* text = std::getenv("LULL_TORTURE_SECONDS");
  const auto seconds = std::chrono::seconds(text != nullptr ? std::atoi(text) : 3);
  const std::uint64_t seed = seed_from_environment();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  // Main never sees an address: one stale word on its stack could keep the whole connected graph.
  lull::testing::elsewhere([] { shared = lull::make<Shared>(); });
  std::vector<std::thread> threads;
  std::uint64_t n = seed;
  for (auto* role : {mutate, mutate, churn_threads, block_often, spin_without_polls, use_deep_stacks, collect_often, mutate})
    threads.emplace_back(role, ++n);
  {
    lull::blocking_region joining;
    std::this_thread::sleep_for(seconds);
    stop = true;
    for (auto& thread : threads) thread.join();
  }
}

void report() {
  const lull::mem_stats s = lull::read_mem_stats();
  std::printf("cycles %u, aborted %llu, global stops %llu, verifier errors %llu, met %llu, corrupt %llu, async answers %llu\n", s.num_gc,
              static_cast<unsigned long long>(s.aborted_cycles), static_cast<unsigned long long>(s.global_stops),
              static_cast<unsigned long long>(s.verifier_errors), static_cast<unsigned long long>(met.load()),
              static_cast<unsigned long long>(corrupt.load()), static_cast<unsigned long long>(s.async_answers));
  std::printf("handshake processor time p50 %llu p99 %llu p99.9 %llu max %llu ns\n",
              static_cast<unsigned long long>(s.handshake_cpu.quantile_ns(.5)), static_cast<unsigned long long>(s.handshake_cpu.quantile_ns(.99)),
              static_cast<unsigned long long>(s.handshake_cpu.quantile_ns(.999)), static_cast<unsigned long long>(s.handshake_cpu.max_ns));
  std::printf("handshake p50 %llu p99 %llu p99.9 %llu max %llu ns (%llu); assist p99.9 %llu max %llu; slow allocation p99.9 %llu max %llu\n",
              static_cast<unsigned long long>(s.handshake.quantile_ns(.5)), static_cast<unsigned long long>(s.handshake.quantile_ns(.99)),
              static_cast<unsigned long long>(s.handshake.quantile_ns(.999)), static_cast<unsigned long long>(s.handshake.max_ns),
              static_cast<unsigned long long>(s.handshake.count), static_cast<unsigned long long>(s.assist.quantile_ns(.999)),
              static_cast<unsigned long long>(s.assist.max_ns), static_cast<unsigned long long>(s.alloc_slow.quantile_ns(.999)),
              static_cast<unsigned long long>(s.alloc_slow.max_ns));
}

void expect_everything_reclaimed() {
  const std::uint64_t before = lull::read_mem_stats().heap_objects;
  lull::testing::elsewhere([] { shared = nullptr; });
  lull::testing::elsewhere([] {
    lull::collect();
    lull::collect();
  });
  const std::uint64_t after = lull::read_mem_stats().heap_objects;
  std::printf("objects %llu -> %llu\n", static_cast<unsigned long long>(before), static_cast<unsigned long long>(after));
  EXPECT_LE(after, before / 50 + 100) << "stale stack words may keep some, not many";
}

class TortureTest : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
  }
};

TEST_F(TortureTest, NothingIsLostAndNothingStopsTheWorld) {
  run_torture();
  report();
  EXPECT_EQ(corrupt, 0u);
  EXPECT_EQ(lull::read_mem_stats().global_stops, 0u);
  expect_everything_reclaimed();
}

TEST_F(TortureTest, TheVerifierAgreesAfterEveryCycle) {
  lull::gc::options.verify = 1;
  run_torture();
  report();
  EXPECT_EQ(corrupt, 0u);
  EXPECT_EQ(lull::read_mem_stats().verifier_errors, 0u);
  expect_everything_reclaimed();
}

TEST_F(TortureTest, RageModeWithTinyBuffersAndRandomDelays) {
  lull::gc::options.rage = 1;
  run_torture();
  report();
  EXPECT_EQ(corrupt, 0u);
  expect_everything_reclaimed();
}

}  // namespace

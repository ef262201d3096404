#include "alloc/sample/stack_memo.h"

namespace lull::sample {
namespace {

struct Entry {
  Stack* stack = nullptr;
  std::uint32_t generation = 0;  // that it was made in
  WalkRecord walk;
};

constexpr std::uint32_t kWays = 4;    // calls from one depth of stack that are kept
constexpr std::uint32_t kSets = 64;   // with 4 ways 210 KiB, untouched while nothing is sampled. More: deep recursions that allocate
struct Set {
  std::atomic<bool> busy{false};
  std::uint32_t oldest = 0;  // these: who has it busy
  Entry entries[kWays];
};
constinit Set sets[kSets];
constinit std::atomic<std::uint32_t> generation{1};

// The set for as long as this lives, unless somebody has it: a signal handler must not wait for what it interrupted.
class Claimed {
 public:
  explicit Claimed(Set& set) : set_(set), own_(!set.busy.exchange(true, std::memory_order_acquire)) {}
  ~Claimed() {
    if (own_) set_.busy.store(false, std::memory_order_release);  // pairs with the exchange
  }
  Claimed(const Claimed&) = delete;
  Claimed& operator=(const Claimed&) = delete;
  explicit operator bool() const { return own_; }

 private:
  Set& set_;
  const bool own_;
};

Stack* find(const Set& set, const Registers& from, std::uint32_t now) {
  for (const Entry& e : set.entries)
    if (e.generation == now && e.walk.repeats(from)) return e.stack;
  return nullptr;
}

Stack* walk_and_intern(const Registers& from, Entry& e, std::uint32_t now) {
  StackTrace trace;
  e.generation = 0;
  walk_stack(trace, from, e.walk);
  e.stack = intern_stack(trace);
  if (e.walk.is_whole()) e.generation = now;
  return e.stack;
}

}  // namespace

Stack* intern_own_stack() {
  const Registers from = registers_of_caller(__builtin_frame_address(0));
  Set& set = sets[(from.sp * 0x9e3779b97f4a7c15u) >> 58];
  static_assert(kSets == std::size_t{1} << (64 - 58));
  if (const Claimed claimed(set); claimed) {
    const std::uint32_t now = generation.load(std::memory_order_relaxed);
    if (Stack* known = find(set, from, now)) return known;
    return walk_and_intern(from, set.entries[set.oldest++ % kWays], now);
  }
  Entry lost;
  return walk_and_intern(from, lost, 0);
}

void forget_walks() { generation.fetch_add(1, std::memory_order_relaxed); }

void forget_walks_after_fork() {
  forget_walks();
  for (Set& set : sets)
    if (set.busy.load(std::memory_order_relaxed)) set.busy.store(false, std::memory_order_relaxed);
}

[[gnu::no_sanitize_thread]] std::uint64_t recorded_walks_for_testing() {
  std::uint64_t walks = 0;
  for (const Set& set : sets) walks += set.oldest;
  return walks;
}

}  // namespace lull::sample

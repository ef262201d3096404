// A thread that is ahead of the markers sleeps for a moment. Blocked meanwhile, so that it delays no handshake.
//
// However many threads sleep, all together they wake about as often as one on each processor would: there is no use in more that look for
// something to scan. Each wake-up is a timer's interrupt, which takes its time from whoever runs: with 64 threads on two processors
// most handshake operations above 15 us had 5 to 25 of such wake-ups in them, 22 us the interrupt and 0.7 us each.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::gc {

struct Mutator;

// How long one of `sleepers` threads sleeps.
constexpr std::uint64_t nap_ns(std::uint32_t sleepers, unsigned processors) {
  constexpr std::uint64_t kNapNs = 200'000;    // longer hurts latency; shorter wakes more, and lets the heap outgrow its goal
  constexpr std::uint64_t kMostNs = 5'000'000;  // longer: a thread that is alone again sleeps on
  if (sleepers <= processors) return kNapNs;
  const std::uint64_t ns = kNapNs * sleepers / processors;
  return ns < kMostNs ? ns : kMostNs;
}

// At most `most_ns`, and no longer than `word` is `seen` if whoever changes it wakes the sleepers.
void nap(Mutator& m, const std::atomic<std::uint32_t>& word, std::uint32_t seen, std::uint64_t most_ns);

void forget_sleepers_after_fork();

// A thread's waits that are too short for a nap, added up: a nap costs an interrupt of 20 us and two switches, however short. Waits of one
// cycle only: its end forgives what is owed, as it ends every wait.
class ShortWaits {
 public:
  static constexpr std::uint64_t kWorthANap = 500'000;  // ns. Longer: more memory is taken before the first nap; shorter: more naps

  // True: it is time to wait for `ns` and what was owed before, which `owed_before` becomes.
  bool add(std::uint64_t ns, std::uint32_t cycle, std::uint64_t& owed_before) {
    if (cycle != cycle_) owed_ns_ = 0;
    cycle_ = cycle;
    owed_before = owed_ns_;
    owed_ns_ += ns;
    if (owed_ns_ < kWorthANap) return false;
    owed_ns_ = 0;
    return true;
  }

 private:
  std::uint64_t owed_ns_ = 0;
  std::uint32_t cycle_ = 0;
};

}  // namespace lull::gc

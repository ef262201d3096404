#include "gc/model/delay.h"

#include <cstdint>

#include "alloc/os/clock.h"

namespace lull::gc {

constinit std::atomic<void (*)(const char*)> delay_hook_for_testing{nullptr};

void pass_delay_point(const char* where) {
  if (auto* hook = delay_hook_for_testing.load(std::memory_order_acquire)) return hook(where);
  // One sequence for all threads; two that take the same number delay alike, which does no harm.
  constinit static std::atomic<std::uint64_t> state{0x9e3779b97f4a7c15};
  std::uint64_t x = state.fetch_add(0x9e3779b97f4a7c15, std::memory_order_relaxed);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;  // splitmix64
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  constexpr std::uint64_t kOneIn = 16;  // smaller: runs take longer; larger: two delays rarely meet
  if (x % kOneIn != 0) return;
  const std::uint64_t until = os::monotonic_ns() + (x >> 32) % (static_cast<std::uint64_t>(options.delay) * 1000);
  while (os::monotonic_ns() < until) {
  }
}

}  // namespace lull::gc

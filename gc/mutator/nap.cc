#include "gc/mutator/nap.h"

#include <algorithm>

#include "alloc/os/futex.h"
#include "alloc/os/thread.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"

namespace lull::gc {
namespace {
constinit std::atomic<std::uint32_t> sleepers{0};
}

void nap(Mutator& m, const std::atomic<std::uint32_t>& word, std::uint32_t seen, std::uint64_t most_ns) {
  const std::uint32_t asleep = sleepers.fetch_add(1, std::memory_order_relaxed) + 1;
  enter_blocked(m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  os::futex_wait_for(word, seen, std::min(most_ns, nap_ns(asleep, os::processors())));
  leave_blocked(m);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
  poll(m);
}

void forget_sleepers_after_fork() { sleepers.store(0, std::memory_order_relaxed); }

}  // namespace lull::gc

// Waiting on a 32-bit word. Async-signal-safe; errno is kept.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::os {

// Sleeps while `word` is `expected`, until woken; spurious returns are allowed.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected);
// The same for at most `nanoseconds`; false when the time ran out.
bool futex_wait_for(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t nanoseconds);
void futex_wake_all(const std::atomic<std::uint32_t>& word);
void futex_wake_one(const std::atomic<std::uint32_t>& word);

}  // namespace lull::os

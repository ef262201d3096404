// Waiting on a 32-bit word. Async-signal-safe; errno is kept.
#pragma once

#include <atomic>
#include <climits>
#include <cstdint>

namespace lull::os {

template <class Word>
concept FutexWord = sizeof(std::atomic<Word>) == 4;

void futex_wait_raw(const void* word, std::uint32_t expected);
bool futex_wait_for_raw(const void* word, std::uint32_t expected, std::uint64_t nanoseconds);
void futex_wake_raw(const void* word, int most);

// Sleeps while `word` is `expected`, until woken; spurious returns are allowed.
template <FutexWord Word>
void futex_wait(const std::atomic<Word>& word, Word expected) {
  futex_wait_raw(&word, static_cast<std::uint32_t>(expected));
}
// The same for at most `nanoseconds`; false when the time ran out.
template <FutexWord Word>
bool futex_wait_for(const std::atomic<Word>& word, Word expected, std::uint64_t nanoseconds) {
  return futex_wait_for_raw(&word, static_cast<std::uint32_t>(expected), nanoseconds);
}
template <FutexWord Word>
void futex_wake_all(const std::atomic<Word>& word) { futex_wake_raw(&word, INT_MAX); }
template <FutexWord Word>
void futex_wake_one(const std::atomic<Word>& word) { futex_wake_raw(&word, 1); }

}  // namespace lull::os

#include "alloc/os/random.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>

#include "alloc/os/no_cancellation.h"

namespace lull::os {
namespace {

constinit std::atomic<std::uint32_t> generation{0};  // of forks

// Where a sandbox forbids getrandom(): what the kernel gave the program at its start, the time, and a stream from them
// (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). Guessable by who sees many of them.
void fill_without_kernel(std::uint32_t* numbers, std::uint32_t count) {
  constinit static std::atomic<std::uint64_t> stream{0};
  std::uint64_t seed = 0;
  if (const auto* bytes = reinterpret_cast<const void*>(::getauxval(AT_RANDOM))) std::memcpy(&seed, bytes, sizeof seed);
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  seed ^= static_cast<std::uint64_t>(now.tv_nsec) * 0x9e3779b97f4a7c15u;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint64_t z = seed + stream.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    numbers[i] = static_cast<std::uint32_t>((z ^ (z >> 31)) >> 16);
  }
}

}  // namespace

std::uint32_t RandomNumbers::next() {
  if (left_ == 0 || generation_ != generation.load(std::memory_order_relaxed)) refill();
  // None stays behind: numbers drawn already are no hint to later readers of this memory.
  const std::uint32_t number = numbers_[--left_];
  numbers_[left_] = 0;
  return number;
}

void RandomNumbers::refill() {
  const NoCancellation none;
  const int saved = errno;
  // Never waits: before the kernel's pool is ready, at boot, the other way has to do.
  if (::getrandom(numbers_, sizeof numbers_, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof numbers_))
    fill_without_kernel(numbers_, kNumbers);
  errno = saved;
  left_ = kNumbers;
  generation_ = generation.load(std::memory_order_relaxed);
}

void renew_random_after_fork() { generation.fetch_add(1, std::memory_order_relaxed); }

}  // namespace lull::os

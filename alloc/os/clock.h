// Time. Nanoseconds; async-signal-safe.
#pragma once

#include <cstdint>
#include <ctime>

namespace lull::os {

inline std::uint64_t nanoseconds_of(clockid_t clock) {
  timespec now;
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}
inline std::uint64_t monotonic_ns() { return nanoseconds_of(CLOCK_MONOTONIC); }
inline std::uint64_t wall_ns() { return nanoseconds_of(CLOCK_REALTIME); }
inline std::uint64_t thread_cpu_ns() { return nanoseconds_of(CLOCK_THREAD_CPUTIME_ID); }
inline std::uint64_t process_cpu_ns() { return nanoseconds_of(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace lull::os

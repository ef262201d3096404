// What the kernel says about this process.
#pragma once

#include <cstdint>

namespace index_service {

std::uint64_t resident_bytes();
std::uint64_t peak_resident_bytes();
/// User and system time of all threads.
double process_cpu_seconds();

/// Processor seconds of the whole machine since it started.
struct MachineTime {
  double busy = 0;      // all processes, the kernel included
  double withheld = 0;  // by the host of a virtual machine
};
MachineTime machine_time();

/// Monotonic.
std::int64_t now_ns();
/// Asks that this thread get the processor soon after it wakes up, in exchange for short turns (Linux 6.12
/// and later; needs no privilege; without effect elsewhere).
void request_short_turns();
/// Sleeps until the time, with the least timer slack the kernel allows this thread.
void sleep_until_ns(std::int64_t time);

}  // namespace index_service

#include "apps/index/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

namespace index_service {
namespace {

std::uint64_t status_kilobytes(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == field && status >> kilobytes) return kilobytes;
  }
  return 0;
}

/// The kernel's struct sched_attr, first version; glibc before 2.41 does not declare it.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;  // SCHED_OTHER
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;  // of SCHED_OTHER: the length of a turn, in ns
  std::uint64_t deadline = 0, period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr std::uint64_t kShortTurnNs = 100'000;  // the least the kernel grants

}  // namespace

std::uint64_t resident_bytes() { return status_kilobytes("VmRSS:") * 1024; }
std::uint64_t peak_resident_bytes() { return status_kilobytes("VmHWM:") * 1024; }

double process_cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

MachineTime machine_time() {
  std::ifstream stat("/proc/stat");
  std::string label;
  double user = 0, nice = 0, system = 0, idle = 0, io_wait = 0, irq = 0, soft_irq = 0, steal = 0;
  stat >> label >> user >> nice >> system >> idle >> io_wait >> irq >> soft_irq >> steal;
  const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {(user + nice + system + irq + soft_irq) / ticks_per_second, steal / ticks_per_second};
}

std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void request_short_turns() {
  SchedulingAttributes attributes;
  attributes.nice = ::getpriority(PRIO_PROCESS, 0);
  attributes.runtime = kShortTurnNs;
  ::syscall(SYS_sched_setattr, 0, &attributes, 0u);
}

void sleep_until_ns(std::int64_t time) {
  thread_local const int slack_set = ::prctl(PR_SET_TIMERSLACK, 1UL);
  static_cast<void>(slack_set);
  const timespec until{time / 1'000'000'000, time % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

}  // namespace index_service

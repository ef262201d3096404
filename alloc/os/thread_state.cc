#include "alloc/os/thread_state.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>

#include "alloc/os/no_cancellation.h"

namespace lull::os {
namespace {

// The thread's errno stays, and it is not cancelled.
class Unnoticed {
 public:
  ~Unnoticed() { errno = saved_; }

 private:
  const NoCancellation none_;
  const int saved_ = errno;
};

}  // namespace

// The file says "running", or "-1 sp pc" for a thread that waits elsewhere (a page fault), or "number six arguments sp pc".
std::uintptr_t stack_of_waiting_thread(int tid) {
  const Unnoticed unnoticed;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[256];
  // pread: should the program have closed the descriptor meanwhile, and opened another, nothing is taken from that
  const ssize_t length = ::pread(file, text, sizeof text - 1, 0);
  ::close(file);
  if (length <= 0 || text[0] < '0' || text[0] > '9') return 0;
  text[length] = 0;
  const char* at = text;
  for (int word = 0; word < 7; ++word) {
    while (*at != 0 && *at != ' ') ++at;
    if (*at++ == 0) return 0;
  }
  return std::strtoull(at, nullptr, 16);
}

std::uint64_t cpu_ns_of_thread(int tid) {
  const Unnoticed unnoticed;
  constexpr int kThreadsOwnTime = 6;  // CPUCLOCK_SCHED of one thread, as pthread_getcpuclockid() makes it
  timespec time;
  if (::clock_gettime(static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | kThreadsOwnTime), &time) != 0) return 0;
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(time.tv_nsec);
}

ThreadStatus status_of_thread(int tid) {
  const Unnoticed unnoticed;
  ThreadStatus status;
  char text[2048];
  std::snprintf(text, sizeof text, "/proc/self/task/%d/status", tid);
  const int file = ::open(text, O_RDONLY | O_CLOEXEC);
  if (file < 0) return status;
  const ssize_t length = ::pread(file, text, sizeof text - 1, 0);
  ::close(file);
  if (length <= 0) return status;
  text[length] = 0;
  // The name comes first; it may hold anything but a line's end, which is escaped.
  if (std::strncmp(text, "Name:\t", 6) == 0) std::snprintf(status.name, sizeof status.name, "%.*s", static_cast<int>(std::strcspn(text + 6, "\n")), text + 6);
  if (const char* state = std::strstr(text, "\nState:\t")) status.state = state[8];
  if (const char* blocked = std::strstr(text, "\nSigBlk:\t")) status.blocked_signals = std::strtoull(blocked + 9, nullptr, 16);
  return status;
}

OwnMemory::OwnMemory() {
  const Unnoticed unnoticed;
  file_ = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
}

OwnMemory::~OwnMemory() {
  const Unnoticed unnoticed;
  if (file_ >= 0) ::close(file_);
}

bool OwnMemory::read(std::uintptr_t at, void* into, std::size_t bytes) const {
  const Unnoticed unnoticed;
  return file_ >= 0 && ::pread(file_, into, bytes, static_cast<off_t>(at)) == static_cast<ssize_t>(bytes);
}

}  // namespace lull::os

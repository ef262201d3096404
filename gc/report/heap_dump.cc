// lull::dump_heap: stops the world between two cycles, and writes the heap or lets a copy of the process do so.
#include "lull/heap_dump.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "alloc/os/clock.h"
#include "alloc/os/copy.h"
#include "alloc/os/no_cancellation.h"
#include "alloc/os/no_sigpipe.h"
#include "gc/cycle/driver.h"
#include "gc/cycle/fork.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "gc/report/heap_walk.h"

namespace lull {
namespace gc {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kCopies = false;  // its runtime may hold locks that nobody in the copy gives back
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kCopies = false;
#else
constexpr bool kCopies = true;
#endif
#else
constexpr bool kCopies = true;
#endif

struct Outcome {
  heap_dump_info info;
  int error = EIO;  // of a copy that was killed before it could tell
};

Outcome write_now(int fd, int process) {
  const os::NoSigpipe none;
  Outcome outcome;
  sample::Output out(fd, sample::Framing::plain);
  const bool complete = write_heap(out, process, outcome.info);
  outcome.error = !out.finish() ? errno : complete ? 0 : ENOMEM;
  return outcome;
}

// The world is stopped. A copy of the process that writes to `fd`, and its outcome to `report`; -1: refused.
int start_copy(int fd, int report) {
  const int process = ::getpid();
  const int copy = os::copy_process();
  if (copy != 0) return copy;
  const int files[] = {fd, report};
  os::close_files_except(files, 2);
  const Outcome outcome = write_now(fd, process);
  [[maybe_unused]] const auto written = ::write(report, &outcome, sizeof outcome);
  os::end_copy(0);
}

Outcome outcome_of_copy(int copy, int report) {
  Outcome outcome;
  ssize_t n;
  do n = ::read(report, &outcome, sizeof outcome);
  while (n < 0 && errno == EINTR);
  if (n != sizeof outcome) outcome = {};
  os::wait_for_copy(copy);
  outcome.info.copied = true;
  return outcome;
}

// The caller counts as blocked. Not inlined there: enter_blocked() saves what lies in its caller's frame, and this one's is larger than the
// room for that.
[[gnu::noinline]] Outcome dump(int fd, dump_mode mode) {
  Outcome outcome;
  int pipe[2] = {-1, -1}, copy = -1;
  if (kCopies && mode == dump_mode::copy && ::pipe2(pipe, O_CLOEXEC) != 0) pipe[0] = pipe[1] = -1;
  std::uint64_t stopped_ns = 0;
  {
    os::Locked between_cycles(cycle_gate());
    adopt_lost_caches();
    const std::uint64_t start = os::monotonic_ns();
    {
      WorldStopped stopped;
      if (pipe[1] >= 0) copy = start_copy(fd, pipe[1]);
      if (copy < 0) outcome = write_now(fd, ::getpid());
    }
    stopped_ns = os::monotonic_ns() - start;
  }
  if (pipe[1] >= 0) ::close(pipe[1]);
  if (copy > 0) outcome = outcome_of_copy(copy, pipe[0]);
  if (pipe[0] >= 0) ::close(pipe[0]);
  outcome.info.stopped_ns = stopped_ns;
  return outcome;
}

}  // namespace
}  // namespace gc

bool dump_heap_to(int fd, dump_mode mode, heap_dump_info* info) {
  const os::NoCancellation none;
  gc::Mutator& m = gc::self();
  gc::enter_blocked(m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  const gc::Outcome outcome = gc::dump(fd, mode);
  gc::leave_blocked(m);
  gc::poll(m);
  if (info != nullptr) *info = outcome.info;
  if (outcome.error != 0) errno = outcome.error;
  return outcome.error == 0;
}

bool dump_heap(const char* path, dump_mode mode, heap_dump_info* info) {
  const os::NoCancellation none;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  const bool written = dump_heap_to(fd, mode, info);
  const int error = errno;
  const bool closed = ::close(fd) == 0;
  if (!written) errno = error;
  return written && closed;
}

}  // namespace lull

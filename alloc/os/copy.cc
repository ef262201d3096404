#include "alloc/os/copy.h"

#include <cerrno>
#include <csignal>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lull::os {

int copy_process() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // Not fork(): its handlers take the locks of the program. Flags 0: the end of the copy sends no signal.
  const auto number = static_cast<int>(::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, 0));
  if (number != 0) {
    const int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
  }
  return number;
}

void close_files_except(const int* keep, std::size_t count) {
  const auto kept = [&](unsigned fd) {
    for (std::size_t i = 0; i < count; ++i)
      if (keep[i] >= 0 && static_cast<unsigned>(keep[i]) == fd) return true;
    return fd == STDERR_FILENO;
  };
  unsigned largest = STDERR_FILENO;
  for (std::size_t i = 0; i < count; ++i)
    if (keep[i] > static_cast<int>(largest)) largest = static_cast<unsigned>(keep[i]);
#ifdef SYS_close_range
  ::syscall(SYS_close_range, largest + 1, ~0u, 0);  // an older kernel refuses; then they stay open until the copy ends
#endif
  for (unsigned fd = 0; fd < largest; ++fd)
    if (!kept(fd)) ::close(static_cast<int>(fd));
}

void end_copy(int status) { ::_exit(status); }

int wait_for_copy(int number) {
  int status = 0;
  // __WCLONE: whose end sends no SIGCHLD
  while (::waitpid(number, &status, static_cast<int>(__WCLONE)) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace lull::os

// A write to a pipe or socket that nobody reads any more fails with EPIPE, while one exists, and does nothing else: the program's SIGPIPE is kept from the thread.
// One that was pending before stays.
#pragma once

#include <cerrno>
#include <csignal>
#include <ctime>
#include <pthread.h>

namespace lull::os {

class NoSigpipe {
 public:
  NoSigpipe() {
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigset_t pipe = sigpipe();
    ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
  }
  ~NoSigpipe() {
    const int saved = errno;
    const sigset_t pipe = sigpipe();
    constexpr timespec kNow{};
    if (!was_pending_) ::sigtimedwait(&pipe, nullptr, &kNow);  // at most one waits
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = saved;
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  static sigset_t sigpipe() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
  }

  sigset_t before_;
  bool was_pending_;
};

}  // namespace lull::os

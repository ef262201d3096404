// A program whose first thread ends by pthread_exit() ends with its last thread (POSIX: as by exit(0)). The library's own threads never end, so
// they must not count: from that moment on one more of them looks whether any other is left.
#pragma once

namespace lull::os {

// Of a thread of the library, around all that it does.
class OwnThread {
 public:
  OwnThread();
  ~OwnThread();
  OwnThread(const OwnThread&) = delete;
  OwnThread& operator=(const OwnThread&) = delete;
};

// In the forked child, whose first thread is the caller.
void forget_last_thread_after_fork();

}  // namespace lull::os

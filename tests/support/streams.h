// fork() beside one thread that allocates under a stream's lock, as getline() does, and another that has the list of streams locked and waits for
// that stream, as fflush(nullptr) does; and fork() waits for the list.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

namespace lull::testing {

// The number of children that ended badly. `allocate` runs under the stream's lock, `live` in each child and says its exit status. `Waiting`
// is constructed where this thread waits. To be called in a process of its own: hanging is the defect, an alarm ends it.
template <class Waiting, class Allocate, class Live>
int fork_beside_streams(Allocate allocate, Live live) {
  ::alarm(100);  // it takes well below a second
  std::FILE* stream = std::fopen("/dev/null", "w");
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      flockfile(stream);
      allocate();
      funlockfile(stream);
    }
  });
  std::thread flusher([&] {
    while (!done) std::fflush(nullptr), std::this_thread::yield();
  });
  int bad = 0;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(100);
      const int status = live();
      std::fclose(stream);
      ::_exit(status);
    }
    int status = 1;
    [[maybe_unused]] const Waiting waiting;
    ::waitpid(child, &status, 0);
    bad += status != 0;
  }
  done = true;
  [[maybe_unused]] const Waiting joining;
  reader.join();
  flusher.join();
  std::fclose(stream);
  return bad;
}

struct WaitingAsEver {};

}  // namespace lull::testing

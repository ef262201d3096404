// Runs a program under an allocator and writes what it used as one line.
//
//   measure FILE LIBRARY PROGRAM [ARGUMENT...]
//
// LIBRARY is a path for LD_PRELOAD, or empty. FILE receives: exit status, wall, user and system seconds, peak
// resident KiB, minor faults. A program of its own, because the peak of a process counts from before exec: it
// would be that of the Python interpreter if tools/bench started it.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace {

double seconds(timeval time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

[[noreturn]] void become(const char* library, char** command) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a time-out kills this program; the measured one must go with it
  if (*library != '\0') setenv("LD_PRELOAD", library, 1);
  execvp(command[0], command);
  std::perror(command[0]);
  _exit(127);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) become(argv[2], argv + 3);
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) return 2;
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  std::FILE* file = std::fopen(argv[1], "w");
  if (file == nullptr) return 2;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  std::fprintf(file, "%d %.6f %.6f %.6f %ld %ld\n", code, wall.count(), seconds(usage.ru_utime),
               seconds(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt);
  std::fclose(file);
  return code;
}

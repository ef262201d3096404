// In the coverage build only, in every test program: what a process has counted is written also when it ends by abort() or _exit(), as
// the children of most tests do. libgcov itself writes at exit() and before exec. SIGSEGV and SIGBUS are left alone: tests have
// handlers of their own, and the stack may be gone.
#include <csignal>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" void __gcov_dump(void);

namespace {

// Writing uses stdio, so a process that aborts while it holds a lock of that may hang: not for long.
void dump_and_die(int signal) {
  ::signal(signal, SIG_DFL);
  ::alarm(10);
  __gcov_dump();
  ::raise(signal);
}

[[gnu::constructor]] void install() { ::signal(SIGABRT, dump_and_die); }

}  // namespace

// Takes the place of the C library's in calls from the program.
extern "C" [[noreturn]] void _exit(int status) {
  __gcov_dump();
  ::syscall(SYS_exit_group, status);
  __builtin_unreachable();
}

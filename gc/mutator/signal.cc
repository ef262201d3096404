// The handshake signal, for threads that neither poll nor block.
#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/check.h"
#include "alloc/os/lock.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"

namespace lull::gc {
namespace {

// Ignored by default, so a late one does no harm after the handler is gone; hardly any program uses it; Go's choice too.
constexpr int kHandshakeSignal = SIGURG;

struct sigaction previous {};  // handler: of a library that came before, as another language's runtime

__thread volatile std::sig_atomic_t is_passing_on __attribute__((tls_model("initial-exec"))) = 0;

constinit pthread_once_t install_once = PTHREAD_ONCE_INIT;

// One that asked for the alternate stack would find itself on the thread's own, for which Go's stops the program.
bool would_miss_its_stack() {
  stack_t stack;
  return (previous.sa_flags & SA_ONSTACK) != 0 && ::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & (SS_DISABLE | SS_ONSTACK)) == 0;
}

// Whose the signal is cannot be told: signals of a kind become one. Who uses this one expects it for no reason, too.
// Default and ignored are so whatever the flags say, as for the kernel. A library that has installed its handler anew calls this one in turn.
void pass_on(int signal, siginfo_t* info, void* context) {
  if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN || is_passing_on != 0 || would_miss_its_stack()) return;
  is_passing_on = 1;
  if (previous.sa_flags & SA_SIGINFO) previous.sa_sigaction(signal, info, context);
  else previous.sa_handler(signal);
  is_passing_on = 0;
}

// No locks, no allocation through the library or libc, errno kept. Runs on the thread's own stack, so that registers and
// vector state in the signal frame lie in the range that is scanned.
void on_handshake_signal(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  Mutator* m = self_or_null();
  // In a runtime section the thread polls when it leaves; blocked, the collector answers for it.
  if (m != nullptr && m->runtime_depth == 0 && m->state.load(std::memory_order_relaxed) == ThreadState::running) {
    if (os::locks_taken != 0) m->refused_signal.store(true, std::memory_order_relaxed);  // a lock of malloc's; in a moment it is free
    else answer_signal(*m, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  }
  pass_on(signal, info, context);
  errno = saved;
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_handshake_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  LULL_CHECK(::sigaction(kHandshakeSignal, &action, &previous) == 0, "cannot install the handshake signal");
}

}  // namespace

void install_signal_handler() {
#if defined(__SANITIZE_THREAD__)
  options.noasync = options.poll_at_stores = 1;  // TSan delays signals to its own interception points, which a tight loop never reaches
#endif
  if (options.noasync == 0) pthread_once(&install_once, install);
}

// A thread that blocks the signal and does not poll would hold up every cycle. Our own finalizer thread starts with all
// signals blocked, and so do the workers of programs that leave signals to one thread.
void unblock_handshake_signal() {
  if (options.noasync != 0) return;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kHandshakeSignal);
  LULL_CHECK(::pthread_sigmask(SIG_UNBLOCK, &set, nullptr) == 0, "cannot unblock the handshake signal");
}

// One that may be gone unnoticed has no pthread_t that could be used; nor its number, for another thread, to which the signal means nothing.
bool signal_thread(Mutator& m) {
  if (m.is_ending) return ::syscall(SYS_tgkill, ::getpid(), m.tid, kHandshakeSignal) == 0;
  return pthread_kill(m.thread, kHandshakeSignal) == 0;
}

}  // namespace lull::gc

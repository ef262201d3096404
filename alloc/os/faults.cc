#include "alloc/os/faults.h"

#include <atomic>
#include <cerrno>
#include <csignal>

namespace lull::os {
namespace {

constinit std::atomic<ExplainFault> explainers[4] = {};
struct sigaction before_segv, before_bus;

void pass_on(const struct sigaction& before, int signal, siginfo_t* info, void* context) {
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  if (before.sa_handler == SIG_IGN && info->si_code <= 0) return;  // sent, and ignored
  ::sigaction(signal, &before, nullptr);
  // A fault happens again on return, then without us; what was sent comes once more.
  if (info->si_code <= 0) ::raise(signal);
}

void on_fault(int signal, siginfo_t* info, void* context) {
  constinit static std::atomic<bool> explained{false};  // the first one only: the program may go on faulting
  const int saved = errno;
  if (info->si_code > 0 && !explained.load(std::memory_order_relaxed))
    for (const auto& explainer : explainers) {
      // acquire: pairs with the release in explain_faults()
      const ExplainFault explain = explainer.load(std::memory_order_acquire);
      if (explain == nullptr || !explain(reinterpret_cast<std::uintptr_t>(info->si_addr), static_cast<const ucontext_t*>(context))) continue;
      explained.store(true, std::memory_order_relaxed);
      break;
    }
  errno = saved;
  pass_on(signal == SIGBUS ? before_bus : before_segv, signal, info, context);
}

void handle(int signal, struct sigaction& before) {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(signal, &action, &before);
}

}  // namespace

void explain_faults(ExplainFault explain) {
  for (auto& explainer : explainers) {
    ExplainFault there = nullptr;
    // release: pairs with the acquire in on_fault()
    if (explainer.compare_exchange_strong(there, explain, std::memory_order_acq_rel)) break;
    if (there == explain) return;
  }
  constinit static std::atomic<bool> handling{false};
  if (handling.exchange(true, std::memory_order_acq_rel)) return;
  handle(SIGSEGV, before_segv);
  handle(SIGBUS, before_bus);
}

}  // namespace lull::os

// One instruction at a time: between the two calls a SIGTRAP comes after each instruction.
#pragma once

#include <csignal>
#include <ucontext.h>

namespace lull::testing {

// The red zone below the stack pointer may be in use, hence the detour by lea.
inline void start_stepping() {
  asm volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "cc", "memory");
}
inline void stop_stepping() {
  asm volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "cc", "memory");
}
// In the handler: no more of them.
inline void stop_stepping(void* context) { static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~0x100; }

inline bool handle_steps(void (*handler)(int, siginfo_t*, void* context)) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGTRAP, &action, nullptr) == 0;
}

}  // namespace lull::testing

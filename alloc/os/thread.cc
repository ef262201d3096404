#include "alloc/os/thread.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/check.h"
#include "alloc/os/cgroup.h"
#include "alloc/os/last_thread.h"

extern "C" [[gnu::weak]] void* __libc_stack_end;  // glibc's loader

namespace lull::os {

namespace {

// Without /proc (an empty root folder, say) glibc does not know the first thread's stack. Its loader remembers where it began;
// what lies above are the program's arguments. The limit says how far it may grow.
StackBounds first_stack() {
  constexpr std::uintptr_t kPage = 4096, kUsual = 8 * 1024 * 1024;
  LULL_CHECK(&__libc_stack_end != nullptr && ::getpid() == current_thread_id(), "cannot find the bounds of this thread's stack");
  const std::uintptr_t high = (reinterpret_cast<std::uintptr_t>(__libc_stack_end) + kPage) & ~(kPage - 1);
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < high;
  return {high - (known ? limit.rlim_cur & ~(kPage - 1) : kUsual), high};
}

}  // namespace

StackBounds current_stack() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return first_stack();
  void* low = nullptr;
  std::size_t size = 0;
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  const auto start = reinterpret_cast<std::uintptr_t>(low);
  return {start, start + size};
}

StackBounds active_signal_stack() {
  stack_t stack;
  if (::sigaltstack(nullptr, &stack) != 0 || !(stack.ss_flags & SS_ONSTACK)) return {};
  const auto low = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  return {low, low + stack.ss_size};
}

int current_thread_id() { return static_cast<int>(::syscall(SYS_gettid)); }

bool is_thread_here(int tid) {
  const int saved = errno;
  const bool is_gone = ::syscall(SYS_tgkill, ::getpid(), tid, 0) != 0 && errno == ESRCH;
  errno = saved;
  return !is_gone;
}

namespace {
constinit std::atomic<std::size_t> cpu_limit{0};  // thousandths of a processor; 0: not read yet
}

void refresh_cpu_limit() { cpu_limit.store(cgroup_cpu_limit(), std::memory_order_relaxed); }

unsigned processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const auto count = static_cast<std::size_t>(std::max(CPU_COUNT(&set), 1));
  if (cpu_limit.load(std::memory_order_relaxed) == 0) refresh_cpu_limit();
  const std::size_t limit = cpu_limit.load(std::memory_order_relaxed);
  return static_cast<unsigned>(std::min(count, limit / 1000 + (limit % 1000 != 0)));
}

namespace {

// What a thread that is being started runs, until it has read it. Nothing may be allocated here, and nobody need wait for it.
struct Start {
  std::atomic<bool> used{false};
  void* (*entry)(void*) = nullptr;
  void* argument = nullptr;
};
constinit Start starts[64];

void* run_own_thread(void* of) {
  auto& start = *static_cast<Start*>(of);
  void* (*const entry)(void*) = start.entry;
  void* const argument = start.argument;
  start.used.store(false, std::memory_order_release);  // pairs with the acquire in take_start()
  const OwnThread own;
  return entry(argument);
}

Start* take_start() {
  for (Start& start : starts)
    if (!start.used.exchange(true, std::memory_order_acquire)) return &start;
  return nullptr;
}

}  // namespace

bool start_thread(pthread_t& thread, void* (*entry)(void*), void* argument, const char* name) {
  Start* const start = take_start();
  if (start == nullptr) return false;
  start->entry = entry;
  start->argument = argument;
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  const bool started = pthread_create(&thread, nullptr, run_own_thread, start) == 0;
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  if (started) pthread_setname_np(thread, name);
  else start->used.store(false, std::memory_order_release);
  return started;
}

void free_starts_after_fork() {
  for (Start& start : starts) start.used.store(false, std::memory_order_relaxed);
}

void yield() { ::sched_yield(); }

namespace {

// A thread inherits the processors of who starts it, which may have pinned itself to one.
void run_where_the_process_may() {
  cpu_set_t own, first;
  if (::sched_getaffinity(0, sizeof own, &own) != 0 || ::sched_getaffinity(::getpid(), sizeof first, &first) != 0) return;
  if (!CPU_EQUAL(&own, &first)) ::sched_setaffinity(0, sizeof first, &first);
}

}  // namespace

void make_background() {
  run_where_the_process_may();
  sched_param parameters{};
  ::sched_setscheduler(0, SCHED_BATCH, &parameters);
}

}  // namespace lull::os

#include "alloc/os/last_thread.h"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/os/futex.h"
#include "alloc/os/thread.h"

namespace lull::os {
namespace {

constexpr std::uint64_t kLookNs = 10'000'000;

constinit std::atomic<std::uint32_t> own{0};  // never more than there are: the threads count themselves, so a look may find some uncounted, and wait
constinit std::atomic<bool> first_has_ended{false}, watched{false};
constinit pthread_key_t key{};
constinit bool has_key = false;

// The ended first one is among them. 0 without /proc.
std::uint32_t threads_of_process() {
  struct stat folder;
  constexpr nlink_t kOfAnyFolder = 2;
  if (::stat("/proc/self/task", &folder) != 0 || folder.st_nlink < kOfAnyFolder) return 0;
  return static_cast<std::uint32_t>(folder.st_nlink - kOfAnyFolder);
}

// Until then its destructors run.
bool first_is_gone() {
  char path[32], text[256];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", static_cast<int>(::getpid()));
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t length = ::read(file, text, sizeof text - 1);
  ::close(file);
  text[length > 0 ? length : 0] = 0;
  const char* name_end = std::strrchr(text, ')');  // number (name) state ...
  return name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'Z';
}

void* watch(void*) {
  constinit static std::atomic<std::uint32_t> never{0};
  constexpr int kTwice = 2;  // a thread that is on its way is counted by the kernel, but the two numbers are not of one moment
  for (int alone = 0; alone < kTwice;) {
    futex_wait_for(never, std::uint32_t{0}, kLookNs);
    alone = threads_of_process() == own.load(std::memory_order_relaxed) + 1 && first_is_gone() ? alone + 1 : 0;
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);  // handlers of exit are the program's
  std::exit(0);
}

void watch_if_needed() {
  if (!first_has_ended.load(std::memory_order_seq_cst) || own.load(std::memory_order_seq_cst) == 0 || watched.exchange(true)) return;
  pthread_t thread;
  if (start_thread(thread, watch, nullptr, "lull-last")) pthread_detach(thread);
  else watched.store(false);
}

// The destructor of the first thread's data: runs when it ends by pthread_exit(), not at exit(). seq_cst: pairs with OwnThread, see there.
void first_thread_ends(void*) {
  first_has_ended.store(true, std::memory_order_seq_cst);
  watch_if_needed();
}

[[gnu::constructor(101)]] void note_first_thread() {
  if (::getpid() != current_thread_id() || pthread_key_create(&key, first_thread_ends) != 0) return;
  has_key = true;
  pthread_setspecific(key, &key);
}

// A plugin with the library in it is unloaded.
[[gnu::destructor]] void forget_first_thread() {
  if (has_key) pthread_key_delete(key);
  has_key = false;
}

}  // namespace

OwnThread::OwnThread() {
  own.fetch_add(1, std::memory_order_seq_cst);  // pairs with first_thread_ends(): one of the two sees the other
  watch_if_needed();
}

OwnThread::~OwnThread() { own.fetch_sub(1, std::memory_order_seq_cst); }

void forget_last_thread_after_fork() {
  own.store(0, std::memory_order_relaxed);
  first_has_ended.store(false, std::memory_order_relaxed);
  watched.store(false, std::memory_order_relaxed);
  if (has_key) pthread_setspecific(key, &key);
}

}  // namespace lull::os

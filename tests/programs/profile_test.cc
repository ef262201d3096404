// Programs whose allocations are all sampled: where walking a stack inside of malloc could wait for somebody who waits for
// malloc. A deadlock is the test's time limit.
#include "lull/profile.h"

#include <gtest/gtest.h>

#include <csignal>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/alloc/support.h"

namespace {

using lull::testing::run_in_child;
using lull::testing::run_together;

#if LULL_PRELOADED_PROGRAM
// What a program does that may or may not run under lull.
template <class F>
F* find(const char* name) { return reinterpret_cast<F*>(::dlsym(RTLD_DEFAULT, name)); }
const auto start = find<void(size_t)>("lull_profile_start");
const auto stop = find<void()>("lull_profile_stop");
const auto write_fd = find<int(int, lull_profile_format)>("lull_profile_write_fd");
const auto write_file = find<int(const char*, lull_profile_format)>("lull_profile_write");
const auto read_totals = find<void(lull_profile_totals*)>("lull_profile_read_totals");
#else
constexpr auto start = lull_profile_start;
constexpr auto stop = lull_profile_stop;
[[maybe_unused]] constexpr auto write_fd = lull_profile_write_fd;
constexpr auto write_file = lull_profile_write;
constexpr auto read_totals = lull_profile_read_totals;
#endif

void allocate_and_free(std::size_t bytes) {
  void* block = std::malloc(bytes);
  asm volatile("" : : "r"(block) : "memory");  // a compiler may leave out both
  std::free(block);
}

std::size_t allocated() {
  lull_profile_totals totals;
  read_totals(&totals);
  return totals.allocated_objects;
}

class Sampled {
 public:
  Sampled() : before_(allocated()) { start(1); }
  ~Sampled() {
    stop();
    EXPECT_LT(before_, allocated());
  }

 private:
  std::size_t before_;
};

// Threads that allocate as long as `body` runs.
void beside_allocating_threads(const std::function<void()>& body) {
  std::atomic<bool> end{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      while (!end) {
        std::string text(100, 'x');
        std::vector<std::string> texts(10, text);
        allocate_and_free(100'000);
      }
    });
  body();
  end = true;
  for (std::thread& thread : threads) thread.join();
}

#if !LULL_STATIC_PROGRAM
// The callback runs with the dynamic linker's lock, which a walk must not want.
TEST(Profile, OfACallbackOfTheDynamicLinkerThatAllocates) {
  Sampled sampled;
  beside_allocating_threads([] {
    for (int i = 0; i < 300; ++i)
      dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void*) {
        const std::string name(std::string(info->dlpi_name) + std::string(50, 'x'));
        return name.empty() ? 1 : 0;
      }, nullptr);
  });
}

TEST(Profile, WhileLibrariesComeAndGo) {
  Sampled sampled;
  beside_allocating_threads([] {
    for (int i = 0; i < 200; ++i) {
      void* plugin = ::dlopen(LULL_TEST_PLUGIN, RTLD_NOW);
      ASSERT_NE(nullptr, plugin) << ::dlerror();
      auto* allocate = reinterpret_cast<void* (*)(std::size_t)>(::dlsym(plugin, "plugin_make"));
      ASSERT_NE(nullptr, allocate);
      std::free(allocate(100));
      ::dlclose(plugin);
    }
  });
}

#if defined(__x86_64__) && defined(PR_SET_SYSCALL_USER_DISPATCH)
// dlclose() unmaps a library before it takes it off the list of those that there are. A handler that wrote a profile in between read what was unmapped: here
// each system call of the dynamic linker is a signal, and so is the one that unmaps.
char selector = SYSCALL_DISPATCH_FILTER_ALLOW;
int unmapped = 0;

void call_and_write(int, siginfo_t* info, void* context) {
  selector = SYSCALL_DISPATCH_FILTER_ALLOW;
  greg_t* const r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const long result = ::syscall(info->si_syscall, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
  r[REG_RAX] = result == -1 ? -errno : result;
  if (info->si_syscall == SYS_munmap) {
    void* const hole = reinterpret_cast<void*>(r[REG_RDI]);  // kept empty: the writer's own memory might come to lie there
    const auto bytes = static_cast<std::size_t>(r[REG_RSI]);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::mmap(hole, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    unmapped += write_fd(nowhere, LULL_PROFILE_PPROF) == 0;
    ::munmap(hole, bytes);
    ::close(nowhere);
  }
  selector = SYSCALL_DISPATCH_FILTER_BLOCK;
}

TEST(Profile, WrittenByAHandlerInTheMidstOfDlclose) {
  Sampled sampled;
  allocate_and_free(100);
  struct sigaction action{}, before{};
  action.sa_sigaction = call_and_write;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSYS, &action, &before);
  void* plugin = ::dlopen(LULL_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(nullptr, plugin) << ::dlerror();
  const unsigned long linker = ::getauxval(AT_BASE);  // what lies below it, the C library and we, calls as usual
  if (::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0ul, linker, &selector) != 0) GTEST_SKIP() << "needs Linux 5.11";
  selector = SYSCALL_DISPATCH_FILTER_BLOCK;
  ::dlclose(plugin);
  selector = SYSCALL_DISPATCH_FILTER_ALLOW;
  ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0ul, 0ul, 0ul);
  ::sigaction(SIGSYS, &before, nullptr);
  EXPECT_GE(unmapped, 1);
}
#endif
#endif

TEST(Profile, OfThreadsThatComeAndGo) {
  Sampled sampled;
  beside_allocating_threads([] {
    for (int i = 0; i < 200; ++i)
      std::thread([] {
        thread_local std::string in_destructor(200, 'y');
        in_destructor += "z";
      }).join();
  });
}

TEST(Profile, OfExceptions) {
  Sampled sampled;
  for (int i = 0; i < 100; ++i) {
    try {
      throw std::runtime_error(std::string(100, 'x'));
    } catch (const std::exception& e) {
      EXPECT_EQ('x', e.what()[0]);
    }
  }
}

TEST(Profile, GoesOnInChildrenOfBusyPrograms) {
  Sampled sampled;
  beside_allocating_threads([] {
    for (int i = 0; i < 50; ++i) {
      const auto outcome = run_in_child([] {
        const std::size_t before = allocated();
        for (int n = 0; n < 100; ++n) allocate_and_free(static_cast<std::size_t>(n) * 100);
        LULL_CHILD_EXPECT(allocated() > before);
        LULL_CHILD_EXPECT(write_file("/dev/null", LULL_PROFILE_PPROF) == 0);
      });
      ASSERT_TRUE(outcome.exited_well()) << outcome.errors;
    }
  });
}

std::atomic<int> written{0};
void write_profile(int) {
  if (write_file("/dev/null", written % 2 == 0 ? LULL_PROFILE_PPROF : LULL_PROFILE_TEXT) == 0) ++written;
}

TEST(Profile, IsWrittenInASignalHandlerOfAThreadThatAllocates) {
  Sampled sampled;
  struct sigaction action = {}, old;
  action.sa_handler = write_profile;
  ::sigaction(SIGUSR2, &action, &old);
  beside_allocating_threads([] {
    std::atomic<bool> end{false};
    std::thread target([&] {
      while (!end) allocate_and_free(100);
    });
    for (int i = 0; i < 100; ++i) {
      const int before = written;
      pthread_kill(target.native_handle(), SIGUSR2);
      while (written == before) std::this_thread::yield();
    }
    end = true;
    target.join();
  });
  ::sigaction(SIGUSR2, &old, nullptr);
  EXPECT_EQ(100, written);
}

}  // namespace

#include "tests/stress/disturb.h"

#include <chrono>
#include <csignal>
#include <random>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/os/vm.h"
#include "tests/stress/world.h"

namespace lull::stress {
namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr int kOwnSignal = SIGUSR1;

// Spends some time on the alternate stack, so that the collector's signal finds the thread there.
void on_own_signal(int) {
  volatile int turns = 0;
  while (turns < 2000) turns = turns + 1;
}

timer_t start_timer(int signal, long period_ns) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal;
  event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
  timer_t timer{};
  const itimerspec period{{0, period_ns}, {0, period_ns}};
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || ::timer_settime(timer, 0, &period, nullptr) != 0)
    fault("cannot make a timer");
  return timer;
}

void sleep_up_to(std::mt19937_64& random, std::uint64_t microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(random() % microseconds));
}

std::atomic<std::int64_t> monotonic_leap{0}, wall_leap{0};  // ns

}  // namespace

SignalStorm::SignalStorm() {
  attach_thread();  // the collector's handler is there
  stack_ = static_cast<char*>(::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const stack_t stack{stack_, 0, kStackBytes};
  ::sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = on_own_signal;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigaction(kOwnSignal, &action, nullptr);
  timers_[0] = start_timer(SIGURG, 50'000);
  timers_[1] = start_timer(kOwnSignal, 170'000);
}

SignalStorm::~SignalStorm() {
  for (timer_t timer : timers_) ::timer_delete(timer);
  // One that is pending still comes, on the stack that is about to go.
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, kOwnSignal);
  ::pthread_sigmask(SIG_BLOCK, &own, nullptr);
  const stack_t none{nullptr, SS_DISABLE, 0};
  ::sigaltstack(&none, nullptr);
  ::munmap(stack_, kStackBytes);
}

FailingMappings::FailingMappings(std::uint64_t seed)
    : thread_([this, seed] {
        std::mt19937_64 random(seed);
        while (!stop_) {
          const bool sticky = random() % 2 == 0;
          os::fail_mapping_for_testing(static_cast<std::int64_t>(random() % 4), sticky);
          sleep_up_to(random, sticky ? 10'000 : 1000);
          os::fail_mapping_for_testing(-1);
          sleep_up_to(random, 500);
        }
      }) {}

FailingMappings::~FailingMappings() {
  stop_ = true;
  thread_.join();
  os::fail_mapping_for_testing(-1);
}

JumpingClocks::JumpingClocks(std::uint64_t seed)
    : thread_([this, seed] {
        std::mt19937_64 random(seed);
        while (!stop_) {
          const std::int64_t scale = std::int64_t{1} << (10 + random() % 32);  // 1 us to about an hour
          monotonic_leap.fetch_add(static_cast<std::int64_t>(random()) & (scale - 1));
          wall_leap.store(static_cast<std::int64_t>(random() % 3'600'000'000'000u) - 1'800'000'000'000);
          sleep_up_to(random, 500);
        }
      }) {}

JumpingClocks::~JumpingClocks() {
  stop_ = true;
  thread_.join();  // the monotonic clock stays where it is
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)

// In the place of the C library's: every clock that the library reads comes through here.
extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int result = static_cast<int>(::syscall(SYS_clock_gettime, clock, now));
  std::int64_t leap = 0;
  if (clock == CLOCK_MONOTONIC) leap = monotonic_leap.load(std::memory_order_relaxed);
  if (clock == CLOCK_REALTIME) leap = wall_leap.load(std::memory_order_relaxed);
  if (result != 0 || leap == 0) return result;
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t ns = now->tv_nsec + leap % kSecond + kSecond;
  now->tv_sec += leap / kSecond + ns / kSecond - 1;
  now->tv_nsec = ns % kSecond;
  return result;
}

#endif

}  // namespace lull::stress

#include "alloc/front/profile_run.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "alloc/base/printable.h"
#include "alloc/front/options.h"
#include "alloc/front/sampling.h"
#include "alloc/os/cgroup.h"
#include "alloc/os/environment.h"
#include "alloc/sample/guard_pool.h"
#include "lull/profile.h"

namespace lull::front {
namespace {

constexpr std::size_t kMostPath = 1024;

// Constant after begin_profile_of_run().
constinit char path[kMostPath] = {};
constinit pid_t started_in = 0;
constinit std::atomic<unsigned> written{0};

class Path {
 public:
  void add(const char* text, std::size_t n) {
    if (used_ + n >= sizeof text_) n = sizeof text_ - 1 - used_;
    std::memcpy(text_ + used_, text, n);
    used_ += n;
  }
  void add_number(long n) {
    char digits[24];
    add(digits, static_cast<std::size_t>(std::snprintf(digits, sizeof digits, "%ld", n)));
  }
  const char* c_str() const { return text_; }

 private:
  char text_[kMostPath + 64] = {};
  std::size_t used_ = 0;
};

bool ends_with(const char* text, const char* end) {
  const std::size_t n = std::strlen(text), m = std::strlen(end);
  return n >= m && std::strcmp(text + n - m, end) == 0;
}

void complain(const char* what, const char* about) {
  Path line;
  line.add(what, std::strlen(what));
  const Printable shown(about);
  line.add(shown.c_str(), std::strlen(shown.c_str()));
  line.add("\n", 1);
  [[maybe_unused]] auto ignored = ::write(STDERR_FILENO, line.c_str(), std::strlen(line.c_str()));
}

// `number` 0: none is added.
void write_one(unsigned number) {
  Path name;
  bool has_pid = false;
  for (const char* at = path; *at != '\0'; ++at) {
    if (at[0] == '%' && at[1] == 'p') {
      name.add_number(::getpid());
      has_pid = true;
      ++at;
    } else {
      name.add(at, 1);
    }
  }
  if (!has_pid && ::getpid() != started_in) {
    name.add(".", 1);
    name.add_number(::getpid());
  }
  if (number != 0) {
    name.add(".", 1);
    name.add_number(number);
  }
  const auto format = ends_with(path, ".heap") ? LULL_PROFILE_TEXT : LULL_PROFILE_PPROF;
  if (lull_profile_write(name.c_str(), format) != 0) complain("lull: cannot write the profile ", name.c_str());
}

void on_signal(int) {
  const int saved = errno;
  write_one(written.fetch_add(1, std::memory_order_relaxed) + 1);
  errno = saved;
}

// Signals that say that the program is broken, or come for that, are not asked for in this way.
bool may_ask_for_profile(int signal) {
  for (const int other : {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS})
    if (signal == other) return false;
  return true;
}

void write_at_signal() {
  const char* text = std::getenv("LULL_PROFILE_SIGNAL");
  if (text == nullptr || *text == '\0' || std::strcmp(text, "0") == 0) return;
  int signal = 0;
  const std::from_chars_result read = std::from_chars(text, text + std::strlen(text), signal);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  const bool is_number = read.ec == std::errc() && *read.ptr == '\0' && may_ask_for_profile(signal);
  if (!is_number || ::sigaction(signal, &action, nullptr) != 0) os::complain_of_variable("LULL_PROFILE_SIGNAL", text);
}

// 0: the usual one.
std::size_t rate_from_environment() {
  const char* text = std::getenv("LULL_PROFILE_RATE");
  std::size_t bytes = 0;
  if (text != nullptr && *text != '\0' && !os::parse_bytes(text, bytes)) complain("lull: LULL_PROFILE_RATE is no number of bytes: ", text);
  return bytes;
}

}  // namespace

void begin_profile_of_run() {
  const std::int64_t guard = malloc_options().guard;
  const bool guards = guard != 0 && sample::start_guarding(static_cast<std::uint32_t>(guard));
  const char* wanted = ::secure_getenv("LULL_PROFILE");  // a file is written with the program's rights
  if (wanted == nullptr || *wanted == '\0' || std::strlen(wanted) >= kMostPath) {
    if (guards) start_profile(rate_from_environment());
    return;
  }
  std::strcpy(path, wanted);
  started_in = ::getpid();
  write_at_signal();
  start_profile(rate_from_environment());
}

void end_profile_of_run() {
  if (path[0] != '\0') write_one(0);
}

}  // namespace lull::front

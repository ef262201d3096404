#include "alloc/os/futex.h"

#include <cerrno>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lull::os {
namespace {

long futex(const void* word, int operation, std::uint32_t value, const timespec* timeout) {
  const int saved = errno;
  const long result = ::syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
  const long outcome = result < 0 ? -errno : result;
  errno = saved;
  return outcome;
}

}  // namespace

void futex_wait_raw(const void* word, std::uint32_t expected) { futex(word, FUTEX_WAIT, expected, nullptr); }

bool futex_wait_for_raw(const void* word, std::uint32_t expected, std::uint64_t nanoseconds) {
  const timespec timeout{static_cast<time_t>(nanoseconds / 1'000'000'000u), static_cast<long>(nanoseconds % 1'000'000'000u)};
  return futex(word, FUTEX_WAIT, expected, &timeout) != -ETIMEDOUT;
}

void futex_wake_raw(const void* word, int most) { futex(word, FUTEX_WAKE, static_cast<std::uint32_t>(most), nullptr); }

}  // namespace lull::os

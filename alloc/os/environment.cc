#include "alloc/os/environment.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "alloc/os/no_cancellation.h"

// Of glibc's loader: where the kernel put argc, the arguments, a null, and the environment.
extern "C" void* __libc_stack_end __attribute__((weak));

namespace lull::os {
namespace {

char** environment_on_the_stack() {
  if (&__libc_stack_end == nullptr || __libc_stack_end == nullptr) return nullptr;
  auto** words = static_cast<char**>(__libc_stack_end);
  char** end_of_arguments = words + 1 + reinterpret_cast<std::uintptr_t>(words[0]);
  return *end_of_arguments == nullptr ? end_of_arguments + 1 : nullptr;
}

}  // namespace

const char* environment_variable(const char* name) {
  if (environ != nullptr) return std::getenv(name);
  const std::size_t length = std::strlen(name);
  for (char** at = environment_on_the_stack(); at != nullptr && *at != nullptr; ++at)
    if (std::strncmp(*at, name, length) == 0 && (*at)[length] == '=') return *at + length + 1;
  return nullptr;
}

void complain_of_variable(const char* name, std::string_view text) {
  constexpr std::size_t kShown = 40;
  const Printable shown(text, kShown);
  char line[160];
  const int length = std::snprintf(line, sizeof line, "lull: %s: cannot make sense of '%s%s'\n", name, shown.c_str(), text.size() > kShown ? "..." : "");
  const NoCancellation none;
  const int saved = errno;
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line, std::min(static_cast<std::size_t>(length), sizeof line - 1));
  errno = saved;
}

}  // namespace lull::os

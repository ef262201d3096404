#include "alloc/base/check.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace lull {

namespace {

void write_line(const char* format, va_list arguments) {
  char line[512];
  int used = std::snprintf(line, sizeof line, "lull: ");
  used += std::vsnprintf(line + used, sizeof line - static_cast<std::size_t>(used) - 1, format, arguments);
  if (used > static_cast<int>(sizeof line) - 2) used = static_cast<int>(sizeof line) - 2;
  line[used++] = '\n';
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line, static_cast<std::size_t>(used));
}

}  // namespace

void fatal(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_line(format, arguments);
  va_end(arguments);
  std::abort();
}

void say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_line(format, arguments);
  va_end(arguments);
}

void fatal_about(Details details, const void* subject, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_line(format, arguments);
  va_end(arguments);
  details(subject);
  std::abort();
}

}  // namespace lull

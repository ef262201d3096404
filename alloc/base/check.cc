#include "alloc/base/check.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace lull {

void fatal(const char* format, ...) {
  char line[512];
  int used = std::snprintf(line, sizeof line, "lull: ");
  va_list arguments;
  va_start(arguments, format);
  used += std::vsnprintf(line + used, sizeof line - static_cast<std::size_t>(used) - 1, format, arguments);
  va_end(arguments);
  if (used > static_cast<int>(sizeof line) - 2) used = static_cast<int>(sizeof line) - 2;
  line[used++] = '\n';
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line, static_cast<std::size_t>(used));
  std::abort();
}

}  // namespace lull

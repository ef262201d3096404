// What the kernel says of the program's memory. Reading it does not allocate.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "bench/malloc/object.h"

namespace bench {

// A line of smaps_rollup in KiB.
inline double kernel_figure(const char* name) {
  std::array<char, 4096> text{};
  const int file = open("/proc/self/smaps_rollup", O_RDONLY);
  const auto length = read(file, text.data(), text.size() - 1);
  close(file);
  const char* line = length > 0 ? std::strstr(text.data(), name) : nullptr;
  if (line == nullptr) fail("/proc/self/smaps_rollup cannot be read");
  return std::strtod(line + std::strlen(name), nullptr);
}

// Without what the kernel may take but has not (MADV_FREE).
inline double resident_kib() { return kernel_figure("Rss:") - kernel_figure("LazyFree:"); }

}  // namespace bench

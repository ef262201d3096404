// What the kernel says of the process's huge pages and mappings.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>

#include "alloc/os/huge_pages.h"
#include "alloc/os/vm.h"
#include "alloc/pages/reservation.h"

namespace lull::testing {

// Bytes of the process's mappings that lie in huge pages.
inline std::size_t huge_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string word; file >> word;)
    if (std::size_t kib; word == "AnonHugePages:" && file >> kib) return kib * 1024;
  return 0;
}
// Of the heap's range.
inline std::size_t mappings() {
  std::ifstream file("/proc/self/maps");
  std::size_t found = 0;
  for (std::string line; std::getline(file, line);) found += pages::in_heap(std::stoull(line, nullptr, 16));
  return found;
}

// Those that have a flag, two letters of proc(5): "hg" where the kernel is asked for huge pages at every first touch.
inline std::size_t mappings_with_flag(const std::string& flag) {
  std::ifstream file("/proc/self/smaps");
  std::size_t found = 0;
  for (std::string line; std::getline(file, line);) found += line.starts_with("VmFlags:") && (line + ' ').find(' ' + flag + ' ') != std::string::npos;
  return found;
}

// The kernel has them, the administrator grants them, and there is one left.
inline bool huge_pages_work(std::size_t bytes) {
  const os::HugePageMode mode = os::huge_page_mode();
  if ((mode != os::HugePageMode::madvise && mode != os::HugePageMode::always) || !os::can_collapse(bytes)) return false;
  void* at = os::reserve(bytes, bytes);
  if (at == nullptr || !os::commit(at, bytes)) return false;
  *static_cast<char*>(at) = 1;
  const bool works = os::collapse(at, bytes);
  os::unmap(at, bytes);
  return works;
}

}  // namespace lull::testing

// Whose malloc is it? Known from outside: lull's blocks come from one range of many gigabytes that was reserved at once.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace lull::testing {

struct Extent {
  std::uintptr_t low = 0, high = 0;
  std::size_t size() const { return high - low; }
  bool contains(const void* address) const {
    const auto word = reinterpret_cast<std::uintptr_t>(address);
    return word >= low && word < high;
  }
};

// The anonymous mappings around `address` without a gap between them.
inline Extent extent_around(const void* address) {
  static char line[512];
  Extent run;
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long low, high, offset, device, inode = 0;
    std::sscanf(line, "%lx-%lx %*s %lx %lx:%*x %lu", &low, &high, &offset, &device, &inode);
    if (low != run.high || inode != 0) {
      if (run.contains(address)) break;
      run = {low, low};
    }
    run.high = high;
  }
  if (maps != nullptr) std::fclose(maps);
  return run.contains(address) ? run : Extent{};
}

// lull's heap; empty when malloc is another's.
inline const Extent& heap_extent() {
  static const Extent extent = [] {
    void* block = std::calloc(1, 1);  // malloc: compilers complain that what its address says was not written
    const Extent around = extent_around(block);
    std::free(block);
    return around.size() >= std::size_t{1} << 30 ? around : Extent{};
  }();
  return extent;
}

}  // namespace lull::testing

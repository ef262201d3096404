// The limits of the container that the process lives in: the least on the path of its control group, from its own group up to the one that is
// mounted. Version 2 (memory.max, memory.high, cpu.max) and version 1 (memory.limit_in_bytes, cpu.cfs_quota_us).
#pragma once

#include <cstddef>

namespace lull::os {

inline constexpr std::size_t kNoLimit = ~std::size_t{0};

// Reads files below `root`, which tests set: ROOT/proc/self/cgroup, ROOT/proc/self/mountinfo, and the groups where that says
// that they are mounted. kNoLimit when there is none, or nothing can be read. Opens files meanwhile; keeps errno; does not allocate.
std::size_t cgroup_memory_limit(const char* root = "");
// Likewise, in thousandths of a processor; at least 1.
std::size_t cgroup_cpu_limit(const char* root = "");

// "512M", "1.5G" is none, "1073741824", "64KiB": a number with K, M, G or T (of 1024), an i and a B behind it or not. False: it is
// no such thing, or 0.
bool parse_bytes(const char* text, std::size_t& into);

}  // namespace lull::os

// Writes what the stack table holds, for tools. Threads go on allocating meanwhile: each stack's figures are read one by one.
//   pprof  profile.proto of github.com/google/pprof, gzip framing: four values a stack, code by mapping and build id
//   text   the older format of gperftools, "heap_v2", with the process's maps at its end; figures are scaled up already,
//          so its sampling period is given as 1
// No locks but the dynamic linker's; memory for working is mapped and unmapped.
#pragma once

#include <cstdint>

namespace lull::sample {

enum class ProfileFormat : std::uint8_t { pprof, text };

// False: could not be written, errno says why.
[[nodiscard]] bool write_profile(int fd, ProfileFormat format);

}  // namespace lull::sample

// mem_stats for the library itself.
#pragma once

#include <cstddef>
#include <span>

#include "lull/mem_stats.h"

namespace lull::gc {

// As lull::read_mem_stats, without attaching the thread: one that waits in system calls, unattached, delays no handshake.
std::size_t gather_mem_stats(mem_stats& out, std::span<type_stats> types);

}  // namespace lull::gc

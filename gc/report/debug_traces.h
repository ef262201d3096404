// LULL_DEBUG=pacertrace, scavtrace, alloctrace.
#pragma once

#include <cstdint>

#include "gc/model/phase.h"

namespace lull::gc {

void trace_pacer(std::uint64_t cycle, CycleKind kind);  // driver, when a cycle is over

}  // namespace lull::gc

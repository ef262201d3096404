// The profile of malloc in the format of pprof_writer.h.
#pragma once

#include "alloc/sample/output.h"
#include "alloc/sample/stack_table.h"

namespace lull::sample {

struct StackFigures {
  std::int64_t allocated_objects = 0, allocated_bytes = 0, live_objects = 0, live_bytes = 0;
  StackFigures& operator+=(const StackFigures& other);
};
StackFigures figures_of(const Stack& stack);

// False: no memory, errno is ENOMEM.
[[nodiscard]] bool write_pprof(Output& out);

}  // namespace lull::sample

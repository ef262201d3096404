// Walks everything reachable while the world is stopped, and writes it: the inside of lull::dump_heap. The format is in
// docs/design/heap_dump.md.
#pragma once

#include "alloc/sample/output.h"
#include "lull/heap_dump.h"

namespace lull::gc {

// The caller has stopped the world between two cycles (or is a copy of a process in that state), and all files it needs
// are open. `process`: whose threads the mutators are, for their names. False when memory ran out.
[[nodiscard]] bool write_heap(sample::Output& out, int process, heap_dump_info& info);

}  // namespace lull::gc

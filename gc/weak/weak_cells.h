// Weak cells: the words behind lull::weak_ptr. The cells are objects of one kind, so clearing them is a walk over that
// kind's spans; there is no table beside the heap.
#pragma once

#include "gc/model/phase.h"
#include "lull/detail/kind.h"

namespace lull::gc {

extern detail::Kind weak_cell_kind;

// Driver, in state done, before barriers go off and before destructors' closures are marked: empties the cells whose
// referent is white. Cells born during the cycle need no look: what they refer to was held when they were made.
// A young cycle passes over spans where nothing can have changed.
void clear_weak_cells(CycleKind kind);

}  // namespace lull::gc

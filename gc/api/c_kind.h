// A lull_kind, from the inside.
#pragma once

#include <cstddef>

#include "gc/model/c_kind.h"
#include "lull/lull_c.h"

namespace lull::gc {

inline CKind& c_kind(lull_kind* kind) { return *reinterpret_cast<CKind*>(kind); }
// What the program knows a kind by. `kind` is the collector's copy (gc/model/kinds.h), of one that C has described or of another.
lull_kind* program_kind(const detail::Kind& kind);

// Bytes of an object in use, at least the fixed part.
std::size_t used_bytes(const CKind& kind, const void* object, std::size_t slot_bytes);

}  // namespace lull::gc

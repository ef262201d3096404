// Shade: what barriers and weak loads do to an object so that the marker cannot miss it (rules 6 to 8).
#pragma once

#include <cstdint>

#include "gc/mutator/mutator.h"

namespace lull::gc {

// In a runtime section of `m`. Tolerates any word: constructing a ptr overwrites whatever was there.
void shade(Mutator& m, std::uintptr_t word);

}  // namespace lull::gc

// Shade: what barriers and weak loads do to an object so that the marker cannot miss it (rules 6 to 8).
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/mutator/mutator.h"

namespace lull::gc {

// What mutators have marked in the running cycle; markers count theirs. Relaxed: read when marking is done.
struct ShadeTotals {
  std::atomic<std::uint64_t> objects{0}, bytes{0};
};
extern ShadeTotals shade_totals;

// In a runtime section of `m`. Tolerates any word: constructing a ptr overwrites whatever was there.
void shade(Mutator& m, std::uintptr_t word);

}  // namespace lull::gc

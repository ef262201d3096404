// Checking mode verify: a second marker, with mark storage of its own, run under a stop when marking says it is done.
#pragma once

#include <cstdint>

namespace lull::gc {

// Walks everything reachable and compares: a reachable white object is one that the cycle would free; and an old object
// that refers to a young one must lie on a dirty card, or the next young cycle would free that. Prints the path
// to it and stops the process; with LULL_DEBUG=verify=2 it only counts. Stack words are ambiguous and may be stale, so
// they count as roots only where they lead to objects that survive anyway.
void verify_marks();
std::uint64_t verifier_errors();

}  // namespace lull::gc

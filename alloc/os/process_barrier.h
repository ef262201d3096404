// The slow half of an asymmetric fence: makes every other running thread of the process execute a full memory fence, so
// that their fast halves need none, only an order that the compiler keeps.
#pragma once

namespace lull::os {

// Costs microseconds; milliseconds the first time. errno is kept.
void process_barrier();

}  // namespace lull::os

// Minimum mutator utilisation (Cheng and Blelloch 2001): of all windows of a length, the one in which the collector left a
// thread the least time. Computed from lull's timeline: what interrupts a thread of the program are its answers to handshakes, assists,
// naps, sweeping for a span and waits for a cycle. What the kernel does meanwhile counts as well.
#pragma once

#include <iosfwd>
#include <vector>

#include "apps/index/run_result.h"

namespace index_service {

struct Interruption {  // nanoseconds
  double begin = 0, end = 0;
};

/// By thread, sorted, without overlaps. Only threads that answered a handshake themselves: those of the program.
std::vector<std::vector<Interruption>> read_interruptions(std::istream& trace);

/// The least over all windows that lie between the first and the last interruption; 1 when there are none.
double least_utilisation(const std::vector<Interruption>& thread, double window_ns);

/// From 10 us to 10 s; of the thread that has the least, for each window on its own.
std::vector<Utilisation> least_utilisation(const std::vector<std::vector<Interruption>>& threads);

}  // namespace index_service

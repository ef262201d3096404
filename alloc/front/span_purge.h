// Idle pages inside partly used spans go back to the system, too: without this, one live block in a hundred keeps most of
// a heap resident for ever.
#pragma once

#include <cstddef>

namespace lull::front {

// One round over all spans of small blocks: takes the free blocks of each span that nobody took from or gave to since the
// last round, gives the system pages that lie wholly in them back, and returns the blocks. At most about `most` bytes.
// Marks sparse spans, whose blocks are then not handed out again as soon as they are freed (neighbours.h). For the purger's thread. Returns
// bytes.
std::size_t purge_idle_spans(std::size_t most);
// The same for every span, idle or not.
std::size_t purge_all_spans();

}  // namespace lull::front

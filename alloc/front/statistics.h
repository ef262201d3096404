// Figures of the explicit heap, counted when asked.
#pragma once

#include <cstddef>

namespace lull::front {

struct HeapFigures {
  std::size_t held_bytes = 0;  // pages in spans and free pages not given back
  std::size_t used_bytes = 0;  // blocks handed out or, small ones, in threads' caches
  std::size_t idle_bytes = 0;  // free pages not given back
};
HeapFigures read_figures();  // stops nobody: counted span by span while others go on

}  // namespace lull::front

// A flame graph as inline SVG, the outermost function at the top, and the same in words.
#pragma once

#include <string>
#include <vector>

#include "apps/index/run_result.h"

namespace index_service {

std::string flame_graph(const std::vector<StackBytes>& stacks);
/// A table of the types with the most bytes, each with the function that allocates most of it.
std::string top_allocations(const std::vector<StackBytes>& stacks);

}  // namespace index_service

// Managed allocation for callers that take a null pointer for an answer: the C interface.
#pragma once

#include <cstddef>

#include "lull/detail/kind.h"

namespace lull::gc {

// As detail::allocate_slow and detail::allocate_array; nullptr when memory is out.
[[nodiscard]] void* try_allocate_object(detail::Kind& kind);
[[nodiscard]] void* try_allocate_array(detail::Kind& kind, std::size_t bytes);

// Asked when memory is out after collections, outside of runtime sections: nonzero: try again.
using OutOfMemoryFunction = int (*)(std::size_t bytes, void* data);
struct OutOfMemory {
  OutOfMemoryFunction function;
  void* data;
};
OutOfMemory out_of_memory();
void set_out_of_memory(const OutOfMemory& handler);

}  // namespace lull::gc

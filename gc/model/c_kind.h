// A kind that a C program has described: what a lull_kind holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/detail/kind.h"

namespace lull::gc {

struct CKind : detail::Kind {
  std::uint64_t pointer_bits = 0, tail_bits = 0;
  std::uint32_t fixed_bytes = 0, tail_bytes = 0;
  std::size_t (*size)(const void* object) = nullptr;
  std::atomic<std::uint32_t> offsets[detail::kArrayClasses] = {};  // what array_offsets points to
};

}  // namespace lull::gc

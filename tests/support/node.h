// A list node whose contents tell whether it is whole.
#pragma once

#include <cstdint>

#include "lull/lull.h"

namespace lull::testing {

inline constexpr std::uint64_t kIntact = 0x1234'5678'9abc'def0;

struct Node {
  ptr<Node> next;
  std::uint64_t value = kIntact;
  void trace(tracer& t) const { t(next); }
};

}  // namespace lull::testing

// A span for tests of arithmetic.
#pragma once

#include "alloc/pages/span_geometry.h"

namespace lull::pages {

inline constexpr std::uintptr_t kBase = std::uintptr_t{5} << 40;

// A span at kBase without memory or table entries.
struct SpanAtBase : Span {
  explicit SpanAtBase(const SpanGeometry& g) {
    base = kBase;
    slot_bytes = g.slot_bytes;
    slots = g.slots;
    reciprocal = g.reciprocal;
    page_count = g.pages.value;
  }
};

}  // namespace lull::pages

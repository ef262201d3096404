// Every object there is, while the world is stopped after a full cycle.
#pragma once

#include "alloc/pages/span_table.h"
#include "gc/mutator/handshake.h"

namespace lull::gc {

// visit(span, slot). Alloc bits say what there is, except in the holes that threads are filling.
template <class Visit>
void for_each_object(Visit&& visit) {
  pages::for_each_span([&](pages::Span* span) {
    for (std::uint32_t slot = next_set(span->alloc_bits(), 0, span->slots); slot < span->slots; slot = next_set(span->alloc_bits(), slot + 1, span->slots))
      visit(*span, slot);
  });
  for_each_mutator([&](Mutator& m) {
    m.cache.for_each_cached_span([&](pages::Span& span, std::uint32_t first, std::uint32_t end) {
      for (std::uint32_t slot = first; slot < end; ++slot) visit(span, slot);
    });
  });
}

}  // namespace lull::gc

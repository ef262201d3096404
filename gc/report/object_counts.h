// What the span classes have counted, in sums that fit together: no class shows more freed than allocated, and the bytes of
// small objects are their number times their size.
#pragma once

#include <cstdint>

#include "gc/model/kinds.h"

namespace lull::gc {

struct ObjectCounts {
  std::uint64_t mallocs = 0, frees = 0, allocated_bytes = 0, freed_bytes = 0;

  std::uint64_t objects() const { return mallocs - frees; }
  std::uint64_t bytes() const { return allocated_bytes - freed_bytes; }
  void operator+=(const ObjectCounts& other) {
    mallocs += other.mallocs;
    frees += other.frees;
    allocated_bytes += other.allocated_bytes;
    freed_bytes += other.freed_bytes;
  }
};

inline ObjectCounts counts_of(const SpanClass& c) {
  ObjectCounts counts;
  // Frees first. acquire: pairs with the release in SpanClass::count_freed; what was freed is among what was allocated.
  counts.frees = c.freed_objects.load(std::memory_order_acquire);
  counts.freed_bytes = c.large ? c.freed_bytes.load(std::memory_order_acquire) : counts.frees * c.geometry.slot_bytes;
  counts.mallocs = c.allocated_objects.load(std::memory_order_relaxed);
  counts.allocated_bytes = c.large ? c.allocated_bytes.load(std::memory_order_relaxed) : counts.mallocs * c.geometry.slot_bytes;
  return counts;
}

// visit(class, counts). Objects that threads have not counted yet are missing (alloc/cache/thread_cache.h).
template <class Visit>
void for_each_class(Visit&& visit) {
  for (SpanClass* c = first_class(); c != nullptr; c = c->next) visit(*c, counts_of(*c));
}

}  // namespace lull::gc

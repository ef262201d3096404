#include "gc/report/live_by_type.h"

#include "gc/report/object_counts.h"

namespace lull::gc {

void note_live_by_type() {
  for_each_kind([](KindRecord& kind) { kind.sum_objects = kind.sum_bytes = 0; });
  for_each_class([](const SpanClass& c, const ObjectCounts& counts) {
    KindRecord* kind = record_of(c);
    if (kind == nullptr) return;
    kind->sum_objects += counts.objects();
    kind->sum_bytes += counts.bytes();
  });
  for_each_kind([](KindRecord& kind) {
    kind.live_objects.store(kind.sum_objects, std::memory_order_relaxed);
    kind.live_bytes.store(kind.sum_bytes, std::memory_order_relaxed);
  });
}

}  // namespace lull::gc

// What of each type is there after a full cycle: the sample that type_stats and the leak watch look at.
#pragma once

#include "gc/model/kinds.h"

namespace lull::gc {

// Driver, when a full cycle has been swept: sets live_objects and live_bytes of every kind. What threads have allocated since they
// answered handshake 3 counts too, so far as they have counted it.
void note_live_by_type();

// Calls visit(record) for each kind.
template <class Visit>
void for_each_kind(Visit&& visit) {
  for (SpanClass* c = first_class(); c != nullptr; c = c->next) {
    KindRecord* record = record_of(*c);
    if (record != nullptr && (c == record->object || c == record->large)) visit(*record);  // once: the class every kind has
  }
}

}  // namespace lull::gc

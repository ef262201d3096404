// Kinds of objects and the span classes that hold them.
#pragma once

#include "alloc/cache/span_class.h"
#include "alloc/os/lock.h"
#include "alloc/pages/size_classes.h"
#include "alloc/pages/span_table.h"
#include "lull/detail/kind.h"
#include "lull/detail/thread_block.h"

namespace lull::gc {

using cache::SpanClass;
using detail::Kind;

// What the collector keeps of a registered kind. Made once, never freed.
struct KindRecord {
  Kind* kind = nullptr;
  SpanClass* object = nullptr;                          // kinds of fixed size, unless large
  std::atomic<SpanClass*> by_size[pages::kSizeClasses] = {};  // array kinds; made at first use
  SpanClass* large = nullptr;                           // objects with a span of their own
  std::uint32_t number = 0;  // in order of registration, from 0
  // What was allocated and not freed when the last full cycle had been swept. Written by the driver.
  std::atomic<std::uint64_t> live_objects{0}, live_bytes{0};
  bool watched = false;      // by the leak watch, under its lock
  std::uint64_t sum_objects = 0, sum_bytes = 0;  // driver: the same while it is being summed up
};

// The record of a kind, registered at the first call; nullptr when memory runs out. Thread-safe.
[[nodiscard]] KindRecord* record_of(Kind& kind);
// The class for arrays of an array kind whose object takes `bytes` <= 32 KiB; nullptr when memory runs out.
[[nodiscard]] SpanClass* array_class(Kind& kind, std::size_t bytes);

inline const Kind& kind_of(const pages::Span& span) {
  return *static_cast<const Kind*>(span.kind);
}
inline pages::SpanOwner owner_of(SpanClass& c) { return {&c, c.kind, c.page_class, c.with_destroy_bits ? 4u : 3u}; }
inline SpanClass& class_of(const pages::Span& span) { return *static_cast<SpanClass*>(span.owner_class); }

SpanClass* const* classes_by_index();  // for thread caches
os::Lock& kinds_lock_for_fork();
SpanClass* first_class();              // all classes, linked by SpanClass::next
std::uint32_t registered_kinds();
// nullptr while the kind is being registered: nothing was allocated yet.
inline KindRecord* record_of(const SpanClass& c) {
  // acquire: pairs with the release in make_kind_record_locked
  return static_cast<KindRecord*>(static_cast<const Kind*>(c.kind)->record.load(std::memory_order_acquire));
}

}  // namespace lull::gc

// Kinds of objects and the span classes that hold them.
//
// A Kind lies in the program or library whose code allocates the type, and a library may be unloaded. So the collector has a copy, made when the
// kind is registered: spans and classes refer to the copy, which stays for good, and nothing but allocation looks at the original. What a
// copy still shares with the library is its functions, which are called for objects that exist and no others. Once the library is
// gone the kind is *retired*: the functions are replaced by ones that do nothing. When the library is loaded again its kinds take
// over the records of the retired ones, so that doing so for ever needs no memory and no numbers of classes.
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

struct KindLibrary;

// What the collector keeps of a registered kind. Made once, never freed.
struct KindRecord {
  static constexpr int kParts = 5;  // the kind itself and each of its functions

  Kind* kind = nullptr;                                 // the copy
  Kind* program_kind = nullptr;                         // the original; dangles once its library has been unloaded
  SpanClass* object = nullptr;                          // kinds of fixed size, unless large
  std::atomic<SpanClass*> by_size[pages::kSizeClasses] = {};  // array kinds; made at first use
  SpanClass* large = nullptr;                           // objects with a span of their own
  std::uint32_t number = 0;  // in order of registration, from 0
  // What was allocated and not freed when the last full cycle had been swept. Written by the driver.
  std::atomic<std::uint64_t> live_objects{0}, live_bytes{0};
  bool watched = false;      // by the leak watch, under its lock
  std::uint64_t sum_objects = 0, sum_bytes = 0;  // driver: the same while it is being summed up

  // Under the lock of kinds.
  KindLibrary* libraries[kParts] = {};  // of each part, if it may be unloaded
  bool retired = false;
  KindRecord* next = nullptr;  // of all
};

// The record of a kind, registered at the first call; nullptr when memory runs out. Thread-safe.
[[nodiscard]] KindRecord* record_of_slow(Kind& kind);
[[nodiscard]] inline KindRecord* record_of(Kind& kind) {
  // acquire: pairs with the release in publish_locked
  auto* record = static_cast<KindRecord*>(kind.record.load(std::memory_order_acquire));
  return record != nullptr ? record : record_of_slow(kind);
}
// The class for arrays of an array kind whose object takes `bytes` <= 32 KiB; nullptr when memory runs out.
[[nodiscard]] SpanClass* array_class(Kind& kind, std::size_t bytes);

// Retires the kinds of libraries that have been unloaded. Stops the process if there are objects of such a kind: nobody can say any more
// what they refer to. Costs next to nothing where no library has kinds.
void retire_unloaded_kinds();
// Has the kind a part in the range of addresses? Of any thread.
bool is_kind_of_library(const KindRecord& record, std::uintptr_t begin, std::uintptr_t end);

inline const Kind& kind_of(const pages::Span& span) {
  return *static_cast<const Kind*>(span.kind);
}
// A thread may look for it while the kind is retired.
inline auto destructor_of(const Kind& kind) { return __atomic_load_n(&kind.destroy, __ATOMIC_RELAXED); }
inline pages::SpanOwner owner_of(SpanClass& c) { return {&c, c.kind, c.page_class, c.with_destroy_bits ? 4u : 3u}; }
inline SpanClass& class_of(const pages::Span& span) { return *static_cast<SpanClass*>(span.owner_class); }

SpanClass* const* classes_by_index();  // for thread caches
os::Lock& kinds_lock_for_fork();
SpanClass* first_class();              // all classes, linked by SpanClass::next
std::uint32_t registered_kinds();
inline KindRecord* record_of_copy(const Kind& copy) {
  // acquire: pairs with the release in make_record_locked
  return static_cast<KindRecord*>(copy.record.load(std::memory_order_acquire));
}
// nullptr while the kind is being registered: nothing was allocated yet.
inline KindRecord* record_of(const SpanClass& c) { return record_of_copy(*static_cast<const Kind*>(c.kind)); }

}  // namespace lull::gc

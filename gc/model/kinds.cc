#include "gc/model/kinds.h"

#include <new>

#include "alloc/base/check.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/pages/span_geometry.h"

namespace lull::gc {

static_assert(detail::kArrayClasses == pages::kSizeClasses);
static_assert(detail::kLargestSmallObject == pages::kLargestSlot);

namespace {

constinit os::Lock lock{os::LockRank::kinds};
constinit std::atomic<std::uint32_t> kinds{0};  // written under lock
constinit std::uint32_t next_index = 1;  // lock; 0 is the slot that is always empty
constinit SpanClass* by_index[detail::kMostSpanClasses] = {};  // written under lock, an entry before its index is published
constinit std::atomic<SpanClass*> newest_class{nullptr};       // release on add, acquire on walk

template <class T>
T* make_record() {
  void* memory = os::allocate_meta(sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T;
}

// slot_bytes 0: large objects.
SpanClass* make_class_locked(const Kind& kind, std::size_t slot_bytes) {
  auto* c = make_record<SpanClass>();
  if (c == nullptr) return nullptr;
  c->kind = &kind;
  c->zero_slots = kind.layout != detail::Layout::no_pointers;
  c->with_destroy_bits = kind.destroy != nullptr;
  c->large = slot_bytes == 0;
  if (!c->large) {
    LULL_CHECK(next_index < detail::kMostSpanClasses, "too many types and sizes of managed objects");
    c->geometry = pages::geometry_for(slot_bytes);
    c->index = next_index++;
    by_index[c->index] = c;
  }
  c->next = newest_class.load(std::memory_order_relaxed);
  newest_class.store(c, std::memory_order_release);
  return c;
}

std::uint32_t offset_of(const SpanClass& c) { return c.index * static_cast<std::uint32_t>(sizeof(detail::AllocSlot)); }

KindRecord* make_kind_record_locked(Kind& kind) {
  auto* record = make_record<KindRecord>();
  if (record == nullptr) return nullptr;
  record->kind = &kind;
  const bool small = !kind.is_array && kind.object_bytes <= pages::kLargestSlot;
  if (small) record->object = make_class_locked(kind, kind.object_bytes);
  else record->large = make_class_locked(kind, 0);
  if (record->object == nullptr && record->large == nullptr) return nullptr;
  record->number = kinds.load(std::memory_order_relaxed);
  kinds.store(record->number + 1, std::memory_order_relaxed);
  kind.record.store(record, std::memory_order_release);  // release: pairs with the acquire in record_of
  if (small) kind.slot_offset.store(offset_of(*record->object), std::memory_order_release);
  return record;
}

}  // namespace

KindRecord* record_of(Kind& kind) {
  // acquire: pairs with the release in make_kind_record_locked
  auto* record = static_cast<KindRecord*>(kind.record.load(std::memory_order_acquire));
  if (record != nullptr) return record;
  os::Locked locked(lock);
  record = static_cast<KindRecord*>(kind.record.load(std::memory_order_relaxed));
  return record != nullptr ? record : make_kind_record_locked(kind);
}

SpanClass* array_class(Kind& kind, std::size_t bytes) {
  KindRecord* record = record_of(kind);
  if (record == nullptr) return nullptr;
  const std::uint32_t size_class = pages::size_class_of(bytes);
  // acquire: pairs with the release below
  SpanClass* c = record->by_size[size_class].load(std::memory_order_acquire);
  if (c != nullptr) return c;
  os::Locked locked(lock);
  c = record->by_size[size_class].load(std::memory_order_relaxed);
  if (c != nullptr) return c;
  c = make_class_locked(kind, pages::size_of_class(size_class));
  if (c == nullptr) return nullptr;
  record->by_size[size_class].store(c, std::memory_order_release);
  kind.array_offsets[size_class].store(offset_of(*c), std::memory_order_release);
  return c;
}

SpanClass* const* classes_by_index() { return by_index; }
os::Lock& kinds_lock_for_fork() { return lock; }
std::uint32_t registered_kinds() { return kinds.load(std::memory_order_relaxed); }
SpanClass* first_class() { return newest_class.load(std::memory_order_acquire); }

}  // namespace lull::gc

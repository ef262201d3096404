#include "gc/model/kinds.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>

#include "alloc/base/check.h"
#include "gc/model/loaded_code.h"
#include "alloc/os/lock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/pages/span_geometry.h"
#include "gc/model/c_kind.h"

namespace lull::gc {

static_assert(detail::kArrayClasses == pages::kSizeClasses);
static_assert(detail::kLargestSmallObject == pages::kLargestSlot);

// A library that kinds, or their functions, lie in.
struct KindLibrary {
  LoadedCode code;
  bool is_gone = false;
  KindLibrary* next = nullptr;
};

namespace {

constinit os::Lock lock{os::LockRank::kinds};
constinit std::atomic<std::uint32_t> kinds{0};  // written under lock
constinit std::uint32_t next_index = 1;  // lock; 0 is the slot that is always empty
// Indices that kinds of lull_c.h leave to lull's own. A runtime makes kinds as its programs say: they find none, and get no memory. Larger: fewer of them.
constexpr std::uint32_t kKeptFromC = 256;
constinit SpanClass* by_index[detail::kMostSpanClasses] = {};  // written under lock, an entry before its index is published
constinit std::atomic<SpanClass*> newest_class{nullptr};       // release on add, acquire on walk
constinit KindRecord* newest_record = nullptr;                 // lock
constinit KindLibrary* newest_library = nullptr;               // lock
constinit std::atomic<bool> has_libraries{false};              // newest_library != nullptr
constinit std::uint32_t retired_kinds = 0;                     // lock

template <class T>
T* make_record() {
  void* memory = os::allocate_meta(sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T;
}

// Types are limited by what the program's text says, so running out of indices is an error there.
bool has_index_locked(const Kind& kind) {
  if (kind.from_c) return next_index < detail::kMostSpanClasses - kKeptFromC;
  LULL_CHECK(next_index < detail::kMostSpanClasses, "too many types and sizes of managed objects");
  return true;
}

// slot_bytes 0: large objects. nullptr: no memory, or no index.
SpanClass* make_class_locked(const Kind& copy, std::size_t slot_bytes) {
  if (slot_bytes != 0 && !has_index_locked(copy)) return nullptr;
  auto* c = make_record<SpanClass>();
  if (c == nullptr) return nullptr;
  c->kind = &copy;
  c->zero_slots = copy.layout != detail::Layout::no_pointers;
  c->with_destroy_bits = copy.destroy != nullptr;
  c->large = slot_bytes == 0;
  if (!c->large) {
    c->geometry = pages::geometry_for(slot_bytes);
    c->index = next_index++;
    by_index[c->index] = c;
  }
  c->next = newest_class.load(std::memory_order_relaxed);
  newest_class.store(c, std::memory_order_release);
  return c;
}

std::uint32_t offset_of(const SpanClass& c) { return c.index * static_cast<std::uint32_t>(sizeof(detail::AllocSlot)); }

// What a kind calls. The one of the copies that change: when the library of a kind goes, and when another one takes its record over.
struct Functions {
  decltype(Kind::trace) trace;
  decltype(Kind::trace_part) trace_part;
  decltype(Kind::destroy) destroy;
  decltype(CKind::size) size;
};
Functions functions_of(const Kind& kind) {
  return {kind.trace, kind.trace_part, kind.destroy, kind.from_c ? static_cast<const CKind&>(kind).size : nullptr};
}
// Atomically, because destructors are looked up by threads that do not wait for the driver; `trace` and its like are not used meanwhile.
void set_functions(Kind& copy, const Functions& to) {
  __atomic_store_n(&copy.trace, to.trace, __ATOMIC_RELAXED);
  __atomic_store_n(&copy.trace_part, to.trace_part, __ATOMIC_RELAXED);
  __atomic_store_n(&copy.destroy, to.destroy, __ATOMIC_RELAXED);
  if (copy.from_c) __atomic_store_n(&static_cast<CKind&>(copy).size, to.size, __ATOMIC_RELAXED);
}
// A function that there was remains one.
Functions idle_functions(const Functions& like) {
  const auto trace = [](const void*, tracer&) {};
  const auto trace_part = [](const void*, std::size_t, std::size_t, tracer&) {};
  const auto destroy = [](void*) {};
  return {like.trace == nullptr ? nullptr : +trace, like.trace_part == nullptr ? nullptr : +trace_part,
          like.destroy == nullptr ? nullptr : +destroy, nullptr};
}

// With a zero behind it, as names of C's kinds have.
const char* copy_of_name(std::string_view name) {
  auto* copy = static_cast<char*>(os::allocate_meta(name.size() + 1));
  if (copy != nullptr) std::memcpy(copy, name.data(), name.size());
  return copy;
}

void describe_as(const CKind& from, CKind& to) {
  to.pointer_bits = from.pointer_bits;
  to.tail_bits = from.tail_bits;
  to.fixed_bytes = from.fixed_bytes;
  to.tail_bytes = from.tail_bytes;
}
Kind* copy_of(const Kind& kind) {
  Kind* copy = kind.from_c ? make_record<CKind>() : make_record<Kind>();
  const char* name = copy_of_name(kind.name);
  if (copy == nullptr || name == nullptr) return nullptr;
  copy->object_bytes = kind.object_bytes;
  copy->alignment = kind.alignment;
  copy->layout = kind.layout;
  copy->is_array = kind.is_array;
  copy->is_weak_cell = kind.is_weak_cell;
  copy->from_c = kind.from_c;
  copy->name = {name, kind.name.size()};
  if (kind.from_c) describe_as(static_cast<const CKind&>(kind), static_cast<CKind&>(*copy));
  set_functions(*copy, functions_of(kind));
  return copy;
}

bool has_same_bitmap(const CKind& a, const CKind& b) {
  return a.pointer_bits == b.pointer_bits && a.tail_bits == b.tail_bits && a.fixed_bytes == b.fixed_bytes && a.tail_bytes == b.tail_bytes;
}
bool has_same_shape(const Kind& a, const Kind& b) {
  return a.object_bytes == b.object_bytes && a.alignment == b.alignment && a.layout == b.layout && a.is_array == b.is_array &&
         a.is_weak_cell == b.is_weak_cell && a.from_c == b.from_c && (a.destroy == nullptr) == (b.destroy == nullptr) && a.name == b.name &&
         (!a.from_c || has_same_bitmap(static_cast<const CKind&>(a), static_cast<const CKind&>(b)));
}

template <class Visit>
void for_each_class_of(const KindRecord& record, Visit&& visit) {
  if (record.object != nullptr) visit(*record.object);
  if (record.large != nullptr) visit(*record.large);
  // acquire: pairs with the release in array_class
  for (const std::atomic<SpanClass*>& c : record.by_size)
    if (SpanClass* of_size = c.load(std::memory_order_acquire)) visit(*of_size);
}

// Without what threads have not counted yet.
std::uint64_t objects_of(const KindRecord& record) {
  std::uint64_t objects = 0;
  for_each_class_of(record, [&](const SpanClass& c) {
    const std::uint64_t freed = c.freed_objects.load(std::memory_order_acquire);  // first, acquire: as in gc/report/object_counts.h
    objects += c.allocated_objects.load(std::memory_order_relaxed) - freed;
  });
  return objects;
}

// Libraries.

const void* address_of(auto* function) { return reinterpret_cast<const void*>(function); }

bool lies_in(const KindRecord& record, const KindLibrary& library) {
  return std::find(std::begin(record.libraries), std::end(record.libraries), &library) != std::end(record.libraries);
}

// One that is gone is used again: only retired kinds name it still.
KindLibrary* unused_library_locked() {
  for (KindLibrary* library = newest_library; library != nullptr; library = library->next)
    if (library->is_gone) return library;
  auto* library = make_record<KindLibrary>();
  if (library == nullptr) return nullptr;
  library->next = newest_library;
  newest_library = library;
  has_libraries.store(true, std::memory_order_relaxed);
  return library;
}
KindLibrary* library_locked(const LoadedCode& code) {
  for (KindLibrary* library = newest_library; library != nullptr; library = library->next)
    if (library->code == code && !library->is_gone) return library;
  KindLibrary* library = unused_library_locked();
  if (library == nullptr) return nullptr;
  library->code = code;
  library->is_gone = false;
  return library;
}

// False: no memory.
bool note_libraries_locked(KindRecord& record, const Kind& kind) {
  const Functions f = functions_of(kind);
  const void* parts[KindRecord::kParts] = {&kind, address_of(f.trace), address_of(f.trace_part), address_of(f.destroy), address_of(f.size)};
  for (int i = 0; i < KindRecord::kParts; ++i) {
    const LoadedCode code = unloadable_code_at(parts[i]);
    record.libraries[i] = code.end == 0 ? nullptr : library_locked(code);
    if (code.end != 0 && record.libraries[i] == nullptr) return false;
  }
  return true;
}

void retire_locked(KindRecord& record) {
  if (record.retired) return;
  const std::uint64_t objects = objects_of(record);
  const std::string_view name = record.kind->name;
  if (objects != 0)
    fatal("the library of type '%.*s' has been unloaded, and there are still %llu objects of the type: lull::close_library() waits until there are none",
          static_cast<int>(name.size()), name.data(), static_cast<unsigned long long>(objects));
  set_functions(*record.kind, idle_functions(functions_of(*record.kind)));
  record.program_kind = nullptr;
  record.retired = true;
  ++retired_kinds;
}

void retire_kinds_of_locked(const KindLibrary& library) {
  for (KindRecord* record = newest_record; record != nullptr; record = record->next)
    if (lies_in(*record, library)) retire_locked(*record);
}

// Registration.

// From now on the kind is one that allocation knows.
void publish_locked(KindRecord& record, Kind& kind) {
  record.program_kind = &kind;
  kind.record.store(&record, std::memory_order_release);  // release: pairs with the acquire in record_of
  if (record.object != nullptr) kind.slot_offset.store(offset_of(*record.object), std::memory_order_release);
  for (std::uint32_t i = 0; i < std::size(record.by_size); ++i)
    if (const SpanClass* c = record.by_size[i].load(std::memory_order_relaxed)) kind.array_offsets[i].store(offset_of(*c), std::memory_order_release);
}

KindRecord* make_record_locked(Kind& kind) {
  const bool small = !kind.is_array && kind.object_bytes <= pages::kLargestSlot;
  if (small && !has_index_locked(kind)) return nullptr;  // before there is a record that nobody would find
  auto* record = make_record<KindRecord>();
  Kind* copy = copy_of(kind);
  if (record == nullptr || copy == nullptr || !note_libraries_locked(*record, kind)) return nullptr;
  record->kind = copy;
  SpanClass* first = make_class_locked(*copy, small ? kind.object_bytes : 0);
  if (first == nullptr) return nullptr;
  (small ? record->object : record->large) = first;
  record->number = kinds.load(std::memory_order_relaxed);
  kinds.store(record->number + 1, std::memory_order_relaxed);
  record->next = newest_record;
  newest_record = record;
  copy->record.store(record, std::memory_order_release);  // release: pairs with the acquire in record_of_copy
  publish_locked(*record, kind);
  return record;
}

KindRecord* take_over_retired_locked(Kind& kind) {
  if (retired_kinds == 0) return nullptr;
  for (KindRecord* record = newest_record; record != nullptr; record = record->next) {
    if (!record->retired || !has_same_shape(*record->kind, kind)) continue;
    if (!note_libraries_locked(*record, kind)) return nullptr;
    set_functions(*record->kind, functions_of(kind));
    record->retired = false;
    --retired_kinds;
    publish_locked(*record, kind);
    return record;
  }
  return nullptr;
}

}  // namespace

KindRecord* record_of_slow(Kind& kind) {
  os::Locked locked(lock);
  auto* record = static_cast<KindRecord*>(kind.record.load(std::memory_order_relaxed));
  if (record == nullptr) record = take_over_retired_locked(kind);
  return record != nullptr ? record : make_record_locked(kind);
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
  c = make_class_locked(*record->kind, pages::size_of_class(size_class));
  if (c == nullptr) return nullptr;
  record->by_size[size_class].store(c, std::memory_order_release);
  kind.array_offsets[size_class].store(offset_of(*c), std::memory_order_release);
  return c;
}

void retire_unloaded_kinds() {
  if (!has_libraries.load(std::memory_order_relaxed)) return;
  os::Locked locked(lock);
  for (KindLibrary* library = newest_library; library != nullptr; library = library->next) {
    if (library->is_gone || loaded_code_at(reinterpret_cast<const void*>(library->code.begin)) == library->code) continue;
    retire_kinds_of_locked(*library);
    library->is_gone = true;
  }
}

bool is_kind_of_library(const KindRecord& record, std::uintptr_t begin, std::uintptr_t end) {
  os::Locked locked(lock);
  for (const KindLibrary* library : record.libraries)
    if (library != nullptr && !library->is_gone && library->code == LoadedCode{begin, end}) return true;
  return false;
}

SpanClass* const* classes_by_index() { return by_index; }
os::Lock& kinds_lock_for_fork() { return lock; }
std::uint32_t registered_kinds() { return kinds.load(std::memory_order_relaxed); }
SpanClass* first_class() { return newest_class.load(std::memory_order_acquire); }

}  // namespace lull::gc

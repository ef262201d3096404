// lull/lull_c.h: kinds, and what the collector does with objects that a bitmap describes.
#include "gc/api/c_kind.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "lull/tracer.h"

namespace lull::gc {

lull_kind* program_kind(const detail::Kind& kind) { return reinterpret_cast<lull_kind*>(record_of_copy(kind)->program_kind); }

std::size_t used_bytes(const CKind& kind, const void* object, std::size_t slot_bytes) {
  if (kind.size == nullptr) return kind.is_array ? slot_bytes : kind.fixed_bytes;
  return std::clamp(kind.size(object), std::size_t{kind.fixed_bytes}, slot_bytes);
}

namespace {

constexpr std::size_t kWord = sizeof(std::uintptr_t), kBits = 64;
constexpr std::size_t kMostTailBytes = kBits * kWord;

void visit_words(const char* from, std::size_t words, std::uint64_t bits, tracer& t) {
  if (words < kBits) bits &= (std::uint64_t{1} << words) - 1;
  for (; bits != 0; bits &= bits - 1)
    t.visit(reinterpret_cast<const std::uintptr_t*>(from) + std::countr_zero(bits));
}

void visit_elements(const CKind& kind, const char* from, const char* to, tracer& t) {
  if (kind.tail_bytes == kWord) {
    for (; from != to; from += kWord) t.visit(reinterpret_cast<const std::uintptr_t*>(from));
    return;
  }
  for (; from != to; from += kind.tail_bytes) visit_words(from, kind.tail_bytes / kWord, kind.tail_bits, t);
}

// References in bytes [from, to) of the object, and a few more.
void trace_bitmap_part(const void* object, std::size_t from, std::size_t to, tracer& t) {
  const Span& span = *pages::managed_span_of(reinterpret_cast<std::uintptr_t>(object));
  const auto& kind = static_cast<const CKind&>(kind_of(span));
  const auto* bytes = static_cast<const char*>(object);
  if (from < kBits * kWord) visit_words(bytes, kind.fixed_bytes / kWord, kind.pointer_bits, t);
  if (kind.tail_bits == 0) return;
  const std::size_t fixed = kind.fixed_bytes, tail = kind.tail_bytes;
  const std::size_t elements = (used_bytes(kind, object, span.slot_bytes) - fixed) / tail;
  const std::size_t first = from <= fixed ? 0 : (from - fixed) / tail;
  const std::size_t end = to <= fixed ? 0 : std::min(elements, (to - fixed + tail - 1) / tail);
  if (first < end) visit_elements(kind, bytes + fixed + first * tail, bytes + fixed + end * tail, t);
}
void trace_bitmap(const void* object, tracer& t) { trace_bitmap_part(object, 0, ~std::size_t{0} / 2, t); }

// Objects that begin with N references and have no others, the most usual ones: no look at the kind.
template <std::size_t N>
void trace_first(const void* object, tracer& t) {
  for (std::size_t i = 0; i < N; ++i) t.visit(static_cast<const std::uintptr_t*>(object) + i);
}
using TraceFunction = void (*)(const void* object, tracer& t);
template <std::size_t... N>
constexpr std::array<TraceFunction, sizeof...(N)> trace_first_table(std::index_sequence<N...>) {
  return {trace_first<N>...};
}
constexpr auto kTraceFirst = trace_first_table(std::make_index_sequence<17>());

TraceFunction trace_of_bitmap(const lull_kind_info& info) {
  const auto references = static_cast<std::size_t>(std::countr_one(info.pointer_bits));
  const bool only_first = references < kTraceFirst.size() && info.pointer_bits >> references == 0;
  return only_first && info.tail_bits == 0 && references * kWord <= info.bytes ? kTraceFirst[references] : trace_bitmap;
}

bool is_sensible(const lull_kind_info& info) {
  const bool variable = info.variable != 0, tail = info.tail_bytes != 0;
  if (!variable && (info.bytes == 0 || tail || info.size != nullptr)) return false;
  if (info.bytes > (std::size_t{1} << 31)) return false;
  unsigned scan;  // C lets any number be an enum
  std::memcpy(&scan, &info.scan, sizeof scan);
  if (scan > LULL_CONSERVATIVE) return false;
  if (info.scan == LULL_TRACE && info.trace == nullptr) return false;
  if (info.scan != LULL_TRACE && (info.trace != nullptr || info.trace_part != nullptr)) return false;
  if (info.scan != LULL_BITMAP && (info.pointer_bits != 0 || info.tail_bits != 0)) return false;
  if (tail && (info.tail_bytes % kWord != 0 || info.tail_bytes > kMostTailBytes || info.bytes % kWord != 0)) return false;
  return !(info.tail_bits != 0 && !tail);
}

detail::Layout layout_of(const lull_kind_info& info) {
  const bool none = info.scan == LULL_NO_POINTERS || (info.scan == LULL_BITMAP && (info.pointer_bits | info.tail_bits) == 0);
  if (none) return detail::Layout::no_pointers;
  return info.scan == LULL_CONSERVATIVE ? detail::Layout::conservative : detail::Layout::traced;
}

// A tracer is passed to C as what fast_c.h says it is; as arguments, references and pointers are the same.
template <class To, class From>
To as_function(From function) { return reinterpret_cast<To>(reinterpret_cast<void (*)()>(function)); }

}  // namespace
}  // namespace lull::gc

using lull::gc::c_kind;
using lull::gc::CKind;

extern "C" int lull_kind_init(lull_kind* storage, const lull_kind_info* info) {
  using lull::gc::as_function;
  if (!lull::gc::is_sensible(*info)) return -1;
  auto& kind = *new (storage) CKind;
  kind.is_array = info->variable != 0;
  kind.object_bytes = kind.is_array ? 1 : static_cast<std::uint32_t>((info->bytes + LULL_UNIT_ - 1) / LULL_UNIT_ * LULL_UNIT_);
  kind.alignment = LULL_UNIT_;
  kind.layout = lull::gc::layout_of(*info);
  if (info->scan == LULL_TRACE) {
    kind.trace = as_function<decltype(kind.trace)>(info->trace);
    if (info->trace_part != nullptr) kind.trace_part = as_function<decltype(kind.trace_part)>(info->trace_part);
  } else if (info->scan == LULL_BITMAP) {
    kind.trace = lull::gc::trace_of_bitmap(*info);
    kind.trace_part = lull::gc::trace_bitmap_part;
  }
  kind.destroy = info->finalize;
  kind.name = info->name == nullptr ? "unnamed" : info->name;
  kind.from_c = true;
  kind.pointer_bits = info->pointer_bits;
  kind.tail_bits = info->tail_bits;
  kind.fixed_bytes = static_cast<std::uint32_t>(info->bytes);
  kind.tail_bytes = static_cast<std::uint32_t>(info->tail_bytes);
  kind.size = info->size;
  kind.array_offsets = kind.offsets;
  return 0;
}

extern "C" const char* lull_kind_name(const lull_kind* kind) {
  const auto& k = *reinterpret_cast<const lull::detail::Kind*>(kind);
  return k.from_c ? k.name.data() : "lull's own";
}

extern "C" void lull_note_slot_(lull_tracer* t, const void* slot) {
  reinterpret_cast<lull::tracer*>(t)->note_slot(static_cast<const std::uintptr_t*>(slot));
}

extern "C" lull_kind* lull_kind_of(const void* reference) {
  const lull::gc::ObjectRef object = lull::gc::resolve(reinterpret_cast<std::uintptr_t>(reference));
  if (!object) return nullptr;
  const auto& kind = lull::gc::kind_of(*object.span);
  return kind.from_c ? lull::gc::program_kind(kind) : nullptr;
}

extern "C" void* lull_object_of(const void* reference) {
  const lull::gc::ObjectRef object = lull::gc::resolve(reinterpret_cast<std::uintptr_t>(reference));
  return object ? reinterpret_cast<void*>(object.address()) : nullptr;
}

extern "C" std::size_t lull_bytes_of(const void* reference) {
  const lull::gc::ObjectRef object = lull::gc::resolve(reinterpret_cast<std::uintptr_t>(reference));
  return object ? object.span->slot_bytes : 0;
}

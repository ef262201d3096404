// lull/lull_c.h: allocation and barriers, the parts that are not inlined.
#include <cstdint>

#include "alloc/base/check.h"
#include "gc/api/c_kind.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation.h"
#include "lull/detail/barrier.h"
#include "lull/tracer.h"

namespace lull::gc {
namespace {

using detail::Word;

void check_described(const CKind& kind, bool variable) {
  if (!kind.from_c) fatal("lull: a kind was used before lull_kind_init");
  if (kind.is_array != variable) fatal("lull: kind %s: %s", kind.name.data(), variable ? "lull_new_bytes of a kind of fixed size" : "lull_new of a kind of variable size");
}

// With precise roots the flag changes at safepoints alone, so one look is enough for many slots.
bool needs_cards_alone() { return options.precise_roots != 0 && detail::thread_block.barrier_on == detail::kBarrierOff; }

void dirty_cards_of(const Word* slots, std::size_t count) {
  constexpr std::uintptr_t card = std::uintptr_t{1} << detail::kCardShift;
  const auto from = reinterpret_cast<std::uintptr_t>(slots), to = from + count * sizeof(Word);
  for (std::uintptr_t at = from; at < to; at = (at & ~(card - 1)) + card) detail::dirty_card(reinterpret_cast<const void*>(at));
}

// Front to back or back to front, as memmove.
template <class Store>
void for_each_copied(Word* to, const Word* from, std::size_t count, Store&& store) {
  if (to <= from || to >= from + count)
    for (std::size_t i = 0; i < count; ++i) store(to + i, detail::load_word(from + i));
  else
    for (std::size_t i = count; i-- > 0;) store(to + i, detail::load_word(from + i));
}

void plain_store(Word* slot, Word value) { __atomic_store_n(slot, value, __ATOMIC_RELEASE); }  // release: as in store_word

}  // namespace
}  // namespace lull::gc

using namespace lull;

extern "C" void* lull_new_slow_(void* kind) {
  auto& k = *static_cast<gc::CKind*>(kind);
  gc::check_described(k, false);
  return gc::try_allocate_object(k);
}

extern "C" void* lull_new_bytes(lull_kind* kind, std::size_t bytes) {
  gc::CKind& k = gc::c_kind(kind);
  gc::check_described(k, true);
  if (bytes > (std::size_t{1} << 46)) return nullptr;
  return gc::try_allocate_array(k, bytes < k.fixed_bytes ? k.fixed_bytes : bytes == 0 ? 1 : bytes);
}

extern "C" void lull_barrier_slow_(const void* slot, std::uintptr_t old_value, std::uintptr_t new_value) {
  detail::barrier_slow(slot, old_value, new_value);
}

extern "C" void lull_copy(void* to_slots, const void* from_slots, std::size_t count) {
  detail::ensure_attached();
  auto* to = static_cast<gc::Word*>(to_slots);
  const auto* from = static_cast<const gc::Word*>(from_slots);
  if (!gc::needs_cards_alone()) return gc::for_each_copied(to, from, count, detail::store_word);
  gc::for_each_copied(to, from, count, gc::plain_store);
  gc::dirty_cards_of(to, count);
}

extern "C" void lull_fill(void* slots, std::size_t count, const void* value) {
  detail::ensure_attached();
  auto* to = static_cast<gc::Word*>(slots);
  const auto word = reinterpret_cast<gc::Word>(value);
  const bool cards_alone = gc::needs_cards_alone();
  for (std::size_t i = 0; i < count; ++i) cards_alone ? gc::plain_store(to + i, word) : detail::store_word(to + i, word);
  if (cards_alone) gc::dirty_cards_of(to, count);
}

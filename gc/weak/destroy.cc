// Explicit destruction (lull/destroy.h). The slot is left to the sweep: markers and stacks may still hold its address, and a
// slot that came back to life under them would break the rule that candidates are decided at the stack scan.
#include "lull/destroy.h"

#include <algorithm>

#include "alloc/base/check.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/heap_gate.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/shade.h"
#include "gc/model/colour.h"

namespace lull::gc {
namespace {

using Word = detail::Word;
constexpr Word kScribble = 0xdbdb'dbdb'dbdb'dbdb;  // as the sweeper's
constexpr std::size_t kPart = 4096;  // bytes scribbled between two polls

// A visit: a forked child that sees something of what the destructor has done sees that it was begun.
bool claim(const ObjectRef& object) {
  Mutator& m = self();
  const RuntimeSection section(m);
  const HeapVisit visit(m);
  const std::uint64_t bit = bit_of(object.slot);
  // acq_rel: as the driver's in destructors.cc; whoever clears the bit runs the destructor
  return (object.span->destroy_bits()[object.slot / 64].fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0;
}

void run_destructor(const ObjectRef& object) {
  if (!claim(object))
    fatal("lull::destroy: the destructor of the object at %p has run already", reinterpret_cast<void*>(object.address()));
  destructor_of(kind_of(*object.span))(reinterpret_cast<void*>(object.address()));
}

bool is_scribbled(const Word* from, const Word* to) {
  return std::all_of(from, to, [](const Word& w) { return __atomic_load_n(&w, __ATOMIC_RELAXED) == kScribble; });
}

// Overwriting references deletes them, so they are shaded as by the barrier.
void scribble_over(Mutator& m, Word* from, Word* to) {
  RuntimeSection refuse(m);
  for (Word* at = from; at != to; ++at) {
    const Word old = __atomic_load_n(at, __ATOMIC_RELAXED);
    __atomic_store_n(at, kScribble, __ATOMIC_RELEASE);
    if (m.block->barrier_on != 0) shade(m, old);
  }
}

void scribble_object(const ObjectRef& object) {
  const Kind& kind = kind_of(*object.span);
  auto* from = reinterpret_cast<Word*>(object.address());
  // The length of an array stays: the marker reads it.
  if (kind.is_array) from += std::max<std::size_t>(kind.alignment, sizeof(detail::ArrayHeader)) / sizeof(Word);
  auto* to = reinterpret_cast<Word*>(object.address() + object.span->slot_bytes);
  if (destructor_of(kind) == nullptr && from != to && is_scribbled(from, to))
    fatal("lull::destroy: the object at %p was destroyed before", reinterpret_cast<void*>(object.address()));
  Mutator& m = self();
  for (; from != to; from = std::min(from + kPart / sizeof(Word), to)) scribble_over(m, from, std::min(from + kPart / sizeof(Word), to));
}

}  // namespace
}  // namespace lull::gc

namespace lull::detail {

void destroy_now(const void* address) noexcept {
  ensure_attached();
  const gc::ObjectRef object = gc::resolve(reinterpret_cast<Word>(address));
  if (!object) fatal("lull::destroy: %p points to no managed object", address);
  if (gc::destructor_of(gc::kind_of(*object.span)) != nullptr) gc::run_destructor(object);
  if (gc::options.scribble != 0) gc::scribble_object(object);
  asm volatile("" ::"r"(address) : "memory");
}

void destroy_if_due(const void* address) noexcept {
  ensure_attached();
  const gc::ObjectRef object = gc::resolve(reinterpret_cast<Word>(address));
  if (object && gc::claim(object)) gc::destructor_of(gc::kind_of(*object.span))(reinterpret_cast<void*>(object.address()));
  asm volatile("" ::"r"(address) : "memory");
}

}  // namespace lull::detail

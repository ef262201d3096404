// The slow half of managed allocation.
#include <new>

#include "alloc/base/check.h"
#include "alloc/os/clock.h"
#include "alloc/os/meta_arena.h"
#include "alloc/trace/timeline.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation.h"
#include "gc/mutator/allocation_stats.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/heap_gate.h"
#include "gc/mutator/nap.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "lull/make.h"

namespace lull::gc {

constinit HistogramRecorder slow_allocations;

namespace {

constexpr int kCollectionsBeforeGivingUp = 2;  // the second finds what the first left floating

std::uint32_t most_objects() { return options.one_at_a_time() ? 1 : ~0u; }

// Lets the markers run.
void let_markers_run(Mutator& m) {
  constinit static std::atomic<std::uint32_t> never{0};
  m.nap_due = false;
  const trace::Span span(trace::What::nap);
  nap(m, never, 0, ~std::uint64_t{0});
}

template <class Change>
auto visit_heap(Mutator& m, Change&& change) {
  const HeapVisit visit(m);
  return change();
}

// One attempt, in a runtime section; nullptr when memory ran out.
void* allocate_from(Mutator& m, SpanClass* c, std::size_t bytes) {
  if (c == nullptr) return nullptr;
  void* object = nullptr;
  if (c->large) {
    if (Span* span = visit_heap(m, [&] { return make_large_span(m, *c, bytes); })) {
      object = reinterpret_cast<void*>(span->base);
      if (cache::sampling_round.load(std::memory_order_relaxed) != 0 && draw_large_sample(span->slot_bytes)) note_sampled(*c, span->slot_bytes, object);
    }
  } else {
    object = visit_heap(m, [&] { return m.cache.allocate_slow(*c, span_supply(), most_objects()); });
    if (m.cache.take_sample()) [[unlikely]] note_sampled(*c, c->geometry.slot_bytes, object);
  }
  if (object != nullptr) after_slow_allocation(m);
  if (object != nullptr && options.alloctrace != 0) trace_allocation(m, *c, bytes, object);
  return object;
}

// The next hole of the span the thread has: no clock, no statistics, no shared memory.
template <class FindClass>
void* allocate_in_cached_span(Mutator& m, FindClass&& find_class) {
  void* object = nullptr;
  {
    RuntimeSection section(m);
    SpanClass* c = find_class();
    if (c != nullptr && !c->large && !options.one_at_a_time()) object = visit_heap(m, [&] { return m.cache.allocate_in_span(*c, span_supply(), ~0u); });
    if (m.cache.take_sample()) [[unlikely]] note_sampled(*c, c->geometry.slot_bytes, object);
  }
  asm volatile("" : "+r"(object)::"memory");  // see below
  return object;
}

void nap_and_stress(Mutator& m) {
  if (m.nap_due) let_markers_run(m);
  if (m.hold_due) hold_allocation(m);
  if (!m.stress_due) return;
  m.stress_due = false;
  collect_for_memory();
}

bool program_makes_room(std::size_t bytes) {
  const OutOfMemory handler = out_of_memory();
  return handler.function != nullptr && handler.function(bytes, handler.data) != 0;
}

// Out of line, so that what precedes it has little to save and restore: that runs once in 2 KiB.
template <class FindClass>
[[gnu::noinline]] void* try_allocate_elsewhere(FindClass&& find_class, std::size_t bytes) {
  Mutator* attached = self_or_null();
  if (attached == nullptr) attached = try_attach();
  if (attached == nullptr) return nullptr;
  Mutator& m = *attached;
  const bool precise = options.precise_roots != 0, may_collect = m.runtime_depth == 0;
  // The collector takes it that nothing of this thread's changes: what it allocates now might be freed at once.
  if (m.blocked_depth != 0) [[unlikely]] fatal("an object is allocated in a blocking region, or after a longjmp out of one");
  if (precise && may_collect) {
    poll(m);
    nap_and_stress(m);
  }
  const std::uint64_t start = os::monotonic_ns();
  if (bytes > detail::kLargestSmallObject && may_collect) hold_before_large(m, bytes);
  for (int attempt = 0;; ++attempt) {
    void* object;
    {
      RuntimeSection section(m);
      object = allocate_from(m, find_class(), bytes);
    }
    // The section's end may have answered a handshake: `object` was on this stack, and stays so until it is returned.
    asm volatile("" : "+r"(object)::"memory");
    if (!precise && may_collect) {
      nap_and_stress(m);
      asm volatile("" : "+r"(object)::"memory");
    }
    if (object != nullptr) {
      slow_allocations.record(os::monotonic_ns() - start);
      return object;
    }
    if (!may_collect) return nullptr;
    if (attempt < kCollectionsBeforeGivingUp) collect_for_memory();
    else if (program_makes_room(bytes)) attempt = 0;
    else return nullptr;
  }
}

// nullptr when memory is out. `find_class` runs in a runtime section too, since it may register a kind.
// With precise roots nobody sees the new object before it is returned: whatever may look at roots comes before it. Inside a runtime
// section of the caller nothing is collected: he holds references that nobody sees then.
template <class FindClass>
void* try_allocate(FindClass&& find_class, std::size_t bytes) {
  if (Mutator* m = self_or_null()) [[likely]] {
    if (options.precise_roots != 0 && m->runtime_depth == 0) poll(*m);
    if (void* object = allocate_in_cached_span(*m, find_class)) [[likely]] return object;
  }
  return try_allocate_elsewhere(find_class, bytes);
}

template <class FindClass>
void* allocate_or_throw(FindClass&& find_class, std::size_t bytes) {
  if (void* object = try_allocate(find_class, bytes)) return object;
  throw std::bad_alloc();
}

SpanClass* class_of_object(Kind& kind) {
  KindRecord* record = record_of(kind);
  if (record == nullptr) return nullptr;
  return record->object != nullptr ? record->object : record->large;
}

SpanClass* class_of_large(Kind& kind) {
  KindRecord* record = record_of(kind);
  return record == nullptr ? nullptr : record->large;
}

// Function and data are read together: what was ever set stays, and is found again. No lock, which a forked child might find taken.
struct OutOfMemoryHandler {
  OutOfMemory is;
  const OutOfMemoryHandler* next;
};
constinit std::atomic<const OutOfMemoryHandler*> all_out_of_memory{nullptr};
constinit std::atomic<const OutOfMemoryHandler*> current_out_of_memory{nullptr};

const OutOfMemoryHandler* known_handler(const OutOfMemory& wanted, const OutOfMemoryHandler* from) {
  for (; from != nullptr; from = from->next)
    if (from->is.function == wanted.function && from->is.data == wanted.data) return from;
  return nullptr;
}

const OutOfMemoryHandler* handler_of(const OutOfMemory& wanted) {
  const OutOfMemoryHandler* first = all_out_of_memory.load(std::memory_order_acquire);
  if (const OutOfMemoryHandler* known = known_handler(wanted, first)) return known;
  void* memory = os::allocate_meta(sizeof(OutOfMemoryHandler));
  LULL_CHECK(memory != nullptr, "out of memory for the out-of-memory function");
  auto* fresh = new (memory) OutOfMemoryHandler{wanted, first};
  // release: pairs with the acquire above and in out_of_memory()
  while (!all_out_of_memory.compare_exchange_weak(first, fresh, std::memory_order_release)) fresh->next = first;
  return fresh;
}

// An array kind's object of at most kLargestSmallObject bytes from the thread's hole, or else slow(slot_bytes).
template <class Slow>
[[gnu::always_inline]] inline void* allocate_small_array(Kind& kind, std::size_t bytes, Slow&& slow) {
  const std::size_t aligned = round_up(bytes, kind.alignment);  // a class that is a multiple of it keeps slots aligned
  std::uint32_t size_class = pages::size_class_of(aligned);
  while (pages::size_of_class(size_class) % kind.alignment != 0) ++size_class;
  const std::size_t slot_bytes = pages::size_of_class(size_class);
  auto* slots = reinterpret_cast<char*>(detail::thread_block.slots);
  auto& slot = *reinterpret_cast<detail::AllocSlot*>(slots + kind.array_offsets[size_class].load(std::memory_order_relaxed));
  std::uintptr_t object = slot.cursor;
  const std::uintptr_t next = object + slot_bytes;
  if (next > slot.limit) [[unlikely]] return slow(slot_bytes);
  asm volatile("" : "+r"(object));  // as in allocate_object
  slot.cursor = next;
  asm volatile("" : "+r"(object)::"memory");
  return reinterpret_cast<void*>(object);
}

}  // namespace

OutOfMemory out_of_memory() {
  const OutOfMemoryHandler* handler = current_out_of_memory.load(std::memory_order_acquire);
  return handler != nullptr ? handler->is : OutOfMemory{};
}

void set_out_of_memory(const OutOfMemory& handler) {
  current_out_of_memory.store(handler.function != nullptr ? handler_of(handler) : nullptr, std::memory_order_release);
}

void* try_allocate_object(Kind& kind) {
  return try_allocate([&] { return class_of_object(kind); }, kind.object_bytes);
}

void* try_allocate_array(Kind& kind, std::size_t bytes) {
  if (bytes > detail::kLargestSmallObject) return try_allocate([&] { return class_of_large(kind); }, bytes);
  return allocate_small_array(kind, bytes, [&](std::size_t slot_bytes) {
    return try_allocate([&] { return array_class(kind, slot_bytes); }, slot_bytes);
  });
}

}  // namespace lull::gc

namespace lull::detail {

void* allocate_slow(Kind& kind) {
  return gc::allocate_or_throw([&] { return gc::class_of_object(kind); }, kind.object_bytes);
}

void* allocate_array(Kind& kind, std::size_t bytes) {
  if (bytes > kLargestSmallObject) return gc::allocate_or_throw([&] { return gc::class_of_large(kind); }, bytes);
  return gc::allocate_small_array(kind, bytes, [&](std::size_t slot_bytes) {
    return gc::allocate_or_throw([&] { return gc::array_class(kind, slot_bytes); }, slot_bytes);
  });
}

void note_constructed(Kind&, void* object) {
  const gc::ObjectRef o = gc::resolve(reinterpret_cast<std::uintptr_t>(object));
  gc::Mutator& m = gc::self();
  const gc::RuntimeSection section(m);
  const gc::HeapVisit visit(m);  // a forked child that sees the bit sees the object
  // release: pairs with the acquire in destructors.cc, which must see the constructed object
  o.span->destroy_bits()[o.slot / 64].fetch_or(bit_of(o.slot), std::memory_order_release);
}

}  // namespace lull::detail

// lull/detail/fast_c.h repeats in C what the C++ headers say. Here the two are compared.
#include <cstddef>

#include "gc/api/c_kind.h"
#include "gc/mutator/frames.h"
#include "lull/detail/barrier.h"
#include "lull/detail/thread_block.h"
#include "lull/tracer.h"

#pragma GCC diagnostic ignored "-Winvalid-offsetof"  // of types with base classes and private members, which compilers support

namespace lull {

using gc::CKind;
static_assert(sizeof(CKind) <= sizeof(lull_kind) && alignof(CKind) <= alignof(lull_kind));
static_assert(offsetof(detail::Kind, slot_offset) == offsetof(lull_kind, slot_offset_));
static_assert(offsetof(detail::Kind, object_bytes) == offsetof(lull_kind, bytes_));
static_assert(offsetof(CKind, slot_offset) == 0, "a CKind begins with its Kind");

static_assert(sizeof(detail::AllocSlot) == sizeof(lull_alloc_slot_));
static_assert(offsetof(detail::AllocSlot, cursor) == offsetof(lull_alloc_slot_, cursor));
static_assert(offsetof(detail::AllocSlot, limit) == offsetof(lull_alloc_slot_, limit));

using detail::ThreadBlock;
static_assert(sizeof(ThreadBlock) >= sizeof(lull_thread_));  // C sees the beginning
static_assert(offsetof(ThreadBlock, slots) == offsetof(lull_thread_, slots));
static_assert(offsetof(ThreadBlock, barrier_on) == offsetof(lull_thread_, barrier_on));
static_assert(offsetof(ThreadBlock, poll_requested) == offsetof(lull_thread_, poll_requested));
static_assert(offsetof(ThreadBlock, mutator) == offsetof(lull_thread_, mutator));
static_assert(offsetof(ThreadBlock, frames) == offsetof(lull_thread_, frames));

static_assert(sizeof(gc::Frame) == sizeof(lull_frame));
static_assert(offsetof(gc::Frame, previous) == offsetof(lull_frame, previous));
static_assert(offsetof(gc::Frame, trace) == offsetof(lull_frame, trace));
static_assert(offsetof(gc::Frame, count) == offsetof(lull_frame, count));
static_assert(offsetof(gc::Frame, slots) == offsetof(lull_frame, slots));

static_assert(sizeof(detail::HeapRange) == sizeof(lull_heap_range_));
static_assert(offsetof(detail::HeapRange, base) == offsetof(lull_heap_range_, base));
static_assert(offsetof(detail::HeapRange, size) == offsetof(lull_heap_range_, size));
static_assert(offsetof(detail::HeapRange, cards) == offsetof(lull_heap_range_, cards));

// Sees the protected members of tracer.
struct TracerLayout : tracer {
  static_assert(sizeof(tracer) == sizeof(lull_tracer));
  static void check() {
    static_assert(offsetof(TracerLayout, next_) == offsetof(lull_tracer, next));
    static_assert(offsetof(TracerLayout, end_) == offsetof(lull_tracer, end));
    static_assert(offsetof(TracerLayout, flush_) == offsetof(lull_tracer, flush));
    static_assert(offsetof(TracerLayout, slots_seen_) == offsetof(lull_tracer, slots_seen));
  }
};

static_assert(detail::kCardShift == LULL_CARD_SHIFT_ && detail::kBarrierOff == 0 && detail::kBarrierOn == LULL_BARRIER_ON_);
static_assert(sizeof(detail::stacks_are_black) == sizeof(lull_stacks_are_black_));

}  // namespace lull

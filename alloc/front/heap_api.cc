// include/lull/heap.h.
#include "lull/heap.h"

#include <bit>
#include <cerrno>
#include <cstdint>

#include "alloc/front/heap_registry.h"
#include "alloc/front/malloc_calls.h"

namespace front = lull::front;

namespace {

front::HeapObject* object(lull_heap* heap) { return reinterpret_cast<front::HeapObject*>(heap); }
lull_heap* handle(front::HeapObject* heap) { return reinterpret_cast<lull_heap*>(heap); }

}  // namespace

extern "C" {

lull_heap* lull_heap_create(unsigned flags) {
  if ((flags & ~static_cast<unsigned>(LULL_HEAP_SHARED)) != 0) {
    errno = EINVAL;
    return nullptr;
  }
  auto* heap = front::create_heap(flags != 0 ? front::Sharing::locked : front::Sharing::one_thread_at_a_time);
  return static_cast<lull_heap*>(front::or_enomem(handle(heap)));
}

void lull_heap_destroy(lull_heap* heap) {
  if (heap != nullptr) front::destroy_heap(object(heap));
}

void lull_heap_reset(lull_heap* heap) { object(heap)->reset(); }
size_t lull_heap_trim(lull_heap* heap) { return object(heap)->trim(); }

void* lull_heap_malloc(lull_heap* heap, size_t size) {
  void* block = size <= PTRDIFF_MAX ? object(heap)->allocate(size) : nullptr;
  return block != nullptr ? block : front::out_of_memory();
}

void* lull_heap_calloc(lull_heap* heap, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX) return front::out_of_memory();
  return front::or_enomem(object(heap)->allocate_zeroed(bytes));
}

void* lull_heap_aligned_alloc(lull_heap* heap, size_t alignment, size_t size) {
  if (!std::has_single_bit(alignment)) {
    errno = EINVAL;
    return nullptr;
  }
  if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2) return front::out_of_memory();
  return front::or_enomem(object(heap)->allocate_aligned(alignment, size));
}

void* lull_heap_realloc(lull_heap* heap, void* block, size_t size) {
  if (block == nullptr) return lull_heap_malloc(heap, size);
  if (size == 0) {
    object(heap)->free(block);
    return nullptr;
  }
  if (size > PTRDIFF_MAX) return front::out_of_memory();
  return front::or_enomem(object(heap)->reallocate(block, size));
}

void lull_heap_free(lull_heap* heap, void* block) {
  if (block != nullptr) object(heap)->free(block);
}

lull_heap* lull_heap_of(const void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  front::HeapObject* heap = front::heap_of(word);
  return heap != nullptr && front::is_used_in_heap(word) ? handle(heap) : nullptr;
}

int lull_heap_owns(const lull_heap* heap, const void* address) {
  return heap != nullptr && lull_heap_of(address) == heap;
}

int lull_heap_walk(lull_heap* heap, lull_heap_visitor* visit, void* argument) { return object(heap)->walk(visit, argument); }
lull_heap_stats lull_heap_read_stats(lull_heap* heap) { return object(heap)->read_stats(); }

}  // extern "C"

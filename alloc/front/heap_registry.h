// All heap objects: their memory is recycled and never given back, so that a handle always leads to one.
#pragma once

#include "alloc/front/heap_object.h"

namespace lull::front {

[[nodiscard]] HeapObject* create_heap(Sharing sharing);  // nullptr when memory runs out
void destroy_heap(HeapObject* heap);
std::size_t heaps_in_use();

// fork() finds shared heaps, and the lists of large blocks of all heaps, whole.
void lock_heaps_across_fork();
void unlock_heaps_across_fork();

}  // namespace lull::front

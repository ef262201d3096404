#include "alloc/front/heap_registry.h"

#include <new>

#include "alloc/front/fork_gate.h"
#include "alloc/os/meta_arena.h"

namespace lull::front {
namespace {

constinit os::Lock lock{os::LockRank::heaps};
constinit HeapObject* in_use = nullptr;  // lock
constinit HeapObject* unused = nullptr;  // lock
constinit std::size_t count = 0;         // lock

HeapObject* take_unused_locked() {
  if (HeapObject* heap = unused) {
    unused = heap->next;
    return heap;
  }
  void* memory = os::allocate_meta(sizeof(HeapObject));
  return memory != nullptr ? new (memory) HeapObject : nullptr;
}

}  // namespace

HeapObject* create_heap(Sharing sharing) {
  install_fork_handlers();
  os::Locked locked(lock);
  HeapObject* heap = take_unused_locked();
  if (heap == nullptr) return nullptr;
  heap->begin(sharing);
  heap->next = in_use;
  heap->previous = nullptr;
  if (in_use != nullptr) in_use->previous = heap;
  in_use = heap;
  ++count;
  return heap;
}

void destroy_heap(HeapObject* heap) {
  heap->end();
  os::Locked locked(lock);
  (heap->previous != nullptr ? heap->previous->next : in_use) = heap->next;
  if (heap->next != nullptr) heap->next->previous = heap->previous;
  heap->next = unused;
  unused = heap;
  --count;
}

std::size_t heaps_in_use() {
  os::Locked locked(lock);
  return count;
}

void lock_heaps_across_fork() {
  lock.lock_across_fork();
  for (HeapObject* heap = in_use; heap != nullptr; heap = heap->next) heap->lock().lock_across_fork();
}

void unlock_heaps_across_fork() {
  for (HeapObject* heap = in_use; heap != nullptr; heap = heap->next) heap->lock().unlock_across_fork();
  lock.unlock_across_fork();
}

}  // namespace lull::front

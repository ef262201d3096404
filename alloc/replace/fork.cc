// fork() in a program whose malloc this is: the locks are held over it, so that the child finds the heap whole.
#include <pthread.h>

#include "alloc/front/thread_bins.h"
#include "alloc/os/meta_arena.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"

namespace {

// In rank order. The lock-free parts need nothing: each of their steps leaves them whole; what other threads had in hand
// at that moment is lost to the child.
lull::os::Lock* const locks[] = {&lull::front::bins_lock_for_fork(), &lull::pages::page_heap.lock_for_fork(),
                                 &lull::pages::span_table_lock_for_fork(), &lull::os::meta_lock_for_fork(),
                                 &lull::pages::reserve_lock_for_fork()};

void before() {
  for (lull::os::Lock* lock : locks) lock->lock_across_fork();
}
void unlock() {
  for (lull::os::Lock* lock : locks) lock->unlock_across_fork();
}
void in_child() {
  unlock();
  lull::pages::forget_purger_after_fork();
  lull::front::reclaim_bins_after_fork();
}

__attribute__((constructor)) void install() { pthread_atfork(before, unlock, in_child); }

}  // namespace

// include/lull/malloc.h.
#include "lull/malloc.h"

#include <cerrno>
#include <cstdint>

#include "alloc/front/malloc_calls.h"
#include "alloc/pages/memory_limit.h"

extern "C" {

void* lull_malloc(size_t size) { return lull::front::call_malloc(size); }
void* lull_calloc(size_t count, size_t size) { return lull::front::call_calloc(count, size); }
void* lull_realloc(void* block, size_t size) { return lull::front::call_realloc(block, size); }
void* lull_reallocarray(void* block, size_t count, size_t size) { return lull::front::call_reallocarray(block, count, size); }
void lull_free(void* block) { lull::front::free(block); }
void lull_free_sized(void* block, size_t size) { lull::front::free_sized(block, size); }
void lull_free_aligned_sized(void* block, size_t alignment, size_t size) {
  lull::front::call_free_aligned_sized(block, alignment, size);
}
void* lull_aligned_alloc(size_t alignment, size_t size) { return lull::front::call_aligned_alloc(alignment, size); }
int lull_posix_memalign(void** block, size_t alignment, size_t size) {
  return lull::front::call_posix_memalign(block, alignment, size);
}
size_t lull_malloc_usable_size(const void* block) { return block == nullptr ? 0 : lull::front::usable_size(block); }
size_t lull_good_size(size_t size) { return lull::front::good_size(size); }
int lull_malloc_trim(size_t pad) { return lull::front::trim(pad) ? 1 : 0; }
size_t lull_memory_limit(void) { return lull::pages::memory_limit(); }
size_t lull_set_memory_limit(size_t bytes) { return lull::pages::set_memory_limit(bytes); }

}  // extern "C"

// The C library's second names of malloc's family, by which some programs reach past what replaces malloc: blocks of both may meet in one free().
// Not in the archive: in a static program the C library may need its own.
#include <cstdint>
#include <unistd.h>

#include "alloc/base/units.h"
#include "alloc/front/malloc_calls.h"

#ifdef __GLIBC__

#define LULL_EXPORT extern "C" __attribute__((visibility("default")))

namespace front = lull::front;

LULL_EXPORT void* __libc_malloc(size_t size) noexcept { return front::call_malloc(size); }
LULL_EXPORT void __libc_free(void* block) noexcept { front::free(block); }
LULL_EXPORT void* __libc_calloc(size_t count, size_t size) noexcept { return front::call_calloc(count, size); }
LULL_EXPORT void* __libc_realloc(void* block, size_t size) noexcept { return front::call_realloc(block, size); }
LULL_EXPORT void* __libc_reallocarray(void* block, size_t count, size_t size) noexcept { return front::call_reallocarray(block, count, size); }
extern "C" void* memalign(size_t, size_t) noexcept;
extern "C" void* valloc(size_t) noexcept;
extern "C" void* pvalloc(size_t) noexcept;
LULL_EXPORT void* __libc_memalign(size_t alignment, size_t size) noexcept { return memalign(alignment, size); }
LULL_EXPORT void* __libc_valloc(size_t size) noexcept { return valloc(size); }
LULL_EXPORT void* __libc_pvalloc(size_t size) noexcept { return pvalloc(size); }

#endif

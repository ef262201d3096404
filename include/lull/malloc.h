/* Explicit memory: malloc's family under names of its own, for programs that do not replace malloc. Plain C.
 *
 * Every function is thread-safe and may be called at any time, also before main and from destructors of thread-specific
 * data; none is async-signal-safe. A function that cannot get memory returns NULL and sets errno to ENOMEM; errno is
 * otherwise untouched. Blocks are aligned to 16 bytes. Sizes are bytes. A block may be freed by any thread.
 *
 * Freeing what is no block (an address inside one, a foreign one, a block freed already) stops the program with one line
 * on standard error that names the address. So does a sized free whose size does not fit the block. A block that is freed
 * twice is found by a key that the first free leaves in it, or by the span's bitmap when blocks go back in batches; it
 * escapes if the program overwrote the key in between, until the bitmap is asked. LULL_MALLOC=secure in the environment finds
 * each at once, and what is written to free blocks when they are handed out again (docs/design/malloc.md). */
#ifndef LULL_MALLOC_H
#define LULL_MALLOC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* size 0: a block of its own. As malloc, calloc, realloc, reallocarray and free of C23 and glibc; realloc(p, 0) frees p
 * and returns NULL, like glibc's. */
void* lull_malloc(size_t size);
void* lull_calloc(size_t count, size_t size);
void* lull_realloc(void* block, size_t size);
void* lull_reallocarray(void* block, size_t count, size_t size);
void lull_free(void* block);
void lull_free_sized(void* block, size_t size);
void lull_free_aligned_sized(void* block, size_t alignment, size_t size);

/* `alignment`: a power of two, else NULL and EINVAL. */
void* lull_aligned_alloc(size_t alignment, size_t size);
/* 0, EINVAL (no power of two or no multiple of sizeof(void*)) or ENOMEM; errno is untouched. */
int lull_posix_memalign(void** block, size_t alignment, size_t size);

/* Bytes of the block that may be used; 0 for NULL. With -D_FORTIFY_SOURCE=3, too: compilers are told no sizes of these blocks. Of blocks of
 * malloc() they know what was asked for, from the C library's header, and stop who writes more, whatever malloc_usable_size() says and whoever
 * serves it. realloc(block, malloc_usable_size(block)) stays in place and tells them; or ask for nallocx(size, 0) bytes at once. */
size_t lull_malloc_usable_size(const void* block);
/* What lull_malloc_usable_size says of a new block of `size` bytes, but for samples with guard pages (LULL_MALLOC=guard), which have what was asked for. A sized free
 * may name `size`, or any other of which this says the same; of up to 32 KiB, since realloc may leave a block where it is, any that is more than half of the block. */
size_t lull_good_size(size_t size);
/* Gives the caches of the calling thread and all idle pages but `pad` bytes of free ones back to the system. 1 if there were
 * any. Takes as long as the system needs to take the pages: about 0.1 us a page. */
int lull_malloc_trim(size_t pad);

/* A soft limit in bytes of what the heap holds, managed objects included: near it memory goes back at once and caches do not
 * grow; no allocation fails for its sake. The least of the program's own (0 or SIZE_MAX: none), LULL_MEMORY_LIMIT (bytes, or with K,
 * M, G, T) and nine tenths of the container's limit; SIZE_MAX when there is none. Setting returns what the program had set. */
size_t lull_memory_limit(void);
size_t lull_set_memory_limit(size_t bytes);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

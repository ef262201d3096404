// malloc's family under the C library's names: what liblull-malloc.so and the target lull::malloc put in its place.
#include <cerrno>
#include <climits>
#include <cstdio>
#include <malloc.h>
#include <unistd.h>

#include "alloc/front/fork_gate.h"
#include "alloc/front/malloc_calls.h"
#include "alloc/front/profile_run.h"
#include "alloc/front/statistics.h"

#define LULL_EXPORT extern "C" __attribute__((visibility("default")))

namespace front = lull::front;

// Before constructors of the program that register fork handlers, even if nothing was allocated yet.
__attribute__((constructor(101))) static void install() {
  front::install_fork_handlers();
  front::begin_profile_of_run();
}
__attribute__((destructor(101))) static void finish() { front::end_profile_of_run(); }

LULL_EXPORT void* malloc(size_t size) noexcept { return front::call_malloc(size); }
LULL_EXPORT void free(void* block) noexcept { front::free(block); }
LULL_EXPORT void* calloc(size_t count, size_t size) noexcept { return front::call_calloc(count, size); }
LULL_EXPORT void* realloc(void* block, size_t size) noexcept { return front::call_realloc(block, size); }
LULL_EXPORT void* reallocarray(void* block, size_t count, size_t size) noexcept {
  return front::call_reallocarray(block, count, size);
}
LULL_EXPORT void cfree(void* block) noexcept { front::free(block); }

// C23.
LULL_EXPORT void free_sized(void* block, size_t size) noexcept { front::free_sized(block, size); }
LULL_EXPORT void free_aligned_sized(void* block, size_t alignment, size_t size) noexcept {
  front::call_free_aligned_sized(block, alignment, size);
}

LULL_EXPORT void* aligned_alloc(size_t alignment, size_t size) noexcept { return front::call_aligned_alloc(alignment, size); }
LULL_EXPORT int posix_memalign(void** block, size_t alignment, size_t size) noexcept {
  return front::call_posix_memalign(block, alignment, size);
}
// glibc's memalign rounds an alignment that is no power of two up to one.
LULL_EXPORT void* memalign(size_t alignment, size_t size) noexcept {
  if (alignment > PTRDIFF_MAX / 2) {
    errno = EINVAL;
    return nullptr;
  }
  return front::call_aligned_alloc(std::bit_ceil(alignment), size);
}
LULL_EXPORT void* valloc(size_t size) noexcept { return front::call_aligned_alloc(static_cast<size_t>(getpagesize()), size); }
LULL_EXPORT void* pvalloc(size_t size) noexcept {
  const auto page = static_cast<size_t>(getpagesize());
  if (size > PTRDIFF_MAX - page) return front::out_of_memory();
  return front::call_aligned_alloc(page, size == 0 ? page : lull::round_up(size, page));
}

LULL_EXPORT size_t malloc_usable_size(void* block) noexcept { return block == nullptr ? 0 : front::usable_size(block); }
LULL_EXPORT int malloc_trim(size_t pad) noexcept { return front::trim(pad) ? 1 : 0; }
LULL_EXPORT int mallopt(int, int) noexcept { return 1; }
LULL_EXPORT size_t nallocx(size_t size, int flags) noexcept {
  const size_t alignment = size_t{1} << (flags & 63);  // MALLOCX_LG_ALIGN
  return size == 0 ? 0 : front::good_size(front::size_for_alignment(alignment, size));
}
LULL_EXPORT void sdallocx(void* block, size_t size, int flags) noexcept {
  front::call_free_aligned_sized(block, size_t{1} << (flags & 63), size);
}

LULL_EXPORT struct mallinfo2 mallinfo2() noexcept {
  const front::HeapFigures figures = front::read_figures();
  struct mallinfo2 info = {};
  info.arena = figures.held_bytes;
  info.uordblks = figures.used_bytes;
  info.fordblks = figures.held_bytes - figures.used_bytes;
  info.keepcost = figures.idle_bytes;
  return info;
}
LULL_EXPORT struct mallinfo mallinfo() noexcept {
  const struct mallinfo2 wide = mallinfo2();
  // glibc's wraps around; the largest number says at least that there is much.
  const auto narrow = [](size_t bytes) { return static_cast<int>(bytes < INT_MAX ? bytes : INT_MAX); };
  struct mallinfo info = {};
  info.arena = narrow(wide.arena);
  info.uordblks = narrow(wide.uordblks);
  info.fordblks = narrow(wide.fordblks);
  info.keepcost = narrow(wide.keepcost);
  return info;
}

// The last two as glibc words them, for who reads them by program. There is one arena, and large blocks are part of it.
LULL_EXPORT void malloc_stats() noexcept {
  const front::HeapFigures figures = front::read_figures();
  ::dprintf(STDERR_FILENO, "Arena 0:\nsystem bytes     = %10zu\nin use bytes     = %10zu\nTotal (incl. mmap):\nsystem bytes     = %10zu\nin use bytes     = %10zu\n",
            figures.held_bytes, figures.used_bytes, figures.held_bytes, figures.used_bytes);
}
LULL_EXPORT int malloc_info(int options, FILE* to) noexcept {
  if (options != 0) return EINVAL;
  const front::HeapFigures figures = front::read_figures();
  std::fprintf(to, "<malloc version=\"1\">\n<total type=\"rest\" count=\"0\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n<aspace type=\"total\" size=\"%zu\"/>\n</malloc>\n",
               figures.held_bytes - figures.used_bytes, figures.held_bytes, figures.held_bytes);
  return 0;
}

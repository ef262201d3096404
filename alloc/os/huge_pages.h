// Transparent huge pages of anonymous memory. No flag of a mapping (MADV_HUGEPAGE) outlives a call, so mappings never split for good: a range is
// made huge once (MADV_COLLAPSE, Linux 6.1, or touch_huge), and whatever happens to it later is the program's doing.
#pragma once

#include <cstddef>

namespace lull::os {

// What the administrator allows (/sys/kernel/mm/transparent_hugepage/enabled). `unknown`: no such kernel or no such file.
enum class HugePageMode { unknown, never, madvise, always };
HugePageMode huge_page_mode();
// Of the words "always [madvise] never"; for tests.
HugePageMode parse_huge_page_mode(const char* text);

// The kernel has MADV_COLLAPSE and its huge pages have `bytes`.
bool can_collapse(std::size_t bytes);

// Copies a range, aligned to the size of a huge page and as long, into one. Takes 0.2 to 5 ms, in which threads that touch the
// range wait. False: it could not be done this time, and nothing has changed. Keeps errno.
[[nodiscard]] bool collapse(void* at, std::size_t bytes);
// Keeps the kernel from giving the range huge pages by itself, for ever; needed before touch_huge(). False: it refused.
[[nodiscard]] bool forbid_huge_pages(void* at, std::size_t bytes);
// Of a range that forbid_huge_pages() had a part in, untouched, aligned to the size of a huge page and as long: its memory comes now, as
// one huge page if the kernel has one at hand, as one small page otherwise (false). 0.2 ms, most of which is clearing, and 4 where a virtual machine's host has to find the memory. Keeps errno.
[[nodiscard]] bool touch_huge(void* at, std::size_t bytes);
// As collapse(), of such a range.
[[nodiscard]] bool collapse_forbidden(void* at, std::size_t bytes);
// Makes small pages of the huge one around `at`, if there is one. Without this a part of it that is purged stays allocated until
// memory runs short, although the process no longer counts it.
void split_huge_page(void* at);

// System pages of a committed range that have no memory behind them. `bytes` is at most 2 MiB.
std::size_t missing_pages(void* at, std::size_t bytes);

}  // namespace lull::os

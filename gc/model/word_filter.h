// The first thing that a marker asks of words, and the copy of a stack: which of them point into the heap's range? Asked of many at once, without
// branches, with the widest vectors that the processor has (AVX-512, AVX2), chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/detail/heap_range.h"

namespace lull::gc {

// Copies those of the `count` words at `words` that lie in `range` to `out`, in order, and returns how many. `out` may be
// `words` itself or lie before it; behind it there is room for kFilterSlack words more than `count`. Reads each word once, whole.
using WordFilter = std::size_t (*)(const std::uintptr_t* words, std::size_t count, std::uintptr_t* out, const detail::HeapRange& range);
inline constexpr std::size_t kFilterSlack = 8;  // vectors are stored whole

std::size_t filter_words(const std::uintptr_t* words, std::size_t count, std::uintptr_t* out, const detail::HeapRange& range);

// The vector forms; nullptr where processor or compiler lacks them.
WordFilter filter_words_avx2();
WordFilter filter_words_avx512();

WordFilter best_word_filter();  // the fastest there is; never nullptr

}  // namespace lull::gc

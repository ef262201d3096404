// Sampled blocks: who is one says alloc/sample/sampler.h, where it lies is decided here. Also what starts and stops it all.
#pragma once

#include <cstddef>

#include "alloc/sample/sampler.h"

namespace lull::front {

// A small block that is a sample: pages of its own, between guard pages when it is its turn. nullptr when memory runs out.
[[nodiscard]] void* allocate_sampled(std::size_t asked, std::size_t block_bytes);
// A large block was made, or has another length now: a sample, or no longer.
void sample_large(pages::Span* span, std::size_t asked);

// Takes the span of a sampled block that was freed, whose page is published no more. False: the caller drops it.
[[nodiscard]] bool keep_spare(pages::Span* span);
std::size_t spare_bytes();   // of such spans
std::size_t drop_spares();   // bytes
void lose_spares_after_fork();  // in the child: other threads may have been about to use them

// Every thread samples from its next allocation on. `mean` bytes, 0: the usual one. Not from inside malloc.
void start_profile(std::size_t mean);
void stop_profile();

}  // namespace lull::front

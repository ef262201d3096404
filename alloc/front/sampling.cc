#include "alloc/front/sampling.h"

#include "alloc/front/large_block.h"
#include "alloc/front/secure.h"
#include "alloc/front/thread_bins.h"
#include "alloc/sample/guard_pool.h"

namespace lull::front {

void* allocate_sampled(std::size_t asked, std::size_t block_bytes) {
  if (void* guarded = sample::allocate_guarded(asked, block_bytes)) return guarded;
  pages::Span* span = create_large_span(block_bytes, 1, {.page_class = pages::PageClass::large, .bitmaps = 1, .secure = is_secure()});
  if (span == nullptr) return nullptr;
  span->slot_bytes = block_bytes;  // fewer than its pages have
  sample::note_allocated(sample::sample_of(span), asked, block_bytes);
  return reinterpret_cast<void*>(span->base);
}

void sample_large(pages::Span* span, std::size_t asked) {
  sample::Sample& sample = sample::sample_of(span);
  if (sample.stack != nullptr) sample::note_freed(sample);
  if (sample::is_sampling() && sample::falls_on_sample(span->slot_bytes)) sample::note_allocated(sample, asked, span->slot_bytes);
}

void start_profile(std::size_t mean) {
  sample::start_sampling(mean == 0 ? sample::kUsualMean : mean);
  count_allocations();
}

void stop_profile() {
  stop_counting_allocations();
  sample::stop_sampling();
}

}  // namespace lull::front

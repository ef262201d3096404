#include "alloc/front/sampling.h"

#include "alloc/front/large_block.h"
#include "alloc/front/secure.h"
#include "alloc/front/thread_bins.h"
#include "alloc/os/checker.h"
#include "alloc/sample/guard_pool.h"

namespace lull::front {
namespace {

// Pages of samples that were freed, for the next ones: to make a span and to drop it costs more than everything else of a sample. Here a
// span belongs to nobody, and its page looks free to everybody but the page heap. More: seldom found full.
constexpr std::size_t kLongestSpare = kSmallMost / kPageSize;  // pages; each length has its own
constexpr std::size_t kSpares = 4;
alignas(64) constinit std::atomic<pages::Span*> spares[kLongestSpare][kSpares] = {};

pages::Span* take_spare(std::size_t block_bytes) {
  for (auto& spare : spares[pages_for(block_bytes).value - 1]) {
    if (spare.load(std::memory_order_relaxed) == nullptr) continue;
    // acquire: pairs with the release in keep_spare()
    pages::Span* span = spare.exchange(nullptr, std::memory_order_acquire);
    if (span == nullptr) continue;
    os::allow(span->base, span->end() - span->base);
    // release: as publish() of span_table.cc
    pages::reservation.classes[span->first_page().value].store(pages::PageClass::large, std::memory_order_release);
    return span;
  }
  return nullptr;
}

template <class Visit>
void for_each_spare_slot(Visit&& visit) {
  for (auto& of_length : spares)
    for (auto& spare : of_length) visit(spare);
}

pages::Span* create_sample_span(std::size_t block_bytes) {
  return create_large_span(block_bytes, 1, {.page_class = pages::PageClass::large, .bitmaps = 1, .secure = is_secure()});
}

}  // namespace

bool keep_spare(pages::Span* span) {
  if (span->page_count > kLongestSpare || span->secure || !sample::is_sampling()) return false;
  os::forbid(span->base, span->end() - span->base);
  for (auto& spare : spares[span->page_count - 1]) {
    pages::Span* expected = nullptr;
    // release: pairs with the acquire in take_spare()
    if (spare.load(std::memory_order_relaxed) == nullptr &&
        spare.compare_exchange_strong(expected, span, std::memory_order_release, std::memory_order_relaxed)) return true;
  }
  return false;
}

std::size_t spare_bytes() {
  std::size_t pages = 0;
  for (std::size_t p = 0; p < kLongestSpare; ++p)
    for (auto& spare : spares[p]) pages += spare.load(std::memory_order_relaxed) != nullptr ? p + 1 : 0;
  return pages * kPageSize;
}

std::size_t drop_spares() {
  std::size_t dropped = 0;
  for_each_spare_slot([&](std::atomic<pages::Span*>& spare) {
    if (spare.load(std::memory_order_relaxed) == nullptr) return;
    pages::Span* span = spare.exchange(nullptr, std::memory_order_acquire);  // as in take_spare()
    if (span == nullptr) return;
    dropped += span->end() - span->base;
    pages::destroy_span(span);
  });
  return dropped;
}

void lose_spares_after_fork() {
  for_each_spare_slot([](std::atomic<pages::Span*>& spare) {
    if (spare.load(std::memory_order_relaxed) != nullptr) spare.store(nullptr, std::memory_order_relaxed);
  });
}

void* allocate_sampled(std::size_t asked, std::size_t block_bytes) {
  if (void* guarded = sample::allocate_guarded(asked, block_bytes)) return guarded;
  pages::Span* span = take_spare(block_bytes);
  if (span == nullptr) span = create_sample_span(block_bytes);
  if (span == nullptr) return nullptr;
  __atomic_store_n(&span->slot_bytes, block_bytes, __ATOMIC_RELAXED);  // fewer than its pages have; as in describe() of span_table.cc
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
  drop_spares();
}

}  // namespace lull::front

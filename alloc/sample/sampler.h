// Which blocks are samples, and what is written down of them. Sample points are a Poisson process over allocated bytes
// (poisson.h). Processes add up, so every thread has one of its own for each of its bins, counted in blocks, and one for
// whatever does not come from a bin, counted in bytes: together they are the process that was asked for. The bytes that
// count are those of the block, not those that were asked for, which the fast path does not know.
//
// A sampled block has pages of its own, so that free() takes its slow path by the pages' class; its Sample lies in the
// descriptor of its span, behind the header.
#pragma once

#include <atomic>
#include <cstddef>

#include "alloc/pages/span.h"
#include "alloc/sample/stack_table.h"

namespace lull::sample {

inline constexpr std::size_t kUsualMean = 512 * 1024;  // larger: fewer samples, less time, more noise
inline constexpr std::size_t kMostMean = std::size_t{1} << 40;  // a sample's weight fits into 64 bits up to here

struct Sample {
  Stack* stack = nullptr;  // null: this block is none
  Weight weight;
  std::size_t asked = 0;
  int thread = 0;          // the kernel's number
};
static_assert(sizeof(Sample) <= pages::kCellBytes);

// Of a span with one block.
inline Sample& sample_of(pages::Span* span) { return *static_cast<Sample*>(span->of_block()); }

struct SamplingState {
  std::atomic<std::uint64_t> mean{0};   // bytes; 0: off
  std::atomic<std::uint32_t> epoch{0};  // counts starts: distances drawn in another one are void
};
extern SamplingState sampling_state;

inline std::size_t sampling_mean() { return sampling_state.mean.load(std::memory_order_relaxed); }
inline bool is_sampling() { return sampling_mean() != 0; }
inline std::uint32_t sampling_epoch() { return sampling_state.epoch.load(std::memory_order_relaxed); }

// Thread-safe. `mean` > 0; more than kMostMean counts as that. Blocks that are samples stay samples when it stops.
void start_sampling(std::size_t mean);
void stop_sampling();

// The calling thread allocates `bytes` outside of its bins: does a sample point fall into them?
bool falls_on_sample(std::size_t bytes);
// Drawn: how many blocks of this size the calling thread allocates before one that is a sample.
std::uint32_t blocks_before_sample(std::size_t block_bytes);

// The same for somebody with a mean of his own, the collector's objects: nothing here depends on malloc's sampling.
std::uint32_t blocks_before_sample(std::size_t block_bytes, std::size_t mean);
bool is_sample(std::size_t block_bytes, std::size_t mean);  // drawn: does a point fall into this block?
Weight weight_of(std::size_t asked, std::size_t block_bytes, std::size_t mean);  // of a block that is a sample

// Writes down that a sampled block was allocated, by the caller's callers; that it was freed.
void note_allocated(Sample& sample, std::size_t asked, std::size_t block_bytes);
void note_freed(Sample& sample);

int own_thread_number();          // the kernel's; asked for once a thread
void forget_thread_number();      // in a forked child

struct SampleTotals {
  std::uint64_t live_objects = 0, live_bytes = 0, allocated_objects = 0, allocated_bytes = 0, stacks = 0;
};
SampleTotals sample_totals();

}  // namespace lull::sample

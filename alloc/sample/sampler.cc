#include "alloc/sample/sampler.h"

#include <algorithm>
#include <sys/auxv.h>

#include <cstring>

#include "alloc/os/clock.h"
#include "alloc/os/thread.h"
#include "alloc/sample/poisson.h"
#include "alloc/sample/stack_memo.h"

namespace lull::sample {

constinit SamplingState sampling_state;

namespace {

// The calling thread's randomness, and its process outside of bins.
struct OfThread {
  std::uint64_t random = 0;  // 0: not seeded
  double bytes_left = 0;     // to the next point
  std::uint32_t epoch = 0;
  int number = 0;            // 0: not asked for
};
constinit __thread OfThread of_thread __attribute__((tls_model("initial-exec"))) = {};

std::uint64_t& random_state() {
  if (of_thread.random == 0) {
    std::uint64_t word = 0;
    if (const auto* bytes = reinterpret_cast<const void*>(::getauxval(AT_RANDOM))) std::memcpy(&word, bytes, sizeof word);
    of_thread.random = (word ^ os::monotonic_ns() * 0x9e3779b97f4a7c15u ^ reinterpret_cast<std::uintptr_t>(&of_thread)) | 1;
  }
  return of_thread.random;
}

double draw_distance() { return exponential(random_state()) * static_cast<double>(sampling_mean()); }

}  // namespace

int own_thread_number() {
  if (of_thread.number == 0) of_thread.number = os::current_thread_id();
  return of_thread.number;
}
void forget_thread_number() { of_thread.number = 0; }

void start_sampling(std::size_t mean) {
  prepare_captures();
  sampling_state.epoch.fetch_add(1, std::memory_order_relaxed);
  sampling_state.mean.store(std::min(mean, kMostMean), std::memory_order_relaxed);
}

void stop_sampling() { sampling_state.mean.store(0, std::memory_order_relaxed); }

bool falls_on_sample(std::size_t bytes) {
  OfThread& t = of_thread;
  if (t.epoch != sampling_epoch()) {
    t.epoch = sampling_epoch();
    t.bytes_left = draw_distance();
  }
  t.bytes_left -= static_cast<double>(bytes);
  if (t.bytes_left > 0) return false;
  t.bytes_left = draw_distance();  // from the block's end: points have no memory
  return true;
}

// The first block has the point if the distance is less than one block, and so on: geometric, as it should be.
std::uint32_t blocks_before_sample(std::size_t block_bytes, std::size_t mean) {
  const double blocks = exponential(random_state()) * static_cast<double>(mean) / static_cast<double>(block_bytes);
  return blocks < 1e9 ? static_cast<std::uint32_t>(blocks) : 1'000'000'000;
}
std::uint32_t blocks_before_sample(std::size_t block_bytes) { return blocks_before_sample(block_bytes, sampling_mean()); }

bool is_sample(std::size_t block_bytes, std::size_t mean) {
  return exponential(random_state()) * static_cast<double>(mean) <= static_cast<double>(block_bytes);
}

Weight weight_of(std::size_t asked, std::size_t block_bytes, std::size_t mean) {
  const double counts_for = 1 / probability(static_cast<double>(block_bytes) / static_cast<double>(mean));
  return {.objects = static_cast<std::uint64_t>(counts_for * (1u << kObjectShift) + 0.5),
          .bytes = static_cast<std::uint64_t>(counts_for * static_cast<double>(asked) + 0.5)};
}

void note_allocated(Sample& sample, std::size_t asked, std::size_t block_bytes) {
  sample.weight = weight_of(asked, block_bytes, std::max<std::size_t>(sampling_mean(), 1));
  sample.asked = asked;
  sample.thread = own_thread_number();
  sample.stack = intern_own_stack();
  sample.stack->count_allocated(sample.weight);
}

void note_freed(Sample& sample) {
  sample.stack->count_freed(sample.weight);
  sample.stack = nullptr;
}

SampleTotals sample_totals() {
  SampleTotals totals;
  std::uint64_t allocated = 0, freed = 0;
  for_each_stack([&](const Stack& s) {
    freed += s.freed_objects.load(std::memory_order_relaxed);
    allocated += s.allocated_objects.load(std::memory_order_relaxed);
    totals.live_bytes -= s.freed_bytes.load(std::memory_order_relaxed);
    totals.allocated_bytes += s.allocated_bytes.load(std::memory_order_relaxed);
    ++totals.stacks;
  });
  totals.live_bytes += totals.allocated_bytes;
  totals.live_objects = (allocated - freed) >> kObjectShift;
  totals.allocated_objects = allocated >> kObjectShift;
  return totals;
}

}  // namespace lull::sample

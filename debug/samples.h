// What the charts show: a row of figures a second, for the last ten minutes, whoever looks.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>

#include "gc/report/text_writer.h"
#include "lull/metrics.h"

namespace lull::debug {

// Rates and quantiles are of the time since the sample before.
struct Sample {
  // Buckets of pauses: [2^k, 2^(k+1)) ns for k = kFirstBucket...; the first and the last also count what is beyond.
  static constexpr unsigned kFirstBucket = 8, kBuckets = 20;  // 256 ns to 268 ms

  std::uint64_t number = 0;
  double time = 0;  // seconds since 1970
  std::uint64_t live = 0, goal = 0, objects = 0, inuse = 0, held = 0, resident = 0;  // bytes; goal 0: none
  double allocated_bytes = 0, allocated_objects = 0;                   // a second
  double collector = 0, assists = 0, program = 0;                      // processors busy with it; program: with everything
  std::uint64_t cycles = 0, young = 0;                                 // completed; full and young, young
  std::uint64_t pauses = 0, pause_p50 = 0, pause_p99 = 0, pause_max = 0;  // handshake operations; ns
  std::uint64_t slow_p99 = 0, slow_max = 0;                            // slow allocations; ns
  std::uint64_t assist_count = 0, assist_p99 = 0;
  std::uint64_t threads = 0, destructors = 0;
  std::array<std::uint32_t, kBuckets> pause_buckets{};
};

class Samples {
 public:
  static constexpr std::size_t kMost = 600;

  void take();
  // {"number":[...],"time":[...],...,"pause_buckets":[[...],...]}: the samples with a number above `after`, by columns.
  void write(gc::TextWriter& out, std::uint64_t after);

 private:
  void add(const Sample& sample);

  std::mutex mutex_;
  std::deque<Sample> samples_;  // oldest first; with mutex_
  std::uint64_t taken_ = 0;     // the rest: the thread that takes them
  struct Totals {
    std::uint64_t ns = 0, process_ns = 0, allocated_bytes = 0, allocated_objects = 0, cycles = 0, young = 0;
    double collector = 0, assists = 0;
  } before_;
  histogram pauses_before_, slow_before_, assists_before_;
  histogram pauses_, slow_, assists_;
};

}  // namespace lull::debug

// A live lull::histogram: one thread records, any thread may read at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "lull/histogram.h"

namespace index_service {

class LatencyRecorder {
 public:
  void record(std::uint64_t ns);
  /// Values being recorded meanwhile may be missing.
  lull::histogram read() const;

 private:
  std::array<std::atomic<std::uint64_t>, lull::histogram::bucket_count> buckets_{};
  std::atomic<std::uint64_t> sum_ns_{0};
  std::atomic<std::uint64_t> max_ns_{0};
};

/// What `now` has more than `earlier`; the maximum stays the one of the whole time.
lull::histogram since(const lull::histogram& now, const lull::histogram& earlier);

}  // namespace index_service

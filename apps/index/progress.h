// The line each second that says how a run is going.
#pragma once

#include <cstdint>
#include <string>

#include "apps/index/run_result.h"

namespace index_service {

class Progress {
 public:
  Progress(std::string memory, std::size_t corpus_documents);

  /// Since construction.
  double seconds() const;
  /// True once a second.
  bool is_due() const;
  /// Prints what happened since the line before, and takes note for the next one.
  void show(std::uint64_t documents, const lull::histogram& latency, const MemorySample& memory,
            std::uint64_t collections);

 private:
  std::string memory_;
  std::size_t corpus_documents_;
  std::int64_t start_ns_;
  std::int64_t shown_ns_;
  std::uint64_t shown_documents_ = 0;
  lull::histogram shown_latency_;
};

}  // namespace index_service

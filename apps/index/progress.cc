#include "apps/index/progress.h"

#include <cstdio>
#include <utility>

#include "apps/index/format.h"
#include "apps/index/latency.h"
#include "apps/index/process.h"

namespace index_service {

Progress::Progress(std::string memory, std::size_t corpus_documents)
    : memory_(std::move(memory)),
      corpus_documents_(corpus_documents),
      start_ns_(now_ns()),
      shown_ns_(start_ns_) {}

double Progress::seconds() const { return static_cast<double>(now_ns() - start_ns_) * 1e-9; }

bool Progress::is_due() const {
  return now_ns() - shown_ns_ >= 995'000'000;
}  // ticks come a little early or late

void Progress::show(std::uint64_t documents, const lull::histogram& latency, const MemorySample& memory,
                    std::uint64_t collections) {
  const std::int64_t now = now_ns();
  const double elapsed = static_cast<double>(now - shown_ns_) * 1e-9;
  const lull::histogram fresh = since(latency, shown_latency_);
  std::printf("%-10s %3.0f s  %7s documents/s  ", memory_.c_str(), seconds(),
              format_count(static_cast<double>(documents - shown_documents_) / elapsed).c_str());
  if (documents < corpus_documents_) {
    std::printf("loading %s of %s documents", format_count(static_cast<double>(documents)).c_str(),
                format_count(static_cast<double>(corpus_documents_)).c_str());
  } else {
    std::printf("%6s queries/s  p99 %s", format_count(static_cast<double>(fresh.count) / elapsed).c_str(),
                format_duration(fresh.quantile_ns(0.99)).c_str());
  }
  std::printf("  resident %s", format_bytes(memory.resident_bytes).c_str());
  if (memory.heap_bytes != 0) {
    std::printf("  heap %s  %llu collections", format_bytes(memory.heap_bytes).c_str(),
                static_cast<unsigned long long>(collections));
  }
  std::printf("\n");
  std::fflush(stdout);
  shown_ns_ = now;
  shown_documents_ = documents;
  shown_latency_ = latency;
}

}  // namespace index_service

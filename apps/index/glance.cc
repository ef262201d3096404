#include "apps/index/glance.h"

#include <algorithm>

#include "apps/index/format.h"
#include "apps/index/plot.h"

namespace index_service {
namespace {

const RunResult* find(const std::vector<RunResult>& runs, const std::string& memory) {
  const auto at = std::ranges::find(runs, memory, &RunResult::memory);
  return at == runs.end() ? nullptr : &*at;
}

std::string tile(const std::string& value, const std::string& what, const std::string& judgement) {
  return "<div class=\"tile\"><b>" + escape_html(value) + "</b><span>" + escape_html(what) + "</span><em>" + escape_html(judgement) + "</em></div>\n";
}

/// "as with shared_ptr (1.2 ms)", "2.1 times that of shared_ptr (..)"; without another run, nothing.
std::string beside(double own, const RunResult* other, double theirs, const std::string& shown) {
  if (other == nullptr || theirs <= 0) return "";
  const double ratio = own / theirs;
  const std::string name = other->memory + " (" + shown + ")";
  if (ratio > 0.9 && ratio < 1.1) return "as with " + name;
  return format_fixed(ratio, ratio < 10 ? 2 : 0) + " x that of " + name;
}

const PauseFigures* pause_of(const RunResult& run, const std::string& kind) {
  const auto at = std::ranges::find(run.collector.pauses, kind, &PauseFigures::kind);
  return at == run.collector.pauses.end() ? nullptr : &*at;
}

std::string latency_tile(const RunResult& run, const RunResult* other) {
  const std::uint64_t own = run.latency.quantile_ns(0.999), theirs = other == nullptr ? 0 : other->latency.quantile_ns(0.999);
  return tile(format_duration(own), "latency that 999 of 1000 queries keep",
              beside(static_cast<double>(own), other, static_cast<double>(theirs), format_duration(theirs)));
}

std::string memory_tile(const RunResult& run, const RunResult* other) {
  const std::uint64_t theirs = other == nullptr ? 0 : other->peak_bytes;
  return tile(format_bytes(run.peak_bytes), "memory at its peak",
              beside(static_cast<double>(run.peak_bytes), other, static_cast<double>(theirs), format_bytes(theirs)));
}

std::string work_tile(const RunResult& run, const RunResult* other) {
  const double own = static_cast<double>(run.documents) / run.seconds;
  const double theirs = other == nullptr ? 0 : static_cast<double>(other->documents) / other->seconds;
  return tile(format_count(own), "documents indexed a second", beside(own, other, theirs, format_count(theirs)));
}

std::string pause_tile(const RunResult& run) {
  const PauseFigures* p = pause_of(run, "handshake");
  if (p == nullptr || p->count == 0) return "";
  return tile(format_duration(p->p999_ns), "999 of 1000 answers to the collector are shorter",
              p->p999_ns <= 20'000 ? "too short to notice" : p->p999_ns <= 1'000'000 ? "the kernel had other work too, or stacks are deep"
                                                                                       : "long: the machine is overloaded");
}

std::string cost_tile(const RunResult& run) {
  const double share = run.cpu_seconds > 0 ? run.collector_cpu_seconds / run.cpu_seconds : 0;
  return tile(format_percent(share), "of the processor time used went to collecting",
              share < 0.25 ? "usual" : "high: a larger LULL_GC_PERCENT trades memory for it");
}

std::string window_tile(const RunResult& run) {
  const auto at = std::ranges::find_if(run.utilisation, [](const Utilisation& u) { return u.window_ns >= 9e6; });
  if (at == run.utilisation.end()) return "";
  return tile(format_percent(at->least), "of its worst 10 ms was left to a thread",
              at->least > 0.8 ? "the collector hardly shows" : at->least > 0.4 ? "allocating threads helped to mark" : "the collector, or other work of the machine meanwhile");
}

}  // namespace

std::string at_a_glance(const std::vector<RunResult>& runs) {
  const RunResult* lull = find(runs, "lull");
  if (lull == nullptr) return "";
  const RunResult* other = find(runs, "shared_ptr");
  return "<div class=\"tiles\">\n" + latency_tile(*lull, other) + memory_tile(*lull, other) + work_tile(*lull, other) + pause_tile(*lull) + window_tile(*lull) +
         cost_tile(*lull) + "</div>\n";
}

}  // namespace index_service

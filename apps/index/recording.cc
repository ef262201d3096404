#include "apps/index/recording.h"

#include <lull/lull.h>
#include <lull/mem_stats.h>
#include <lull/metrics.h>
#include <lull/object_profile.h>
#include <lull/timeline.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <string>

#include "apps/index/function_names.h"
#include "apps/index/utilisation.h"

namespace index_service::recording {
namespace {

constexpr std::size_t kTimelineEntries = 1 << 16;  // a thread: more than a minute of a run

template <class Write>
std::string text_of(Write&& write) {
  std::string text;
  write(lull::text_sink{[](void* to, const char* part, std::size_t n) { static_cast<std::string*>(to)->append(part, n); },
                        &text});
  return text;
}

TypeOverTime& series_of(std::vector<TypeOverTime>& types, std::string_view name) {
  const auto at = std::ranges::find(types, name, &TypeOverTime::type);
  return at != types.end() ? *at : types.emplace_back(TypeOverTime{std::string(name), {}});
}

/// Stacks that look the same without template arguments are one.
std::vector<StackBytes> allocating_stacks() {
  std::istringstream folded(text_of([](const lull::text_sink& to) { lull::object_profile::write_folded(to); }));
  std::map<std::string, std::uint64_t> bytes;
  for (std::string line; std::getline(folded, line);) {
    const std::size_t space = line.rfind(' ');
    if (space != line.npos) bytes[readable_stack(line.substr(0, space))] += std::stoull(line.substr(space + 1));
  }
  std::vector<StackBytes> stacks;
  for (const auto& [frames, n] : bytes) stacks.push_back({frames, n});
  return stacks;
}

}  // namespace

void begin() {
  lull::object_profile::start();
  lull::timeline::start(kTimelineEntries);
}

void sample_types(RunResult& result) {
  std::array<lull::type_stats, 128> rows;
  const std::size_t count = lull::metrics::read_types(rows);
  const std::size_t samples = result.memory_over_time.size();
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<std::uint64_t>& series = series_of(result.types, rows[i].name).live_bytes;
    series.resize(samples - 1);  // zero before the type was known
    series.push_back(rows[i].live_bytes);
  }
}

void finish(RunResult& result) {
  lull::timeline::stop();
  lull::object_profile::stop();
  for (TypeOverTime& t : result.types) {
    t.live_bytes.resize(result.memory_over_time.size());
    t.type = readable_type(t.type);
  }
  result.stacks = allocating_stacks();
  std::istringstream trace(text_of([](const lull::text_sink& to) { lull::timeline::write(to); }));
  result.utilisation = least_utilisation(read_interruptions(trace));
}

}  // namespace index_service::recording

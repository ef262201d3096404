// What the report shows of a run's collector.
#pragma once

#include <string>

#include "apps/index/run_result.h"

namespace index_service {

std::string allocation_rate(const RunResult& run);
std::string live_heap_by_type(const RunResult& run);
std::string interruption_histogram(const RunResult& run);
std::string utilisation_plot(const RunResult& run);

}  // namespace index_service

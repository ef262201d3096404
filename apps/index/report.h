// The report: one HTML file that needs nothing else, with the plots and the table of the runs.
#pragma once

#include <string>
#include <vector>

#include "apps/index/run_result.h"

namespace index_service {

/// False if the file cannot be written. The subtitle says what was run.
bool write_report(const std::string& path, const std::vector<RunResult>& runs, const std::string& subtitle);

}  // namespace index_service

// The table of runs side by side; the terminal and the report show the same rows.
#pragma once

#include <string>
#include <vector>

#include "apps/index/run_result.h"

namespace index_service {

struct TableRow {
  std::string label;
  std::vector<std::string> cells;  // one a run; none: the row is a heading
};

std::vector<TableRow> compare_runs(const std::vector<RunResult>& runs);
std::string table_as_text(const std::vector<RunResult>& runs);

}  // namespace index_service

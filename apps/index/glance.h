// The top of the report: the figures that matter most, each with a word on whether it is good.
#pragma once

#include <string>
#include <vector>

#include "apps/index/run_result.h"

namespace index_service {

std::string at_a_glance(const std::vector<RunResult>& runs);

}  // namespace index_service

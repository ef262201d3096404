// What a run with lull records of itself for the report: live bytes by type, a sampled profile of what allocates, and the timeline, from
// which the share of time that the collector left to the program is computed. On for the whole run; costs about what docs/observability.md
// says: a few per cent at most.
#pragma once

#include "apps/index/run_result.h"

namespace index_service::recording {

void begin();
/// One more value for each type: call it once for each of memory_over_time.
void sample_types(RunResult& result);
void finish(RunResult& result);

}  // namespace index_service::recording

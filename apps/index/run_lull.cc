#include "apps/index/memory_lull.h"
#include "apps/index/runs.h"
#include "apps/index/service.h"

namespace index_service {

RunResult run_with_lull(const Options& options, const Corpus& corpus, const std::vector<Query>& queries) {
  return Service<LullMemory>(options, corpus, queries).run();
}

}  // namespace index_service

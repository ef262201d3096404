#include "apps/index/memory_shared_ptr.h"
#include "apps/index/runs.h"
#include "apps/index/service.h"

namespace index_service {

RunResult run_with_shared_ptr(const Options& options, const Corpus& corpus,
                              const std::vector<Query>& queries) {
  return Service<SharedPtrMemory>(options, corpus, queries).run();
}

}  // namespace index_service

// The two instances of the service, one per memory policy.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/index/corpus.h"
#include "apps/index/options.h"
#include "apps/index/query.h"
#include "apps/index/run_result.h"

namespace index_service {

RunResult run_with_lull(const Options& options, const Corpus& corpus, const std::vector<Query>& queries);
RunResult run_with_shared_ptr(const Options& options, const Corpus& corpus,
                              const std::vector<Query>& queries);

/// In this process; memory is the name of a policy.
RunResult run_here(const std::string& memory, const Options& options, const Corpus& corpus,
                   const std::vector<Query>& queries);

/// In a fresh process that runs this program again, so that no run inherits the memory of another. Says on
/// stderr what went wrong if there is no result.
std::optional<RunResult> run_in_child(const std::string& memory, const Options& options);

/// Writes the result to the file descriptor that run_in_child() passed; false if that fails.
bool send_result(int fd, const RunResult& result);

}  // namespace index_service

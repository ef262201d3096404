// The check of all answers: a plain scan of the files, with nothing from the index.
#pragma once

#include <cstdint>
#include <vector>

#include "apps/index/corpus.h"
#include "apps/index/query.h"
#include "apps/index/run_result.h"

namespace index_service {

/// The digest each query must have been answered with, by reading every file once and looking.
std::vector<std::uint64_t> scan_for_answers(const Corpus& corpus, const std::vector<Query>& queries);

/// Queries of the run whose first answer is not the expected one, plus answers that changed on the way:
/// re-indexing an unchanged document must not change any answer.
std::uint64_t count_wrong_answers(const RunResult& run, const std::vector<std::uint64_t>& expected);

}  // namespace index_service

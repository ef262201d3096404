// index_service: what tools/run runs. See options.cc for what it does, service.h for how.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "apps/index/check.h"
#include "apps/index/comparison.h"
#include "apps/index/corpus.h"
#include "apps/index/format.h"
#include "apps/index/options.h"
#include "apps/index/query.h"
#include "apps/index/report.h"
#include "apps/index/runs.h"
#ifdef LULL_HAS_DEBUG_SERVER
#include "lull/debug_server.h"
#endif

namespace index_service {
namespace {

constexpr std::size_t kQueries = 2000;
constexpr std::uint64_t kQuerySeed = 3;
constexpr const char* kReportPath = "lull-report.html";

std::string describe(const Corpus& corpus) {
  std::string text = format_count(static_cast<double>(corpus.files.size())) + " documents";
  if (corpus.files.size() < corpus.found) {
    text += " (of " + format_count(static_cast<double>(corpus.found)) + ", see --max-files)";
  }
  return text + ", " + format_bytes(corpus.bytes) + " of text";
}

std::string describe(const Options& options) {
  return format_fixed(options.seconds, 1) + " s a run, " + format_count(options.rate) + " queries/s on " +
         std::to_string(options.threads) + (options.threads == 1 ? " thread" : " threads");
}

/// Fewer runs than asked for if one failed; it has said so.
std::vector<RunResult> run_all(const Options& options, const Corpus& corpus,
                               const std::vector<Query>& queries) {
  std::vector<RunResult> runs;
  if (options.memory != "both") {
    runs.push_back(run_here(options.memory, options, corpus, queries));
    return runs;
  }
  for (const char* memory : {"lull", "shared_ptr"}) {
    if (auto result = run_in_child(memory, options)) runs.push_back(std::move(*result));
  }
  return runs;
}

/// Prints the verdict and returns the exit code.
int check(const std::vector<RunResult>& runs, const Corpus& corpus, const std::vector<Query>& queries) {
  const auto expected = scan_for_answers(corpus, queries);
  if (const std::size_t changed = count_changed_files(corpus); changed > 0) {
    std::printf("answers not checked: %zu files changed during the run\n", changed);
    return kExitOk;
  }
  std::uint64_t wrong = 0;
  for (const RunResult& run : runs) {
    const std::uint64_t here = count_wrong_answers(run, expected);
    std::printf("%-10s %s answers to %zu queries checked against a scan of all files: %llu wrong\n",
                run.memory.c_str(), format_count(static_cast<double>(run.queries)).c_str(), queries.size(),
                static_cast<unsigned long long>(here));
    wrong += here;
  }
  return wrong == 0 ? kExitOk : kExitWrongAnswers;
}

bool write_report_here(const std::vector<RunResult>& runs, const std::string& subtitle) {
  const std::string path = (std::filesystem::current_path() / kReportPath).string();
  if (!write_report(path, runs, subtitle)) {
    std::fprintf(stderr, "index_service: cannot write %s\n", path.c_str());
    return false;
  }
  std::printf("report: %s\n", path.c_str());
  return true;
}

int run_and_show(const Options& options, const Corpus& corpus, const std::vector<Query>& queries) {
  const std::string subtitle = describe(corpus) + "; " + describe(options);
  std::printf("%s\n", subtitle.c_str());
  const std::vector<RunResult> runs = run_all(options, corpus, queries);
  std::printf("\n");
  int exit_code = check(runs, corpus, queries);
  std::printf("\n%s\n", table_as_text(runs).c_str());
  if (options.report && !runs.empty() && !write_report_here(runs, subtitle)) exit_code = kExitUsage;
  const std::size_t wanted = options.memory == "both" ? 2 : 1;
  return runs.size() == wanted ? exit_code : kExitWrongAnswers;
}

#ifdef LULL_HAS_DEBUG_SERVER
bool start_debug_server(int port) {
  if (!lull::debug_server::start({.port = static_cast<std::uint16_t>(port)})) {
    std::fprintf(stderr, "index_service: cannot serve on port %d: %s\n", port, std::strerror(errno));
    return false;
  }
  std::printf("look at http://127.0.0.1:%u/ (in a terminal: tools/lull-top %d)\n", unsigned{lull::debug_server::port()}, int{::getpid()});
  std::fflush(stdout);
  return true;
}
#else
bool start_debug_server(int) { return false; }
#endif

int serve(const Options& options) {
  if (options.serve_port >= 0 && !start_debug_server(options.serve_port)) return kExitUsage;
  const Corpus corpus = find_corpus(corpus_paths(options), options.max_files);
  const std::vector<Query> queries = make_queries(corpus, kQueries, kQuerySeed);
  if (queries.empty()) throw CorpusError("the files hold too few words to ask for");
  if (options.result_fd < 0) return run_and_show(options, corpus, queries);
  const bool sent = send_result(options.result_fd, run_here(options.memory, options, corpus, queries));
  return sent ? kExitOk : kExitWrongAnswers;
}

}  // namespace
}  // namespace index_service

int main(int argc, char** argv) {
  using namespace index_service;
  const ParsedOptions parsed = parse_options(argc, argv);
  if (!parsed.options) return parsed.exit_code;
  try {
    const int code = serve(*parsed.options);
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    std::fprintf(stderr, "index_service: cannot write to standard output: %s\n", std::strerror(errno));
    return kExitUsage;
  } catch (const CorpusError& error) {
    std::fprintf(stderr, "index_service: %s\n", error.what());
    return kExitUsage;
  }
}

// The command line.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace index_service {

inline constexpr int kExitOk = 0, kExitWrongAnswers = 1, kExitUsage = 2;

struct Options {
  std::vector<std::string> paths;  // as given; empty: the default ones
  double seconds = 10;             // measured, for each variant, after loading
  double rate = 1000;              // queries per second, over all query threads
  unsigned threads = 1;            // that answer queries
  std::size_t max_files = 5000;    // of the default paths: some 300 MiB of index, loaded in about 5 s
  std::string memory = "both";     // or lull, or shared_ptr
  bool report = true;
  int serve_port = -1;  // of the debug server, 0: any; -1: none
  int result_fd = -1;  // in a child: where its result goes
};

/// The options, or the code to exit with after help or an error message was printed.
struct ParsedOptions {
  std::optional<Options> options;
  int exit_code = kExitOk;
};
ParsedOptions parse_options(int argc, const char* const* argv);

/// A command line that makes this program run one variant and write its result to the file descriptor.
std::vector<std::string> child_arguments(const Options& options, const std::string& memory, int result_fd);

/// The paths to index: those given, or those of the default ones that exist.
std::vector<std::string> corpus_paths(const Options& options);

}  // namespace index_service
